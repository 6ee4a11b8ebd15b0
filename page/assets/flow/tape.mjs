// Trades: those of one millisecond, side and price joined for the list; those of one cell of the
// heatmap for its dots.

import { SIDES, alpha } from "./colours.mjs";

/** @typedef {import("./types").Trades} Trades */
/** @typedef {import("./types").Quotes} Quotes */
/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Panel} Panel */

/**
 * Return the index of the first of sorted times that is greater than `time`.
 * @param {ArrayLike<number>} times
 * @param {number} time
 */
export const after = (times, time) => {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low;
};

/**
 * @typedef {Object} Line
 * @property {number} time
 * @property {number} side -1 for a change of the best prices
 * @property {number} price the last of its trades; or the best bid
 * @property {number} size or the best ask
 * @property {number} count
 * @property {boolean} rose whether the best prices rose
 */

/**
 * Return the newest lines up to a moment, newest first: trades of one ms and side joined, and between
 * them at most one change of the best prices per trade line.
 * @param {Trades} trades
 * @param {Quotes | null} quotes
 * @param {number} moment
 * @param {number} most
 * @returns {Line[]}
 */
export const linesUpTo = (trades, quotes, moment, most) => {
  /** @type {Line[]} */
  const lines = [];
  let index = after(trades.times, moment) - 1;
  let quote = quotes ? after(quotes.times, moment) - 1 : -1;
  while (lines.length < most && index >= 0) {
    const [time, side] = [trades.times[index], trades.sides[index]];
    if (quotes && quote >= 1 && quotes.times[quote] > time) {
      lines.push(quoteLine(quotes, quote));
      // Of several changes between two trades the last is told.
      while (quote >= 0 && quotes.times[quote] > time) quote--;
      continue;
    }
    const price = trades.prices[index];
    let [size, count] = [0, 0];
    for (; index >= 0 && trades.times[index] === time && trades.sides[index] === side; index--) {
      size += trades.sizes[index];
      count++;
    }
    lines.push({ time, side, price, size, count, rose: false });
  }
  return lines;
};

/**
 * @param {Quotes} quotes
 * @param {number} at
 * @returns {Line}
 */
const quoteLine = ({ times, bids, asks }, at) => {
  const before = bids[at - 1] + asks[at - 1];
  const now = bids[at] + asks[at];
  return { time: times[at], side: -1, price: bids[at], size: asks[at], count: 1, rose: now >= before };
};

/**
 * Return the size that 1.5 % of the trades reach: from it on a line is marked.
 * @param {Trades | null} trades
 */
export const largeSize = (trades) => {
  const sorted = trades ? sortedSizes(trades) : [];
  return sorted.length ? sorted[Math.floor(sorted.length * 0.985)] : Infinity;
};

/** @type {WeakMap<Trades, Float64Array>} */
const sortedOf = new WeakMap();

/**
 * Return the sizes of trades in order; they are sorted once.
 * @param {Trades} trades
 */
export const sortedSizes = (trades) => {
  const found = sortedOf.get(trades) ?? Float64Array.from(trades.sizes).sort();
  sortedOf.set(trades, found);
  return found;
};

/**
 * @typedef {Object} Dot
 * @property {number} time
 * @property {number} price
 * @property {number} size
 * @property {number} side
 */

/**
 * Return the trades of a time, those of one side in one column and row as one dot, largest first.
 *
 * A dot stands at the mean time and price of its trades, each by its size.
 * @param {Trades} trades
 * @param {number} low
 * @param {number} high
 * @param {number} columnMs
 * @param {number} tick
 * @param {number} rowTicks
 * @returns {Dot[]}
 */
export const dotsIn = (trades, low, high, columnMs, tick, rowTicks) => {
  const { times, prices, sizes, sides } = trades;
  /** @type {Map<string, Dot>} */
  const dots = new Map();
  for (let index = after(times, low - 1); index < times.length && times[index] <= high; index++) {
    const row = Math.floor(Math.round(prices[index] / tick) / rowTicks);
    const key = `${Math.floor(times[index] / columnMs)}:${row}:${sides[index]}`;
    let dot = dots.get(key);
    if (!dot) dots.set(key, (dot = { time: 0, price: 0, size: 0, side: sides[index] }));
    dot.size += sizes[index];
    const share = dot.size ? sizes[index] / dot.size : 1;
    dot.time += (times[index] - dot.time) * share;
    dot.price += (prices[index] - dot.price) * share;
  }
  return [...dots.values()].sort((a, b) => b.size - a.size);
};

export const MOST_DOTS = 260;
export const MOST_DOTS_PHONE = 120;

/**
 * Paint the largest dots and return the size of the smallest painted, 0 without any.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Dot[]} dots largest first
 * @param {number} least least size, 0 for auto
 */
export const paintDots = (context, scene, dots, least) => {
  const panel = /** @type {Panel} */ (scene.heat);
  const { x } = scene;
  const most = scene.phone ? MOST_DOTS_PHONE : MOST_DOTS;
  const inPanel = dots.filter(({ price, size }) => price >= panel.low && price <= panel.high && size >= least);
  const shown = inPanel.slice(0, most);
  const full = shown[Math.min(4, shown.length - 1)]?.size || 1;
  context.save();
  context.beginPath();
  context.rect(x.left, panel.top, x.width, panel.height);
  context.clip();
  context.lineWidth = 1;
  for (const { time, price, size, side } of shown) {
    const radius = Math.min(14, 1.2 + 12 * Math.sqrt(size / full));
    context.beginPath();
    const left = x.left + ((time - x.low) / (x.high - x.low)) * x.width;
    const top = panel.top + ((panel.high - price) / (panel.high - panel.low)) * panel.height;
    context.arc(left, top, radius, 0, 2 * Math.PI);
    context.fillStyle = alpha(SIDES[side], 0.5);
    context.strokeStyle = radius > 2.5 ? "rgba(5,8,12,0.8)" : SIDES[side];
    context.fill();
    context.stroke();
  }
  context.restore();
  return shown.length ? shown[shown.length - 1].size : 0;
};
