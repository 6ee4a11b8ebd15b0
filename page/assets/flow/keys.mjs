// Keys, and the list of them.

import { element } from "./ladder.mjs";

/** @typedef {import("./state.mjs").State} State */

/**
 * @typedef {Object} Acts
 * @property {(rows: number) => void} step
 * @property {(bars: number) => void} bar
 * @property {() => void} first
 * @property {() => void} newest
 * @property {() => void} pause
 * @property {(factor: number) => void} speed
 * @property {() => void} picture
 * @property {() => void} whole
 * @property {() => void} zone
 * @property {() => void} seek
 */

const KEYS = /** @type {[string, string][]} */ ([
  ["click", "travel to that moment: book, trades, head line and profiles are those of it"],
  ["drag · wheel", "move · zoom the time; with Shift the prices too"],
  ["drag the price axis", "stretch the prices; double click there fits them again"],
  ["double click", "everything there is"],
  ["← →", "one book row back, on; at the newest → lets a paced run make one"],
  ["Shift ← →", "one bar back, on; at the newest likewise"],
  ["Home · Escape", "to the first moment · to the newest"],
  ["space", "pause the run, or let it go on (shared by all tabs)"],
  ["+ −", "the run twice as fast, half as fast (shared by all tabs)"],
  ["G", "take the run to a time (shared by all tabs)"],
  ["1 2 3 4", "Bars, Heatmap, Footprint, Both"],
  ["V · Z · A", "VWAP on or off · UTC or local time · everything"],
  ["S", "save a picture"],
  ["?", "this list"],
]);

const SIGNS = /** @type {[string, string][]} */ ([
  ["dots", "trades by taker, teal bought, orange sold; those of one column, row and side together"],
  ["footprint", "sold × bought per row; a gold box is the row with the most volume"],
  ["coloured edge", "imbalance: bought three times what was sold one row below, or sold three times what was bought one above"],
  ["VAH POC VAL", "value area of what is visible: 70 % of its volume around the busiest row"],
  ["violet dashes", "VWAP of the UTC day"],
  ["hatched", "data issues: orange is lost, grey was only repeated; point there for words"],
  ["▲ ▼ ◆", "a trading run: bought, sold (hollow as maker), an alert"],
  ["dimmed", "the future of the moment travelled to"],
]);

/**
 * @param {[string, string][]} rows
 */
const list = (rows) => {
  const made = element("dl");
  for (const [name, words] of rows) made.append(element("dt", "", name), element("dd", "", words));
  return made;
};

export class Help {
  /** @param {State} state */
  constructor(state) {
    const dialog = /** @type {HTMLDialogElement} */ (element("dialog", "help"));
    dialog.id = "help-dialog";
    dialog.setAttribute("aria-label", "Keys and signs");
    const close = /** @type {HTMLButtonElement} */ (element("button", "control", "Close"));
    close.type = "button";
    close.addEventListener("click", () => dialog.close());
    const zeros = document.createElement("input");
    zeros.type = "checkbox";
    zeros.id = "zeros";
    zeros.checked = state.choice.zeros;
    zeros.addEventListener("change", () => state.set({ zeros: zeros.checked }));
    const setting = element("label", "setting");
    setting.append(zeros, " an empty neighbour makes an imbalance too");
    const title = element("h2", "", "Keys");
    title.tabIndex = -1; // so that the list opens at its beginning
    title.autofocus = true;
    dialog.append(title, list(KEYS), element("h2", "", "Signs"), list(SIGNS), setting, close);
    document.body.append(dialog);
    this.dialog = dialog;
  }

  toggle() {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }
}

/**
 * @param {State} state
 * @param {Help} help
 * @param {Acts} acts
 */
export const listenToKeys = (state, help, acts) => {
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const keys = {
    ArrowLeft: (event) => (event.shiftKey ? acts.bar(-1) : acts.step(-1)),
    ArrowRight: (event) => (event.shiftKey ? acts.bar(1) : acts.step(1)),
    Home: acts.first,
    End: acts.newest,
    Escape: acts.newest,
    " ": acts.pause,
    "+": () => acts.speed(2),
    "=": () => acts.speed(2),
    "-": () => acts.speed(0.5),
    s: acts.picture,
    z: acts.zone,
    v: () => state.set({ vwap: !state.choice.vwap }),
    a: acts.whole,
    g: acts.seek,
  };
  addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches?.("input, select, textarea")) return;
    if (document.body.classList.contains("has-flow") && "1234".includes(event.key)) {
      state.set({ view: /** @type {const} */ (["bars", "heatmap", "footprint", "both"])[Number(event.key) - 1] });
      return;
    }
    if (state.choice.view === "bars" || document.querySelector("dialog[open]")) return;
    if (event.key === "?") {
      event.preventDefault();
      help.toggle();
      return;
    }
    if (event.key === " " && target.matches?.("button")) return; // presses that button
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
};
