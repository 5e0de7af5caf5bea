// Numbers as colours.

/** @typedef {import("./maths.js").Maps} Maps */
/** @typedef {number[][]} Palette RGB of each class */

const GREY = [128, 128, 128];

/**
 * Labels in colours over a picture. @param {Uint8Array} labels @param {Palette} palette
 * @param {ImageData} image @param {number} strength 0: the picture, 1: the colours
 * @param {(i: number) => boolean} [shown] @returns {ImageData}
 */
export function labelled(labels, palette, image, strength = 0.65, shown) {
  const out = new ImageData(image.width, image.height);
  for (let i = 0; i < labels.length; i++) {
    const colour = palette[labels[i]] ?? GREY;
    const part = shown && !shown(i) ? 0.12 : strength;
    for (let c = 0; c < 3; c++)
      out.data[4 * i + c] = colour[c] * part + image.data[4 * i + c] * (1 - part);
    out.data[4 * i + 3] = 255;
  }
  return out;
}

/** @param {ImageData} image @param {number} part 0: white, 1: the picture */
export function pale(image, part = 0.35) {
  const out = new ImageData(image.width, image.height);
  for (let i = 0; i < out.data.length; i++)
    out.data[i] = i % 4 === 3 ? 255 : 255 - (255 - image.data[i]) * part;
  return out;
}

const VIRIDIS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

/** @param {number} value in [0,1] */
export function viridis(value) {
  const at = Math.min(Math.max(value, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((v, c) => v + (VIRIDIS[low + 1][c] - v) * (at - low));
}

/** One number a pixel as brightness and colour. @param {Maps} map in [0,1]
 * @returns {ImageData} */
export function heat(map) {
  const out = new ImageData(map.width, map.height);
  for (let i = 0; i < map.data.length; i++) {
    out.data.set(viridis(map.data[i]), 4 * i);
    out.data[4 * i + 3] = 255;
  }
  return out;
}

/** @param {ImageData} image @param {(i: number) => number[] | null} colour null: the pale picture */
export function marked(image, colour) {
  const out = pale(image, 0.5);
  for (let i = 0; i < image.width * image.height; i++) {
    const rgb = colour(i);
    if (rgb) out.data.set(rgb, 4 * i);
  }
  return out;
}

/** @param {ImageData} image @param {import("./maths.js").Box} box */
export function cutOut(image, { y, x, height, width }) {
  const out = new ImageData(width, height);
  for (let row = 0; row < height; row++) {
    const at = ((y + row) * image.width + x) * 4;
    out.data.set(image.data.subarray(at, at + width * 4), row * width * 4);
  }
  return out;
}

/** Every two by two pixels as one, then large again: what the context view sees.
 * @param {ImageData} image */
export function coarse(image) {
  const out = new ImageData(image.width, image.height);
  const { width, height, data } = image;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [top, left] = [y - (y % 2), x - (x % 2)];
      const [bottom, right] = [Math.min(top + 1, height - 1), Math.min(left + 1, width - 1)];
      for (let c = 0; c < 4; c++) {
        const sum =
          data[(top * width + left) * 4 + c] +
          data[(top * width + right) * 4 + c] +
          data[(bottom * width + left) * 4 + c] +
          data[(bottom * width + right) * 4 + c];
        out.data[(y * width + x) * 4 + c] = sum / 4;
      }
    }
  return out;
}
