// What is shown at a moment, reckoned from what the store has. Nothing here draws.

import { columnAt } from "./heatmap.mjs";
import { profileOf, valueArea } from "./profile.mjs";
import { after } from "./tape.mjs";

/** @typedef {import("./store.mjs").Store} Store */
/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").Moment} Moment */
/** @typedef {import("./types").Range} Range */
/** @typedef {import("./types").Ring} Ring */
/** @typedef {import("./types").Footprint} Footprint */

const DAY_MS = 86_400_000;
const LEAST_HEAT_ROWS = 90;
const LEAST_FOOT_ROWS = 14;

/**
 * Return the bars that touch a time, in order.
 * @param {Footprint | null} footprint
 * @param {number} low
 * @param {number} high
 */
export const barsIn = (footprint, low, high) => {
  if (!footprint) return [];
  const { older = [], windowMs } = footprint;
  const bars = older.length ? [...older, ...footprint.bars] : footprint.bars;
  const times = bars.map((bar) => bar.time);
  return bars.slice(after(times, low - windowMs), after(times, high));
};

/**
 * Return the time of the newest event that the page knows of, 0 before the first.
 * @param {Store} store
 */
export const newestTime = (store) => {
  const { bars, windowMs } = store.footprint ?? { bars: [], windowMs: 0 };
  const trades = store.trades?.times ?? [];
  const known = [trades[trades.length - 1] ?? 0, store.about?.event_time ?? 0];
  for (const ring of store.present) known.push((ring.first + ring.count - 1) * ring.columnMs);
  const newest = Math.max(...known);
  if (newest) return newest;
  return bars.length ? bars[bars.length - 1].time + windowMs : 0;
};

/**
 * Return the first time there is anything of, 0 where there is nothing.
 * @param {Store} store
 */
export const oldestTime = (store) => {
  const starts = store.present.map((ring) => ring.first * ring.columnMs);
  const coarsest = store.present[starts.length - 1];
  if (Number.isFinite(store.begin)) return store.begin;
  const bar = store.footprint?.bars[0]?.time ?? Infinity;
  if (!coarsest) return Number.isFinite(bar) ? bar : 0;
  // The coarsest begins up to a column too early; the finest that reaches as far back knows better.
  const first = coarsest.first * coarsest.columnMs;
  const known = Math.max(...starts.filter((start) => start < first + coarsest.columnMs));
  return bar - known < coarsest.columnMs ? bar : known;
};

/**
 * Return the prices that show what is visible of a time, with room around; null where nothing is.
 * @param {Bar[]} bars
 * @param {Ring | null} ring
 * @param {number} low
 * @param {number} high
 * @returns {Range | null}
 */
const extentOf = (bars, ring, low, high) => {
  let [least, most] = [Infinity, -Infinity];
  for (const bar of bars) {
    least = Math.min(least, bar.low);
    most = Math.max(most, bar.high);
  }
  if (ring) {
    const from = Math.max(0, Math.floor(low / ring.columnMs) - ring.first);
    const to = Math.min(ring.count, Math.ceil(high / ring.columnMs) - ring.first);
    for (let column = from; column < to; column++) {
      if (ring.bid[column] < least) least = ring.bid[column];
      if (ring.ask[column] > most) most = ring.ask[column];
    }
  }
  return least <= most ? [least, most] : null;
};

/**
 * @param {Range} extent
 * @param {number} least
 * @param {number} share
 * @returns {Range}
 */
const widened = ([low, high], least, share) => {
  const middle = (low + high) / 2;
  const half = Math.max((high - low) * (0.5 + share), least / 2);
  return [middle - half, middle + half];
};

/**
 * Return the prices that the heatmap and the footprint fit: what was traded and quoted in view, and
 * around it so many rows that a quiet market is seen with its book.
 * @param {Store} store
 * @param {Ring | null} ring
 * @param {number} low
 * @param {number} high
 */
export const fits = (store, ring, low, high) => {
  const half = (store.footprint?.windowMs ?? 0) / 2;
  const bars = barsIn(store.footprint, low, high).filter((bar) => bar.time >= low - half);
  const quoted = extentOf(bars, ring, low, high);
  const traded = extentOf(bars, null, low, high);
  const row = ring?.row[ring.count - 1] ?? 0;
  const tick = store.footprint?.rowPrice ?? 0;
  return {
    heat: quoted && widened(quoted, row * LEAST_HEAT_ROWS, 0.06),
    foot: traded && widened(traded, tick * LEAST_FOOT_ROWS, 0.04),
  };
};

/**
 * Return what the head line says of a moment, or of the newest where there is none.
 * @param {Store} store
 * @param {number | null} time
 * @param {Moment | null} moment the exact one, where the server has answered
 */
export const headOf = (store, time, moment) => {
  const { footprint } = store;
  const at = time ?? newestTime(store);
  const trades = moment?.trades.times.length ? moment.trades : store.trades;
  const index = trades ? after(trades.times, at) - 1 : -1;
  const book = bookAt(store, time, moment);
  const part = barUpTo(store, at);
  const bars = footprint?.bars ?? [];
  const last = trades && index >= 0 ? trades.prices[index] : (part?.bar.close ?? null);
  const session = sessionAt(store, time);
  return {
    last,
    rose: part ? (last ?? 0) >= part.bar.open : true,
    spread: book?.bids[0] && book.asks[0] ? book.asks[0].price - book.bids[0].price : null,
    delta: part?.delta ?? null,
    cvd: moment && Number.isFinite(moment.cvd) ? moment.cvd : (part?.cvd ?? bars[bars.length - 1]?.cvd ?? null),
    session,
    at,
  };
};

/**
 * Return delta and CVD of the bar at a time, of its trades up to then; of the whole bar where its
 * trades are no longer here.
 * @param {Store} store
 * @param {number} time
 */
export const barUpTo = ({ footprint, trades }, time) => {
  if (!footprint) return null;
  const { bars, windowMs } = footprint;
  const place = after(bars.map((bar) => bar.time), time) - 1;
  const bar = bars[place];
  if (!bar) return null;
  const over = time >= bar.time + windowMs - 1;
  const whole = over || !trades?.times.length || trades.times[0] > bar.time;
  let delta = bar.delta;
  if (!whole) {
    delta = 0;
    for (let at = after(trades.times, bar.time - 1); at < trades.times.length && trades.times[at] <= time; at++) {
      delta += [-1, 1, 0][trades.sides[at]] * trades.sizes[at];
    }
  }
  return { bar, delta, cvd: bar.cvd - bar.delta + delta, whole };
};

/**
 * Return the profile of the day up to a moment: of its whole bars, and of the one at the moment the
 * trades up to it. Null is the newest: the profile that the run itself keeps.
 * @param {Store} store
 * @param {number | null} time
 */
export const sessionAt = (store, time) => {
  const { footprint } = store;
  if (!footprint) return null;
  if (time === null && footprint.session) {
    const { profile, area, rowPrice } = footprint.session;
    return { profile, area, rowPrice };
  }
  const at = time ?? newestTime(store);
  let known = sessions.get(footprint);
  if (known?.at !== at) sessions.set(footprint, (known = { at, session: sessionOf(footprint, at) }));
  return known.session;
};

/** The last session of each footprint that is shown: parts of a picture ask for the same. */
/** @type {WeakMap<Footprint, {at: number, session: ReturnType<typeof sessionOf>}>} */
const sessions = new WeakMap();

/**
 * @param {Footprint} footprint
 * @param {number} at
 */
const sessionOf = ({ bars, windowMs, rowPrice }, at) => {
  const begun = Math.floor(at / DAY_MS) * DAY_MS;
  const profile = profileOf(
    bars.filter((bar) => bar.time >= begun && bar.time + windowMs <= at + 1),
    1,
  );
  const area = valueArea(profile);
  return area && { profile, area, rowPrice };
};

/**
 * Return the book of a moment: exact, or null where the server has not answered (yet).
 * @param {Store} store
 * @param {number | null} time
 * @param {Moment | null} moment
 */
export const bookAt = (store, time, moment) => {
  if (time === null) return store.depth.bids.length || store.depth.asks.length ? store.depth : null;
  return moment;
};

/**
 * Return the finest ring that has a moment, and the place of its column.
 * @param {Store} store
 * @param {number} time
 */
export const finestAt = (store, time) => {
  for (const ring of store.present) {
    const column = columnAt(ring, time);
    if (column >= 0) return { ring, column };
  }
  return null;
};

/**
 * Return the finest ring and the place of its last column, which is the newest book that it has.
 * @param {Store} store
 */
export const newestColumn = (store) => {
  const ring = store.present[0];
  return ring ? { ring, column: ring.count - 1 } : null;
};
