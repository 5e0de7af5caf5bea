import * as ort from "onnxruntime-web/wasm";
import { serve } from "./worker.js";

serve(ort, "wasm.wasm.gz", "wasm");
