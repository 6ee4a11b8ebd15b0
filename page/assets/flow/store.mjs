// What the page has of the run's flow files: asked for when the poll says that they changed, and only
// what is new. A file that cannot be used leaves what was there, and is told once.

import { ContentError, readFootprint, readQuotes, readRing, readTrades, unpack } from "./container.mjs";
import { cutTiles } from "./heatmap.mjs";
import { RECORDED, levelsOf, scaleFootprint, scaleTrades } from "./units.mjs";

/** @typedef {import("./types").Ring} Ring */
/** @typedef {import("./types").Footprint} Footprint */
/** @typedef {import("./types").Trades} Trades */
/** @typedef {import("./types").Quotes} Quotes */
/** @typedef {import("./types").Issue} Issue */
/** @typedef {import("./types").Level} Level */

/**
 * @typedef {Object} About what a poll says of the run
 * @property {string} instrument
 * @property {string} state
 * @property {number} window_ms
 * @property {number | null} event_time
 * @property {Record<string, string>} files names and versions
 * @property {boolean} recording whether the server knows where the run's recording is
 * @property {number | null} start of the run's range
 * @property {number | null} end
 * @property {import("./types").Unit} unit
 */

export const RINGS = ["heatmap_0", "heatmap_1", "heatmap_2", "heatmap_3", "heatmap_4"];
const WORDS = ["depth", "issues", "trading"]; // answered with JSON
const NO_TRADING = /** @type {import("./types").Trading} */ ({ fills: [], alerts: [] });
const MOST_ROWS = 20_000; // of trades and of best prices, as in the files
const MOST_BARS = 1000;
const PATIENCE_MS = 10_000;

export class Store {
  /** @param {(name: string) => void} onNews called with the name of what has changed */
  constructor(onNews) {
    this.onNews = onNews;
    /** @type {About | null} */
    this.about = null;
    /** @type {(Ring | null)[]} */
    this.rings = RINGS.map(() => null);
    /** @type {Footprint | null} */
    this.footprint = null;
    /** @type {Trades | null} */
    this.trades = null;
    /** @type {Quotes | null} */
    this.quotes = null;
    /** @type {{bids: Level[], asks: Level[]}} */
    this.depth = { bids: [], asks: [] };
    /** @type {Issue[]} */
    this.issues = [];
    /** @type {import("./types").Trading} */
    this.trading = NO_TRADING;
    /** @type {Map<string, {version: string, run: string, last: number}>} */
    this.known = new Map();
    /** @type {Set<string>} */
    this.asking = new Set();
    /** @type {Map<string, string>} */
    this.problems = new Map();
    this.versions = 0;
    this.reached = 0; // the run's newest event, ms
    this.run = "";
    this.begin = Infinity; // of the run, where it begins before what is here
  }

  /** What sizes are in. */
  get unit() {
    return this.about?.unit ?? RECORDED;
  }

  /** The rings that are there, finest first. */
  get present() {
    return /** @type {Ring[]} */ (this.rings.filter((ring) => ring && ring.count));
  }

  /**
   * Take what a poll says. A run that went back has less than is here: that is forgotten.
   * @param {About} about
   */
  learn(about) {
    this.about = about;
    if (!about.files.trading) this.trading = NO_TRADING; // it came to an end, or is another market's
    if (about.event_time === null) return;
    if (about.event_time < this.reached) this.forget();
    this.reached = about.event_time;
  }

  forget() {
    this.rings = RINGS.map(() => null);
    this.footprint = this.trades = this.quotes = null;
    this.begin = Infinity;
    this.known.clear();
  }

  /**
   * Ask for those of `names` that have changed since they were asked for.
   * @param {About} about
   * @param {string[]} names
   */
  refresh(about, names) {
    for (const name of names) {
      const version = about.files[name];
      if (!version || this.asking.has(name) || this.known.get(name)?.version === version) continue;
      this.ask(name, version);
    }
  }

  /**
   * @param {string} name
   * @param {string} version
   */
  async ask(name, version) {
    this.asking.add(name);
    const before = this.known.get(name);
    const query = before?.run ? `?run=${encodeURIComponent(before.run)}&after=${before.last}` : "";
    let [run, last] = [before?.run ?? "", before?.last ?? -1];
    let again = false;
    try {
      const answer = await fetch(`flow/${name}${query}`, { signal: patience() });
      if (answer.status === 200) {
        [run, last, again] = await this.take(name, answer, run, last);
        this.tell(name, null);
      } else if (answer.status !== 204) this.tell(name, `the server answered ${answer.status}`);
    } catch (error) {
      // No server: page.js says so. The next poll that is answered asks again.
      if (!(error instanceof ContentError)) version = "";
      else this.tell(name, error.message);
    } finally {
      this.known.set(name, { version, run, last });
      this.asking.delete(name);
    }
    const newest = this.about?.files[name];
    if (version && newest && (again || newest !== version)) this.ask(name, newest);
  }

  /**
   * Say once what is wrong with a file; null when it is good.
   * @param {string} name
   * @param {string | null} problem
   */
  tell(name, problem) {
    if (problem === (this.problems.get(name) ?? null)) return;
    if (problem) this.problems.set(name, problem);
    else this.problems.delete(name);
    this.onNews("problems");
  }

  /**
   * @param {string} name
   * @param {Response} answer
   * @param {string} run that the page has of this file
   * @param {number} after number of the last sealed piece that it has
   * @returns {Promise<[string, number, boolean]>} the same two now, and whether to ask for all again
   */
  async take(name, answer, run, after) {
    if (WORDS.includes(name)) {
      this.takeWords(name, await answer.json());
      return ["", -1, false];
    }
    const content = unpack(await answer.arrayBuffer());
    this.beginRun(String(content.header.run));
    const fresh = content.header.run !== run || content.header.first !== after + 1;
    if (name === "footprint" && !fresh && !this.sameRows(content.header)) return ["", -1, true];
    let last = -1;
    if (name === "footprint") last = this.takeBars(content, fresh);
    else if (name === "trades") last = this.takeTrades(content, fresh);
    else if (name === "best") last = this.takeQuotes(content, fresh);
    else last = this.takeRing(RINGS.indexOf(name), content, fresh);
    this.onNews(name);
    return [String(content.header.run), last, false];
  }

  /**
   * @param {string} name
   * @param {any} found
   */
  takeWords(name, found) {
    const { factor } = this.unit;
    if (name === "issues") this.issues = found.issues;
    else if (name === "trading") this.trading = found;
    else this.depth = { bids: levelsOf(found.bids, factor), asks: levelsOf(found.asks, factor) };
    this.onNews(name);
  }

  /**
   * Forget what another run has left: its files may reach further than those of this one.
   * @param {string} run
   */
  beginRun(run) {
    if (run === this.run) return;
    const first = this.run === "";
    this.run = run;
    if (first) return;
    this.forget();
    this.onNews("run");
  }

  /**
   * @param {number} place
   * @param {ReturnType<typeof unpack>} content
   * @param {boolean} fresh
   */
  takeRing(place, content, fresh) {
    const found = readRing(content);
    const start = Math.max(0, Number(content.header.start) || 0);
    const before = fresh ? null : this.rings[place];
    const ring = before ? joined(before, found, start) : found;
    ring.factor = this.unit.factor;
    ring.tiles = before?.tiles ?? [];
    cutTiles(ring, found.first, ++this.versions);
    this.rings[place] = ring;
    return ring.count ? ring.first + ring.count - 2 : -1;
  }

  /**
   * Return whether the rows of an answer are as high as those of the bars that are here: the tick
   * may become finer in mid-run, and then all bars have other rows.
   * @param {Record<string, any>} header
   */
  sameRows({ row_ticks, tick_units, tick_decimals }) {
    const tick = tick_units / 10 ** tick_decimals || 1;
    return this.footprint?.tick === tick && this.footprint.rowPrice === row_ticks * tick;
  }

  /**
   * @param {ReturnType<typeof unpack>} content
   * @param {boolean} fresh
   */
  takeBars(content, fresh) {
    const found = readFootprint(content);
    scaleFootprint(found, this.unit.factor);
    const first = found.bars[0]?.number ?? Infinity;
    const kept = fresh ? [] : (this.footprint?.bars ?? []);
    const before = kept.filter((bar) => bar.number < first);
    found.bars = [...before, ...found.bars].slice(-MOST_BARS);
    // CVD runs on from what the run had before its first bar here.
    let cvd = (Number(content.header.cvd_start) || 0) * this.unit.factor;
    const start = Number(content.header.start) || 0;
    for (const bar of found.bars) {
      if (bar.number < start) continue;
      cvd += bar.delta;
      bar.cvd = cvd;
    }
    found.bars = found.bars.filter((bar) => bar.number >= start);
    this.footprint = found;
    const last = found.bars[found.bars.length - 1];
    return last ? last.number - 1 : -1;
  }

  /**
   * @param {ReturnType<typeof unpack>} content
   * @param {boolean} fresh
   */
  takeTrades(content, fresh) {
    const found = readTrades(content);
    scaleTrades(found, this.unit.factor);
    const before = fresh ? null : this.trades;
    this.trades = before
      ? {
          times: appended(before.times, found.times),
          prices: appended(before.prices, found.prices),
          sizes: appended(before.sizes, found.sizes),
          sides: appended(before.sides, found.sides),
        }
      : found;
    return Number(content.header.first) + found.times.length - 1;
  }

  /**
   * @param {ReturnType<typeof unpack>} content
   * @param {boolean} fresh
   */
  takeQuotes(content, fresh) {
    const found = readQuotes(content);
    const before = fresh ? null : this.quotes;
    this.quotes = before
      ? {
          times: appended(before.times, found.times),
          bids: appended(before.bids, found.bids),
          asks: appended(before.asks, found.asks),
        }
      : found;
    return Number(content.header.first) + found.times.length - 1;
  }
}

/** @returns {AbortSignal} */
const patience = () => /** @type {any} */ (AbortSignal).timeout(PATIENCE_MS);

/**
 * @template {Float64Array | Uint8Array} T
 * @param {T} before
 * @param {T} news
 * @returns {T}
 */
const appended = (before, news) => {
  if (!news.length) return before;
  const kept = Math.max(0, Math.min(before.length, MOST_ROWS - news.length));
  const made = new /** @type {any} */ (before.constructor)(kept + news.length);
  made.set(before.subarray(before.length - kept));
  made.set(news, kept);
  return made;
};

/**
 * Return a ring with the columns of `news` in place of those of the same number; what is before
 * `start`, the first column of the file, goes.
 * @param {Ring} before
 * @param {Ring} news
 * @param {number} start
 * @returns {Ring}
 */
const joined = (before, news, start) => {
  const fits = before.rows === news.rows && before.columnMs === news.columnMs;
  if (!fits || news.first > before.first + before.count || news.first <= before.first) return news;
  const first = Math.max(before.first, start);
  const kept = Math.max(0, news.first - first);
  const from = first - before.first;
  const columns = (/** @type {"low" | "row" | "bid" | "ask"} */ name) => {
    const made = new Float64Array(kept + news.count);
    made.set(before[name].subarray(from, from + kept));
    made.set(news[name], kept);
    return made;
  };
  const cells = new Uint16Array((kept + news.count) * news.rows);
  cells.set(before.cells.subarray(from * news.rows, (from + kept) * news.rows));
  cells.set(news.cells, kept * news.rows);
  return {
    ...news,
    first: kept ? first : news.first,
    count: kept + news.count,
    low: columns("low"),
    row: columns("row"),
    bid: columns("bid"),
    ask: columns("ask"),
    cells,
    tiles: [],
  };
};
