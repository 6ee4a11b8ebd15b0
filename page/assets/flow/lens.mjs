// The Bars view beyond the newest thousand bars: where the reader looks at a time before them, the
// charts show what `GET /range` has of it. What Dash draws is completed on its way to Plotly, so that
// each poll leaves it as it is.

import { Asker, counted } from "./range.mjs";
import { dateAndClock } from "./times.mjs";

/** @typedef {import("./types").RangeBars} RangeBars */

const FULL = 1000; // bars: with less there is none before the first
const REFRESH_MS = 1000; // so often the newest is asked for again where it is in view
const SETTLE_MS = 120;
const VOLUME_ROOM = 3.3; // charts.VOLUME_ROOM

export class Lens {
  /**
   * @param {any} plot of the Bars view
   * @param {HTMLElement} words where it is said what is shown
   */
  constructor(plot, words) {
    this.plot = plot;
    this.words = words;
    /** @type {any} what Dash has drawn last */
    this.latest = null;
    /** @type {RangeBars | null} */
    this.found = null;
    /** @type {[number, number, number] | null} */
    this.asked = null;
    this.askedAt = -Infinity;
    this.timer = 0;
    this.asker = new Asker((found) => this.take(found));
    const draw = window.Plotly.react;
    this.draw = draw.bind(window.Plotly);
    window.Plotly.react = (/** @type {any} */ target, /** @type {any} */ figure, /** @type {any[]} */ ...rest) => {
      if (target !== plot || !figure?.data) return this.draw(target, figure, ...rest);
      this.latest = figure;
      this.look();
      return this.draw(target, this.completed(figure), ...rest);
    };
    for (const event of ["plotly_relayout", "plotly_relayouting"]) plot.on(event, () => this.look());
    this.latest = { data: plot.data };
    this.look();
  }

  /** The time in view, where the reader has chosen one; null where all is shown. */
  get seen() {
    const axis = this.plot.layout.xaxis;
    if (!axis?.range || axis.autorange) return null;
    const [low, high] = axis.range.map(ms).sort((/** @type {number} */ a, /** @type {number} */ b) => a - b);
    return low < high ? /** @type {[number, number]} */ ([low, high]) : null;
  }

  /** The first time of which Dash has all, Infinity where there is none before it. */
  get first() {
    const traces = ["price", "obi", "cvd"].map((uid) => trace(this.latest.data, uid)?.x ?? []);
    if (!traces.some((times) => times.length >= FULL - 1)) return -Infinity;
    return Math.min(...traces.filter((times) => times.length).map((times) => times[0]));
  }

  /** Look whether what is in view is there. */
  look() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLE_MS);
  }

  settle() {
    const { seen, first } = this;
    if (!seen || seen[0] >= first || document.body.dataset.view === "flow") {
      if (this.found) this.show(null);
      this.asked = null;
      return;
    }
    const now = performance.now();
    const [low, high] = seen;
    const span = high - low;
    const isThere = this.asked && this.asked[0] <= low && this.asked[1] >= high && span > this.asked[2] * 0.6 && span < this.asked[2] * 1.6;
    const grows = this.found && high > first && now - this.askedAt > REFRESH_MS;
    if (isThere && !grows) return;
    this.asked = [low - span / 2, high + span / 2, span];
    this.askedAt = now;
    this.asker.ask(this.asked[0], this.asked[1]);
  }

  /** @param {RangeBars | null} found */
  take(found) {
    if (this.asked) this.show(found);
  }

  /** @param {RangeBars | null} found */
  show(found) {
    this.found = found;
    this.words.hidden = !found;
    if (found) this.words.textContent = wordsOf(found);
    // Not `react`: it would take the zoom for Dash's, and give it up with the next poll. What was
    // hidden by a click stays so.
    const { plot } = this;
    const { data } = this.completed(this.latest);
    plot.data = data.map((/** @type {any} */ one, /** @type {number} */ place) => ({ ...one, visible: plot.data[place]?.visible }));
    window.Plotly.redraw(plot);
  }

  /** @param {any} figure */
  completed(figure) {
    const { found } = this;
    return found ? { ...figure, data: figure.data.map((/** @type {any} */ one) => replaced(one, found)) } : figure;
  }
}

/**
 * Return a trace with what was found in place of what it has.
 * @param {any} one
 * @param {RangeBars} found
 */
const replaced = (one, found) => {
  const list = (/** @type {Float64Array} */ values) => Array.from(values);
  const step = found.stepMs;
  switch (one.uid) {
    case "price":
      return { ...one, x: list(found.time), open: list(found.open), high: list(found.high), low: list(found.low), close: list(found.close) };
    case "volume": {
      const colours = one.marker?.color;
      const [up, down] = [COLOURS.up, COLOURS.down];
      const color = Array.from(found.close, (close, index) => (close >= found.open[index] ? up : down));
      return { ...one, x: list(found.time), y: list(found.volume), marker: { ...one.marker, color: colours ? color : up }, width: step * 0.8 };
    }
    case "room": {
      const most = found.volume.reduce((a, b) => Math.max(a, b), 0) * VOLUME_ROOM;
      return { ...one, x: list(found.time.subarray(-1)), y: found.time.length ? [most] : [] };
    }
    case "last":
      return { ...one, x: found.time.length ? [found.time[0], Math.max(...one.x, found.time[found.time.length - 1])] : one.x };
    case "obi": {
      const kept = list(found.metric_time).flatMap((_, index) => (Number.isNaN(found.metric_obi_close[index]) ? [] : [index]));
      const of = (/** @type {Float64Array} */ values) => kept.map((index) => values[index]);
      return {
        ...one,
        x: of(found.metric_time),
        open: of(found.metric_obi_open),
        high: of(found.metric_obi_high),
        low: of(found.metric_obi_low),
        close: of(found.metric_obi_close),
      };
    }
    case "cvd":
      return { ...one, x: list(found.metric_time), y: list(found.metric_cvd).map((value) => (Number.isNaN(value) ? null : value)) };
    default:
      return one;
  }
};

const COLOURS = { up: "#3fd0c4", down: "#e8602c" }; // charts.UP, charts.DOWN

/** @param {RangeBars} found */
const wordsOf = (found) => {
  const { time, joined, bars, total } = found;
  if (!time.length) return `no bars here, of ${counted(total)} from ${dateAndClock(found.begin, "utc", 0)} UTC on`;
  const joins = joined > 1 ? `, ${joined} windows in each` : "";
  const [from, to] = [time[0], time[time.length - 1] + found.stepMs].map((at) => dateAndClock(at, "utc", 0));
  return `${counted(bars)} of ${counted(total)} bars${joins}, ${from} to ${to} UTC`;
};

/**
 * @param {any[]} data
 * @param {string} uid
 */
const trace = (data, uid) => data.find((one) => one.uid === uid);

/** @param {number | string} end of a time axis, which Plotly keeps as text in UTC */
const ms = (end) => {
  if (typeof end === "number") return end;
  return Date.parse(end.length > 10 ? `${end.replace(" ", "T")}Z` : end);
};

/** Begin when the chart of the Bars view is there. */
export const beginLens = () => {
  const begin = () => {
    const plot = /** @type {any} */ (document.querySelector("#time .js-plotly-plot"));
    const words = document.getElementById("range-words");
    if (!plot?.on || !plot.layout?.xaxis?.range || !words || !window.Plotly) return;
    observer.disconnect();
    new Lens(plot, words);
  };
  const observer = new MutationObserver(begin);
  observer.observe(document, { childList: true, subtree: true });
  begin();
};
