// Where the reader is: the time in view, the moment travelled to, and the ways from one to another.

import { finestAt, newestTime, oldestTime } from "./model.mjs";
import { COLUMNS } from "./state.mjs";

/** @typedef {import("./types").Range} Range */
/** @typedef {import("./state.mjs").State} State */
/** @typedef {import("./store.mjs").Store} Store */
/** @typedef {import("./travel.mjs").Travel} Travel */
/** @typedef {import("./control.mjs").Control} Control */

const BAR_PIXELS = 60;
const MARGIN = 0.04; // of the time in view, right of the newest
const SHORTEST_MS = 500;
const LONGEST_MS = 3 * 365 * 86_400_000;
const DOUBLE_CLICK_MS = 600;

export class Navigation {
  /**
   * @param {State} state
   * @param {Store} store
   * @param {Travel} travel
   * @param {Control} control
   * @param {() => number} width of the chart in pixels
   */
  constructor(state, store, travel, control, width) {
    this.state = state;
    this.store = store;
    this.travel = travel;
    this.control = control;
    this.width = width;
    /** @type {number | null} the moment before a click that may be half of a double one; NaN: the newest */
    this.beforeClick = null;
  }

  get choice() {
    return this.state.choice;
  }

  /** Return the time in view: as the reader set it, else so that the newest is at the right. */
  timeRange() {
    const { range, span, moment } = this.choice;
    if (range) return range;
    const { footprint } = this.store;
    const newest = newestTime(this.store);
    const oldest = oldestTime(this.store) || newest - 60_000;
    const width = this.width();
    const usual = (width / BAR_PIXELS) * (footprint?.windowMs ?? 60_000);
    const length = span || Math.min(usual, Math.max(10_000, (newest - oldest) / (1 - MARGIN)));
    const end = newest + length * MARGIN;
    /** @type {Range} */
    const followed = [end - length, end];
    if (moment === null || (moment > followed[0] && moment < followed[1])) return followed;
    return /** @type {Range} */ ([moment - length / 2, moment + length / 2]);
  }

  /** @param {Range} range as the reader wants it; with the newest in it the newest is followed */
  setTime([low, high]) {
    const length = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, high - low));
    const middle = (low + high) / 2;
    /** @type {Range} */
    const range = [middle - length / 2, middle + length / 2];
    const newest = newestTime(this.store);
    const follows = this.choice.moment === null && newest <= range[1] && newest >= range[0] && range[1] - newest < length / 2;
    if (follows) this.state.set({ range: null, span: Math.round((newest - range[0]) / (1 - MARGIN)) });
    else this.state.set({ range, span: 0 });
  }

  whole() {
    const [from, to] = [oldestTime(this.store), newestTime(this.store)];
    if (this.beforeClick !== null) this.state.set({ moment: Number.isNaN(this.beforeClick) ? null : this.beforeClick });
    this.beforeClick = null;
    const room = Math.max(1000, to - from) * MARGIN;
    this.state.set({ range: [from - room / 4, to + room], span: 0, heat: null, foot: null });
  }

  /** @param {number} time */
  click(time) {
    if (this.beforeClick === null) {
      this.beforeClick = this.choice.moment ?? NaN;
      setTimeout(() => (this.beforeClick = null), DOUBLE_CLICK_MS);
    }
    this.goTo(time);
  }

  /** @param {number} time */
  goTo(time, row = /** @type {number | null} */ (null)) {
    const at = Math.round(Math.min(newestTime(this.store), Math.max(oldestTime(this.store), time)));
    let [low, high] = this.timeRange();
    if (at < low || at > high) {
      const moved = at < low ? at - low - (high - low) * 0.1 : at - high + (high - low) * 0.1;
      [low, high] = [low + moved, high + moved];
    }
    this.state.set({ moment: at, row, range: [low, high], span: 0 });
  }

  toFirst() {
    this.goTo(oldestTime(this.store));
  }

  toNewest() {
    const { range, span } = this.choice;
    this.state.set({ moment: null, row: null, range: null, span: range ? range[1] - range[0] : span });
  }

  /** @param {number} rows */
  async step(rows) {
    if (this.choice.moment === null && rows > 0) {
      if (this.control.obeys) await this.control.order({ do: "row" });
      return;
    }
    const from = this.choice.moment ?? newestTime(this.store);
    const found = this.store.about?.recording ? await this.travel.step(from, rows) : null;
    if (found) this.goTo(found.time, found.row);
    else this.stepColumn(from, rows);
  }

  /**
   * @param {number} from
   * @param {number} columns
   */
  stepColumn(from, columns) {
    const step = finestAt(this.store, from)?.ring.columnMs ?? COLUMNS[1];
    this.goTo((Math.floor(from / step) + columns) * step);
  }

  /** @param {number} bars */
  async stepBars(bars) {
    if (this.choice.moment === null && bars > 0) {
      if (this.control.obeys) await this.control.order({ do: "bar" });
      return;
    }
    const window = this.store.footprint?.windowMs ?? 60_000;
    const from = this.choice.moment ?? newestTime(this.store);
    this.goTo(bars < 0 ? Math.ceil(from / window - 1) * window : (Math.floor(from / window) + 1) * window);
  }
}
