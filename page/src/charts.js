// Bars and curves as SVG and tables: drawn for the eye, written for a screen reader.
import { el, svg } from "./dom.js";

/** @param {number[]} rgb */
export const css = (rgb) => `rgb(${rgb.join(" ")})`;

/** In percent, one decimal below ten. @param {number} value in [0,1] */
export function percent(value) {
  if (Number.isNaN(value)) return "–";
  const hundred = 100 * value;
  return `${hundred < 9.95 ? hundred.toFixed(1) : hundred.toFixed(0)} %`;
}

/**
 * A table of bars: a row a class, a column a kind.
 * @param {string} caption @param {string[]} columns
 * @param {{name: string, colour: number[], values: number[]}[]} rows values in [0,1]
 * @param {number} [top] value of a full bar
 */
export function bars(caption, columns, rows, top = 1) {
  const head = el("tr", {}, el("td"), ...columns.map((c) => el("th", { scope: "col" }, c)));
  const lines = rows.map(({ name, colour, values }) => {
    const chip = el("span", { class: "chip", style: `background:${css(colour)}` });
    const cells = values.map((v) => {
      const wide = Number.isNaN(v) ? 0 : Math.round(1000 * Math.min(v / top, 1)) / 10;
      const bar = el("span", { class: "bar", style: `width:${wide}%;background:${css(colour)}` });
      return el("td", {}, el("span", { class: "track" }, bar), el("span", {}, percent(v)));
    });
    return el("tr", {}, el("th", { scope: "row" }, chip, name), ...cells);
  });
  const title = el("caption", {}, caption);
  return el("table", { class: "bars" }, title, el("thead", {}, head), el("tbody", {}, ...lines));
}

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9"];

/**
 * Lines over steps. @param {string} alt @param {number[]} steps
 * @param {{name: string, values: (number | null)[]}[]} lines @param {number} now a step to mark
 */
export function curves(alt, steps, lines, now) {
  const [width, height, left] = [600, 220, 34];
  const last = Math.max(...steps, 1);
  const known = lines.flatMap((l) => l.values.filter((v) => v !== null));
  const top = Math.max(...known.map(Number), 1e-9);
  const x = (/** @type {number} */ s) => left + (s / last) * (width - left - 8);
  const y = (/** @type {number} */ v) => height - 20 - (v / top) * (height - 30);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": alt });
  const axis = `M${left} 6V${height - 20}H${width}`;
  drawn.append(svg("path", { d: axis, fill: "none", stroke: "currentColor", opacity: 0.5 }));
  const word = (/** @type {number} */ a, /** @type {number} */ b, /** @type {string} */ text) => {
    const made = svg("text", { x: a, y: b, "font-size": 12, fill: "currentColor" });
    made.textContent = text;
    drawn.append(made);
  };
  word(0, 14, top.toPrecision(2));
  word(width - 40, height - 5, String(last));
  lines.forEach(({ values }, i) => {
    const points = values.flatMap((v, j) => (v === null ? [] : [`${x(steps[j])},${y(v)}`]));
    const style = { fill: "none", stroke: COLOURS[i % COLOURS.length], "stroke-width": 2 };
    drawn.append(svg("polyline", { points: points.join(" "), ...style }));
  });
  const mark = { x1: x(now), x2: x(now), y1: 6, y2: height - 20, stroke: "currentColor" };
  drawn.append(svg("line", { ...mark, "stroke-dasharray": "4 3" }));
  const names = lines.map(({ name }, i) =>
    el("span", {}, el("i", { style: `background:${COLOURS[i % COLOURS.length]}` }), name),
  );
  return el("div", { class: "curves" }, drawn, el("p", { class: "key" }, ...names));
}
