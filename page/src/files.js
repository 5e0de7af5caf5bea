// Files of the page: packed with gzip, whatever the server does with them.

/** @param {string} path @returns {Promise<Uint8Array>} */
async function bytes(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The content of a packed file; some servers have unpacked it already. @param {string} path */
export async function unpacked(path) {
  const found = await bytes(path);
  if (found[0] !== 0x1f || found[1] !== 0x8b) return found;
  const plain = new Blob([/** @type {any} */ (found)])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/** @param {string} path @returns {Promise<any>} */
export async function json(path) {
  return JSON.parse(new TextDecoder().decode(await bytes(path)));
}

/** A picture's pixels. @param {Blob} blob @param {(h: number, w: number) => number[]} size */
export async function pixels(blob, size = (h, w) => [h, w]) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(blob, /** @type {any} */ (options));
  const [height, width] = size(bitmap.height, bitmap.width);
  const canvas = new OffscreenCanvas(width, height);
  const at = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  at.imageSmoothingQuality = "high";
  at.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return at.getImageData(0, 0, width, height);
}

/** @param {string} path @returns {Promise<ImageData>} */
export async function image(path) {
  return pixels(new Blob([/** @type {any} */ (await bytes(path))]));
}
