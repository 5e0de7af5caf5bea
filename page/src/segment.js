// HRDA from its network: the context view, then one detail window after the other.
import { averageWindows, channelsLast, windowBoxes } from "./maths.js";
import { cropped, halved, planes } from "./picture.js";

/**
 * @typedef {import("./maths.js").Maps} Maps
 * @typedef {import("./picture.js").Planes} Planes
 * @typedef {{data: Float32Array, dims: readonly number[]}} Tensor
 * @typedef {{isHrda: boolean, detailSize: number[], detailStride: number[], stride: number,
 *   mean: number[]}} Network what the page knows of a network
 * @typedef {(view: Planes) => Promise<{logits: Tensor, attention?: Tensor}>} Run
 */

const MULTIPLE = 32; // pixels: what the sides of a view divide by

/** @param {Tensor} tensor @returns {Maps} */
function maps(tensor) {
  return channelsLast(tensor.data, tensor.dims.slice(1));
}

/**
 * What a network says about a picture.
 * @param {Run} run @param {Network} network
 * @param {{data: Uint8ClampedArray, height: number, width: number}} picture RGBA
 * @param {(done: number, of: number) => void} progress
 * @returns {Promise<{maps: Record<string, Maps>, filled: number[]}>} and the size that they
 * belong to: the picture's, filled up
 */
export async function segment(run, network, picture, progress) {
  const { data, height, width } = picture;
  const multiple = network.isHrda ? 2 * MULTIPLE : MULTIPLE;
  const image = planes(data, height, width, multiple, network.mean);
  const filled = [image.height, image.width];
  if (!network.isHrda) {
    progress(0, 1);
    const { logits } = await run(image);
    progress(1, 1);
    return { maps: { fused: maps(logits) }, filled };
  }
  const boxes = windowBoxes(filled, network.detailSize, network.detailStride);
  const of = boxes.length + 1;
  progress(0, of);
  const { logits, attention } = await run(halved(image));
  if (!attention) throw new Error("the graph has no attention");
  progress(1, of);
  const windows = [];
  for (const box of boxes) {
    windows.push(maps((await run(cropped(image, box))).logits));
    progress(windows.length + 1, of);
  }
  const detail = averageWindows(windows, boxes, network.stride, filled).mean;
  return { maps: { context: maps(logits), attention: maps(attention), detail }, filled };
}
