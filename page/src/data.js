// The pictures of the page, what the networks say about them, and what follows from that.
import { image, unpacked } from "./files.js";
import { channelsLast, confidence, corner, fuse, labels, resize } from "./maths.js";

/**
 * @typedef {import("./maths.js").Maps} Maps
 * @typedef {import("./maths.js").Views} Views
 * @typedef {{shape: number[], offset: number, low: number[], step: number[]}} Stored
 * @typedef {{file: string, maps: Record<string, Stored>}} Pack
 * @typedef {{name: string, domain: "source" | "target" | "own", height: number, width: number,
 *   path?: string, image: string, truth: string | null, networks: Record<string, Pack>,
 *   features?: Pack}} Entry a picture in page.json
 */

/** Bytes as numbers, channels last. @param {Uint8Array} bytes @param {Stored} stored */
export function decoded(bytes, { shape, offset, low, step }) {
  const [channels, height, width] = shape;
  const part = bytes.subarray(offset, offset + channels * height * width);
  return channelsLast(part, shape, (v, k) => low[k] + step[k] * v);
}

/** @param {Pack} pack @returns {Promise<Record<string, Maps>>} */
async function open(pack) {
  const bytes = await unpacked(pack.file);
  return Object.fromEntries(Object.entries(pack.maps).map(([k, s]) => [k, decoded(bytes, s)]));
}

/** What one network says about one picture. */
export class Said {
  /** @param {Record<string, Maps>} maps @param {number} height @param {number} width
   * @param {number[]} filled the size that the maps belong to: the picture's, filled up */
  constructor(maps, height, width, filled = [height, width]) {
    this.height = height;
    this.width = width;
    this.filled = filled;
    this.views = maps.context ? /** @type {Views} */ (/** @type {any} */ (maps)) : null;
    this.fused = maps.fused ?? fuse(maps.context, maps.detail, maps.attention);
    /** @type {Map<string, any>} */
    this.kept = new Map();
  }

  /** @template T @param {string} key @param {() => T} make @returns {T} */
  keep(key, make) {
    if (!this.kept.has(key)) this.kept.set(key, make());
    return this.kept.get(key);
  }

  /** Class of each pixel. @param {"fused" | "context" | "detail"} view @returns {Uint8Array} */
  labels(view = "fused") {
    const maps = view === "fused" || !this.views ? this.fused : this.views[view];
    return this.keep(view, () => this.labelled(maps));
  }

  /** Labels of the picture from logits of its cells. @param {Maps} logits @returns {Uint8Array} */
  labelled(logits) {
    const [height, width] = this.filled;
    return corner(labels(logits, height, width), width, this.height, this.width);
  }

  /** One number a cell at the picture's size. @param {Maps} map @returns {Maps} */
  enlarged(map) {
    const [height, width] = this.filled;
    const data = corner(resize(map, height, width).data, width, this.height, this.width);
    return { data, height: this.height, width: this.width, channels: 1 };
  }

  /** Probability of each pixel's class. @returns {Maps} */
  confidence() {
    return this.keep("confidence", () => {
      const [height, width] = this.filled;
      const sure = confidence(resize(this.fused, height, width));
      return this.enlarged(sure);
    });
  }
}

/** A picture that is here with its pixels. */
export class Street {
  /** @param {Entry} entry @param {ImageData} image @param {Uint8Array | null} truth
   * @param {Record<string, Said>} said */
  constructor(entry, image, truth, said) {
    this.entry = entry;
    this.image = image;
    this.truth = truth;
    this.said = said;
    this.name = entry.name;
    this.size = [image.height, image.width];
  }

  /** By the adapted network, or the only one. @returns {Said} */
  get best() {
    return this.said.a;
  }
}

export class Streets {
  /** @param {Entry[]} entries */
  constructor(entries) {
    this.entries = entries;
    /** @type {Map<string, Promise<Street>>} */
    this.opened = new Map();
  }

  /** @param {"source" | "target" | "own"} domain */
  of(domain) {
    return this.entries.filter((e) => e.domain === domain);
  }

  /** @param {string} name @returns {Promise<Street>} */
  open(name) {
    const entry = this.entries.find((e) => e.name === name) ?? this.entries[0];
    const known = this.opened.get(entry.name);
    if (known) return known;
    const coming = this.read(entry);
    this.opened.set(entry.name, coming);
    coming.catch(() => this.opened.delete(entry.name));
    return coming;
  }

  /** @param {Entry} entry @returns {Promise<Street>} */
  async read(entry) {
    const names = Object.keys(entry.networks);
    const [pixels, truth, ...packs] = await Promise.all([
      image(entry.image),
      entry.truth ? unpacked(entry.truth) : null,
      ...names.map((n) => open(entry.networks[n])),
    ]);
    const said = names.map((n, i) => [n, new Said(packs[i], entry.height, entry.width)]);
    return new Street(entry, pixels, truth, Object.fromEntries(said));
  }

  /** A picture of the visitor's own. @param {string} name @param {ImageData} image
   * @param {Record<string, Said>} said */
  add(name, image, said) {
    /** @type {Entry} */
    const entry = {
      name,
      domain: "own",
      height: image.height,
      width: image.width,
      image: "",
      truth: null,
      networks: {},
    };
    this.entries = [...this.entries.filter((e) => e.name !== name), entry];
    this.opened.set(name, Promise.resolve(new Street(entry, image, null, said)));
  }
}

export { open as openPack };
