// Bars older than the newest thousand, for the order-flow views: candles and figures of what is in
// view, and the whole run for the strip. Their volume by price is not kept.

import { ALL_TIME, Asker, counted } from "./range.mjs";

/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").RangeBars} RangeBars */
/** @typedef {import("./store.mjs").Store} Store */

const OVERVIEW_BARS = 600;
const OVERVIEW_MS = 5000; // so often the whole run is asked for while it grows

export class Older {
  /**
   * @param {Store} store
   * @param {() => void} onNews
   */
  constructor(store, onNews) {
    this.store = store;
    this.onNews = onNews;
    this.run = "";
    /** @type {Bar[]} */
    this.bars = [];
    /** @type {Bar[]} of the whole run, for the strip */
    this.whole = [];
    /** @type {[number, number, number] | null} what was asked for: a time and its part in view */
    this.asked = null;
    this.askedOverview = -Infinity;
    /** @type {RangeBars | null} */
    this.known = null;
    this.view = new Asker((found) => this.take(found));
    this.overview = new Asker((found) => this.takeOverview(found));
  }

  /** @param {string} run */
  beginRun(run) {
    this.run = run;
    this.bars = [];
    this.whole = [];
    this.asked = this.known = null;
    this.askedOverview = -Infinity;
  }

  /**
   * Ask for what a time in view lacks, and hand what is there to the footprint.
   * @param {[number, number]} range
   */
  want([low, high]) {
    const { footprint } = this.store;
    if (!footprint || !footprint.bars.length) return;
    if (footprint.run !== this.run) this.beginRun(footprint.run);
    footprint.older = [];
    const [newest] = footprint.bars;
    if (!newest.number) return; // there is none before it
    const now = performance.now();
    if (now - this.askedOverview > OVERVIEW_MS && this.isOverviewOld(newest)) {
      this.askedOverview = now;
      this.overview.ask(0, ALL_TIME, OVERVIEW_BARS);
    }
    const end = Math.min(high, newest.time);
    if (low < newest.time && !this.covers(low, end, high - low)) {
      const room = (high - low) / 2;
      this.asked = [low - room, Math.min(newest.time, end + room), high - low];
      this.view.ask(this.asked[0], this.asked[1]);
    }
    footprint.older = this.bars.filter((bar) => bar.time < newest.time);
  }

  /**
   * @param {number} low
   * @param {number} end
   * @param {number} span
   */
  covers(low, end, span) {
    if (!this.asked) return false;
    const [from, to, then] = this.asked;
    const begin = this.known?.begin ?? -Infinity;
    const near = span > then * 0.6 && span < then * 1.6; // else bars are joined otherwise
    return (from <= Math.max(low, begin) || from <= begin) && to >= end && near;
  }

  /** @param {Bar} newest */
  isOverviewOld(newest) {
    const last = this.whole[this.whole.length - 1];
    return !last || last.time + (last.stepMs ?? 0) < newest.time;
  }

  /** @param {RangeBars | null} found */
  take(found) {
    if (found && found.run !== this.run) this.asked = null;
    if (!found || found.run !== this.run) return;
    this.known = found;
    this.bars = barsOf(found);
    this.onNews();
  }

  /** @param {RangeBars | null} found */
  takeOverview(found) {
    if (!found || found.run !== this.run) return;
    this.known = found;
    this.whole = barsOf(found);
    this.onNews();
  }

  /** The first time of the run, as far as it is known. */
  get begin() {
    return this.known && this.known.run === this.store.footprint?.run ? this.known.begin : Infinity;
  }

  /**
   * Return the bars of the whole run for the strip, the newest as they are in the footprint.
   * @returns {Bar[]}
   */
  stripBars() {
    const bars = this.store.footprint?.bars ?? [];
    if (!this.whole.length || !bars.length || !bars[0].number) return bars;
    const end = this.whole[this.whole.length - 1];
    return [...this.whole, ...bars.filter((bar) => bar.time >= end.time + (end.stepMs ?? 0))];
  }

  /**
   * Say how much of the run is in view; nothing while all there is may be in view.
   * @param {[number, number]} range
   */
  words([low, high]) {
    const { footprint } = this.store;
    const [newest] = footprint?.bars ?? [];
    if (!footprint || !newest?.number || !this.known) return "";
    const bars = [...(footprint.older ?? []), ...footprint.bars].filter(
      (bar) => bar.time >= low - footprint.windowMs && bar.time < high,
    );
    const joined = Math.max(1, ...bars.map((bar) => (bar.stepMs ?? footprint.windowMs) / footprint.windowMs));
    const total = Math.max(this.known.total, newest.number + footprint.bars.length);
    const seen = joined > 1 ? `older ones ${joined} windows each` : "";
    const cells = low < newest.time ? "volume by price of the newest 1,000 alone" : "";
    return [`${counted(bars.length)} of ${counted(total)} bars`, seen, cells].filter(Boolean).join(", ");
  }
}

const NONE = new Float64Array(0);
const NO_CELLS = { rows: NONE, sold: NONE, bought: NONE, other: NONE };

/**
 * @param {RangeBars} found
 * @returns {Bar[]}
 */
const barsOf = (found) =>
  Array.from(found.time, (time, index) => ({
    number: -1,
    time,
    open: found.open[index],
    high: found.high[index],
    low: found.low[index],
    close: found.close[index],
    volume: found.volume[index],
    delta: found.buy[index] - found.sell[index],
    minDelta: found.min_delta[index],
    maxDelta: found.max_delta[index],
    cvd: found.cvd_close[index],
    vwap: found.vwap[index],
    cells: NO_CELLS,
    stepMs: found.stepMs,
  }));
