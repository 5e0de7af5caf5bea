// A network in a worker of its own, so that the page stays quick. onnxruntime comes from the caller.
import { unpacked } from "./files.js";
import { segment } from "./segment.js";

/**
 * @param {any} ort onnxruntime-web @param {string} engine its .wasm.gz @param {string} provider
 */
export function serve(ort, engine, provider) {
  /** @type {Map<string, any>} */
  const sessions = new Map();
  let begun = false;

  /** @param {string} graph */
  async function load(graph) {
    if (!begun) {
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmBinary = (await unpacked(engine)).buffer;
      begun = true;
    }
    const bytes = await unpacked(graph);
    const options = { executionProviders: [provider], logSeverityLevel: 3 };
    sessions.set(graph, await ort.InferenceSession.create(bytes, options));
  }

  /** @param {any} session @returns {import("./segment.js").Run} */
  function runner(session) {
    return async ({ data, height, width }) => {
      const images = new ort.Tensor("float32", data, [1, 3, height, width]);
      const found = await session.run({ images });
      for (const tensor of Object.values(found)) await tensor.getData();
      return found;
    };
  }

  /** @param {any} message */
  async function answer({ id, kind, graph, network, picture }) {
    if (!sessions.has(graph)) await load(graph);
    if (kind === "load") return null;
    const progress = (/** @type {number} */ done, /** @type {number} */ of) =>
      self.postMessage({ id, progress: done / of });
    return segment(runner(sessions.get(graph)), network, picture, progress);
  }

  self.onmessage = async ({ data }) => {
    try {
      self.postMessage({ id: data.id, result: await answer(data) });
    } catch (error) {
      self.postMessage({
        id: data.id,
        error: String(/** @type {any} */ (error)?.message ?? error),
      });
    }
  };
}
