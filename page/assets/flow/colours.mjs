// The colours, and the table from a cell's 16 bits to its colour. Pure.

export const GROUND = "#0b0f15";
export const BUY = "#3fd0c4";
export const SELL = "#f0703a";
export const POC = "#f3d98b";
export const CURSOR = "#e3b341";
export const TEXT = "#e6edf3";
export const MUTED = "#8b97a8";
export const GRID = "#1c232d";
export const ALERT = "#c58cff";
export const VWAP = "#c9a0ff";
export const LOST = "#ff9b3d";
export const REPEATED = "#5b6675";
/** Taker's side: index 0 sold, 1 bought, 2 unknown. */
export const SIDES = [SELL, BUY, MUTED];

// Lightness only grows, and there is no teal or orange in it, so that trades stand out.
const RAMP = /** @type {[number, number[]][]} */ ([
  [0, [0x0b, 0x0f, 0x15]],
  [0.18, [0x0e, 0x22, 0x3e]],
  [0.45, [0x1a, 0x52, 0x8c]],
  [0.7, [0x62, 0x96, 0xcd]],
  [0.87, [0xf3, 0xd9, 0x8b]],
  [1, [0xff, 0xfb, 0xe8]],
]);
export const RAMP_CSS = RAMP.map(([at, rgb]) => `rgb(${rgb.join()}) ${at * 100}%`).join(",");

/**
 * Return red, green and blue at a share from 0 to 1 of the ramp.
 * @param {number} share
 * @returns {number[]}
 */
export const ramp = (share) => {
  let index = 1;
  while (index < RAMP.length - 1 && RAMP[index][0] < share) index++;
  const [[low, from], [high, to]] = [RAMP[index - 1], RAMP[index]];
  const part = Math.min(1, Math.max(0, (share - low) / (high - low)));
  return from.map((value, channel) => Math.round(value + part * (to[channel] - value)));
};

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/**
 * Return the size that the 15 bits of a cell stand for (bfloat16 without its sign).
 * @param {number} magnitude
 */
export const sizeOf = (magnitude) => {
  bits[0] = magnitude << 16;
  return float[0];
};

/**
 * Return the 15 bits of the bfloat16 nearest to a size.
 * @param {number} size
 */
export const magnitudeOf = (size) => {
  float[0] = Math.abs(size);
  return Math.min(0x7f7f, (bits[0] + 0x7fff + ((bits[0] >> 16) & 1)) >>> 16);
};

/**
 * Return the colour of each of the 32,768 magnitudes as a pixel: logarithmic from `low` to `high`.
 *
 * What is not there is clear; what is less than `low` stays next to the ground, and not on it.
 * @param {number} low
 * @param {number} high
 */
export const palette = (low, high) => {
  const table = new Uint32Array(0x8000);
  const [from, to] = [Math.log(low), Math.log(Math.max(high, low * 1.0001))];
  for (let magnitude = 1; magnitude < 0x7f80; magnitude++) {
    const share = (Math.log(sizeOf(magnitude)) - from) / (to - from);
    const [red, green, blue] = ramp(Math.min(1, Math.max(0.04, share)));
    table[magnitude] = (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return table;
};

/**
 * Return a colour with an opacity.
 * @param {string} colour as #rrggbb
 * @param {number} alpha
 */
export const alpha = (colour, alpha) =>
  colour + Math.round(Math.min(1, Math.max(0, alpha)) * 255).toString(16).padStart(2, "0");
