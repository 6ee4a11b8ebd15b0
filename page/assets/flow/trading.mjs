// What a trading run did, on the chart: its fills at their prices, its alerts at the foot.

import { ALERT, BUY, GROUND, SELL, TEXT, alpha } from "./colours.mjs";
import { fixed } from "./numbers.mjs";
import { clock } from "./times.mjs";

/** @typedef {import("./types").Fill} Fill */
/** @typedef {import("./types").Trading} Trading */
/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./times.mjs").Zone} Zone */

const SIZE = 6; // of a mark, from its middle
const NEAR = 9;
const MOST_TOLD = 4;

/**
 * @param {Scene} scene
 * @param {number} time
 */
const across = ({ x }, time) => x.left + ((time - x.low) / (x.high - x.low)) * x.width;

/**
 * @param {Panel} panel
 * @param {number} price
 */
const down = (panel, price) => panel.top + ((panel.high - price) / (panel.high - panel.low)) * panel.height;

/**
 * Return how far above the foot of the chart alerts stand, in CSS pixels from its top.
 * @param {Scene} scene
 */
const alertLine = (scene) => {
  const panel = /** @type {Panel} */ (scene.foot ?? scene.heat);
  return panel.top + panel.height - SIZE - 2;
};

/**
 * Paint the fills of the time in view: ▲ bought, ▼ sold, solid as taker and hollow as maker.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Trading} trading
 */
export const paintTrading = (context, scene, { fills, alerts }) => {
  if (!fills.length && !alerts.length) return;
  const { x } = scene;
  context.save();
  context.lineJoin = "round";
  for (const panel of [scene.heat, scene.foot]) {
    if (!panel) continue;
    context.save();
    context.beginPath();
    context.rect(x.left, panel.top, x.width, panel.height);
    context.clip();
    for (const fill of fills) {
      if (fill.time < x.low || fill.time > x.high) continue;
      triangle(context, across(scene, fill.time), down(panel, fill.price), fill);
    }
    context.restore();
  }
  const foot = alertLine(scene);
  for (const alert of alerts) {
    if (alert.time < x.low || alert.time > x.high) continue;
    const left = across(scene, alert.time);
    context.fillStyle = alpha(ALERT, 0.35);
    const top = (scene.heat ?? /** @type {Panel} */ (scene.foot)).top;
    context.fillRect(Math.round(left) - 0.5, top, 1, foot - top);
    context.beginPath();
    context.moveTo(left, foot - SIZE);
    context.lineTo(left + SIZE, foot);
    context.lineTo(left, foot + SIZE);
    context.lineTo(left - SIZE, foot);
    context.closePath();
    context.fillStyle = ALERT;
    context.strokeStyle = GROUND;
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }
  context.restore();
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} top
 * @param {Fill} fill
 */
const triangle = (context, left, top, { bought, maker }) => {
  const tip = bought ? -SIZE : SIZE;
  context.beginPath();
  context.moveTo(left, top + tip);
  context.lineTo(left + SIZE, top - tip);
  context.lineTo(left - SIZE, top - tip);
  context.closePath();
  const colour = bought ? BUY : SELL;
  context.lineWidth = 4; // so that a mark stands out from dots of its own colour
  context.strokeStyle = GROUND;
  context.stroke();
  context.fillStyle = maker ? GROUND : colour;
  context.fill();
  context.lineWidth = maker ? 2 : 1.2;
  context.strokeStyle = maker ? colour : TEXT;
  context.stroke();
};

/**
 * Return what is said of the fills and alerts under the pointer.
 * @param {Scene} scene
 * @param {{x: number, y: number}} at
 * @param {Trading} trading
 * @param {number} decimals of prices
 * @param {Zone} zone
 * @returns {string[]}
 */
export const tradingAt = (scene, at, { fills, alerts }, decimals, zone) => {
  const panels = [scene.heat, scene.foot].filter((panel) => panel && at.y >= panel.top && at.y <= panel.top + panel.height);
  const lines = [];
  for (const fill of fills) {
    if (Math.abs(across(scene, fill.time) - at.x) > NEAR) continue;
    if (!panels.some((panel) => panel && Math.abs(down(panel, fill.price) - at.y) <= NEAR)) continue;
    lines.push(fillWords(fill, decimals, zone));
  }
  if (Math.abs(at.y - alertLine(scene)) <= NEAR) {
    for (const { time, strategy, text } of alerts) {
      if (Math.abs(across(scene, time) - at.x) <= NEAR) lines.push(`◆ ${clock(time, zone, 0)} ${strategy}: ${text}`);
    }
  }
  const told = lines.slice(0, MOST_TOLD);
  return lines.length > told.length ? [...told, `and ${lines.length - told.length} more`] : told;
};

/**
 * @param {Fill} fill
 * @param {number} decimals
 * @param {Zone} zone
 */
const fillWords = ({ time, bought, price, quantity, maker, fee, strategy }, decimals, zone) => {
  const cost = fee < 0 ? `rebate ${Number((-fee).toPrecision(4))}` : `fee ${Number(fee.toPrecision(4))}`;
  const what = `${bought ? "▲ bought" : "▼ sold"} ${Number(quantity.toPrecision(8))} at ${fixed(price, decimals)}`;
  return `${clock(time, zone)} ${what} · ${maker ? "maker" : "taker"} · ${cost} · ${strategy}`;
};
