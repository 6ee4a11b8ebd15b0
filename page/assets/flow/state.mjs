// What the reader has chosen: kept in the address' fragment, and the view also for the next visit.

/** @typedef {import("./types").View} View */
/** @typedef {import("./types").Range} Range */

/**
 * @typedef {Object} Choice
 * @property {View} view
 * @property {number} columns ms, 0 for auto
 * @property {number} rows price of a row, 0 for auto
 * @property {Range} contrast percentiles
 * @property {number} dots least size of a dot, 0 for auto
 * @property {"utc" | "local"} zone
 * @property {boolean} vwap
 * @property {boolean} zeros whether an empty neighbour makes an imbalance
 * @property {number | null} moment what is travelled to; null is the newest
 * @property {number | null} row of the recording, where several rows have the moment's time
 * @property {Range | null} range of time, as the reader set it; null follows the newest
 * @property {number} span ms in view while the newest is followed, 0 for auto
 * @property {Range | null} heat prices, as the reader set them; null fits what is visible
 * @property {Range | null} foot
 */

export const VIEWS = /** @type {View[]} */ (["bars", "heatmap", "footprint", "both"]);
export const COLUMNS = [250, 1000, 4000, 16_000, 64_000];
export const CONTRASTS = /** @type {Range[]} */ ([
  [50, 99.7],
  [25, 99.7],
  [50, 99],
  [75, 99.9],
  [90, 99.9],
]);
const DEFAULT_VIEW = /** @type {View} */ ("bars");
const KEPT = "order-flow-view";
// Beyond it there is no date to show.
const LAST_MS = 253_402_300_799_999;

/** @returns {Choice} */
const defaults = () => ({
  view: DEFAULT_VIEW,
  columns: 0,
  rows: 0,
  contrast: CONTRASTS[0],
  dots: 0,
  zone: "utc",
  vwap: true,
  zeros: true,
  moment: null,
  row: null,
  range: null,
  span: 0,
  heat: null,
  foot: null,
});

/**
 * Return the choice that a fragment such as `#view=both&at=2024-08-08T23:59:50.000Z` stands for.
 * What is none is left as it is by default.
 * @param {string} fragment
 * @param {string | null} kept the view of the last visit
 */
export const parse = (fragment, kept = null) => {
  const words = new URLSearchParams(fragment.replace(/^#/, ""));
  const choice = defaults();
  for (const view of [kept, words.get("view")]) {
    if (VIEWS.includes(/** @type {View} */ (view))) choice.view = /** @type {View} */ (view);
  }
  const columns = Number(words.get("columns"));
  if (COLUMNS.includes(columns)) choice.columns = columns;
  choice.rows = positive(words.get("rows"));
  choice.dots = positive(words.get("dots"));
  const contrast = pair(words.get("contrast"), "-", 0, 100);
  if (contrast) choice.contrast = contrast;
  if (words.get("zone") === "local") choice.zone = "local";
  if (words.get("vwap") === "off") choice.vwap = false;
  if (words.get("zeros") === "off") choice.zeros = false;
  choice.moment = moment(words.get("at"));
  const row = words.get("row") ?? "";
  if (choice.moment !== null && /^\d{1,15}$/.test(row)) choice.row = Number(row);
  const [from, to] = [moment(words.get("from")), moment(words.get("to"))];
  if (from !== null && to !== null && from < to) choice.range = [from, to];
  const span = positive(words.get("span"));
  if (span <= LAST_MS) choice.span = span;
  choice.heat = pair(words.get("heat"), "~", 0, 1e30);
  choice.foot = pair(words.get("foot"), "~", 0, 1e30);
  return choice;
};

/** @param {string | null} text */
const positive = (text) => {
  const value = Number(text);
  return value > 0 && value < 1e30 ? value : 0;
};

/**
 * @param {string | null} text
 * @param {string} between
 * @param {number} least
 * @param {number} most
 * @returns {Range | null}
 */
const pair = (text, between, least, most) => {
  const [low, high, rest] = (text ?? "").split(between).map(Number);
  return rest === undefined && low >= least && high <= most && low < high ? [low, high] : null;
};

/** @param {string | null} text */
const moment = (text) => {
  const ms = text ? Date.parse(text) : NaN;
  return ms >= 0 && ms <= LAST_MS ? ms : null;
};

/**
 * Return the fragment of a choice; what is as by default is not in it.
 * @param {Choice} choice
 */
export const format = (choice) => {
  const usual = defaults();
  const iso = (/** @type {number} */ ms) => new Date(Math.round(ms)).toISOString();
  const words = new URLSearchParams();
  words.set("view", choice.view);
  if (choice.moment !== null) words.set("at", iso(choice.moment));
  if (choice.row !== null) words.set("row", String(choice.row));
  if (choice.range) {
    words.set("from", iso(choice.range[0]));
    words.set("to", iso(choice.range[1]));
  }
  for (const name of /** @type {const} */ (["columns", "rows", "dots", "zone", "span"])) {
    if (choice[name] !== usual[name]) words.set(name, String(choice[name]));
  }
  if (choice.contrast.join() !== usual.contrast.join()) words.set("contrast", choice.contrast.join("-"));
  for (const name of /** @type {const} */ (["vwap", "zeros"])) if (!choice[name]) words.set(name, "off");
  for (const name of /** @type {const} */ (["heat", "foot"])) {
    const range = choice[name];
    if (range) words.set(name, range.map((end) => Number(end.toPrecision(12))).join("~"));
  }
  return `#${words.toString().replaceAll("%3A", ":").replaceAll("%7E", "~")}`;
};

// A browser may be told to keep nothing: then a choice lasts as long as the page.
const remembered = () => {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
};

/** @param {string} view */
const remember = (view) => {
  try {
    localStorage.setItem(KEPT, view);
  } catch {
    /* see above */
  }
};

/** The choice, and who wants to hear of changes. */
export class State {
  constructor() {
    /** @type {Choice} */
    this.choice = parse(location.hash, remembered());
    /** @type {((changed: Set<string>) => void)[]} */
    this.listeners = [];
    this.writing = 0;
    addEventListener("hashchange", () => {
      if (location.hash !== format(this.choice)) this.set(parse(location.hash, this.choice.view));
    });
  }

  /** @param {(changed: Set<string>) => void} listener */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /** @param {Partial<Choice>} update */
  set(update) {
    const before = this.choice;
    const after = { ...before, ...update };
    const names = /** @type {(keyof Choice)[]} */ (Object.keys(after));
    const changed = new Set(names.filter((name) => String(after[name]) !== String(before[name])));
    if (!changed.size) return;
    this.choice = after;
    if (changed.has("view")) remember(after.view);
    this.write();
    for (const listener of this.listeners) listener(/** @type {Set<string>} */ (changed));
  }

  // Browsers refuse more than some hundred changes of the address in half a minute.
  write() {
    if (!this.writing) addEventListener("pagehide", () => history.replaceState(null, "", format(this.choice)));
    clearTimeout(this.writing);
    this.writing = setTimeout(() => history.replaceState(null, "", format(this.choice)), 300);
  }
}
