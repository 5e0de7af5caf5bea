// What HRDA computes after its network: windows, fusion, labels, confidence. Pure functions.

/**
 * Numbers of a map, cell by cell: `data[(y * width + x) * channels + k]`.
 * @typedef {{data: Float32Array, height: number, width: number, channels: number}} Maps
 * @typedef {{y: number, x: number, height: number, width: number}} Box in pixels
 * @typedef {{context: Maps, attention: Maps, detail: Maps}} Views what HRDA says about a picture
 */

/** @param {number} height @param {number} width @param {number} channels @returns {Maps} */
export function zeros(height, width, channels) {
  return { data: new Float32Array(height * width * channels), height, width, channels };
}

/**
 * Channels last, as everything here, from channels first, as networks give it.
 * @param {ArrayLike<number>} data @param {number[]} shape (channels, height, width)
 * @param {(value: number, channel: number) => number} [decode] @returns {Maps}
 */
export function channelsLast(data, [channels, height, width], decode = (v) => v) {
  const maps = zeros(height, width, channels);
  const cells = height * width;
  for (let k = 0; k < channels; k++)
    for (let i = 0; i < cells; i++) maps.data[i * channels + k] = decode(data[k * cells + i], k);
  return maps;
}

/**
 * Where the windows begin along one side; the last one ends at the border.
 * @param {number} length @param {number} window @param {number} stride all in pixels
 */
export function windowOffsets(length, window, stride) {
  const last = Math.max(length - window, 0);
  const steps = Math.ceil(last / stride);
  return Array.from({ length: steps + 1 }, (_, i) => Math.min(i * stride, last));
}

/**
 * The boxes of all windows over a picture, row by row.
 * @param {number[]} size (height, width) @param {number[]} window @param {number[]} stride
 * @returns {Box[]}
 */
export function windowBoxes(size, window, stride) {
  const [height, width] = window.map((side, i) => Math.min(side, size[i]));
  const rows = windowOffsets(size[0], height, stride[0]);
  const columns = windowOffsets(size[1], width, stride[1]);
  return rows.flatMap((y) => columns.map((x) => ({ y, x, height, width })));
}

/**
 * Where a pixel's centre falls between the cells of a smaller map, and its weight on the second.
 * @param {number} i @param {number} from cells @param {number} to pixels
 */
function between(i, from, to) {
  const at = Math.max(((i + 0.5) * from) / to - 0.5, 0);
  const low = Math.min(Math.floor(at), from - 1);
  return { low, high: Math.min(low + 1, from - 1), weight: at - low };
}

/** @param {number} from @param {number} to */
function places(from, to) {
  return Array.from({ length: to }, (_, i) => between(i, from, to));
}

/**
 * Bilinear, pixel centres aligned, as PyTorch's `align_corners=False`.
 * @param {Maps} maps @param {number} height @param {number} width @returns {Maps}
 */
export function resize(maps, height, width) {
  const { channels: c } = maps;
  const out = zeros(height, width, c);
  const rows = places(maps.height, height);
  const columns = places(maps.width, width);
  const step = maps.width * c;
  for (let y = 0; y < height; y++) {
    const { low, high, weight: v } = rows[y];
    for (let x = 0; x < width; x++) {
      const { low: left, high: right, weight: u } = columns[x];
      const at = (y * width + x) * c;
      const [a, b] = [low * step + left * c, low * step + right * c];
      const [d, e] = [high * step + left * c, high * step + right * c];
      for (let k = 0; k < c; k++) {
        const upper = maps.data[a + k] * (1 - u) + maps.data[b + k] * u;
        const lower = maps.data[d + k] * (1 - u) + maps.data[e + k] * u;
        out.data[at + k] = upper * (1 - v) + lower * v;
      }
    }
  }
  return out;
}

/**
 * Scale-attention fusion (HRDA, section 3.2).
 * @param {Maps} context @param {Maps} detail twice as fine @param {Maps} attention in [0,1]
 * @returns {Maps} as fine as the detail
 */
export function fuse(context, detail, attention) {
  const { height, width, channels: c } = context;
  const single = attention.channels === 1;
  const trusted = zeros(height, width, c);
  for (let i = 0; i < height * width; i++)
    for (let k = 0; k < c; k++) {
      const a = attention.data[single ? i : i * c + k];
      trusted.data[i * c + k] = (1 - a) * context.data[i * c + k];
    }
  const fused = resize(trusted, detail.height, detail.width);
  const weight = resize(attention, detail.height, detail.width);
  for (let i = 0; i < detail.height * detail.width; i++)
    for (let k = 0; k < c; k++)
      fused.data[i * c + k] += weight.data[single ? i : i * c + k] * detail.data[i * c + k];
  return fused;
}

/**
 * The attention with a value of one's own everywhere, or where it was painted.
 * @param {Maps} attention @param {number | null} value null: as learned
 * @param {Float32Array | null} painted one number a cell, NaN: not painted @returns {Maps}
 */
export function overridden(attention, value, painted = null) {
  if (value === null && !painted) return attention;
  const out = { ...attention, data: attention.data.slice() };
  if (value !== null) out.data.fill(value);
  if (painted)
    for (let i = 0; i < painted.length; i++)
      if (!Number.isNaN(painted[i]))
        out.data.fill(painted[i], i * out.channels, (i + 1) * out.channels);
  return out;
}

/** @param {Float32Array} data @param {number} at @param {number} channels */
function largest(data, at, channels) {
  let best = 0;
  for (let k = 1; k < channels; k++) if (data[at + k] > data[at + best]) best = k;
  return best;
}

/** The class of each cell. @param {Maps} logits @returns {Uint8Array} */
export function argmax(logits) {
  const out = new Uint8Array(logits.height * logits.width);
  for (let i = 0; i < out.length; i++)
    out[i] = largest(logits.data, i * logits.channels, logits.channels);
  return out;
}

/**
 * Labels of a picture from logits of its cells. Between four cells of one class there is no other:
 * interpolation is a mean, so most pixels need no arithmetic at all.
 * @param {Maps} logits @param {number} height @param {number} width @returns {Uint8Array}
 */
export function labels(logits, height, width) {
  const { channels: c, width: cells } = logits;
  const coarse = argmax(logits);
  const out = new Uint8Array(height * width);
  const rows = places(logits.height, height);
  const columns = places(cells, width);
  for (let y = 0; y < height; y++) {
    const { low, high, weight: v } = rows[y];
    for (let x = 0; x < width; x++) {
      const { low: left, high: right, weight: u } = columns[x];
      const [a, b] = [low * cells + left, low * cells + right];
      const [d, e] = [high * cells + left, high * cells + right];
      const first = coarse[a];
      if (first === coarse[b] && first === coarse[d] && first === coarse[e]) {
        out[y * width + x] = first;
        continue;
      }
      const [p, q, r, s] = [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v];
      let [best, top] = [0, -Infinity];
      for (let k = 0; k < c; k++) {
        const value =
          p * logits.data[a * c + k] +
          q * logits.data[b * c + k] +
          r * logits.data[d * c + k] +
          s * logits.data[e * c + k];
        if (value > top) [best, top] = [k, value];
      }
      out[y * width + x] = best;
    }
  }
  return out;
}

/** The upper left corner of numbers in rows. @template {Uint8Array | Float32Array} T
 * @param {T} data @param {number} from its width @param {number} height @param {number} width
 * @returns {T} */
export function corner(data, from, height, width) {
  if (from === width && data.length === height * width) return data;
  const out = /** @type {T} */ (data.slice(0, height * width));
  for (let y = 0; y < height; y++) out.set(data.subarray(y * from, y * from + width), y * width);
  return out;
}

/** Probabilities of one cell. @param {ArrayLike<number>} logits @returns {number[]} */
export function softmax(logits) {
  const values = Array.from(logits);
  const top = Math.max(...values);
  const powers = values.map((v) => Math.exp(v - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
}

/** Probability of the likeliest class of each cell. @param {Maps} logits @returns {Maps} */
export function confidence(logits) {
  const { height, width, channels: c } = logits;
  const out = zeros(height, width, 1);
  for (let i = 0; i < height * width; i++) {
    const top = logits.data[i * c + largest(logits.data, i * c, c)];
    let sum = 0;
    for (let k = 0; k < c; k++) sum += Math.exp(logits.data[i * c + k] - top);
    out.data[i] = 1 / sum;
  }
  return out;
}

/**
 * Attention averaged over the classes with the fused probabilities: one number a cell.
 * @param {Maps} attention @param {Maps} fused @returns {Maps}
 */
export function attentionMap(attention, fused) {
  const weight = resize(attention, fused.height, fused.width);
  if (weight.channels === 1) return weight;
  const { height, width, channels: c } = fused;
  const out = zeros(height, width, 1);
  for (let i = 0; i < height * width; i++) {
    const p = softmax(fused.data.subarray(i * c, (i + 1) * c));
    for (let k = 0; k < c; k++) out.data[i] += p[k] * weight.data[i * c + k];
  }
  return out;
}

/**
 * Logits at one pixel. @param {Maps} maps @param {number[]} pixel (y,x)
 * @param {number[]} size (height, width) of the picture @returns {Float32Array}
 */
export function logitsAt(maps, [y, x], [height, width]) {
  const c = maps.channels;
  const row = between(y, maps.height, height);
  const column = between(x, maps.width, width);
  const out = new Float32Array(c);
  for (const [r, v] of [
    [row.low, 1 - row.weight],
    [row.high, row.weight],
  ])
    for (const [q, u] of [
      [column.low, 1 - column.weight],
      [column.high, column.weight],
    ])
      for (let k = 0; k < c; k++) out[k] += v * u * maps.data[(r * maps.width + q) * c + k];
  return out;
}

export const IGNORE = 255;

/**
 * Intersection over union of each class that the truth holds, in [0,1]; NaN for the others.
 * @param {Uint8Array} label @param {Uint8Array} truth @param {number} classes
 */
export function classIou(label, truth, classes) {
  const hits = new Float64Array(classes);
  const said = new Float64Array(classes);
  const real = new Float64Array(classes);
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === IGNORE) continue;
    real[truth[i]]++;
    said[label[i]]++;
    if (label[i] === truth[i]) hits[label[i]]++;
  }
  return Array.from(hits, (hit, k) => (real[k] ? hit / (real[k] + said[k] - hit) : NaN));
}

/** Mean of what is a number. @param {number[]} values */
export function mean(values) {
  const known = values.filter((v) => !Number.isNaN(v));
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : NaN;
}

/**
 * Share of the pixels that a threshold keeps, and how many of both kinds are right.
 * @param {Maps} sure confidence at the picture's size @param {Uint8Array} label
 * @param {Uint8Array | null} truth @param {number} threshold
 */
export function believed(sure, label, truth, threshold) {
  const count = { kept: 0, all: label.length, keptRight: 0, keptKnown: 0, restRight: 0, rest: 0 };
  for (let i = 0; i < label.length; i++) {
    const kept = sure.data[i] >= threshold;
    if (kept) count.kept++;
    if (!truth || truth[i] === IGNORE) continue;
    const right = Number(label[i] === truth[i]);
    if (kept) {
      count.keptKnown++;
      count.keptRight += right;
    } else {
      count.rest++;
      count.restRight += right;
    }
  }
  return {
    quality: count.kept / count.all,
    keptRight: count.keptRight / count.keptKnown,
    restRight: count.restRight / count.rest,
  };
}

/**
 * P(c) of rare class sampling (DAFormer): classes that occur are drawn the oftener the rarer.
 * @param {number[]} counts pixels of each class @param {number} temperature
 */
export function rareClassProbabilities(counts, temperature) {
  const all = counts.reduce((a, b) => a + b, 0);
  const occurring = counts.flatMap((n, k) => (n > 0 ? [k] : []));
  const p = softmax(occurring.map((k) => (1 - counts[k] / all) / temperature));
  const out = counts.map(() => 0);
  occurring.forEach((k, i) => (out[k] = p[i]));
  return out;
}

/** Numbers in [0,1) that are the same for the same seed (mulberry32). @param {number} seed */
export function generator(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Which pixels stay visible (MIC, eq. 4): a block is hidden with probability `ratio`.
 * @param {number[]} size (height, width) @param {number} block pixels @param {number} ratio
 * @param {number} seed @returns {Uint8Array} 1: visible
 */
export function blockMask([height, width], block, ratio, seed) {
  const rows = Math.max(1, Math.round(height / block));
  const columns = Math.max(1, Math.round(width / block));
  const draw = generator(seed);
  const visible = Array.from({ length: rows * columns }, () => Number(draw() > ratio));
  const out = new Uint8Array(height * width);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const row = Math.floor((y * rows) / height);
      const column = Math.floor((x * columns) / width);
      out[y * width + x] = visible[row * columns + column];
    }
  return out;
}

/**
 * Mean of the windows' maps, each where it lies.
 * @param {Maps[]} maps @param {Box[]} boxes in pixels @param {number} cell pixels a cell
 * @param {number[]} size (height, width) in pixels
 * @returns {{mean: Maps, count: Maps}} NaN-free: cells without a window hold 0
 */
export function averageWindows(maps, boxes, cell, [height, width]) {
  const c = maps[0].channels;
  const total = zeros(height / cell, width / cell, c);
  const count = zeros(height / cell, width / cell, 1);
  maps.forEach((map, i) => {
    const [top, left] = [boxes[i].y / cell, boxes[i].x / cell];
    for (let y = 0; y < map.height; y++)
      for (let x = 0; x < map.width; x++) {
        const to = (top + y) * total.width + left + x;
        const from = (y * map.width + x) * c;
        count.data[to]++;
        for (let k = 0; k < c; k++) total.data[to * c + k] += map.data[from + k];
      }
  });
  for (let i = 0; i < count.data.length; i++)
    for (let k = 0; k < c && count.data[i] > 1; k++) total.data[i * c + k] /= count.data[i];
  return { mean: total, count };
}

/**
 * Cosine of each cell's vector with one cell's. @param {Maps} vectors @param {number} cell
 * @returns {Maps} in [-1,1]
 */
export function similarity(vectors, cell) {
  const { height, width, channels: c, data } = vectors;
  const out = zeros(height, width, 1);
  const norm = (/** @type {number} */ i) => {
    let sum = 0;
    for (let k = 0; k < c; k++) sum += data[i * c + k] ** 2;
    return Math.sqrt(sum) || 1;
  };
  const own = norm(cell);
  for (let i = 0; i < height * width; i++) {
    let sum = 0;
    for (let k = 0; k < c; k++) sum += data[i * c + k] * data[cell * c + k];
    out.data[i] = sum / (own * norm(i));
  }
  return out;
}
