// Two crops, windows, attention, one pixel: how HRDA looks at a picture.
import { bars, percent } from "../charts.js";
import { openPack } from "../data.js";
import {
  attentionMap,
  averageWindows,
  fuse,
  labels,
  logitsAt,
  overridden,
  resize,
  softmax,
  windowBoxes,
} from "../maths.js";
import { coarse, cutOut, heat, labelled, marked } from "../paint.js";
import { boxAround, classesIn, coloured, isHrda, kept, pixel, pixelControls } from "./common.js";

/** @typedef {import("./common.js").Context} Context */
/** @typedef {import("./common.js").Scene} Scene */

const CONTEXT = "#ffd166";
const DETAIL = "#06d6a0";

/** @type {Scene} */
export const crops = {
  id: "crops",
  fits: isHrda,
  controls: ({ t }) => [
    {
      kind: "slider",
      key: "dx",
      label: t("crops.x"),
      min: 0,
      max: 1,
      step: 0.02,
      main: true,
      show: percent,
    },
    { kind: "slider", key: "dy", label: t("crops.y"), min: 0, max: 1, step: 0.02, show: percent },
  ],
  hear: (_, y, x, { key }) => (key === "c" ? { cy: y, cx: x } : { dy: y, dx: x }),
  draw(c) {
    const { state, street, page, t } = c;
    const small = page.networks.a.detailSize;
    const context = boxAround(
      c,
      state.cy,
      state.cx,
      small.map((/** @type {number} */ s) => 2 * s),
    );
    const detail = boxAround(c, state.dy, state.dx, small);
    const frames = [
      { ...context, label: t("context"), colour: CONTEXT, key: "c" },
      { ...detail, label: t("detail"), colour: DETAIL, key: "d" },
    ];
    const whole = {
      image: street.image,
      frames,
      tool: /** @type {const} */ ("box"),
      alt: t("crops.alt"),
    };
    const seen = kept(c, `coarse ${street.name}`, () => coarse(street.image));
    if (!state.reveal) {
      const panels = [
        whole,
        { image: cutOut(seen, context), title: t("crops.small"), alt: t("crops.small") },
        { image: cutOut(street.image, detail), title: t("crops.sharp"), alt: t("crops.sharp") },
      ];
      return { panels, legend: [] };
    }
    const said = street.best;
    const [large, fine] = [coloured(c, said.labels("context")), coloured(c, said.labels("detail"))];
    const panels = [
      whole,
      { image: cutOut(large, context), title: t("crops.said"), alt: t("crops.said") },
      { image: cutOut(fine, detail), title: t("crops.saidDetail"), alt: t("crops.saidDetail") },
    ];
    return { panels, legend: classesIn(said.labels("context")) };
  },
};

/** Logits of every window of one picture. @param {Context} c */
function windowMaps(c) {
  return kept(c, "windows", async () => {
    const { file, shape, low, step } = c.page.windows;
    const [count, ...one] = shape;
    const size = one.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    const maps = Object.fromEntries(
      Array.from({ length: count }, (_, i) => [i, { shape: one, offset: i * size, low, step }]),
    );
    return Object.values(await openPack({ file, maps }));
  });
}

/** Every box, and those of windows that lie side by side. @param {Context} c */
function boxesOf({ street, page, state }) {
  const { detailSize: size } = page.networks.a;
  const half = size.map((/** @type {number} */ s) => s / 2);
  const all = windowBoxes(street.size, size, half);
  const apart = windowBoxes(street.size, size, size).map(({ y, x }) => `${y} ${x}`);
  return all
    .map((box, i) => ({ box, i }))
    .filter(({ box }) => state.overlap || apart.includes(`${box.y} ${box.x}`));
}

/** @type {Scene} */
export const windows = {
  id: "windows",
  street: (page) => page.windows.picture,
  fits: (page) => isHrda(page) && Boolean(page.windows),
  controls: (c) => [
    {
      kind: "slider",
      key: "n",
      label: c.t("windows.count"),
      min: 1,
      max: boxesOf(c).length,
      step: 1,
      main: true,
      show: String,
      value: c.state.n || boxesOf(c).length,
    },
    { kind: "switch", key: "overlap", label: c.t("windows.overlap") },
  ],
  async draw(c) {
    const { street, state, page, t } = c;
    const maps = await windowMaps(c);
    const { stride } = page.networks.a;
    const boxes = boxesOf(c);
    const laid = boxes.slice(0, state.n || boxes.length);
    const { mean, count } = averageWindows(
      laid.map(({ i }) => maps[i]),
      laid.map(({ box }) => box),
      stride,
      street.size,
    );
    const [height, width] = street.size;
    const found = labels(mean, height, width);
    const covered = resize(count, height, width);
    const image = labelled(found, c.palette, street.image, 0.65, (i) => covered.data[i] > 0.5);
    const last = laid[laid.length - 1].box;
    const frames = state.n ? [{ ...last, label: "", colour: DETAIL, key: "" }] : [];
    const panels = [{ image, frames, alt: t("windows.alt", { n: laid.length }) }];
    if (state.reveal) panels.push(await seams(c, maps));
    const words = t("windows.words", { n: laid.length });
    return { panels, words, legend: classesIn(found) };
  },
};

/** Pixels that overlapping windows label otherwise than windows side by side.
 * @param {Context} c @param {any[]} maps */
async function seams(c, maps) {
  const { street, page, t } = c;
  const [both, apart] = [1, 0].map((overlap) => {
    const boxes = boxesOf({ ...c, state: { ...c.state, overlap } });
    const found = averageWindows(
      boxes.map(({ i }) => maps[i]),
      boxes.map(({ box }) => box),
      page.networks.a.stride,
      street.size,
    );
    return labels(found.mean, street.size[0], street.size[1]);
  });
  const image = marked(street.image, (i) => (both[i] === apart[i] ? null : [213, 94, 0]));
  return { image, frames: [], title: t("windows.seams"), alt: t("windows.seams") };
}

/** What a hand has painted over the attention of a street. @param {Context} c */
function painting(c) {
  const { height, width } = /** @type {any} */ (c.street.best.views).attention;
  return kept(c, `paint ${c.street.name}`, () => new Float32Array(height * width).fill(NaN));
}

/** @type {Scene} */
export const attention = {
  id: "attention",
  fits: isHrda,
  controls: (c) => [
    {
      kind: "slider",
      key: "a",
      label: c.t("attention.slider"),
      min: -0.05,
      max: 1,
      step: 0.05,
      main: true,
      show: (v) => (v < 0 ? c.t("attention.learned") : v.toFixed(2)),
    },
    {
      kind: "choice",
      key: "brush",
      label: c.t("attention.brush"),
      options: [
        ["", c.t("attention.none")],
        ["context", c.t("context")],
        ["detail", c.t("detail")],
      ],
    },
    {
      kind: "button",
      key: "clean",
      label: c.t("attention.clean"),
      press: () => {
        painting(c).fill(NaN);
        c.redraw();
      },
    },
  ],
  hear(c, y, x) {
    if (!c.state.brush) return {};
    const { height, width } = /** @type {any} */ (c.street.best.views).attention;
    const paint = painting(c);
    const { filled } = c.street.best;
    const row = (y * height * c.street.size[0]) / filled[0];
    const column = (x * width * c.street.size[1]) / filled[1];
    const radius = height / 12;
    for (let i = 0; i < paint.length; i++) {
      const far = Math.hypot(Math.floor(i / width) + 0.5 - row, (i % width) + 0.5 - column);
      if (far < radius) paint[i] = c.state.brush === "detail" ? 1 : 0;
    }
    return {};
  },
  draw(c) {
    const { street, state, t } = c;
    const views = street.best.views;
    if (!views)
      return { panels: [{ image: street.image, alt: street.name }], words: t("attention.plain") };
    const paint = painting(c);
    const touched = paint.some((v) => !Number.isNaN(v));
    const value = state.a < 0 ? null : state.a;
    const trust = overridden(views.attention, value, touched ? paint : null);
    const fused =
      trust === views.attention ? street.best.fused : fuse(views.context, views.detail, trust);
    const found = street.best.labelled(fused);
    const tool = state.brush ? /** @type {const} */ ("paint") : /** @type {const} */ ("");
    const panels = [
      { image: coloured(c, found), tool, title: t("fused"), alt: t("attention.alt") },
    ];
    if (state.reveal) {
      const map = heat(street.best.enlarged(attentionMap(trust, fused)));
      panels.push({ image: map, tool: "", title: t("attention.map"), alt: t("attention.map") });
    } else {
      for (const view of /** @type {const} */ (["context", "detail"]))
        panels.push({
          image: coloured(c, street.best.labels(view)),
          tool: "",
          title: t(view),
          alt: t(view),
        });
    }
    return { panels, legend: classesIn(found) };
  },
};

/** @type {Scene} */
export const onePixel = {
  id: "pixel",
  controls: pixelControls,
  hear: (_, y, x) => ({ y, x }),
  draw(c) {
    const { street, state, t, names, palette, page } = c;
    const at = pixel(c);
    const said = street.best;
    const views = said.views ? { context: said.views.context, detail: said.views.detail } : {};
    const all = /** @type {[string, any][]} */ (Object.entries({ ...views, fused: said.fused }));
    const found = all.map(([, maps]) => softmax(logitsAt(maps, at, said.filled)));
    const columns = all.map(([name]) => t(name));
    if (street.said.b) {
      columns.push(page.networks.b.name);
      found.push(softmax(logitsAt(street.said.b.fused, at, street.said.b.filled)));
    }
    const likeliest = names
      .map((name, k) => ({ name, colour: palette[k], values: found.map((p) => p[k]) }))
      .sort((a, b) => Math.max(...b.values) - Math.max(...a.values));
    const chart = state.reveal ? bars(t("pixel.caption"), columns, likeliest) : undefined;
    const label = said.labels();
    const here = label[at[0] * street.size[1] + at[1]];
    const real = street.truth?.[at[0] * street.size[1] + at[1]];
    const words = t(real === undefined ? "pixel.here" : "pixel.both", {
      label: names[here],
      truth: names[/** @type {number} */ (real)] ?? t("ignored"),
    });
    const panel = {
      image: coloured(c, label, 0.45),
      mark: at,
      tool: /** @type {const} */ ("point"),
      alt: words,
    };
    return { panels: [panel], words, chart, legend: classesIn(label) };
  },
};
