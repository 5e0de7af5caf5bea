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

/** Cells that belong to the picture, without what was filled up. @param {Maps} map
 * @param {number} height @param {number} width in cells @returns {Maps} */
function cut(map, height, width) {
  if (map.height === height && map.width === width) return map;
  const data = new Float32Array(height * width * map.channels);
  for (let y = 0; y < height; y++) {
    const at = y * map.width * map.channels;
    data.set(map.data.subarray(at, at + width * map.channels), y * width * map.channels);
  }
  return { ...map, data, height, width };
}

/**
 * What a network says about a picture.
 * @param {Run} run @param {Network} network
 * @param {{data: Uint8ClampedArray, height: number, width: number}} picture RGBA
 * @param {(done: number, of: number) => void} progress
 * @returns {Promise<{fused: Maps} | {context: Maps, attention: Maps, detail: Maps}>}
 */
export async function segment(run, network, picture, progress) {
  const { data, height, width } = picture;
  const { stride } = network;
  const [h, w] = [height, width].map((side) => Math.ceil(side / (2 * stride)) * 2);
  if (!network.isHrda) {
    progress(0, 1);
    const { logits } = await run(planes(data, height, width, MULTIPLE, network.mean));
    progress(1, 1);
    return { fused: cut(maps(logits), h, w) };
  }
  const image = planes(data, height, width, 2 * MULTIPLE, network.mean);
  const boxes = windowBoxes([image.height, image.width], network.detailSize, network.detailStride);
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
  const size = [image.height, image.width];
  const detail = averageWindows(windows, boxes, stride, size).mean;
  return {
    context: cut(maps(logits), h / 2, w / 2),
    attention: cut(maps(attention), h / 2, w / 2),
    detail: cut(detail, h, w),
  };
}
