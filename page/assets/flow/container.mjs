// Read `OFR1` (docs/flow-files.md): named arrays of numbers with a JSON header. Nothing in an answer
// is trusted: what does not fit the header, or is no market, is refused as a whole.

import { pocOf } from "./profile.mjs";

/** @typedef {import("./types").Ring} Ring */
/** @typedef {import("./types").Footprint} Footprint */
/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").Trades} Trades */
/** @typedef {import("./types").Quotes} Quotes */

const MAGIC = 0x3152464f; // "OFR1"
const SCHEMA = 1;
const MOST_HEADER = 65_536;
const MOST_ARRAYS = 64;
const LARGEST = 1e30; // no price or size of a market is beyond it
const LARGEST_ROW = 2 ** 46;
const LAST_MS = 253_402_300_799_999;
const PRICES = ["open", "high", "low", "close"];
const KINDS = /** @type {Record<string, any>} */ ({
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  float64: Float64Array,
});

/** An answer that is no content of the page. */
export class ContentError extends Error {}

/**
 * @param {unknown} holds
 * @param {string} what
 */
const require = (holds, what) => {
  if (!holds) throw new ContentError(what);
};

/**
 * Return the header and the arrays of an answer, which are parts of its buffer.
 * @param {ArrayBuffer} buffer
 * @returns {{header: Record<string, any>, arrays: Record<string, any>}}
 */
export const unpack = (buffer) => {
  require(buffer.byteLength >= 8, "it is shorter than its head");
  const [magic, length] = new Uint32Array(buffer, 0, 2);
  require(magic === MAGIC, "it does not begin with OFR1");
  require(length <= MOST_HEADER && length % 8 === 0 && 8 + length <= buffer.byteLength, "its header's length is wrong");
  /** @type {any} */
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 8, length)));
  } catch {
    throw new ContentError("its header is not JSON");
  }
  require(header && header.schema === SCHEMA, `its schema is not ${SCHEMA}`);
  require(Array.isArray(header.arrays) && header.arrays.length <= MOST_ARRAYS, "its header lists no arrays");
  /** @type {Record<string, any>} */
  const arrays = Object.create(null);
  let offset = 0;
  for (const { name, dtype, shape, offset: stated } of header.arrays) {
    const kind = Object.hasOwn(KINDS, dtype) ? KINDS[dtype] : null;
    require(kind && Array.isArray(shape) && shape.length >= 1 && shape.length <= 2, "an array has no known form");
    require(shape.every((/** @type {unknown} */ size) => Number.isInteger(size) && Number(size) >= 0), "an array has no known size");
    const count = shape.reduce((/** @type {number} */ product, /** @type {number} */ size) => product * size, 1);
    const bytes = count * kind.BYTES_PER_ELEMENT;
    require(stated === offset && 8 + length + offset + bytes <= buffer.byteLength, `${name} lies outside`);
    arrays[name] = new kind(buffer, 8 + length + offset, count);
    offset += Math.ceil(bytes / 8) * 8;
  }
  require(8 + length + offset === buffer.byteLength, "its length is not that of its arrays");
  return { header, arrays };
};

/**
 * Return the arrays of these names; refuse one that is missing, or of another length than `count`.
 * @param {Record<string, any>} arrays
 * @param {string[]} names
 * @param {number} count
 */
const columnsOf = (arrays, names, count) =>
  names.map((name) => {
    require(arrays[name]?.length === count, `${name} is not ${count} numbers`);
    return arrays[name];
  });

/**
 * Refuse numbers that are not from `least` to `most`.
 * @param {ArrayLike<number>} values
 * @param {number} least
 * @param {number} most
 * @param {string} what
 */
const bounded = (values, least, most, what) => {
  for (let index = 0; index < values.length; index++) {
    if (!(values[index] >= least && values[index] <= most)) {
      throw new ContentError(`${what} holds ${values[index]}, which is not from ${least} to ${most}`);
    }
  }
};

/**
 * @param {ArrayLike<number>} times
 * @param {string} what
 */
const ordered = (times, what) => {
  bounded(times, 0, LAST_MS, what);
  for (let index = 1; index < times.length; index++) {
    require(times[index] >= times[index - 1], `${what} is not in order`);
  }
};

/** @param {Float64Array} prices */
const known = (prices) => prices.map((price) => (price > 0 ? price : NaN));

/**
 * Return the columns of a heatmap answer.
 * @param {{header: Record<string, any>, arrays: Record<string, any>}} content
 * @returns {Ring}
 */
export const readRing = ({ header, arrays }) => {
  const { columns, rows, first, column_ms: columnMs } = header;
  require(header.kind === "heatmap" && Number.isInteger(columns) && columns <= 4096, "it is no heatmap");
  require(Number.isInteger(rows) && rows >= 1 && rows <= 4096, "its rows are not 1 to 4096");
  require(Number.isInteger(first) && columnMs >= 1 && columnMs <= 86_400_000, "its columns have no time");
  require(first >= 0 && (first + columns) * columnMs <= LAST_MS, "its columns lie beyond any date");
  const [low, row, bid, ask] = columnsOf(arrays, ["low", "row", "bid", "ask"], columns);
  const [cells] = columnsOf(arrays, ["cells"], columns * rows);
  bounded(low, 0, LARGEST, "low");
  bounded(row, 1e-30, LARGEST, "row");
  bounded(bid, 0, LARGEST, "bid");
  bounded(ask, 0, LARGEST, "ask");
  for (let column = 0; column < columns; column++) {
    require(low[column] / row[column] < LARGEST_ROW, "its rows are too fine for its prices");
  }
  return { columnMs, rows, first, count: columns, low, row, bid: known(bid), ask: known(ask), cells, factor: 1, tiles: [] };
};

/**
 * Return the bars of a footprint answer; `bar.cvd` begins at the header's `cvd_start`, 0 without.
 * @param {{header: Record<string, any>, arrays: Record<string, any>}} content
 * @returns {Footprint}
 */
export const readFootprint = ({ header, arrays }) => {
  require(header.kind === "footprint" && header.window_ms > 0, "it is no footprint");
  require(Number.isInteger(header.first) && header.first >= 0, "its bars have no number");
  require(header.row_ticks >= 1 && header.row_ticks < LARGEST_ROW, "its rows have no height");
  const tick = tickOf(header);
  const count = arrays.time?.length ?? 0;
  const names = ["time", "open", "high", "low", "close", "buy", "sell", "other", "min_delta", "max_delta", "vwap"];
  const columns = columnsOf(arrays, [...names, "cells_end"], count);
  const [time, open, high, low, close, buy, sell, other, minDelta, maxDelta, vwap, ends] = columns;
  ordered(time, "time");
  for (const index of [1, 2, 3, 4, 10]) bounded(columns[index], 0, LARGEST, names[index]);
  for (const index of [5, 6, 7, 8, 9]) bounded(columns[index], -LARGEST, LARGEST, names[index]);
  const cells = readRows(arrays, "cell", arrays.cell_row?.length ?? 0);
  ordered([0, ...ends], "cells_end");
  require((count ? ends[count - 1] : 0) === cells.rows.length, "its cells are not those of its bars");
  const bars = Array.from(time, (at, index) => ({
    number: header.first + index,
    time: at,
    open: open[index],
    high: high[index],
    low: low[index],
    close: close[index],
    volume: buy[index] + sell[index] + other[index],
    delta: buy[index] - sell[index],
    minDelta: minDelta[index],
    maxDelta: maxDelta[index],
    cvd: 0,
    vwap: vwap[index],
    cells: part(cells, index ? ends[index - 1] : 0, ends[index]),
  }));
  return {
    run: String(header.run),
    windowMs: header.window_ms,
    rowPrice: header.row_ticks * tick,
    tick,
    decimals: Math.min(12, Math.max(0, Number(header.tick_decimals) || 0)),
    bars,
    session: readSession(header.session, arrays, tick),
  };
};

/** @param {Record<string, any>} header */
const tickOf = (header) => {
  const tick = header.tick_units / 10 ** header.tick_decimals;
  require(tick >= 0 && tick < LARGEST, "it has no tick");
  return tick || 1;
};

/**
 * @param {Record<string, any>} arrays
 * @param {string} name
 * @param {number} count
 */
const readRows = (arrays, name, count) => {
  const [rows, bought, sold] = columnsOf(arrays, ["row", "buy", "sell"].map((part) => `${name}_${part}`), count);
  const other = arrays[`${name}_other`] ?? new Float64Array(0);
  require(other.length === 0 || other.length === count, `${name}_other has another length`);
  bounded(rows, 0, LARGEST_ROW, `${name}_row`);
  for (const volumes of [bought, sold, other]) bounded(volumes, 0, LARGEST, `a volume of ${name}`);
  return { rows, sold, bought, other };
};

/**
 * @param {import("./types").Rows} cells
 * @param {number} from
 * @param {number} to
 */
const part = ({ rows, sold, bought, other }, from, to) => ({
  rows: rows.slice(from, to),
  sold: sold.slice(from, to),
  bought: bought.slice(from, to),
  other: other.slice(from, to),
});

/**
 * @param {any} session
 * @param {Record<string, any>} arrays
 * @param {number} tick
 * @returns {import("./types").Session | null}
 */
const readSession = (session, arrays, tick) => {
  if (!session) return null;
  const rows = readRows(arrays, "profile", arrays.profile_row?.length ?? 0);
  require(session.row_ticks >= 1 && session.row_ticks < LARGEST_ROW, "the session's rows have no height");
  const at = (/** @type {number} */ row) => rows.rows.indexOf(row);
  const area = { poc: at(session.poc), low: at(session.val), high: at(session.vah) };
  const profile = { ...rows, group: 1, poc: pocOf(rows) };
  require(Math.min(area.poc, area.low, area.high) >= 0, "the session's value area is not in its rows");
  return { start: session.start, rowPrice: session.row_ticks * tick, vwap: session.vwap, profile, area };
};

/**
 * Return the bars of a part of the run. What is not known is NaN: OBI before the first sample, the
 * sides of the newest bars.
 * @param {{header: Record<string, any>, arrays: Record<string, any>}} content
 * @returns {import("./types").RangeBars}
 */
export const readRange = ({ header, arrays }) => {
  require(header.kind === "range" && header.window_ms >= 1000 && header.joined >= 1, "it holds no range of bars");
  for (const name of ["from", "to", "begin", "end", "bars", "total"]) {
    require(Number.isInteger(header[name]) && header[name] >= 0 && header[name] <= LAST_MS, `${name} is no number`);
  }
  const found = /** @type {any} */ ({});
  for (const [name, lead] of [["time", "bars"], ["metric_time", "metrics"]]) {
    const count = arrays[name]?.length ?? 0;
    ordered(arrays[name] ?? [], name);
    for (const [key, values] of Object.entries(arrays)) {
      if (key.startsWith("metric_") !== (lead === "metrics")) continue;
      require(values.length === count, `${key} is not ${count} numbers`);
      // NaN is neither below nor above.
      require(!values.some((/** @type {number} */ value) => Math.abs(value) > LARGEST), `${key} is beyond any market`);
    }
  }
  for (const name of [...PRICES, "volume", "buy", "sell", "other", "min_delta", "max_delta", "vwap", "cvd_close"]) {
    require(arrays[name], `${name} is missing`);
    found[name] = arrays[name];
  }
  for (const name of [...PRICES, "volume"]) bounded(found[name], 0, LARGEST, name);
  for (const name of ["time", "obi_open", "obi_high", "obi_low", "obi_close", "cvd"]) {
    require(arrays[`metric_${name}`], `metric_${name} is missing`);
    found[`metric_${name}`] = arrays[`metric_${name}`];
  }
  return {
    ...found,
    time: arrays.time,
    run: String(header.run),
    stepMs: header.window_ms * header.joined,
    joined: header.joined,
    from: header.from,
    to: header.to,
    begin: header.begin,
    end: header.end,
    bars: header.bars,
    total: header.total,
  };
};

/** The taker's side of a file (0 not known, 1 bought, 2 sold) as this page has it. */
const SIDE = [2, 1, 0];

/**
 * @param {{header: Record<string, any>, arrays: Record<string, any>}} content
 * @returns {Trades}
 */
export const readTrades = ({ header, arrays }) => {
  require(header.kind === "trades", "it holds no trades");
  const count = arrays.time?.length ?? 0;
  const [times, prices, sizes, sides] = columnsOf(arrays, ["time", "price", "size", "side"], count);
  ordered(times, "time");
  bounded(prices, 0, LARGEST, "price");
  bounded(sizes, 0, LARGEST, "size");
  return { times, prices, sizes, sides: Uint8Array.from(sides, (/** @type {number} */ side) => SIDE[side] ?? 2) };
};

/**
 * @param {{header: Record<string, any>, arrays: Record<string, any>}} content
 * @returns {Quotes}
 */
export const readQuotes = ({ header, arrays }) => {
  require(header.kind === "best", "it holds no best prices");
  const count = arrays.time?.length ?? 0;
  const [times, bid, ask] = columnsOf(arrays, ["time", "bid", "ask"], count);
  ordered(times, "time");
  bounded(bid, 0, LARGEST, "bid");
  bounded(ask, 0, LARGEST, "ask");
  return { times, bids: known(bid), asks: known(ask) };
};

