// Paint the chart: everything dense on a canvas under the transparent figure, and what must be seen
// over the grid on one above it.

import { areaPrices, paintArea, paintBook, paintProfile } from "./aside.mjs";
import { BUY, LOST, REPEATED, SELL, VWAP, alpha } from "./colours.mjs";
import { groupFor, paintFootprint, paintStatistics } from "./footprint.mjs";
import { paintBest } from "./best.mjs";
import { Heatmap, bookOf, eachRing, ringFor } from "./heatmap.mjs";
import { barsIn, finestAt, newestColumn, sessionAt } from "./model.mjs";
import { nice } from "./numbers.mjs";
import { ISSUE_BAND, cleared, drawOver, issueBand } from "./overlay.mjs";
import { profileOf, valueArea } from "./profile.mjs";
import { dotsIn, paintDots } from "./tape.mjs";
import { paintTrading } from "./trading.mjs";

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").Ring} Ring */
/** @typedef {import("./types").Moment} Moment */
/** @typedef {import("./store.mjs").Store} Store */
/** @typedef {import("./state.mjs").Choice} Choice */

/** @typedef {import("./overlay.mjs").Shown} Shown */

export class Chart {
  /**
   * @param {HTMLCanvasElement} under
   * @param {HTMLCanvasElement} over
   */
  constructor(under, over) {
    this.under = under;
    this.over = over;
    this.heatmap = new Heatmap();
    /** @type {import("./overlay.mjs").Last} */
    this.last = { ring: 0, row: 0, group: 0, texts: 0, scale: 1, leastDot: 0, dots: 0, ms: 0 };
    this.stripes = /** @type {Record<string, CanvasPattern | null>} */ ({});
  }

  /**
   * Fit the contrast of the heatmap to what is in view; return whether it is another now.
   * @param {Scene} scene
   * @param {Shown} shown
   */
  fitContrast(scene, { store, choice }, exactly = false) {
    if (!scene.heat) return false;
    const rings = this.rings(scene, store, choice);
    return this.heatmap.fit(rings, scene.x, scene.heat, choice.contrast, exactly);
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
      paintStatistics(context, scene, bars, store.footprint.windowMs, this.last.scale);
    }
    this.drawIssues(context, scene, store, choice);
    paintTrading(context, scene, store.trading);
    drawOver(this.over, scene, shown, this.last);
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
    const column = choice.moment === null ? newestColumn(store) : finestAt(store, choice.moment);
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
    paintProfile(context, scene, panel, { profile, area, rowPrice, scale: 0 });
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
    const painted = paintFootprint(context, scene, bars, { rowPrice, group, windowMs, zeros: choice.zeros });
    Object.assign(this.last, painted);
    const session = sessionAt(store, choice.moment);
    if (session) {
      const wanted = Math.max(1, Math.round((group * rowPrice) / session.rowPrice));
      const profile = { ...profileOfRows(session.profile, wanted), group: wanted };
      const area = valueArea(profile);
      if (area) paintProfile(context, scene, panel, { profile, area, rowPrice: session.rowPrice, scale: scene.phone ? 0 : painted.scale });
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
}

/**
 * Return the rows of a profile in rows `group` times as high.
 * @param {import("./types").Grouped} profile
 * @param {number} group
 */
const profileOfRows = (profile, group) =>
  profileOf([/** @type {any} */ ({ cells: profile })], group);
