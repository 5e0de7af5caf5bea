// The gap between two domains, and what adaptation does about it.
import { bars, percent } from "../charts.js";
import { IGNORE, classIou, mean } from "../maths.js";
import { marked } from "../paint.js";
import { classesIn, coloured, pixel } from "./common.js";

/** @typedef {import("./common.js").Context} Context */

const WRONG = [213, 94, 0];
const MENDED = [0, 114, 178];

/** Where two networks differ, and who is right. @param {Context} c @param {Uint8Array} before
 * @param {Uint8Array} after */
function differences(c, before, after) {
  const { truth, image } = c.street;
  return marked(image, (i) => {
    if (before[i] === after[i]) return null;
    if (!truth) return MENDED;
    if (truth[i] === IGNORE) return null;
    if (after[i] === truth[i]) return MENDED;
    return before[i] === truth[i] ? WRONG : null;
  });
}

/** @param {Context} c @param {Uint8Array} before @param {Uint8Array} after */
function scores(c, before, after) {
  const { truth } = c.street;
  const { t, page, names, palette } = c;
  if (!truth) return undefined;
  const [first, second] = [before, after].map((l) => classIou(l, truth, names.length));
  const rows = classesIn(truth).map((k) => ({
    name: names[k],
    colour: palette[k],
    values: [first[k], second[k]],
  }));
  rows.unshift({ name: t("mean"), colour: [110, 110, 110], values: [mean(first), mean(second)] });
  return bars(t("gap.scores"), [page.networks.b.name, page.networks.a.name], rows);
}

/** What both say about the pixel under the one cursor. @param {Context} c
 * @param {Uint8Array} before @param {Uint8Array} after */
function spoken(c, before, after) {
  const { street, t, page, names } = c;
  const [y, x] = pixel(c);
  const i = y * street.size[1] + x;
  const words = [
    `${page.networks.b.name}: ${names[before[i]]}`,
    `${page.networks.a.name}: ${names[after[i]]}`,
  ];
  if (street.truth) words.push(`${t("truth")}: ${names[street.truth[i]] ?? t("ignored")}`);
  return words.join(", ");
}

/** @type {import("./common.js").Scene} */
export const gap = {
  id: "gap",
  fits: (page) => Boolean(page.networks.b),
  controls: ({ t }) => [
    {
      kind: "slider",
      key: "w",
      label: t("gap.wiper"),
      min: 0,
      max: 1,
      step: 0.01,
      main: true,
      show: (v) => percent(v),
    },
    {
      kind: "choice",
      key: "view",
      label: t("show"),
      options: [
        ["wiper", t("gap.one")],
        ["pair", t("gap.two")],
        ["difference", t("gap.difference")],
      ],
    },
  ],
  hear: ({ state }, y, x) => (state.view === "wiper" ? { w: x } : { y, x }),
  draw(c) {
    const { street, state, t, page } = c;
    if (!street.said.b)
      return { panels: [{ image: street.image, alt: street.name }], words: t("gap.alone") };
    const [before, after] = [street.said.b.labels(), street.said.a.labels()];
    const [left, right] = [page.networks.b.name, page.networks.a.name];
    const legend = classesIn(before, after);
    const chart = state.reveal ? scores(c, before, after) : undefined;
    const pointed = { mark: pixel(c), tool: /** @type {const} */ ("point") };
    const difference = {
      ...pointed,
      image: differences(c, before, after),
      title: t(street.truth ? "gap.legend" : "gap.changed"),
      alt: t("gap.difference"),
    };
    const images = [coloured(c, before), coloured(c, after)];
    const words = spoken(c, before, after);
    if (state.view === "difference") return { panels: [difference], words, legend: [], chart };
    const truth =
      state.reveal && street.truth
        ? [{ image: coloured(c, street.truth), title: t("truth"), alt: t("truth") }]
        : [];
    if (state.view === "pair") {
      const titles = [left, right];
      const panels = images.map((image, i) => ({
        ...pointed,
        image,
        title: titles[i],
        alt: titles[i],
      }));
      return { panels: [...panels, difference, ...truth], words, legend, chart };
    }
    const alt = t("gap.alt", { left, right });
    const wiped = { image: images[0], other: images[1], wiper: state.w, tool: "wipe", alt };
    const panel = /** @type {any} */ ({ ...wiped, sides: [left, right] });
    return { panels: [panel, ...truth], legend, chart };
  },
};
