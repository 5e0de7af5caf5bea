// Builds page/dist: one script, one style, two workers, and onnxruntime's two engines, packed.
import { build } from "esbuild";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const engines = {
  wasm: "ort-wasm-simd-threaded.wasm",
  webgpu: "ort-wasm-simd-threaded.asyncify.wasm",
};

await rm("dist", { recursive: true, force: true });
await mkdir("dist/texts", { recursive: true });
await build({
  entryPoints: {
    app: "src/app.js",
    "worker-wasm": "src/worker-wasm.js",
    "worker-webgpu": "src/worker-webgpu.js",
  },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  external: ["module", "node:*"],
});
for (const [name, file] of Object.entries(engines)) {
  const wasm = await readFile(`node_modules/onnxruntime-web/dist/${file}`);
  await writeFile(`dist/${name}.wasm.gz`, gzipSync(wasm, { level: 9 }));
}
await cp("index.html", "dist/index.html");
await cp("style.css", "dist/style.css");
await cp("texts", "dist/texts", { recursive: true });
await cp("LICENSES.txt", "dist/LICENSES.txt");
