// What stands beside the time: volume profiles, and the book of one moment, on the same prices.

import { BUY, MUTED, POC, SELL, TEXT, alpha } from "./colours.mjs";
import { FONT } from "./footprint.mjs";
import { signed } from "./numbers.mjs";
import { totalAt } from "./profile.mjs";

/** @typedef {import("./types").Area} Area */
/** @typedef {import("./types").Grouped} Grouped */
/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Level} Level */

/**
 * @param {Panel} panel
 * @param {number} price
 */
const down = (panel, price) =>
  panel.top + ((panel.high - price) / (panel.high - panel.low)) * panel.height;

/**
 * Paint a profile beside a panel: the value area bright, the rest dim, the point of control boxed.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Panel} panel
 * @param {{profile: Grouped, area: Area, rowPrice: number, scale: number}} what
 *   `scale`: what the sizes are multiplied by where they are written, 0 for no texts
 */
export const paintProfile = (context, scene, panel, { profile, area, rowPrice, scale }) => {
  const { left, width } = scene.profile;
  const row = profile.group * rowPrice;
  const height = (row / (panel.high - panel.low)) * panel.height;
  const most = totalAt(profile, profile.poc) || 1;
  context.save();
  context.beginPath();
  context.rect(left, panel.top, width, panel.height);
  context.clip();
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (let index = 0; index < profile.rows.length; index++) {
    const top = down(panel, (profile.rows[index] + 1) * row);
    if (top > panel.top + panel.height || top + height < panel.top) continue;
    const [sold, bought] = [profile.sold[index], profile.bought[index]];
    const inside = index >= area.low && index <= area.high;
    const [from, to] = [(sold / most) * width, ((sold + bought) / most) * width];
    const all = (totalAt(profile, index) / most) * width;
    const thick = Math.max(0.7, height - (height > 3 ? 1 : 0));
    context.fillStyle = alpha(SELL, inside ? 0.7 : 0.3);
    context.fillRect(left, top, from, thick);
    context.fillStyle = alpha(BUY, inside ? 0.7 : 0.3);
    context.fillRect(left + from, top, to - from, thick);
    context.fillStyle = alpha(MUTED, inside ? 0.7 : 0.3); // of trades whose side is not known
    context.fillRect(left + to, top, all - to, thick);
    if (index === area.poc && height >= 3) {
      context.strokeStyle = POC;
      context.lineWidth = 1.2;
      context.strokeRect(left + 0.6, top, width - 1.2, thick);
    }
    if (scale && height >= 10 && sold + bought > 0) {
      context.font = `${Math.min(11, height - 1.5)}px ${FONT}`;
      context.fillStyle = inside ? TEXT : MUTED;
      context.fillText(signed((bought - sold) * scale), left + 4, top + thick / 2 + 0.5);
    }
  }
  context.restore();
};

/**
 * Return the prices of a value area: the middle of its point of control, and its outer edges.
 * @param {Grouped} profile
 * @param {Area} area
 * @param {number} rowPrice
 */
export const areaPrices = (profile, area, rowPrice) => {
  const row = profile.group * rowPrice;
  return {
    poc: (profile.rows[area.poc] + 0.5) * row,
    low: profile.rows[area.low] * row,
    high: (profile.rows[area.high] + 1) * row,
  };
};

/**
 * Paint point of control and value area as lines through a panel.
 * @param {CanvasRenderingContext2D} context
 * @param {Panel} panel
 * @param {number} right
 * @param {{poc: number, low: number, high: number}} prices
 */
export const paintArea = (context, panel, right, prices) => {
  context.save();
  context.beginPath();
  context.rect(panel.left, panel.top, right - panel.left, panel.height);
  context.clip();
  context.setLineDash([3, 3]);
  /** @type {number[]} */
  const named = [];
  context.font = `600 11px ${FONT}`;
  context.textBaseline = "middle";
  for (const [name, price, colour] of /** @type {[string, number, string][]} */ ([
    ["POC", prices.poc, alpha(TEXT, 0.85)],
    ["VAH", prices.high, alpha(MUTED, 0.8)],
    ["VAL", prices.low, alpha(MUTED, 0.8)],
  ])) {
    const y = Math.round(down(panel, price)) + 0.5;
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(panel.left, y);
    context.lineTo(right, y);
    context.stroke();
    if (named.some((other) => Math.abs(other - y) < 15)) continue; // its name would hide another
    named.push(y);
    const width = context.measureText(name).width;
    context.fillStyle = "rgba(11,15,21,0.82)";
    context.fillRect(panel.left + 4, y - 8, width + 8, 16);
    context.fillStyle = name === "POC" ? TEXT : MUTED;
    context.fillText(name, panel.left + 8, y + 0.5);
  }
  context.restore();
};

/**
 * Paint the sizes of a book beside the heatmap, those of a pixel added up.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {{bids: Level[], asks: Level[]}} book
 */
export const paintBook = (context, scene, { bids, asks }) => {
  const panel = /** @type {Panel} */ (scene.heat);
  const sides = [bids, asks].map((levels) => {
    const sums = new Float64Array(Math.ceil(panel.height / 2));
    for (const { price, size } of levels) {
      if (price < panel.low || price > panel.high) continue;
      const at = Math.min(sums.length - 1, Math.floor((down(panel, price) - panel.top) / 2));
      sums[at] += size;
    }
    return sums;
  });
  const most = Math.max(...sides.map((sums) => sums.reduce((a, b) => Math.max(a, b), 0)));
  if (!most) return;
  sides.forEach((sums, side) => {
    context.fillStyle = alpha(side ? SELL : BUY, 0.85);
    sums.forEach((size, at) => {
      if (!size) return;
      const width = Math.max(1, Math.sqrt(size / most) * scene.bookWidth);
      context.fillRect(scene.bookLeft, panel.top + at * 2, width, 1.4);
    });
  });
};
