// Volume by price and taker side in each bar, and the rows of figures under it.

import { BUY, GROUND, MUTED, POC, SELL, TEXT, alpha } from "./colours.mjs";
import { cell, cellScale, nice, signed } from "./numbers.mjs";
import { groupBar } from "./profile.mjs";

/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").Grouped} Grouped */
/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Box} Box */

export const RATIO = 3;
/** The larger side of an imbalance is at least this percentile of the cells in view. */
export const LEAST_PERCENTILE = 0.45;
const TEXT_WIDTH = 44;
const TEXT_HEIGHT = 9;
const ROW_PIXELS = 9.2; // least height of a row where it is chosen here: a text's
const CANDLE = 5;
export const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/**
 * Return how many base rows make one row, for rows of a readable height; `chosen` is a price, 0 for
 * auto.
 * @param {Panel} panel
 * @param {number} rowPrice price of a base row
 * @param {number} chosen
 */
export const groupFor = (panel, rowPrice, chosen) => {
  if (chosen) return Math.max(1, Math.round(chosen / rowPrice));
  return nice(((panel.high - panel.low) * ROW_PIXELS) / panel.height / rowPrice);
};

/**
 * Return the sizes of the cells of some bars, all together and in order.
 * @param {Grouped[]} grouped
 */
const sizesOf = (grouped) => {
  const sizes = [];
  for (const { sold, bought } of grouped) {
    for (const side of [sold, bought]) for (const size of side) if (size) sizes.push(size);
  }
  return sizes.sort((a, b) => a - b);
};

/**
 * Return which cells of a bar are imbalanced: bought against what was sold one row below, sold
 * against what was bought one row above; the larger at least three times the other, and `least`.
 * @param {Grouped} grouped
 * @param {number} least
 * @param {boolean} zeros whether nothing at all counts as the smaller one
 */
export const imbalances = ({ rows, sold, bought }, least, zeros) => {
  const beats = (/** @type {number} */ size, /** @type {number} */ other) =>
    size > 0 && size >= least && (other > 0 ? size >= RATIO * other : zeros);
  const above = (/** @type {number} */ at) => (rows[at + 1] === rows[at] + 1 ? bought[at + 1] : 0);
  const below = (/** @type {number} */ at) => (rows[at - 1] === rows[at] - 1 ? sold[at - 1] : 0);
  return {
    sold: Array.from(sold, (size, at) => beats(size, above(at))),
    bought: Array.from(bought, (size, at) => beats(size, below(at))),
  };
};

/**
 * @typedef {Object} Style
 * @property {number} rowPrice
 * @property {number} group
 * @property {number} windowMs
 * @property {boolean} zeros
 */

/**
 * Paint the bars in view; text only where a cell has room for it. Return how many texts there are,
 * and what their sizes were multiplied by.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Bar[]} bars
 * @param {Style} style
 */
export const paintFootprint = (context, scene, bars, style) => {
  const panel = /** @type {Panel} */ (scene.foot);
  const { x } = scene;
  const pixel = x.width / (x.high - x.low);
  const scale = panel.height / (panel.high - panel.low);
  const grouped = bars.map((bar) => groupBar(bar, style.group));
  const sizes = sizesOf(grouped);
  const most = sizes[sizes.length - 1] || 1;
  const least = sizes[Math.floor(sizes.length * LEAST_PERCENTILE)] || 0;
  const width = style.windowMs * pixel;
  const row = style.group * style.rowPrice;
  const height = row * scale;
  const texts = (width - CANDLE - 5) / 2 >= TEXT_WIDTH / 2 && height >= TEXT_HEIGHT;
  const shown = cellScale(sizes);
  let count = 0;
  context.save();
  context.beginPath();
  context.rect(x.left, panel.top, x.width, panel.height);
  context.clip();
  context.textBaseline = "middle";
  for (const [index, bar] of bars.entries()) {
    const left = x.left + (bar.time - x.low) * pixel;
    candle(context, bar, left, bar.stepMs ? bar.stepMs * pixel : width, (price) => panel.top + (panel.high - price) * scale);
    if (width < 5 || height < 1) continue;
    const cells = grouped[index];
    const box = {
      left: left + Math.min(CANDLE + 2, width * 0.16),
      top: panel.top + panel.high * scale,
      width: width * 0.84 - Math.min(3, width * 0.1),
      height,
    };
    if (width > CANDLE * 4) box.width = width - CANDLE - 5;
    count += paintBar(context, panel, cells, box, { most, least, texts, zeros: style.zeros, scale: shown });
  }
  context.restore();
  return { texts: count, scale: shown };
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Bar} bar
 * @param {number} left
 * @param {number} width
 * @param {(price: number) => number} down
 */
const candle = (context, bar, left, width, down) => {
  const rose = bar.close >= bar.open;
  const thick = width < 12 ? Math.max(1, width * 0.12) : 3;
  const middle = left + Math.min(2.5, width * 0.2);
  context.fillStyle = rose ? BUY : SELL;
  const [top, bottom] = [down(bar.high), down(bar.low)];
  context.fillRect(middle - 0.5, top, 1, Math.max(1, bottom - top));
  const [from, to] = [down(Math.max(bar.open, bar.close)), down(Math.min(bar.open, bar.close))];
  context.fillRect(middle - thick / 2, from, thick, Math.max(1, to - from));
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Panel} panel
 * @param {Grouped} cells
 * @param {Box} box of row 0, far below; `top` is its foot
 * @param {{most: number, least: number, texts: boolean, zeros: boolean, scale: number}} look
 */
const paintBar = (context, panel, cells, box, look) => {
  const { rows, sold, bought } = cells;
  const marks = imbalances(cells, look.least, look.zeros);
  const gap = box.height > 4 ? 1 : 0;
  const half = box.width / 2;
  const font = Math.min(11, Math.max(8.5, Math.min(box.height - 1.5, half / 2.6)));
  let count = 0;
  for (let row = 0; row < rows.length; row++) {
    const top = box.top - (rows[row] + 1) * box.height;
    if (top > panel.top + panel.height || top + box.height < panel.top) continue;
    if (!sold[row] && !bought[row]) continue;
    for (const [side, size, colour] of /** @type {const} */ ([
      [0, sold[row], SELL],
      [1, bought[row], BUY],
    ])) {
      const left = box.left + side * half;
      const marked = (side ? marks.bought : marks.sold)[row];
      context.fillStyle = alpha(colour, size ? 0.1 + 0.55 * Math.sqrt(size / look.most) : 0.04);
      context.fillRect(left, top, half - gap, box.height - gap);
      if (marked && box.width > 12) {
        context.fillStyle = colour;
        const thick = Math.min(3, box.width / 8);
        context.fillRect(side ? left + half - gap - thick : left, top, thick, box.height - gap);
      }
      if (!look.texts) continue;
      context.fillStyle = size ? TEXT : alpha(MUTED, 0.6);
      context.font = `${marked ? 700 : 400} ${font}px ${FONT}`;
      context.textAlign = "center";
      context.fillText(cell(size * look.scale), left + half / 2, top + box.height / 2 + 0.5, half - 2);
      count++;
    }
  }
  if (cells.poc >= 0 && box.height >= 4) {
    context.strokeStyle = POC;
    context.lineWidth = 1.2;
    const top = box.top - (rows[cells.poc] + 1) * box.height;
    context.strokeRect(box.left - 0.5, top - 0.5, box.width, box.height);
  }
  return count;
};

/** @type {{name: string, value: (bar: Bar) => number, text: (bar: Bar, scale: number) => string, tone: (bar: Bar) => string}[]} */
export const STATISTICS = [
  {
    name: "Delta",
    value: (bar) => bar.delta,
    text: (bar, scale) => signed(bar.delta * scale),
    tone: (bar) => (bar.delta < 0 ? SELL : BUY),
  },
  {
    name: "min / max",
    value: () => 0,
    text: (bar, scale) => `${bar.minDelta ? signed(bar.minDelta * scale) : "−0"} ${bar.maxDelta ? signed(bar.maxDelta * scale) : "+0"}`,
    tone: () => MUTED,
  },
  { name: "Volume", value: (bar) => bar.volume, text: (bar, scale) => cell(bar.volume * scale), tone: () => "#6296cd" },
  {
    name: "CVD",
    value: (bar) => bar.cvd,
    text: (bar, scale) => signed(bar.cvd * scale),
    tone: (bar) => (bar.cvd < 0 ? SELL : BUY),
  },
];

/**
 * Paint a row of figures for each of `STATISTICS`, coloured by size.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Bar[]} bars
 * @param {number} windowMs
 * @param {number} scale what sizes are multiplied by
 */
export const paintStatistics = (context, scene, bars, windowMs, scale) => {
  const box = /** @type {Box} */ (scene.statistics);
  const { x } = scene;
  const pixel = x.width / (x.high - x.low);
  const height = box.height / STATISTICS.length;
  const width = windowMs * pixel;
  context.save();
  context.textBaseline = "middle";
  STATISTICS.forEach((row, index) => {
    context.font = `11px ${FONT}`;
    context.fillStyle = MUTED;
    context.textAlign = "left";
    context.fillText(row.name, scene.profile.left + 2, box.top + (index + 0.5) * height);
  });
  context.beginPath();
  context.rect(x.left, box.top, x.width, box.height);
  context.clip();
  STATISTICS.forEach((row, index) => {
    const most = Math.max(...bars.map((bar) => Math.abs(row.value(bar))), 1e-300);
    const top = box.top + index * height;
    for (const bar of bars) {
      const left = x.left + (bar.time - x.low) * pixel;
      const share = Math.sqrt(Math.abs(row.value(bar)) / most);
      context.fillStyle = GROUND;
      context.fillRect(left, top, width, height);
      context.fillStyle = alpha(row.tone(bar), 0.1 + 0.55 * share);
      context.fillRect(left + 0.5, top + 0.5, Math.max(0.5, width - 1), height - 1);
      if (width < 34) continue;
      context.textAlign = "center";
      context.fillStyle = TEXT;
      context.font = `${Math.min(11, height - 4)}px ${FONT}`;
      context.fillText(row.text(bar, scale), left + width / 2, top + height / 2 + 0.5, width - 4);
    }
  });
  context.restore();
};
