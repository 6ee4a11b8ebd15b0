// What sizes are in. Files have them as recorded; where the server knows a contract's value, the page
// shows base currency (linear) or quote currency (inverse), and multiplies what it takes in.

/** @typedef {import("./types").Footprint} Footprint */
/** @typedef {import("./types").Level} Level */
/** @typedef {import("./types").Rows} Rows */
/** @typedef {import("./types").Trades} Trades */
/** @typedef {import("./types").Unit} Unit */

/** @type {Unit} */
export const RECORDED = { name: null, factor: 1 };

/**
 * @param {Float64Array} sizes
 * @param {number} factor
 */
const times = (sizes, factor) => {
  for (let index = 0; index < sizes.length; index++) sizes[index] *= factor;
};

/**
 * @param {Rows} rows
 * @param {number} factor
 */
const scaleRows = ({ sold, bought, other }, factor) => {
  for (const sizes of [sold, bought, other]) times(sizes, factor);
};

/**
 * Multiply the sizes of bars and of the session.
 * @param {Footprint} footprint
 * @param {number} factor
 */
export const scaleFootprint = ({ bars, session }, factor) => {
  if (factor === 1) return;
  for (const bar of bars) {
    for (const name of /** @type {const} */ (["volume", "delta", "minDelta", "maxDelta"])) bar[name] *= factor;
    scaleRows(bar.cells, factor);
  }
  if (session) scaleRows(session.profile, factor);
};

/**
 * Multiply the sizes of trades.
 * @param {Trades} trades
 * @param {number} factor
 */
export const scaleTrades = ({ sizes }, factor) => {
  if (factor !== 1) times(sizes, factor);
};

/**
 * Return the levels of a JSON answer, `[[price, size], …]`.
 * @param {[number, number][]} pairs
 * @param {number} factor
 * @returns {Level[]}
 */
export const levelsOf = (pairs, factor) =>
  pairs.map(([price, size]) => ({ price: Number(price), size: Number(size) * factor }));
