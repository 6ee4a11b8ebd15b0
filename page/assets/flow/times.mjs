// Times are milliseconds since the epoch, UTC; here they become what a reader's clock shows.

const DAY_MS = 86_400_000;

/** @typedef {"utc" | "local"} Zone */

/**
 * Return how far a zone's clock is ahead of UTC at a moment, in ms.
 * @param {number} ms
 * @param {Zone} zone
 */
export const offsetOf = (ms, zone) =>
  zone === "utc" ? 0 : -new Date(ms).getTimezoneOffset() * 60_000;

/**
 * Return date and time of day, `2024-08-08 23:59:50.000`, with `digits` decimals of the second.
 * @param {number} ms
 * @param {Zone} zone
 */
export const dateAndClock = (ms, zone, digits = 3) => {
  const shifted = ms + offsetOf(ms, zone);
  if (!(Math.abs(shifted) <= 8.64e15)) return "–";
  const text = new Date(shifted).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, digits ? 20 + digits : 19)}`;
};

/**
 * Return the time of day, `23:59:50.000`.
 * @param {number} ms
 * @param {Zone} zone
 */
export const clock = (ms, zone, digits = 3) => dateAndClock(ms, zone, digits).slice(11);

/**
 * Return what a zone is called on this machine: `UTC`, or such as `UTC+2`.
 * @param {number} ms
 * @param {Zone} zone
 */
export const zoneName = (ms, zone) => {
  if (zone === "utc") return "UTC";
  const minutes = offsetOf(ms, zone) / 60_000;
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
};

/**
 * Return the ms of an end of a Plotly time axis, which is a number, or text in UTC that does not say so.
 * @param {number | string} end
 */
export const fromAxis = (end) => {
  if (typeof end === "number") return end;
  return Date.parse(end.length > 10 ? `${end.replace(" ", "T")}Z` : end);
};

/**
 * Return the ms of a time as a reader types it, NaN for what is none: `2024-08-08 23:59:50.250`, or
 * without a date the nearest to `near`; seconds may be left out.
 * @param {string} text
 * @param {Zone} zone
 * @param {number} near
 */
export const readTime = (text, zone, near) => {
  const found = /^(?:(\d{4}-\d\d-\d\d)[ T])?(\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)$/.exec(text.trim());
  if (!found) return NaN;
  const shown = Date.parse(`${found[1] ?? dateAndClock(near, zone).slice(0, 10)}T${found[2]}Z`);
  const ms = shown - offsetOf(shown - offsetOf(shown, zone), zone);
  return found[1] ? ms : ms - DAY_MS * Math.round((ms - near) / DAY_MS);
};
