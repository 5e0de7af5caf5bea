// Pictures as a network takes them: bytes -> [0,1], filled up, halved, cut.

/**
 * @typedef {import("./maths.js").Box} Box
 * @typedef {{data: Float32Array, height: number, width: number}} Planes RGB planes in [0,1]
 */

/**
 * Planes of a picture, filled up with a colour so that its sides divide by `multiple`.
 * @param {Uint8ClampedArray} rgba @param {number} height @param {number} width
 * @param {number} multiple pixels @param {number[]} colour RGB in [0,1] @returns {Planes}
 */
export function planes(rgba, height, width, multiple, colour) {
  const [h, w] = [height, width].map((side) => Math.ceil(side / multiple) * multiple);
  const data = new Float32Array(3 * h * w);
  for (let c = 0; c < 3; c++) {
    data.fill(colour[c], c * h * w, (c + 1) * h * w);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        data[(c * h + y) * w + x] = rgba[(y * width + x) * 4 + c] / 255;
  }
  return { data, height: h, width: w };
}

/** The context view: every two by two pixels averaged. @param {Planes} image @returns {Planes} */
export function halved(image) {
  const [h, w] = [image.height / 2, image.width / 2];
  const data = new Float32Array(3 * h * w);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        const at = (c * image.height + 2 * y) * image.width + 2 * x;
        const below = at + image.width;
        const sum = image.data[at] + image.data[at + 1] + image.data[below] + image.data[below + 1];
        data[(c * h + y) * w + x] = sum / 4;
      }
  return { data, height: h, width: w };
}

/** @param {Planes} image @param {Box} box @returns {Planes} */
export function cropped(image, box) {
  const data = new Float32Array(3 * box.height * box.width);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < box.height; y++) {
      const at = (c * image.height + box.y + y) * image.width + box.x;
      data.set(image.data.subarray(at, at + box.width), (c * box.height + y) * box.width);
    }
  return { data, height: box.height, width: box.width };
}

/**
 * A size whose longer side is at most `longest`.
 * @param {number} height @param {number} width @param {number} longest
 */
export function fitted(height, width, longest) {
  const factor = Math.min(1, longest / Math.max(height, width));
  return [Math.max(1, Math.round(height * factor)), Math.max(1, Math.round(width * factor))];
}
