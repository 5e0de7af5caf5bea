// The scenes in teaching order.
import { gap } from "./gap.js";
import { classMix, contrast, masking, pseudoLabels, rareClasses, training } from "./learning.js";
import { attention, crops, onePixel, windows } from "./views.js";

/** @type {import("./common.js").Scene[]} */
export const scenes = [
  gap,
  crops,
  windows,
  attention,
  onePixel,
  pseudoLabels,
  classMix,
  rareClasses,
  contrast,
  masking,
  training,
];
