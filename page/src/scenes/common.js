// What the scenes have in common.
import { IGNORE } from "../maths.js";
import { labelled } from "../paint.js";

/**
 * @typedef {import("../state.js").State} State
 * @typedef {import("../data.js").Street} Street
 * @typedef {import("../stage.js").Panel} Panel
 * @typedef {{state: State, page: any, t: (name: string, values?: any) => string, street: Street,
 *   source: Street | null, palette: number[][], names: string[], memory: Map<string, any>,
 *   ask: (picture: ImageData) => Promise<any>, set: (patch: Partial<State>) => void,
 *   redraw: () => void}} Context
 * @typedef {{kind: "slider" | "choice" | "switch" | "button" | "classes", key: string,
 *   label: string, main?: boolean, min?: number, max?: number, step?: number,
 *   show?: (value: number) => string, value?: number, options?: [string | number, string][],
 *   press?: () => void, classes?: number[], chosen?: number[]}} Control
 * @typedef {{panels: Panel[], words?: string, chart?: Node, legend?: Iterable<number>}} Drawing
 * @typedef {{id: string, street?: (page: any, chosen: string) => string, source?: boolean, controls: (c: Context) => Control[],
 *   draw: (c: Context) => Drawing | Promise<Drawing>, fits?: (page: any) => boolean,
 *   hear?: (c: Context, y: number, x: number, more: any) => Partial<State>}} Scene
 */

/** @param {Context} c @param {Uint8Array} labels @param {number} [strength] */
export function coloured(c, labels, strength, image = c.street.image) {
  return labelled(labels, c.palette, image, strength);
}

/** The classes of some labels, most first. @param {Uint8Array[]} labels */
export function classesIn(...labels) {
  const count = new Map();
  for (const one of labels) for (const k of one) count.set(k, (count.get(k) ?? 0) + 1);
  count.delete(IGNORE);
  return [...count].sort((a, b) => b[1] - a[1]).map(([k]) => k);
}

/** The pixel that the state names, or one that the two views do not agree about.
 * @param {Context} c */
export function pixel(c) {
  const { state, street } = c;
  const [height, width] = street.size;
  if (state.y < 0 || state.x < 0) return kept(c, `doubtful ${street.name}`, () => doubtful(street));
  return [Math.floor(state.y * height), Math.floor(state.x * width)];
}

const GRID = 12; // pixels between two places that are looked at

/** Where the two views differ and the fused label is right, in the middle of the picture.
 * @param {Street} street */
function doubtful({ size: [height, width], best, truth }) {
  const [context, detail, fused] = [best.labels("context"), best.labels("detail"), best.labels()];
  const wanted = truth ?? fused;
  let [found, least] = [[Math.floor(0.6 * height), Math.floor(width / 2)], Infinity];
  for (let y = GRID; y < height; y += GRID)
    for (let x = GRID; x < width; x += GRID) {
      const i = y * width + x;
      const far = Math.hypot(y / height - 0.5, x / width - 0.5);
      if (context[i] !== detail[i] && fused[i] === wanted[i] && far < least)
        [found, least] = [[y, x], far];
    }
  return found;
}

/** Sliders that move the pixel. @param {Context} c @returns {Control[]} */
export function pixelControls(c) {
  const { t, street } = c;
  const parts = pixel(c).map((v, i) => v / street.size[i]);
  const way = { kind: /** @type {const} */ ("slider"), min: 0, max: 0.999, step: 0.005 };
  const show = (/** @type {number} */ v) => `${Math.round(100 * v)} %`;
  const [y, x] = parts.map((value) => ({ ...way, value, show }));
  return [
    { ...x, key: "x", label: t("pixel.x"), main: true },
    { ...y, key: "y", label: t("pixel.y") },
  ];
}

/** @param {any} page */
export const isHrda = (page) => page.networks.a.isHrda;

/** A value, made once and kept under a name. @template T @param {Context} c
 * @param {string} key @param {() => T} make @returns {T} */
export function kept(c, key, make) {
  if (!c.memory.has(key)) c.memory.set(key, make());
  return c.memory.get(key);
}

/** The box of a size around a place. @param {Context} c @param {number} y @param {number} x
 * @param {number[]} size (height, width) @param {number} grid pixels */
export function boxAround({ street }, y, x, size, grid = 8) {
  const [h, w] = size.map((side, i) => Math.min(side, street.size[i]));
  const start = (
    /** @type {number} */ part,
    /** @type {number} */ all,
    /** @type {number} */ side,
  ) => Math.round(Math.min(Math.max(part * all - side / 2, 0), all - side) / grid) * grid;
  return { y: start(y, street.size[0], h), x: start(x, street.size[1], w), height: h, width: w };
}
