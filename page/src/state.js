// What the page shows, as its address says it: a link brings another reader to the same picture.

/**
 * @typedef {{scene: string, picture: string, lang: string, safe: number, dark: number,
 *   reveal: number, view: string, brush: string, w: number, y: number, x: number, a: number, t: number, n: number,
 *   overlap: number, k: string, temp: number, ratio: number, block: number, seed: number,
 *   cy: number, cx: number, dy: number, dx: number, step: number, source: string}} State
 */

/** @type {State} */
export const START = {
  scene: "gap",
  picture: "",
  lang: "",
  safe: 0,
  dark: -1, // as the system says
  reveal: 0,
  view: "wiper",
  brush: "",
  w: 0.5, // the wiper, from left to right
  y: -1, // a pixel, in parts of the picture; -1: one that is worth a look
  x: -1,
  a: -1, // attention: as learned
  t: -1, // threshold: as the recipe says
  n: 0, // windows: all
  overlap: 1,
  k: "", // classes to paste: drawn
  temp: -1, // temperature and ratio: as the recipe says
  ratio: -1,
  block: 0, // as the recipe says
  seed: 1,
  cy: 0.5, // centres of the crops, in parts of the picture
  cx: 0.5,
  dy: 0.55,
  dx: 0.5,
  step: 0,
  source: "",
};

/** @param {string} hash @returns {State} */
export function read(hash) {
  const state = { ...START };
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!(key in START)) continue;
    const number = Number(value);
    const known = /** @type {any} */ (state);
    if (typeof known[key] !== "number") known[key] = value;
    else if (value !== "" && Number.isFinite(number)) known[key] = number;
  }
  return state;
}

/** Only what differs from the start. @param {State} state */
export function written(state) {
  const parts = Object.entries(state).filter(([k, v]) => v !== /** @type {any} */ (START)[k]);
  const short = parts.map(([k, v]) => [k, typeof v === "number" ? String(+v.toFixed(4)) : v]);
  return `#${new URLSearchParams(/** @type {any} */ (short))}`;
}
