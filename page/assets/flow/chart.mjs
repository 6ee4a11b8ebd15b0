// Paint the chart: everything dense on a canvas under the transparent figure, and what must be seen
// over the grid on one above it.

import { areaPrices, paintArea, paintBook, paintProfile } from "./aside.mjs";
import { BUY, CURSOR, LOST, MUTED, REPEATED, SELL, TEXT, VWAP, alpha } from "./colours.mjs";
import { FONT, groupFor, paintFootprint, paintStatistics } from "./footprint.mjs";
import { Heatmap, bookOf, eachRing, paintBest, ringFor } from "./heatmap.mjs";
import { barsIn, bookAt, finestAt, newestTime, sessionAt } from "./model.mjs";
import { cell, duration, fixed, nice } from "./numbers.mjs";
import { profileOf, valueArea } from "./profile.mjs";
import { dotsIn, paintDots } from "./tape.mjs";
import { clock, zoneName } from "./times.mjs";

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").Ring} Ring */
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

export class Chart {
  /**
   * @param {HTMLCanvasElement} under
   * @param {HTMLCanvasElement} over
   */
  constructor(under, over) {
    this.under = under;
    this.over = over;
    this.heatmap = new Heatmap();
    /** What the last draw has shown, for those who ask: labels, hover, tests. */
    this.last = { ring: 0, row: 0, group: 0, texts: 0, leastDot: 0, dots: 0, ms: 0 };
    this.stripes = /** @type {Record<string, CanvasPattern | null>} */ ({});
  }

  /**
   * Fit the contrast of the heatmap to what is in view.
   * @param {Scene} scene
   * @param {Shown} shown
   */
  fitContrast(scene, { store, choice }, exactly = false) {
    if (!scene.heat) return;
    const rings = this.rings(scene, store, choice);
    this.heatmap.fit(rings, scene.x, scene.heat, choice.contrast, exactly);
  }

  /**
   * Return the ring to paint, and those coarser.
   * @param {Scene} scene
   * @param {Store} store
   * @param {Choice} choice
   */
  rings(scene, store, choice) {
    const rings = store.present;
    const ring = rings.length ? ringFor(rings, scene.x, choice.columns) : null;
    return ring ? rings.slice(rings.indexOf(ring)) : [];
  }

  /**
   * @param {Scene} scene
   * @param {Shown} shown
   */
  draw(scene, shown) {
    const begun = performance.now();
    const context = cleared(this.under, scene.width, scene.height);
    const { store, choice } = shown;
    const bars = barsIn(store.footprint, scene.x.low, scene.x.high);
    this.last.texts = 0;
    if (scene.heat) this.drawHeat(context, scene, shown, bars);
    if (scene.foot && store.footprint) this.drawFoot(context, scene, shown, bars);
    if (scene.statistics && store.footprint) {
      paintStatistics(context, scene, bars, store.footprint.windowMs);
    }
    this.drawIssues(context, scene, store, choice);
    this.drawOver(scene, shown);
    this.last.ms = performance.now() - begun;
    this.under.dataset.drawn = JSON.stringify(this.last);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Shown} shown
   * @param {Bar[]} bars
   */
  drawHeat(context, scene, shown, bars) {
    const { store, choice, moment } = shown;
    const panel = /** @type {Panel} */ (scene.heat);
    const rings = this.rings(scene, store, choice);
    this.last.ring = rings[0]?.columnMs ?? 0;
    if (rings.length) {
      this.last.row = Math.max(rings[0].row[rings[0].count - 1], choice.rows);
      this.heatmap.paint(context, scene, rings, choice.rows);
      eachRing(rings, scene.x.low, (ring, end) => paintBest(context, scene, ring, end, [BUY, SELL]));
    }
    this.drawVwap(context, scene, bars, store.footprint?.windowMs ?? 0, choice.vwap);
    this.drawDots(context, scene, store, choice, rings[0] ?? null);
    this.drawVisibleProfile(context, scene, shown, bars);
    const column = finestAt(store, choice.moment ?? newestTime(store));
    const book = moment ?? (column && bookOf(column.ring, column.column));
    if (book && scene.bookWidth > 4) paintBook(context, scene, book);
    context.strokeStyle = "rgba(139,151,168,0.25)";
    context.strokeRect(scene.x.left + 0.5, panel.top + 0.5, scene.x.width - 1, panel.height - 1);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Bar[]} bars
   * @param {number} windowMs
   * @param {boolean} wanted
   */
  drawVwap(context, scene, bars, windowMs, wanted) {
    const panel = /** @type {Panel} */ (scene.heat ?? scene.foot);
    if (!wanted || !bars.length) return;
    const { x } = scene;
    context.save();
    context.beginPath();
    context.rect(panel.left, panel.top, panel.width, panel.height);
    context.clip();
    context.beginPath();
    let day = NaN;
    for (const bar of bars) {
      const left = x.left + ((bar.time + windowMs - x.low) / (x.high - x.low)) * x.width;
      const top = panel.top + ((panel.high - bar.vwap) / (panel.high - panel.low)) * panel.height;
      const date = Math.floor(bar.time / 86_400_000); // it begins anew with the session
      if (date === day) context.lineTo(left, top);
      else context.moveTo(left, top);
      day = date;
    }
    context.strokeStyle = VWAP;
    context.lineWidth = 1.3;
    context.setLineDash([5, 3]);
    context.stroke();
    context.restore();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Store} store
   * @param {Choice} choice
   * @param {Ring | null} ring
   */
  drawDots(context, scene, store, choice, ring) {
    const { trades, footprint } = store;
    if (!trades?.times.length || !footprint) return;
    const panel = /** @type {Panel} */ (scene.heat);
    const { x } = scene;
    const pixel = (x.high - x.low) / x.width;
    const columnMs = Math.max(ring?.columnMs ?? 250, pixel * 3);
    const perPixel = (panel.high - panel.low) / panel.height;
    const row = Math.max(ring?.row[ring.count - 1] ?? 0, perPixel * 3);
    const rowTicks = Math.max(1, Math.round(row / footprint.tick));
    const dots = dotsIn(trades, x.low, x.high, columnMs, footprint.tick, rowTicks);
    this.last.dots = dots.length;
    this.last.leastDot = paintDots(context, scene, dots, choice.dots);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Shown} shown
   * @param {Bar[]} bars
   */
  drawVisibleProfile(context, scene, { store, choice }, bars) {
    const { footprint } = store;
    const panel = /** @type {Panel} */ (scene.heat);
    if (!footprint) return;
    const at = choice.moment;
    const { windowMs, rowPrice } = footprint;
    const inside = bars.filter((bar) => bar.time >= scene.x.low - windowMs / 2 && (at === null || bar.time <= at));
    const least = ((panel.high - panel.low) / panel.height) * 2.5;
    const group = nice(Math.max(least, choice.rows) / rowPrice);
    const profile = profileOf(inside, group);
    const area = valueArea(profile);
    if (!area) return;
    paintProfile(context, scene, panel, { profile, area, rowPrice, texts: false });
    paintArea(context, panel, scene.profile.left + scene.profile.width, areaPrices(profile, area, rowPrice));
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Shown} shown
   * @param {Bar[]} bars
   */
  drawFoot(context, scene, { store, choice }, bars) {
    const footprint = /** @type {import("./types").Footprint} */ (store.footprint);
    const panel = /** @type {Panel} */ (scene.foot);
    const { rowPrice, windowMs } = footprint;
    const group = groupFor(panel, rowPrice, choice.rows);
    this.last.group = group;
    if (!scene.heat) this.drawVwap(context, scene, bars, windowMs, choice.vwap);
    this.last.texts = paintFootprint(context, scene, bars, { rowPrice, group, windowMs, zeros: choice.zeros });
    const session = sessionAt(store, choice.moment);
    if (session) {
      const wanted = Math.max(1, Math.round((group * rowPrice) / session.rowPrice));
      const profile = { ...profileOfRows(session.profile, wanted), group: wanted };
      const area = valueArea(profile);
      if (area) paintProfile(context, scene, panel, { profile, area, rowPrice: session.rowPrice, texts: !scene.phone });
    }
  }

  /**
   * Hatch the data issues on the time axis.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Store} store
   * @param {Choice} choice
   */
  drawIssues(context, scene, store, choice) {
    const { x } = scene;
    const band = issueBand(scene);
    for (const issue of store.issues) {
      if (issue.end < x.low || issue.start > x.high) continue;
      if (choice.moment !== null && issue.start > choice.moment) continue;
      const left = Math.max(x.left, x.left + ((issue.start - x.low) / (x.high - x.low)) * x.width - 1);
      const right = Math.min(x.left + x.width, x.left + ((issue.end - x.low) / (x.high - x.low)) * x.width + 1);
      if (right <= left) continue;
      context.fillStyle = this.stripe(context, issue.harmless ? REPEATED : LOST);
      context.fillRect(left, band, Math.max(2, right - left), ISSUE_BAND);
      if (issue.harmless) continue;
      context.fillStyle = alpha(LOST, 0.06);
      context.fillRect(left, 22, Math.max(1, right - left), band - 22);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {string} colour
   */
  stripe(context, colour) {
    if (!(colour in this.stripes)) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 6;
      const paint = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
      paint.fillStyle = alpha(colour, 0.3);
      paint.fillRect(0, 0, 6, 6);
      paint.strokeStyle = colour;
      paint.lineWidth = 1.6;
      for (const shift of [-6, 0, 6]) {
        paint.beginPath();
        paint.moveTo(shift, 6);
        paint.lineTo(shift + 6, 0);
        paint.stroke();
      }
      this.stripes[colour] = context.createPattern(tile, "repeat");
    }
    return this.stripes[colour] ?? colour;
  }

  /**
   * Paint what lies over the grid: the moment, what comes after it dimmed, titles, the cross-hair.
   * @param {Scene} scene
   * @param {Shown} shown
   */
  drawOver(scene, shown) {
    const context = cleared(this.over, scene.width, scene.height);
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
    this.drawTitles(context, scene, store, choice);
    this.drawPriceTags(context, scene, shown);
    if (shown.pointer) this.drawCross(context, scene, shown);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Store} store
   * @param {Choice} choice
   */
  drawTitles(context, scene, store, choice) {
    const [base, quote] = (store.about?.instrument ?? "").split("-");
    const footprint = store.footprint;
    const decimals = footprint?.decimals ?? 2;
    const written = (/** @type {number} */ price) => fixed(price, decimals).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
    const titles = [];
    if (scene.heat) {
      const detail = `resting ${base} per ${written(this.last.row)} ${quote ?? ""} and ${duration(this.last.ring)}`;
      const shown = Math.min(this.last.dots, scene.phone ? 120 : 260);
      const dots = shown < this.last.dots ? `the ${shown} largest, from ${cell(this.last.leastDot)}` : "size = area";
      titles.push({ panel: scene.heat, name: "Liquidity", detail: `${detail} · ● trades by taker, ${dots}` });
    }
    if (scene.foot && footprint) {
      const row = `${written(this.last.group * footprint.rowPrice)} ${quote ?? ""}`;
      titles.push({
        panel: scene.foot,
        name: "Footprint",
        detail: `sold × bought per ${row} · ${duration(footprint.windowMs)} bars · ▌ imbalance ≥ 3:1 diagonal · ▭ POC`,
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
    context.fillText(zoneName(scene.x.high, choice.zone), scene.x.left + scene.x.width + 8, scene.height - 28);
  }

  /**
   * Mark the last price, or that of the moment, at the price axes.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Shown} shown
   */
  drawPriceTags(context, scene, { store, choice, moment }) {
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
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Shown} shown
   */
  drawCross(context, scene, { pointer, store, choice }) {
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
  }
}

/**
 * Return the rows of a profile in rows `group` times as high.
 * @param {import("./types").Grouped} profile
 * @param {number} group
 */
const profileOfRows = (profile, group) =>
  profileOf([/** @type {any} */ ({ cells: profile })], group);

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
