// What a visitor takes home: a picture, a moving picture.
import { GIFEncoder, applyPalette, quantize } from "gifenc";

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** All canvases side by side on one. @param {HTMLCanvasElement[]} canvases
 * @param {number} [most] pixels of the longer side */
function together(canvases, most = Infinity) {
  const height = Math.max(...canvases.map((c) => c.height));
  const widths = canvases.map((c) => (c.width * height) / c.height);
  const gap = 8;
  const width = widths.reduce((a, b) => a + b, 0) + gap * (canvases.length - 1);
  const factor = Math.min(1, most / Math.max(width, height));
  const out = document.createElement("canvas");
  out.width = Math.round(width * factor);
  out.height = Math.round(height * factor);
  const to = /** @type {CanvasRenderingContext2D} */ (
    out.getContext("2d", { willReadFrequently: true })
  );
  to.fillStyle = "#fff";
  to.fillRect(0, 0, out.width, out.height);
  let left = 0;
  canvases.forEach((canvas, i) => {
    to.drawImage(canvas, left * factor, 0, widths[i] * factor, height * factor);
    left += widths[i] + gap;
  });
  return { out, to };
}

/** @param {HTMLCanvasElement[]} canvases @param {string} name */
export async function savePng(canvases, name) {
  const { out } = together(canvases);
  const blob = await new Promise((resolve) => out.toBlob(resolve, "image/png"));
  download(/** @type {Blob} */ (blob), `${name}.png`);
}

/**
 * A GIF of what a slider does. @param {() => HTMLCanvasElement[]} canvases
 * @param {(part: number) => Promise<void>} show part of the slider's way, 0 to 1
 * @param {string} name @param {number} frames
 */
export async function saveGif(canvases, show, name, frames = 24) {
  const gif = GIFEncoder();
  const way = Array.from({ length: frames }, (_, i) => i / (frames - 1));
  for (const part of way) {
    await show(part);
    const { out, to } = together(canvases(), 720);
    const { data } = to.getImageData(0, 0, out.width, out.height);
    const palette = quantize(data, 256);
    gif.writeFrame(applyPalette(data, palette), out.width, out.height, { palette, delay: 90 });
  }
  gif.finish();
  download(new Blob([gif.bytes()], { type: "image/gif" }), `${name}.gif`);
}
