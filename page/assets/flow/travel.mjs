// The book at a moment, asked of the server: `GET /book` (docs/page.md). Each tab travels alone.

import { RECORDED, levelsOf, scaleTrades } from "./units.mjs";

/** @typedef {import("./types").Moment} Moment */
/** @typedef {import("./types").Trades} Trades */

const LEVELS = 1000;
const TRADES = 200;
const AGAIN_MS = 500;

/**
 * Return what an answer of `GET /book` says, null for what is none.
 * @param {any} found
 * @param {number} factor of sizes
 * @returns {Moment | null}
 */
export const momentOf = (found, factor) => {
  if (!found || !Array.isArray(found.bids) || !Array.isArray(found.asks)) return null;
  const trades = Array.isArray(found.trades) ? found.trades : [];
  const best = Array.isArray(found.best) ? found.best : [];
  const column = (/** @type {any[][]} */ rows, /** @type {number} */ at) =>
    Float64Array.from(rows, (row) => (row[at] === null ? NaN : Number(row[at])));
  const side = (/** @type {any[]} */ row) => (row[3] === "sell" ? 0 : row[3] === "buy" ? 1 : 2);
  const moment = {
    time: Number(found.time),
    row: Number(found.row),
    bids: levelsOf(found.bids, factor),
    asks: levelsOf(found.asks, factor),
    reliable: found.reliable !== false,
    cvd: Number(found.cvd) * factor,
    trades: {
      times: column(trades, 0),
      prices: column(trades, 1),
      sizes: column(trades, 2),
      sides: Uint8Array.from(trades, side),
    },
    quotes: { times: column(best, 0), bids: column(best, 2), asks: column(best, 4) },
  };
  scaleTrades(moment.trades, factor);
  return moment;
};

export class Travel {
  /** @param {() => void} onNews */
  constructor(onNews) {
    this.onNews = onNews;
    this.unit = RECORDED;
    /** @type {Moment | null} */
    this.found = null;
    /** @type {string} */
    this.words = ""; // why there is no exact book yet
    this.asked = "";
    this.waiting = 0;
    /** @type {AbortController | null} */
    this.asking = null;
  }

  /**
   * Ask for the book of a moment, or of a row; null is the newest, which needs no asking.
   * @param {number | null} time
   * @param {number | null} row
   */
  go(time, row) {
    const query = time === null ? "" : row === null ? `time=${Math.floor(time)}` : `row=${row}`;
    if (query === this.asked) return;
    this.asked = query;
    clearTimeout(this.waiting);
    this.asking?.abort();
    if (this.found && (time === null || this.found.row !== row || row === null)) this.found = null;
    this.words = "";
    if (query) this.ask(query);
  }

  /** @param {string} query */
  async ask(query) {
    const asking = (this.asking = new AbortController());
    try {
      const found = await this.fetch(query, asking.signal);
      if (this.asked !== query) return;
      if (found === null) this.waiting = setTimeout(() => this.ask(query), AGAIN_MS);
      else this.found = found;
    } catch (error) {
      if (asking.signal.aborted) return;
      this.words = error instanceof Error ? error.message : String(error);
    }
    this.asking = null;
    this.onNews();
  }

  /**
   * Return the moment, null while the server makes its first checkpoints.
   * @param {string} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<Moment | null>}
   */
  async fetch(query, signal) {
    const answer = await fetch(`book?${query}&levels=${LEVELS}&trades=${TRADES}`, { signal });
    const type = answer.headers.get("Content-Type") ?? "";
    const found = type.startsWith("application/json") ? await answer.json() : null;
    if (answer.status === 202) {
      this.words = `reading the recording: ${Math.round(100 * (Number(found?.progress) || 0))} %`;
      return null;
    }
    if (answer.status === 503) {
      this.words = "the server is busy";
      return null;
    }
    const moment = answer.ok ? momentOf(found, this.unit.factor) : null;
    // A server without that route has nothing to say: the heatmap tells what it can.
    if (!moment) throw new Error(String(found?.error ?? ""));
    this.words = "";
    return moment;
  }

  /**
   * Return the moment some rows on from another, null where it is not known.
   * @param {number} time to begin at
   * @param {number} rows
   */
  async step(time, rows) {
    try {
      const here = this.found ?? (await this.fetch(`time=${Math.floor(time)}`));
      if (!here) return null;
      const there = await this.fetch(`row=${Math.max(1, here.row + rows)}`);
      if (!there) return null;
      this.found = there;
      this.asked = `row=${there.row}`;
      return there;
    } catch {
      return null; // there is no book here to step through: the caller goes by columns
    }
  }
}
