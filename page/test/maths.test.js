// The page's arithmetic beside PyTorch's (values.json, by tools/page_values.py) and by hand.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as m from "../src/maths.js";
import { decoded } from "../src/data.js";
import { cropped, fitted, halved, planes } from "../src/picture.js";
import { segment } from "../src/segment.js";
import { START, read, written } from "../src/state.js";

const values = JSON.parse(readFileSync(new URL("values.json", import.meta.url), "utf8"));
const maps = ({ data, shape }) => m.channelsLast(data, shape);

function close(found, wanted, tolerance = 2e-5) {
  assert.equal(found.length, wanted.length);
  found.forEach((v, i) =>
    assert.ok(Math.abs(v - wanted[i]) <= tolerance, `${i}: ${v}, ${wanted[i]}`),
  );
}

const same = (a, b) => a.reduce((sum, v, i) => sum + (v === b[i]), 0) / a.length;

test("resize is PyTorch's bilinear", () => {
  const { small, large } = values.resize;
  const found = m.resize(maps(small), large.shape[1], large.shape[2]);
  close(found.data, maps(large).data);
});

test("fusion, labels, confidence and attention map are the library's", () => {
  const { context, detail, attention, fused, size, ...want } = values.fusion;
  const [height, width] = size;
  const found = m.fuse(maps(context), maps(detail), maps(attention));
  close(found.data, maps(fused).data, 5e-5);
  assert.ok(same(m.labels(found, height, width), want.labels) > 0.999);
  const large = m.resize(found, height, width);
  close(m.confidence(large).data, want.confidence.data, 5e-5);
  close(m.attentionMap(maps(attention), found).data, want.attention_map.data, 5e-5);
});

test("labels without full arithmetic are those with it", () => {
  const fused = maps(values.fusion.fused);
  const [height, width] = values.fusion.size;
  assert.deepEqual(m.labels(fused, height, width), m.argmax(m.resize(fused, height, width)));
});

test("attention 0 is the context, 1 the detail", () => {
  const [context, detail] = [maps(values.fusion.context), maps(values.fusion.detail)];
  const learned = maps(values.fusion.attention);
  const one = m.fuse(context, detail, m.overridden(learned, 1));
  close(one.data, detail.data);
  const none = m.fuse(context, detail, m.overridden(learned, 0));
  close(none.data, m.resize(context, detail.height, detail.width).data);
});

test("what is painted overrides one cell", () => {
  const learned = maps(values.fusion.attention);
  const painted = new Float32Array(learned.height * learned.width).fill(NaN);
  painted[1] = 1;
  const found = m.overridden(learned, null, painted);
  assert.deepEqual([...found.data.slice(5, 10)], [1, 1, 1, 1, 1]);
  assert.deepEqual(found.data.slice(0, 5), learned.data.slice(0, 5));
  assert.equal(m.overridden(learned, null, null), learned);
});

test("windows and their mean are the library's", () => {
  const { size, window, stride, cell, boxes, mean, maps: all } = values.windows;
  const found = m.windowBoxes(size, window, stride);
  assert.deepEqual(
    found.map(({ y, x }) => [y, x]),
    boxes,
  );
  close(m.averageWindows(all.map(maps), found, cell, size).mean.data, maps(mean).data);
});

test("IoU by hand and as the library scores it", () => {
  const label = Uint8Array.from([0, 0, 1, 1, 2]);
  const truth = Uint8Array.from([0, 1, 1, 255, 0]);
  const found = m.classIou(label, truth, 4);
  close(found.slice(0, 2), [1 / 3, 1 / 2]);
  assert.ok(Number.isNaN(found[2]) && Number.isNaN(found[3]));
  const { iou, ...pair } = values.scores;
  const scored = m.classIou(Uint8Array.from(pair.label), Uint8Array.from(pair.truth), 4);
  assert.deepEqual(
    scored.map((v) => (Number.isNaN(v) ? null : +v.toFixed(5))),
    iou,
  );
});

test("rare classes are drawn as the library draws them", () => {
  for (const { counts, temperature, p } of values.rare_classes)
    close(m.rareClassProbabilities(counts, temperature), p);
});

test("logits at a pixel are those of the enlarged map", () => {
  const fused = maps(values.fusion.fused);
  const [height, width] = values.fusion.size;
  const large = m.resize(fused, height, width);
  for (const [y, x] of [
    [0, 0],
    [15, 30],
    [31, 47],
  ])
    close(
      m.logitsAt(fused, [y, x], [height, width]),
      large.data.slice((y * width + x) * 5, (y * width + x + 1) * 5),
    );
});

test("a threshold of four pixels by hand", () => {
  const sure = { data: Float32Array.from([0.9, 0.8, 0.3, 0.2]), height: 2, width: 2, channels: 1 };
  const found = m.believed(
    sure,
    Uint8Array.from([0, 1, 1, 0]),
    Uint8Array.from([0, 0, 1, 255]),
    0.5,
  );
  assert.deepEqual(found, { quality: 0.5, keptRight: 0.5, restRight: 1 });
});

test("a mask hides whole blocks, about as many as asked, and the same again", () => {
  const mask = m.blockMask([64, 128], 16, 0.7, 3);
  assert.deepEqual(mask, m.blockMask([64, 128], 16, 0.7, 3));
  const hidden = 1 - mask.reduce((a, b) => a + b, 0) / mask.length;
  assert.ok(hidden > 0.4 && hidden < 0.95);
  for (let x = 0; x < 16; x++) assert.equal(mask[x], mask[0]);
  assert.ok(m.blockMask([64, 128], 16, 0, 1).every(Boolean));
});

test("similarity is 1 to itself and the cosine to others", () => {
  const vectors = {
    data: Float32Array.from([1, 0, 0, 2, -1, 0]),
    height: 1,
    width: 3,
    channels: 2,
  };
  assert.deepEqual([...m.similarity(vectors, 0).data], [1, 0, -1]);
});

test("stored bytes become numbers, channels last", () => {
  const stored = { shape: [2, 1, 2], offset: 1, low: [0, 10], step: [1, 0.5] };
  const found = decoded(Uint8Array.from([99, 0, 1, 2, 4]), stored);
  assert.deepEqual([...found.data], [0, 11, 1, 12]);
});

test("a picture is filled up, halved and cut", () => {
  const rgba = Uint8ClampedArray.from([255, 0, 0, 255, 0, 255, 0, 255]);
  const image = planes(rgba, 1, 2, 2, [0.5, 0.5, 0.5]);
  assert.deepEqual([image.height, image.width], [2, 2]);
  close(image.data, [1, 0, 0.5, 0.5, 0, 1, 0.5, 0.5, 0, 0, 0.5, 0.5]);
  close(halved(image).data, [0.5, 0.5, 0.25]);
  close(cropped(image, { y: 0, x: 1, height: 2, width: 1 }).data, [0, 0.5, 1, 0.5, 0, 0.5]);
  assert.deepEqual(fitted(1000, 4000, 2048), [512, 2048]);
  assert.deepEqual(fitted(100, 50, 2048), [100, 50]);
});

test("HRDA is put together from views: a network that sees brightness", async () => {
  const asked = [];
  const run = async ({ data, height, width }) => {
    asked.push([height, width]);
    const [h, w] = [height / 4, width / 4];
    const bright = data[0];
    const logits = { data: new Float32Array(2 * h * w).fill(bright), dims: [1, 2, h, w] };
    return { logits, attention: { data: new Float32Array(h * w).fill(0.5), dims: [1, 1, h, w] } };
  };
  const network = {
    isHrda: true,
    detailSize: [32, 32],
    detailStride: [16, 16],
    stride: 4,
    mean: [0, 0, 0],
  };
  const picture = { data: new Uint8ClampedArray(60 * 90 * 4).fill(255), height: 60, width: 90 };
  const steps = [];
  const found = await segment(run, network, picture, (done, of) => steps.push([done, of]));
  assert.deepEqual(asked[0], [32, 64]);
  assert.equal(asked.length, 1 + 3 * 7);
  assert.deepEqual(found.filled, [64, 128]);
  assert.deepEqual([found.maps.context.height, found.maps.context.width], [8, 16]);
  assert.deepEqual([found.maps.detail.height, found.maps.detail.width], [16, 32]);
  assert.deepEqual(steps.at(-1), [22, 22]);
});

test("the corner of a filled picture", () => {
  assert.deepEqual([...m.corner(Uint8Array.from([1, 2, 3, 4, 5, 6]), 3, 2, 2)], [1, 2, 4, 5]);
});

test("an address keeps what differs, and nothing else", () => {
  const state = { ...START, scene: "attention", a: 0.25, picture: "a b&c", k: "3.4" };
  assert.deepEqual(read(written(state)), state);
  assert.equal(written(START), "#");
  assert.deepEqual(read("#a=nonsense&unknown=1&w="), START);
});
