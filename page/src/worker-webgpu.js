import * as ort from "onnxruntime-web/webgpu";
import { serve } from "./worker.js";

serve(ort, "webgpu.wasm.gz", "webgpu");
