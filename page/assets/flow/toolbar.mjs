// The row of controls: views, columns, rows, contrast, dots; and the transport.

import { RAMP_CSS } from "./colours.mjs";
import { element } from "./ladder.mjs";
import { COLUMNS, CONTRASTS, VIEWS } from "./state.mjs";

/** @typedef {import("./state.mjs").State} State */
/** @typedef {import("./state.mjs").Choice} Choice */

/**
 * @typedef {Object} Orders what the buttons do
 * @property {() => void} first
 * @property {(rows: number) => void} step
 * @property {() => void} pause
 * @property {() => void} newest
 * @property {(bars: number) => void} bar
 * @property {(speed: number | "max") => void} speed
 * @property {() => void} seek
 * @property {() => void} picture
 * @property {() => void} help
 */

const NAMES = { bars: "Bars", heatmap: "Heatmap", footprint: "Footprint", both: "Both" };

// Drawn, as common fonts have no such signs.
const ICONS = {
  first: "M3 2h2v12H3zM13 2 6 8l7 6z",
  barBack: "M8 3 3 8l5 5 1.2-1.2L5.4 8l3.8-3.8zM12.6 3l-5 5 5 5 1.2-1.2L10 8l3.8-3.8z",
  back: "M10.4 2.6 5 8l5.4 5.4 1.3-1.3L7.6 8l4.1-4.1z",
  pause: "M4 2h3v12H4zM9 2h3v12H9z",
  play: "M4 2l9 6-9 6z",
  on: "M5.6 2.6 11 8l-5.4 5.4-1.3-1.3L8.4 8 4.3 3.9z",
  barOn: "M8 3l5 5-5 5-1.2-1.2L10.6 8 6.8 4.2zM3.4 3l5 5-5 5-1.2-1.2L6 8 2.2 4.2z",
  seek: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 3.1a4.9 4.9 0 1 1 0 9.8 4.9 4.9 0 0 1 0-9.8zM7.2 4.6h1.6v3l2.2 2.2-1.1 1.1-2.7-2.7z",
  last: "M11 2h2v12h-2zM3 2l7 6-7 6z",
  picture: "M2 5h3l1-2h4l1 2h3v8H2zM8 11.2a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8z",
};

/**
 * @param {keyof typeof ICONS} name
 */
const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
};

/**
 * @param {string} id
 * @param {string} label
 * @param {() => void} act
 * @param {keyof typeof ICONS} [sign]
 */
const button = (id, label, act, sign) => {
  const made = /** @type {HTMLButtonElement} */ (element("button", "control", sign ? "" : label));
  made.type = "button";
  made.id = id;
  if (sign) made.append(icon(sign));
  made.title = label;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
};

/**
 * @param {string} id
 * @param {string} label
 * @param {[string, string][]} options value and words
 * @param {(value: string) => void} act
 */
const select = (id, label, options, act) => {
  const field = element("label", "field");
  if (label) field.append(element("span", "label", label));
  const made = document.createElement("select");
  made.id = id;
  made.append(...options.map(([value, words]) => new Option(words, value)));
  made.addEventListener("change", () => {
    act(made.value);
    made.blur(); // so that the next key is the chart's
  });
  field.append(made);
  return { field, made };
};

export class Toolbar {
  /**
   * @param {HTMLElement} parent
   * @param {State} state
   * @param {Orders} orders
   */
  constructor(parent, state, orders) {
    this.state = state;
    /** @type {HTMLButtonElement | null} only on a phone */
    this.more = null;
    const views = element("div", "segments");
    views.setAttribute("role", "group");
    views.setAttribute("aria-label", "View");
    parent.setAttribute("aria-label", "View and transport");
    this.views = VIEWS.map((view) => button(`view-${view}`, NAMES[view], () => state.set({ view })));
    views.append(...this.views);
    const columns = /** @type {[string, string][]} */ (COLUMNS.map((ms) => [String(ms), ms < 1000 ? `${ms} ms` : `${ms / 1000} s`]));
    this.columns = select("columns", "Columns", [["0", "auto"], ...columns], (value) =>
      state.set({ columns: Number(value) }),
    );
    this.rows = select("rows", "Rows", [["0", "auto"]], (value) => state.set({ rows: Number(value), foot: null }));
    const contrasts = CONTRASTS.map((range) => /** @type {[string, string]} */ ([range.join("-"), `p${range.join(" – p")}`]));
    this.contrast = select("contrast", "Contrast", contrasts, (value) => {
      const [low, high] = value.split("-").map(Number);
      state.set({ contrast: [low, high] });
    });
    const ramp = element("span", "ramp");
    ramp.style.background = `linear-gradient(90deg, ${RAMP_CSS})`;
    this.contrast.field.insertBefore(ramp, this.contrast.made);
    this.dots = select("dots", "Dots ≥", [["0", "auto"]], (value) => state.set({ dots: Number(value) }));
    const choices = element("div", "choices");
    choices.append(this.columns.field, this.rows.field, this.contrast.field, this.dots.field);
    this.choices = choices;
    this.vwap = button("vwap", "VWAP", () => state.set({ vwap: !state.choice.vwap }));
    this.zone = button("zone", "UTC", () => state.set({ zone: state.choice.zone === "utc" ? "local" : "utc" }));
    choices.append(this.vwap, this.zone);
    parent.append(views, choices, this.makeTransport(orders));
  }

  /** @param {Orders} orders */
  makeTransport(orders) {
    const transport = element("div", "transport");
    this.first = button("first", "To the first moment (Home)", orders.first, "first");
    this.back = button("back", "One book row back (←)", () => orders.step(-1), "back");
    this.pause = button("pause", "Pause the run for all tabs (space)", orders.pause, "pause");
    this.on = button("on", "One book row on (→)", () => orders.step(1), "on");
    this.newest = button("newest", "To the newest (Escape)", orders.newest, "last");
    this.barBack = button("bar-back", "One bar back (Shift ←)", () => orders.bar(-1), "barBack");
    this.barOn = button("bar-on", "One bar on (Shift →)", () => orders.bar(1), "barOn");
    this.speed = select("speed", "", [], (value) => orders.speed(value === "max" ? "max" : Number(value)));
    this.speed.made.setAttribute("aria-label", "Speed of the run, for all tabs");
    this.seek = button("seek", "Take the run to a time (G)", orders.seek, "seek");
    this.picture = button("picture", "Save a picture (S)", orders.picture, "picture");
    this.more = button("more", "⋯", () => {
      const shown = transport.parentElement?.classList.toggle("more") ?? false;
      this.more?.setAttribute("aria-expanded", String(shown));
    });
    this.more.title = "Columns, rows, contrast, dots";
    this.help = button("help", "?", orders.help);
    this.help.title = "Keys and signs (?)";
    const moves = [this.first, this.barBack, this.back, this.pause, this.on, this.barOn, this.newest];
    transport.append(...moves, this.speed.field, this.seek, this.picture, this.more, this.help);
    this.transport = transport;
    return transport;
  }

  /**
   * @param {Choice} choice
   * @param {{rows: number[], decimals: number, dots: number[]}} offered
   * @param {{obeys: boolean, paused: boolean, speed: number | "max" | null}} run
   */
  show(choice, offered, run) {
    this.views.forEach((made, index) => {
      made.setAttribute("aria-pressed", String(VIEWS[index] === choice.view));
    });
    const isFlow = choice.view !== "bars";
    this.choices.hidden = !isFlow;
    /** @type {HTMLElement} */ (this.transport).hidden = !isFlow;
    const price = (/** @type {number} */ value) => String(Number(value.toFixed(offered.decimals)));
    offer(this.rows.made, offered.rows, choice.rows, price);
    offer(this.dots.made, offered.dots, choice.dots, (value) => String(Number(value.toPrecision(3))));
    this.columns.made.value = String(choice.columns);
    this.contrast.made.value = choice.contrast.join("-");
    this.vwap.setAttribute("aria-pressed", String(choice.vwap));
    this.zone.textContent = choice.zone === "utc" ? "UTC" : "local";
    this.zone.title = "Time of the axis: UTC or this machine's (Z)";
    const heat = choice.view === "heatmap" || choice.view === "both";
    for (const { field } of [this.columns, this.contrast, this.dots]) field.hidden = !heat;
    this.showRun(run);
  }

  /** @param {{obeys: boolean, paused: boolean, speed: number | "max" | null}} run */
  showRun({ obeys, paused, speed }) {
    const pause = /** @type {HTMLButtonElement} */ (this.pause);
    pause.disabled = !obeys;
    pause.replaceChildren(icon(paused ? "play" : "pause"));
    const words = paused ? "Let the run go on" : "Pause the run";
    pause.title = obeys ? `${words}, for all tabs (space)` : "There is no run that can be paused";
    pause.setAttribute("aria-label", pause.title);
    pause.setAttribute("aria-pressed", String(paused));
    const { field, made } = /** @type {ReturnType<typeof select>} */ (this.speed);
    const seek = /** @type {HTMLButtonElement} */ (this.seek);
    field.hidden = speed === null || !obeys;
    seek.hidden = !obeys;
    field.title = "Speed of the run, for all tabs (+ and −)";
    if (speed !== null) offerSpeeds(made, speed);
  }
}

/**
 * Give a select its values, and the chosen one where it is none of them.
 * @param {HTMLSelectElement} field
 * @param {number[]} values
 * @param {number} chosen
 * @param {(value: number) => string} words
 */
const offer = (field, values, chosen, words) => {
  const all = [...new Set([0, ...values, chosen])].sort((a, b) => a - b);
  const wanted = all.join();
  if (field.dataset.values !== wanted && document.activeElement !== field) {
    field.replaceChildren(...all.map((value) => new Option(value ? words(value) : "auto", String(value))));
    field.dataset.values = wanted;
  }
  field.value = String(chosen);
};

const SPEEDS = [0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1000];

/**
 * Offer speeds, that of the run among them; "max" waits for nothing.
 * @param {HTMLSelectElement} field
 * @param {number | "max"} speed
 */
const offerSpeeds = (field, speed) => {
  const known = speed === "max" || SPEEDS.includes(speed) ? SPEEDS : [...SPEEDS, speed].sort((a, b) => a - b);
  const wanted = known.join();
  if (field.dataset.values !== wanted && document.activeElement !== field) {
    const options = known.map((each) => new Option(`×${Number(each.toPrecision(3))}`, String(each)));
    field.replaceChildren(...options, new Option("max", "max"));
    field.dataset.values = wanted;
  }
  if (document.activeElement !== field) field.value = String(speed);
};
