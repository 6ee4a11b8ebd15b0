// What is under the pointer, in words: from what the page has, without the server.

import { sizeOf } from "./colours.mjs";
import { columnAt } from "./heatmap.mjs";
import { element } from "./ladder.mjs";
import { barsIn } from "./model.mjs";
import { cell, fixed, told } from "./numbers.mjs";
import { ISSUE_BAND, issueBand } from "./overlay.mjs";
import { groupBar } from "./profile.mjs";
import { clock } from "./times.mjs";
import { tradingAt } from "./trading.mjs";

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./store.mjs").Store} Store */
/** @typedef {import("./state.mjs").Choice} Choice */
/** @typedef {import("./chart.mjs").Chart} Chart */

/**
 * Return lines of words for a place of the chart, none where there is nothing.
 * @param {Scene} scene
 * @param {{x: number, y: number}} at
 * @param {Store} store
 * @param {Choice} choice
 * @param {Chart} chart
 * @returns {string[]}
 */
export const wordsAt = (scene, at, store, choice, chart) => {
  if (at.x < scene.x.left || at.x > scene.x.left + scene.x.width) return [];
  const span = scene.x.high - scene.x.low;
  const time = scene.x.low + ((at.x - scene.x.left) / scene.x.width) * span;
  const band = issueBand(scene);
  if (at.y >= band - 2 && at.y <= band + ISSUE_BAND + 3) return issuesAt(store, time, (span / scene.x.width) * 3);
  const { heat, foot, statistics } = scene;
  const done = tradingAt(scene, at, store.trading, store.footprint?.decimals ?? 2, choice.zone);
  if (done.length) return done;
  if (heat && inside(heat, at.y)) return heatWords(heat, at.y, time, store, choice, chart);
  if (foot && inside(foot, at.y)) return footWords(foot, at.y, time, store, choice, chart);
  if (statistics && inside(statistics, at.y)) return barWords(time, store, choice);
  return [];
};

/**
 * @param {{top: number, height: number}} box
 * @param {number} y
 */
const inside = (box, y) => y >= box.top && y <= box.top + box.height;

/**
 * @param {Panel} panel
 * @param {number} y
 */
const priceAt = (panel, y) => panel.high - ((y - panel.top) / panel.height) * (panel.high - panel.low);

/**
 * @param {Store} store
 * @param {number} time
 * @param {number} near
 */
const issuesAt = (store, time, near) => {
  const found = store.issues.filter((issue) => time >= issue.start - near && time <= issue.end + near);
  const told = [...found].sort((a, b) => Number(a.harmless) - Number(b.harmless)).slice(0, 4);
  const more = found.length > told.length ? [`and ${found.length - told.length} more`] : [];
  return [...told.map((issue) => issue.text), ...more];
};

/**
 * @param {Panel} panel
 * @param {number} y
 * @param {number} time
 * @param {Store} store
 * @param {Choice} choice
 * @param {Chart} chart
 */
const heatWords = (panel, y, time, store, choice, chart) => {
  const decimals = store.footprint?.decimals ?? 2;
  const rings = store.present;
  const from = Math.max(0, rings.findIndex((ring) => ring.columnMs === chart.last.ring));
  for (const ring of rings.slice(from)) {
    const column = columnAt(ring, time);
    if (column < 0) continue;
    const [low, size] = [ring.low[column], ring.row[column]];
    const row = Math.floor((priceAt(panel, y) - low) / size);
    const coarser = ring !== rings[rings.length - 1];
    if ((row < 0 || row >= ring.rows) && coarser) continue; // that one reaches further
    const lines = [clock((ring.first + column) * ring.columnMs, choice.zone)];
    if (row >= 0 && row < ring.rows) {
      const held = ring.cells[column * ring.rows + row];
      const side = held & 0x8000 ? "asks" : "bids";
      const words = held ? `≈ ${Number((sizeOf(held & 0x7fff) * ring.factor).toPrecision(3))} ${side}` : "nothing rests";
      lines.push(`${fixed(low + row * size, decimals)} to ${fixed(low + (row + 1) * size, decimals)}: ${words}`);
    }
    const best = [ring.bid[column], ring.ask[column]].map((price) => (price > 0 ? fixed(price, decimals) : "none"));
    lines.push(`best ${best.join(" / ")}`);
    return lines;
  }
  return [];
};

/**
 * @param {Panel} panel
 * @param {number} y
 * @param {number} time
 * @param {Store} store
 * @param {Choice} choice
 * @param {Chart} chart
 */
const footWords = (panel, y, time, store, choice, chart) => {
  const footprint = store.footprint;
  const [bar] = barsIn(footprint, time, time).slice(-1);
  if (!footprint || !bar) return [];
  const cells = groupBar(bar, chart.last.group || 1);
  const size = cells.group * footprint.rowPrice;
  const row = Math.floor(priceAt(panel, y) / size);
  const index = cells.rows.indexOf(row);
  const lines = barWords(time, store, choice);
  if (index >= 0) {
    const [sold, bought] = [cells.sold[index], cells.bought[index]];
    const prices = [row, row + 1].map((edge) => fixed(edge * size, footprint.decimals)).join(" to ");
    const other = cells.other[index] ? ` · ${cell(cells.other[index])} of unknown side` : "";
    lines.splice(1, 0, `${prices}: sold ${number(sold)} × bought ${number(bought)} · delta ${told(bought - sold)}${other}`);
  }
  return lines;
};

/** @param {number} value */
const number = (value) => String(Number(value.toPrecision(6)));

/**
 * @param {number} time
 * @param {Store} store
 * @param {Choice} choice
 */
const barWords = (time, store, choice) => {
  const footprint = store.footprint;
  const [bar] = barsIn(footprint, time, time).slice(-1);
  if (!footprint || !bar) return [];
  const [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map((price) =>
    fixed(price, footprint.decimals),
  );
  return [
    clock(bar.time, choice.zone, 0),
    `O ${open}  H ${high}  L ${low}  C ${close}`,
    `volume ${number(bar.volume)} · delta ${told(bar.delta)} (${told(bar.minDelta)} … ${told(bar.maxDelta)}) · CVD ${told(bar.cvd)}`,
  ];
};

/** The label that follows the pointer. */
export class Hover {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.label = parent.appendChild(element("div", "hover"));
    this.label.hidden = true;
  }

  /**
   * @param {string[]} lines
   * @param {{x: number, y: number} | null} at
   * @param {Scene} scene
   */
  show(lines, at, scene) {
    this.label.hidden = !lines.length || !at;
    if (this.label.hidden || !at) return;
    this.label.replaceChildren(...lines.map((line) => element("div", "", line)));
    const { offsetWidth: width, offsetHeight: height } = this.label;
    const left = at.x + 16 + width > scene.width ? at.x - 12 - width : at.x + 16;
    this.label.style.left = `${Math.max(2, left)}px`;
    this.label.style.top = `${Math.max(2, Math.min(scene.height - height - 4, at.y + 14))}px`;
  }
}
