// One picture to look at, wipe, click, drag on and paint on; by pointer and by keys.
import { el } from "./dom.js";

/**
 * @typedef {{y: number, x: number, height: number, width: number, label: string,
 *   colour: string, key: string}} Frame a box in pixels; `key`: "c" or "d", what moves with it
 * @typedef {"wipe" | "point" | "box" | "paint" | ""} Tool
 * @typedef {{image: ImageData, alt: string, title?: string, other?: ImageData, wiper?: number,
 *   sides?: [string, string], frames?: Frame[], mark?: number[] | null, tool?: Tool}} Panel
 * @typedef {(kind: Tool, y: number, x: number, more: {first: boolean, key?: string}) => void} Hear
 */

const KEYS = /** @type {Record<string, number[]>} */ ({
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
});
const STEPS = { wipe: 0.02, point: 0.01, box: 0.04, paint: 0.02, "": 0 };

export class Stage {
  /** @param {Hear} hear places in parts of the picture, 0 to 1 */
  constructor(hear) {
    this.hear = hear;
    this.canvas = el("canvas", { tabindex: 0, role: "img" });
    this.title = el("figcaption");
    this.root = el("figure", { class: "stage" }, this.title, this.canvas);
    /** @type {Panel | null} */
    this.panel = null;
    /** @type {string | null} */
    this.held = null;
    this.canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ e) => this.take(e));
    this.canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ e) => {
      if (this.held !== null) this.say(e, false);
    });
    for (const end of ["pointerup", "pointercancel"])
      this.canvas.addEventListener(end, () => (this.held = null));
    this.canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => this.press(e));
  }

  /** @param {PointerEvent} event */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const part = (/** @type {number} */ v) => Math.min(Math.max(v, 0), 0.9999);
    return [
      part((event.clientY - box.top) / box.height),
      part((event.clientX - box.left) / box.width),
    ];
  }

  /** @param {PointerEvent} event */
  take(event) {
    if (!this.panel?.tool) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const [y, x] = this.at(event);
    this.held = this.nearest(y, x);
    this.say(event, true);
  }

  /** Which frame a place belongs to. @param {number} y @param {number} x */
  nearest(y, x) {
    const { frames = [], image } = /** @type {Panel} */ (this.panel);
    const far = (/** @type {Frame} */ f) =>
      Math.hypot(f.y + f.height / 2 - y * image.height, f.x + f.width / 2 - x * image.width);
    return [...frames].sort((a, b) => far(a) - far(b))[0]?.key ?? "";
  }

  /** @param {PointerEvent} event @param {boolean} first */
  say(event, first) {
    const [y, x] = this.at(event);
    if (this.panel?.tool) this.hear(this.panel.tool, y, x, { first, key: this.held ?? "" });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const way = KEYS[event.key];
    const panel = this.panel;
    if (!way || !panel?.tool) return;
    event.preventDefault();
    event.stopPropagation();
    const step = STEPS[panel.tool] * (event.shiftKey && panel.tool !== "box" ? 5 : 1);
    const key = event.shiftKey ? "c" : "d";
    const [y, x] = this.place(panel, key);
    const part = (/** @type {number} */ v) => Math.min(Math.max(v, 0), 0.9999);
    this.hear(panel.tool, part(y + way[0] * step), part(x + way[1] * step), { first: true, key });
  }

  /** Where the keys begin. @param {Panel} panel @param {string} key */
  place({ tool, wiper = 0.5, mark, frames = [], image }, key) {
    if (tool === "wipe") return [0.5, wiper];
    const frame = frames.find((f) => f.key === key);
    if (tool === "box" && frame)
      return [
        (frame.y + frame.height / 2) / image.height,
        (frame.x + frame.width / 2) / image.width,
      ];
    return mark ? [mark[0] / image.height, mark[1] / image.width] : [0.5, 0.5];
  }

  /** @param {Panel} panel */
  show(panel) {
    this.panel = panel;
    const { image, alt, title = "" } = panel;
    if (this.canvas.width !== image.width) this.canvas.width = image.width;
    if (this.canvas.height !== image.height) this.canvas.height = image.height;
    this.root.style.setProperty("--aspect", (image.width / image.height).toFixed(3));
    this.canvas.setAttribute("aria-label", alt);
    this.canvas.tabIndex = panel.tool ? 0 : -1;
    this.canvas.setAttribute("role", panel.tool ? "application" : "img");
    this.canvas.dataset.tool = panel.tool ?? "";
    this.title.textContent = title;
    const to = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    to.putImageData(image, 0, 0);
    if (panel.other) this.wipe(to, panel);
    for (const frame of panel.frames ?? []) this.frame(to, frame);
    if (panel.mark) this.mark(to, panel.mark);
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }

  /** @param {CanvasRenderingContext2D} to @param {Panel} panel */
  wipe(to, { image, other, wiper = 0.5, sides }) {
    const at = Math.round(wiper * image.width);
    if (at < image.width && other)
      to.putImageData(other, 0, 0, at, 0, image.width - at, image.height);
    to.fillStyle = "#fff";
    to.fillRect(at - 1.5, 0, 3, image.height);
    if (!sides) return;
    this.word(to, sides[0], 8, 8, "left");
    this.word(to, sides[1], image.width - 8, 8, "right");
  }

  /** @param {CanvasRenderingContext2D} to @param {string} text @param {number} x
   * @param {number} y @param {CanvasTextAlign} align */
  word(to, text, x, y, align) {
    const size = Math.max(12, Math.round(to.canvas.width / 48));
    to.font = `600 ${size}px system-ui, sans-serif`;
    to.textAlign = align;
    to.textBaseline = "top";
    const width = to.measureText(text).width + 10;
    to.fillStyle = "rgba(0,0,0,.65)";
    to.fillRect(align === "left" ? x - 5 : x - width + 5, y - 4, width, size + 8);
    to.fillStyle = "#fff";
    to.fillText(text, x, y);
  }

  /** @param {CanvasRenderingContext2D} to @param {Frame} frame */
  frame(to, { y, x, height, width, label, colour }) {
    for (const [line, style] of /** @type {[number, string][]} */ ([
      [5, "#000"],
      [3, colour],
    ])) {
      to.lineWidth = line;
      to.strokeStyle = style;
      to.strokeRect(x + 1.5, y + 1.5, width - 3, height - 3);
    }
    if (label) this.word(to, label, x + 10, y + 9, "left");
  }

  /** @param {CanvasRenderingContext2D} to @param {number[]} pixel */
  mark(to, [y, x]) {
    for (const [line, style] of /** @type {[number, string][]} */ ([
      [5, "#000"],
      [2.5, "#fff"],
    ])) {
      to.lineWidth = line;
      to.strokeStyle = style;
      to.beginPath();
      to.arc(x, y, 9, 0, 2 * Math.PI);
      to.stroke();
    }
  }
}
