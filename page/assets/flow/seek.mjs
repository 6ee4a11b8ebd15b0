// Ask where the run is to go: the transport's dialog. All tabs share the run, and so its place.

import { element } from "./ladder.mjs";
import { dateAndClock, readTime, zoneName } from "./times.mjs";

/** @typedef {import("./times.mjs").Zone} Zone */

/**
 * @typedef {Object} Where
 * @property {number} time that is offered, ms
 * @property {number | null} start of the run's range
 * @property {number | null} end of it; the run can go to any time before
 * @property {Zone} zone
 */

export class Seek {
  /** @param {(time: number) => void} go */
  constructor(go) {
    this.go = go;
    /** @type {Where} */
    this.where = { time: 0, start: null, end: null, zone: "utc" };
    const dialog = /** @type {HTMLDialogElement} */ (element("dialog", "help seek"));
    dialog.id = "seek-dialog";
    dialog.setAttribute("aria-label", "Take the run to a time");
    const form = document.createElement("form");
    form.method = "dialog";
    const label = element("label", "field");
    this.title = label.appendChild(element("span", "label"));
    this.input = label.appendChild(document.createElement("input"));
    this.input.id = "seek-time";
    this.input.autocomplete = "off";
    this.input.spellcheck = false;
    this.words = element("p", "words");
    this.problem = element("p", "problem");
    this.problem.setAttribute("role", "alert");
    const [go_, cancel] = [element("button", "control go", "Go there"), element("button", "control", "Cancel")];
    go_.id = "seek-go";
    /** @type {HTMLButtonElement} */ (cancel).type = "button";
    cancel.addEventListener("click", () => dialog.close());
    const buttons = element("div", "buttons");
    buttons.append(go_, cancel);
    form.append(element("h2", "", "Take the run to"), label, this.words, this.problem, buttons);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    dialog.append(form);
    document.body.append(dialog);
    this.dialog = dialog;
  }

  /** @param {Where} where */
  open(where) {
    this.where = where;
    const { time, start, end, zone } = where;
    this.title.textContent = `Time, ${zoneName(time, zone)}`;
    this.input.value = dateAndClock(time, zone);
    const range = start !== null && end !== null ? `From ${dateAndClock(start, zone, 0)} to before ${dateAndClock(end, zone, 0)}. ` : "";
    this.words.textContent = `${range}All tabs share the run. Going back, it starts over and runs there at full speed.`;
    this.problem.textContent = "";
    this.dialog.showModal();
    this.input.select();
  }

  submit() {
    const { time, start, end, zone } = this.where;
    const wanted = readTime(this.input.value, zone, time);
    if (Number.isNaN(wanted)) this.problem.textContent = "That is no time; one is such as 23:59:50.250";
    else if ((start !== null && wanted < start) || (end !== null && wanted >= end)) {
      this.problem.textContent = "That is outside the run's range.";
    } else {
      this.dialog.close();
      this.go(wanted);
    }
  }
}
