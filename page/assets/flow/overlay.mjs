// What is painted over the grid: the moment and its future, titles, tags at the axes, the cross-hair.

import { BUY, CURSOR, MUTED, TEXT } from "./colours.mjs";
import { FONT } from "./footprint.mjs";
import { bookAt, finestAt } from "./model.mjs";
import { duration, fixed, told } from "./numbers.mjs";
import { MOST_DOTS, MOST_DOTS_PHONE } from "./tape.mjs";
import { clock, zoneName } from "./times.mjs";

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Moment} Moment */
/** @typedef {import("./store.mjs").Store} Store */
/** @typedef {import("./state.mjs").Choice} Choice */

/**
 * @typedef {Object} Shown
 * @property {Store} store
 * @property {Choice} choice
 * @property {Moment | null} moment
 * @property {{x: number, y: number} | null} pointer
 */

/**
 * @typedef {Object} Last what the newest draw says of itself
 * @property {number} ring ms of a column
 * @property {number} row price of a row of the heatmap
 * @property {number} group base rows of a row of the footprint
 * @property {number} texts
 * @property {number} scale what the sizes in cells are multiplied by
 * @property {number} leastDot size of the smallest dot
 * @property {number} dots
 * @property {number} ms
 */

export const ISSUE_BAND = 7;

/**
 * Fit a canvas to a size in CSS pixels and return its context, cleared.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export const cleared = (canvas, width, height) => {
  const ratio = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
};

/**
 * Paint what lies over the grid: the moment, what comes after it dimmed, titles, the cross-hair.
 * @param {HTMLCanvasElement} canvas
 * @param {Scene} scene
 * @param {Shown} shown
 * @param {Last} last
 */
export const drawOver = (canvas, scene, shown, last) => {
  const context = cleared(canvas, scene.width, scene.height);
  const { choice, store } = shown;
  const { x } = scene;
  const bottom = issueBand(scene) + ISSUE_BAND;
  context.font = `11px ${FONT}`;
  context.textBaseline = "middle";
  if (choice.moment !== null) {
    const left = x.left + ((choice.moment - x.low) / (x.high - x.low)) * x.width;
    const from = Math.max(x.left, left);
    context.fillStyle = "rgba(8,11,16,0.5)";
    if (from < x.left + x.width) context.fillRect(from, 20, x.left + x.width - from, bottom - 20);
    if (left >= x.left && left <= x.left + x.width) {
      context.fillStyle = CURSOR;
      context.fillRect(Math.round(left) - 0.5, 20, 1.5, bottom - 20);
      tag(context, clock(choice.moment, choice.zone, scene.phone ? 0 : 3), left, bottom + 10, scene);
    }
  }
  drawTitles(context, scene, store, choice, last);
  drawPriceTags(context, scene, shown);
  if (shown.pointer) drawCross(context, scene, shown);
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Store} store
 * @param {Choice} choice
 * @param {Last} last
 */
const drawTitles = (context, scene, store, choice, last) => {
  const quote = (store.about?.instrument ?? "").split("-")[1];
  const footprint = store.footprint;
  const decimals = footprint?.decimals ?? 2;
  const written = (/** @type {number} */ price) => fixed(price, decimals).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  const titles = [];
  if (scene.heat) {
    const detail = `resting ${store.unit.name ?? "size"} per ${written(last.row)} ${quote ?? ""} and ${duration(last.ring)}`;
    const shown = Math.min(last.dots, scene.phone ? MOST_DOTS_PHONE : MOST_DOTS);
    const dots = shown < last.dots ? `the ${shown} largest, from ${told(last.leastDot).slice(1)}` : "size = area";
    titles.push({ panel: scene.heat, name: "Liquidity", detail: `${detail} · ● trades by taker, ${dots}` });
  }
  if (scene.foot && footprint) {
    const row = `${written(last.group * footprint.rowPrice)} ${quote ?? ""}`;
    const scaled = last.scale === 1 ? "" : ` in ${fixed(1 / last.scale, Math.round(Math.log10(last.scale)))} ${store.unit.name ?? ""}`;
    titles.push({
      panel: scene.foot,
      name: "Footprint",
      detail: `sold × bought${scaled} per ${row} · ${duration(footprint.windowMs)} bars · ▌ imbalance ≥ 3:1 diagonal · ▭ POC`,
    });
  }
  context.textAlign = "left";
  for (const { panel, name, detail } of titles) {
    const text = scene.phone ? name : `${name} · ${detail}`;
    const y = panel.top - 11;
    context.font = `600 11px ${FONT}`;
    context.fillStyle = TEXT;
    context.fillText(text, panel.left + 6, y, scene.x.width - 12);
  }
  context.font = `10.5px ${FONT}`;
  context.fillStyle = MUTED;
  if (scene.phone) return;
  if (scene.heat) {
    context.fillText("volume, visible", scene.profile.left, scene.heat.top - 11);
    context.fillText("book", scene.bookLeft, scene.heat.top - 11);
  }
  if (scene.foot) context.fillText("volume, session", scene.profile.left, scene.foot.top - 11);
  context.fillText(zoneName(scene.x.high, choice.zone), scene.x.left + scene.x.width + 30, scene.height - 28);
};

/**
 * Mark the last price, or that of the moment, at the price axes.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Shown} shown
 */
const drawPriceTags = (context, scene, { store, choice, moment }) => {
  const book = bookAt(store, choice.moment, moment);
  const column = choice.moment === null ? null : finestAt(store, choice.moment);
  const price = book?.bids[0]?.price ?? (column ? column.ring.bid[column.column] : NaN);
  if (!(price > 0)) return;
  for (const panel of [scene.heat, scene.foot]) {
    if (!panel || price < panel.low || price > panel.high) continue;
    const y = panel.top + ((panel.high - price) / (panel.high - panel.low)) * panel.height;
    const text = fixed(price, store.footprint?.decimals ?? 2);
    priceTag(context, text, scene, y, choice.moment === null ? BUY : CURSOR);
  }
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Shown} shown
 */
const drawCross = (context, scene, { pointer, store, choice }) => {
  const { x, y } = /** @type {{x: number, y: number}} */ (pointer);
  const bottom = issueBand(scene) + ISSUE_BAND;
  if (x < scene.x.left || x > scene.x.left + scene.x.width || y < 22 || y > bottom) return;
  context.strokeStyle = "rgba(139,151,168,0.55)";
  context.lineWidth = 1;
  context.setLineDash([2, 3]);
  context.beginPath();
  context.moveTo(Math.round(x) + 0.5, 22);
  context.lineTo(Math.round(x) + 0.5, bottom);
  for (const panel of [scene.heat, scene.foot]) {
    if (!panel || y < panel.top || y > panel.top + panel.height) continue;
    context.moveTo(scene.x.left, Math.round(y) + 0.5);
    context.lineTo(scene.profile.left + scene.profile.width, Math.round(y) + 0.5);
    const price = panel.high - ((y - panel.top) / panel.height) * (panel.high - panel.low);
    const tick = store.footprint?.tick ?? 0.01;
    priceTag(context, fixed(Math.round(price / tick) * tick, store.footprint?.decimals ?? 2), scene, y, MUTED);
  }
  context.stroke();
  context.setLineDash([]);
  const time = scene.x.low + ((x - scene.x.left) / scene.x.width) * (scene.x.high - scene.x.low);
  tag(context, clock(time, choice.zone, scene.x.high - scene.x.low < 600_000 ? 3 : 0), x, bottom + 10, scene, MUTED);
};

/**
 * Return the top of the band of data issues.
 * @param {Scene} scene
 */
export const issueBand = (scene) => scene.height - 38;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} left
 * @param {number} top
 * @param {Scene} scene
 */
const tag = (context, text, left, top, scene, colour = CURSOR) => {
  context.font = `600 11px ${FONT}`;
  const width = context.measureText(text).width + 8;
  const from = Math.min(scene.x.left + scene.x.width - width, Math.max(scene.x.left, left - width / 2));
  context.fillStyle = colour;
  context.fillRect(from, top - 8, width, 16);
  context.fillStyle = "#0b0f15";
  context.textAlign = "left";
  context.fillText(text, from + 4, top + 0.5);
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {Scene} scene
 * @param {number} top
 * @param {string} colour
 */
const priceTag = (context, text, scene, top, colour) => {
  context.font = `600 11px ${FONT}`;
  const width = Math.min(context.measureText(text).width + 8, 66);
  context.fillStyle = colour;
  context.fillRect(scene.width - width, top - 8, width, 16);
  context.fillStyle = "#0b0f15";
  context.textAlign = "left";
  context.fillText(text, scene.width - width + 4, top + 0.5, width - 6);
};
