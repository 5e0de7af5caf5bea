// The page's side of a network: one worker, one request after the other, WebGPU where there is one.

/** @returns {Promise<boolean>} */
async function hasWebgpu() {
  const gpu = /** @type {any} */ (navigator).gpu;
  if (!gpu || new URLSearchParams(location.search).get("engine") === "wasm") return false;
  try {
    return Boolean(await gpu.requestAdapter());
  } catch {
    return false;
  }
}

export class Networks {
  constructor() {
    /** @type {Worker | null} */
    this.worker = null;
    this.engine = "";
    this.count = 0;
    /** @type {Map<number, {resolve: (v: any) => void, reject: (e: Error) => void,
     *   progress: (part: number) => void}>} */
    this.waiting = new Map();
  }

  /** @param {"wasm" | "webgpu"} engine */
  begin(engine) {
    this.worker?.terminate();
    this.engine = engine;
    this.worker = new Worker(`worker-${engine}.js`, { type: "module" });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message));
      this.waiting.clear();
    };
  }

  /** @param {any} data */
  hear(data) {
    const asked = this.waiting.get(data.id);
    if (!asked) return;
    if (data.progress !== undefined) return asked.progress(data.progress);
    this.waiting.delete(data.id);
    if (data.error) asked.reject(new Error(data.error));
    else asked.resolve(data.result);
  }

  /** @param {any} message @param {(part: number) => void} progress @returns {Promise<any>} */
  ask(message, progress) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, progress });
      this.worker?.postMessage({ id, ...message });
    });
  }

  /**
   * The graph is here and ready. A GPU that fails is left for the WASM engine.
   * @param {string} graph
   */
  async load(graph) {
    if (!this.worker) this.begin((await hasWebgpu()) ? "webgpu" : "wasm");
    try {
      await this.ask({ kind: "load", graph }, () => {});
    } catch (error) {
      if (this.engine !== "webgpu") throw error;
      this.begin("wasm");
      await this.ask({ kind: "load", graph }, () => {});
    }
  }

  /**
   * What a network says about a picture.
   * @param {any} network @param {ImageData} picture @param {(part: number) => void} progress
   */
  async segment(network, picture, progress) {
    await this.load(network.graph);
    const { data, height, width } = picture;
    return this.ask(
      { kind: "segment", graph: network.graph, network, picture: { data, height, width } },
      progress,
    );
  }
}
