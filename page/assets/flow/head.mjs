// The head line of the order-flow views: the figures of the newest, or of the moment travelled to.

import { element } from "./ladder.mjs";
import { areaPrices } from "./aside.mjs";
import { headOf, newestTime } from "./model.mjs";
import { duration, fixed, told } from "./numbers.mjs";
import { dateAndClock, zoneName } from "./times.mjs";

/** @typedef {import("./store.mjs").Store} Store */
/** @typedef {import("./state.mjs").Choice} Choice */
/** @typedef {import("./types").Moment} Moment */

const DASH = "–";

export class Head {
  /**
   * @param {HTMLElement} parent
   * @param {() => void} toNewest
   */
  constructor(parent, toNewest) {
    /** @type {Map<string, {name: HTMLElement, value: HTMLElement}>} */
    this.fields = new Map();
    for (const id of ["last", "spread", "delta", "cvd", "area", "cursor"]) {
      const field = element("div", `figure ${id}`);
      const name = field.appendChild(element("span", "label"));
      const value = field.appendChild(element("span", "value"));
      value.id = `flow-${id}`;
      this.fields.set(id, { name, value });
      parent.append(field);
    }
    this.standing = parent.appendChild(element("div", "standing"));
    this.badge = this.standing.appendChild(element("span", "badge travel", "time travel"));
    this.behind = /** @type {HTMLButtonElement} */ (element("button", "behind"));
    this.behind.type = "button";
    this.behind.id = "behind";
    this.behind.addEventListener("click", toNewest);
    this.standing.append(this.behind);
    /** @type {[string, string][]} */
    this.figures = [];
  }

  /**
   * @param {Store} store
   * @param {Choice} choice
   * @param {Moment | null} moment
   * @param {number} right end of the time in view
   * @param {boolean} paused
   */
  show(store, choice, moment, right, paused) {
    const found = headOf(store, choice.moment, moment);
    const decimals = store.footprint?.decimals ?? 2;
    const price = (/** @type {number | null} */ value) => (value === null ? DASH : fixed(value, decimals));
    const area = found.session && areaPrices(found.session.profile, found.session.area, found.session.rowPrice);
    const tick = store.footprint?.tick ?? 1;
    const half = found.session && found.session.rowPrice <= tick * 1.01 ? tick / 2 : 0; // a row of one tick is its price
    const traveling = choice.moment !== null;
    const zone = zoneName(found.at, choice.zone);
    this.set("last", "Last", price(found.last), found.rose ? "up" : "down");
    this.set("spread", "Spread", price(found.spread));
    this.set("delta", "Δ bar", found.delta === null ? DASH : told(found.delta), tone(found.delta));
    this.set("cvd", "CVD", found.cvd === null ? DASH : told(found.cvd));
    const prices = area && [area.poc - half, area.high - (half ? tick : 0), area.low].map(price);
    this.set("area", "POC · VAH · VAL", prices ? prices.join(" · ") : DASH);
    this.set("cursor", `${traveling ? "Cursor" : "Event time"}, ${zone}`, found.at ? dateAndClock(found.at, choice.zone, 0) : DASH);
    const newest = newestTime(store);
    const behind = newest - (traveling ? found.at : right);
    this.badge.hidden = !traveling;
    this.behind.hidden = !traveling && behind <= 0;
    const words = `${duration(Math.max(0, behind))} behind · newest`;
    this.behind.textContent = traveling && paused ? `run paused · ${words}` : words;
    this.behind.title = "Back to the newest (Escape)";
  }

  /**
   * @param {string} id
   * @param {string} name
   * @param {string} value
   */
  set(id, name, value, css = "") {
    const field = this.fields.get(id);
    if (!field) return;
    field.name.textContent = name;
    field.value.textContent = value;
    field.value.className = `value ${id === "last" ? "last" : ""} ${css}`;
    this.figures = [...this.fields].map(([, each]) => [each.name.textContent ?? "", each.value.textContent ?? ""]);
  }
}

/** @param {number | null} value */
const tone = (value) => (value === null || value === 0 ? "" : value > 0 ? "up" : "down");
