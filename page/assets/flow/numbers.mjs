// Write numbers and times as traders read them. Pure.

const MINUS = "−"; // as wide as a plus
const UNITS = /** @type {[number, string][]} */ ([
  [1e9, "B"],
  [1e6, "M"],
  [1e4, "k"],
]);

/**
 * Return a volume in the few characters that a cell of 44 px has room for, two a cell: whole from 10
 * on, else one decimal and no zero before it (`.8`). `0` is nothing at all, `.0` less than 0.05.
 * @param {number} value
 */
export const cell = (value) => {
  const size = Math.abs(value);
  if (size === 0) return "0";
  for (const [limit, unit] of UNITS) {
    if (size >= limit) return `${trimmed(size / (unit === "k" ? 1000 : limit))}${unit}`;
  }
  return trimmed(size);
};

/** @param {number} size */
const trimmed = (size) =>
  size >= 9.95 ? String(Math.round(size)) : size.toFixed(1).replace(/^0(?=\.)/, "");

/**
 * Return a signed volume as `cell` does, with its sign: `+26`, `−.3`, `0`.
 * @param {number} value
 */
export const signed = (value) => (value ? (value < 0 ? MINUS : "+") : "") + cell(value);

/**
 * Return a signed volume where there is room: as `signed`, of less than 1 two digits.
 * @param {number} value
 */
export const told = (value) => {
  const size = Math.abs(value);
  if (size === 0 || size >= 1) return signed(value);
  return (value < 0 ? MINUS : "+") + decimal(size);
};

/** @param {number} size below 1 */
const decimal = (size) => size.toFixed(Math.min(12, 1 - Math.floor(Math.log10(size)))).replace(/^0(?=\.)/, "");

/**
 * Return what sizes are multiplied by in cells, so that most of them are more than `.0`: 1 wherever
 * that does, else 1000 or a million.
 * @param {ArrayLike<number>} sorted sizes above 0
 */
export const cellScale = (sorted) => {
  const middle = sorted[Math.floor(sorted.length / 2)] ?? 1;
  return middle >= 0.05 ? 1 : middle >= 0.000_05 ? 1000 : 1_000_000;
};

/**
 * Return `value` with `decimals` decimals and thousands separated.
 * @param {number} value
 * @param {number} decimals
 */
export const fixed = (value, decimals) => {
  const [whole, rest] = Math.abs(value).toFixed(decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const zero = !/[1-9]/.test(whole + (rest ?? ""));
  return (value < 0 && !zero ? MINUS : "") + grouped + (rest ? `.${rest}` : "");
};

/**
 * Return how many decimals write every value in full, at most `most`.
 * @param {Iterable<number>} values
 */
export const decimalsOf = (values, most = 8) => {
  let found = 0;
  for (const value of values) {
    const size = Math.abs(value);
    while (found < most && Math.abs(size - Number(size.toFixed(found))) > size * 1e-12) found++;
  }
  return found;
};

/**
 * Return the smallest of 1, 2, 5, 10, 20, 50, … that is at least `least`.
 * @param {number} least
 */
export const nice = (least) => {
  if (!(least > 1)) return 1;
  const power = 10 ** Math.floor(Math.log10(least) + 1e-9);
  for (const step of [1, 2, 5]) if (step * power >= least * (1 - 1e-9)) return step * power;
  return 10 * power;
};

/**
 * Return a length of time in words: `850 ms`, `12.5 s`, `4 min 10 s`, `3 h 5 min`.
 * @param {number} ms
 */
export const duration = (ms) => {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return parts(seconds, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  return minutes < 1440 ? parts(minutes, 60, "h", "min") : parts(Math.round(minutes / 60), 24, "d", "h");
};

/**
 * @param {number} value
 * @param {number} base
 * @param {string} large
 * @param {string} small
 */
const parts = (value, base, large, small) => {
  const rest = value % base;
  return `${Math.floor(value / base)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
};
