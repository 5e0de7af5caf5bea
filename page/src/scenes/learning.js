// How a network learns without labels: pseudo-labels, mixing, rare classes, contrast, masks, a run.
import { bars, curves, percent } from "../charts.js";
import { openPack } from "../data.js";
import { image as readImage } from "../files.js";
import {
  IGNORE,
  believed,
  blockMask,
  generator,
  rareClassProbabilities,
  resize,
  similarity,
} from "../maths.js";
import { heat, labelled, marked } from "../paint.js";
import { classesIn, coloured, kept, pixel, pixelControls } from "./common.js";

/** @typedef {import("./common.js").Context} Context */
/** @typedef {import("./common.js").Scene} Scene */

const RIGHT = [0, 114, 178];
const WRONG = [213, 94, 0];

/** @param {Context} c */
const threshold = ({ state, page }) => (state.t < 0 ? page.threshold : state.t);

/** @type {Scene} */
export const pseudoLabels = {
  id: "pseudo",
  controls: (c) => [
    {
      kind: "slider",
      key: "t",
      label: c.t("pseudo.slider"),
      min: 0,
      max: 1,
      step: 0.01,
      main: true,
      show: (v) => v.toFixed(2),
      value: threshold(c),
    },
  ],
  draw(c) {
    const { street, t, state } = c;
    const [sure, found] = [street.best.confidence(), street.best.labels()];
    const least = threshold(c);
    const believable = labelled(found, c.palette, street.image, 0.7, (i) => sure.data[i] >= least);
    const panels = [{ image: believable, title: t("pseudo.kept"), alt: t("pseudo.kept") }];
    const { quality, keptRight, restRight } = believed(sure, found, street.truth, least);
    const values = {
      quality: percent(quality),
      right: percent(keptRight),
      rest: percent(restRight),
    };
    const { truth } = street;
    if (state.reveal && truth) {
      const judged = marked(street.image, (i) => {
        if (sure.data[i] < least || truth[i] === IGNORE) return null;
        return found[i] === truth[i] ? RIGHT : WRONG;
      });
      panels.push({ image: judged, title: t("pseudo.judged"), alt: t("pseudo.judged") });
    } else
      panels.push({
        image: kept(c, `sure ${street.name}`, () => heat(sure)),
        title: t("pseudo.sure"),
        alt: t("pseudo.sure"),
      });
    const words = t(state.reveal && truth ? "pseudo.truth" : "pseudo.words", values);
    return { panels, words, legend: classesIn(found) };
  },
};

/** The classes to paste: those of the address, or half of what is there. @param {Context} c */
function pasted({ state, source }) {
  if (state.k) return state.k.split(".").filter(Boolean).map(Number);
  const present = classesIn(/** @type {Uint8Array} */ (source?.truth)).sort((a, b) => a - b);
  const draw = generator(state.seed);
  const shuffled = present.map((k) => ({ k, at: draw() })).sort((a, b) => a.at - b.at);
  return shuffled.slice(0, Math.ceil(present.length / 2)).map(({ k }) => k);
}

/** Source where a class is pasted, else target. @param {Context} c @param {number[]} classes */
function mixed({ street, source }, classes) {
  const from = /** @type {import("../data.js").Street} */ (source);
  const truth = /** @type {Uint8Array} */ (from.truth);
  const [height, width] = street.size;
  const image = new ImageData(new Uint8ClampedArray(street.image.data), width, height);
  const label = street.best.labels().slice();
  const exact = new Uint8Array(label.length);
  for (let y = 0; y < Math.min(height, from.size[0]); y++)
    for (let x = 0; x < Math.min(width, from.size[1]); x++) {
      const [to, at] = [y * width + x, y * from.size[1] + x];
      if (!classes.includes(truth[at])) continue;
      image.data.set(from.image.data.subarray(4 * at, 4 * at + 4), 4 * to);
      label[to] = truth[at];
      exact[to] = 1;
    }
  return { image, label, exact };
}

/** @type {Scene} */
export const classMix = {
  id: "mix",
  source: true,
  fits: (page) => page.pictures.some((/** @type {any} */ p) => p.domain === "source"),
  controls: (c) => [
    {
      kind: "button",
      key: "draw",
      label: c.t("mix.draw"),
      main: true,
      press: () => c.set({ k: "", seed: c.state.seed + 1 }),
    },
    {
      kind: "classes",
      key: "k",
      label: c.t("mix.classes"),
      chosen: pasted(c),
      classes: classesIn(/** @type {Uint8Array} */ (c.source?.truth)),
    },
  ],
  draw(c) {
    const { street, t, state } = c;
    const classes = pasted(c);
    const { image, label, exact } = mixed(c, classes);
    const panels = [
      { image, title: t("mix.image"), alt: t("mix.image") },
      { image: labelled(label, c.palette, image, 0.7), title: t("mix.label"), alt: t("mix.label") },
    ];
    if (state.reveal) {
      const { truth } = street;
      const origin = marked(image, (i) => {
        if (exact[i]) return RIGHT;
        return truth && truth[i] !== IGNORE && truth[i] !== label[i] ? WRONG : null;
      });
      panels.push({ image: origin, title: t("mix.origin"), alt: t("mix.origin") });
    }
    const part = exact.reduce((a, b) => a + b, 0) / exact.length;
    return { panels, words: t("mix.words", { part: percent(part) }), legend: classesIn(label) };
  },
};

/** @param {Context} c */
const temperature = ({ state, page }) => (state.temp < 0 ? page.temperature : state.temp);

/** @type {Scene} */
export const rareClasses = {
  id: "rare",
  source: true,
  fits: (page) => Boolean(page.counts),
  controls: (c) => [
    {
      kind: "slider",
      key: "temp",
      label: c.t("rare.slider"),
      min: 0.005,
      max: 0.3,
      step: 0.005,
      main: true,
      show: (v) => v.toFixed(3),
      value: temperature(c),
    },
  ],
  draw(c) {
    const { page, t, names, palette, source, street } = c;
    const all = page.counts.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b, 0);
    const p = rareClassProbabilities(page.counts, temperature(c));
    const rows = names
      .map((name, k) => ({ name, colour: palette[k], values: [page.counts[k] / all, p[k]] }))
      .filter(({ values }) => values[0] > 0)
      .sort((a, b) => a.values[0] - b.values[0]);
    const shown = source ?? street;
    const rarest = new Set(rows.slice(0, 6).map(({ name }) => names.indexOf(name)));
    const truth = shown.truth ?? shown.best.labels();
    const image = marked(shown.image, (i) => (rarest.has(truth[i]) ? palette[truth[i]] : null));
    const picture = { image, title: t("rare.where"), alt: t("rare.where") };
    const most = Math.max(...rows.flatMap(({ values }) => values));
    const chart = bars(t("rare.caption"), [t("rare.pixels"), t("rare.drawn")], rows, most);
    return {
      panels: [picture],
      chart,
      words: t("rare.words", { name: rows[0].name, p: percent(rows[0].values[1]) }),
    };
  },
};

/** @param {Context} c @returns {Promise<any>} */
function vectors(c) {
  const { features } = c.street.entry;
  return kept(
    c,
    `vectors ${c.street.name}`,
    async () => features && (await openPack(features)).vectors,
  );
}

/** @type {Scene} */
export const contrast = {
  id: "contrast",
  street: (page, chosen) => {
    const known = page.pictures.filter((/** @type {any} */ p) => p.features);
    return (known.find((/** @type {any} */ p) => p.name === chosen) ?? known[0]).name;
  },
  fits: (page) => page.pictures.some((/** @type {any} */ p) => p.features),
  controls: pixelControls,
  hear: (_, y, x) => ({ y, x }),
  async draw(c) {
    const { street, state, t, names } = c;
    const found = await vectors(c);
    const at = pixel(c);
    const cell =
      Math.floor((at[0] * found.height) / street.size[0]) * found.width +
      Math.floor((at[1] * found.width) / street.size[1]);
    const alike = resize(similarity(found, cell), street.size[0], street.size[1]);
    const shown = { ...alike, data: alike.data.map((v) => Math.max(v, 0)) };
    const label = street.truth ?? street.best.labels();
    const own = label[at[0] * street.size[1] + at[1]];
    const tool = /** @type {const} */ ("point");
    const panels = [
      {
        image: street.image,
        mark: at,
        tool,
        title: names[own] ?? t("ignored"),
        alt: t("contrast.alt"),
      },
      { image: heat(shown), mark: at, tool, title: t("contrast.map"), alt: t("contrast.map") },
    ];
    if (!state.reveal) return { panels };
    const judged = marked(street.image, (i) => {
      if (label[i] === IGNORE || alike.data[i] < 0.5)
        return label[i] === own ? [204, 121, 167] : null;
      return label[i] === own ? RIGHT : WRONG;
    });
    panels.push({
      image: judged,
      mark: at,
      tool,
      title: t("contrast.judged"),
      alt: t("contrast.judged"),
    });
    return { panels };
  },
};

/** The picture with the mean colour in its hidden blocks. @param {Context} c
 * @param {Uint8Array} visible */
function hidden({ street, page }, visible) {
  const { mean } = page.networks.a;
  const [height, width] = street.size;
  const out = new ImageData(new Uint8ClampedArray(street.image.data), width, height);
  for (let i = 0; i < visible.length; i++)
    if (!visible[i]) for (let k = 0; k < 3; k++) out.data[4 * i + k] = Math.round(255 * mean[k]);
  return out;
}

/** @param {Context} c */
const hiddenPart = ({ state, page }) => (state.ratio < 0 ? page.mask.ratio : state.ratio);

/** @type {Scene} */
export const masking = {
  id: "mask",
  controls: (c) => [
    {
      kind: "slider",
      key: "ratio",
      label: c.t("mask.ratio"),
      min: 0,
      max: 0.95,
      step: 0.05,
      main: true,
      show: percent,
      value: hiddenPart(c),
    },
    {
      kind: "choice",
      key: "block",
      label: c.t("mask.block"),
      options: [16, 32, 64, 128].map((b) => [
        b === c.page.mask.block ? 0 : b,
        c.t("pixels", { n: b }),
      ]),
    },
    {
      kind: "button",
      key: "again",
      label: c.t("mask.again"),
      press: () => c.set({ seed: c.state.seed + 1 }),
    },
  ],
  async draw(c) {
    const { street, state, t, page } = c;
    const block = state.block || page.mask.block;
    const ratio = hiddenPart(c);
    const visible = blockMask(street.size, block, ratio, state.seed);
    const image = hidden(c, visible);
    const panels = [{ image, title: t("mask.seen"), alt: t("mask.seen") }];
    const teacher = street.best.labels();
    if (!state.reveal) {
      panels.push({
        image: coloured(c, teacher),
        title: t("mask.teacher"),
        alt: t("mask.teacher"),
      });
      return { panels, legend: classesIn(teacher) };
    }
    const said = await kept(c, `mask ${street.name} ${block} ${ratio} ${state.seed}`, () =>
      c.ask(image),
    );
    const answer = said.labels();
    const same = [0, 0];
    const count = [0, 0];
    answer.forEach((/** @type {number} */ k, /** @type {number} */ i) => {
      count[visible[i]]++;
      if (k === teacher[i]) same[visible[i]]++;
    });
    panels.push({
      image: labelled(answer, c.palette, image, 0.7),
      title: t("mask.answered"),
      alt: t("mask.answered"),
    });
    const words = t("mask.words", {
      hidden: percent(same[0] / count[0]),
      shown: percent(same[1] / count[1]),
    });
    return { panels, words, legend: classesIn(answer) };
  },
};

/** @type {Scene} */
export const training = {
  id: "training",
  fits: (page) => Boolean(page.training),
  controls: ({ page, t }) => [
    {
      kind: "slider",
      key: "step",
      label: t("training.slider"),
      min: 0,
      max: page.training.steps.length - 1,
      step: 1,
      main: true,
      show: (v) => String(page.training.steps[v]),
    },
  ],
  async draw(c) {
    const { page, state, t } = c;
    const { steps, pictures, curves: history, scores } = page.training;
    const at = Math.min(Math.max(Math.round(state.step), 0), steps.length - 1);
    const file = pictures[at];
    const image = await kept(c, file, () => readImage(file));
    const title = t("training.step", { step: steps[at] });
    const { step, ...losses } = history;
    const lines = Object.entries(losses).map(([name, values]) => ({
      name,
      values: /** @type {number[]} */ (values),
    }));
    const chart = document.createElement("div");
    chart.append(curves(t("training.losses"), step, lines, steps[at]));
    if (scores && state.reveal) {
      const { step: when, ...views } = scores;
      const score = Object.entries(views).map(([name, values]) => ({
        name: `mIoU ${name}`,
        values: /** @type {number[]} */ (values),
      }));
      chart.append(curves(t("training.scores"), when, score, steps[at]));
    }
    return { panels: [{ image, title, alt: title }], chart };
  },
};
