// The book and the trades of one moment, as lists beside the chart: whole rows alone, as many as
// there is room for.

import { clock } from "./times.mjs";
import { decimalsOf, fixed } from "./numbers.mjs";
import { linesUpTo } from "./tape.mjs";

/** @typedef {import("./types").Level} Level */
/** @typedef {import("./types").Moment} Moment */
/** @typedef {import("./types").Trades} Trades */
/** @typedef {import("./types").Quotes} Quotes */
/** @typedef {import("./times.mjs").Zone} Zone */

const ROW = 19;
const PHONE_ROWS = 10;

/**
 * @param {string} tag
 * @param {string} css
 * @param {string} text
 */
export const element = (tag, css = "", text = "") => {
  const made = document.createElement(tag);
  if (css) made.className = css;
  if (text) made.textContent = text;
  return made;
};

/**
 * Return decimals for a column of sizes: in full, as far as nine digits leave room.
 * @param {number[]} values
 */
const columnDecimals = (values) => {
  const whole = String(Math.trunc(Math.max(0, ...values))).length;
  return Math.max(0, Math.min(decimalsOf(values, 8), 9 - whole));
};

const MOST_WHOLE = 1e9; // from here on a column has no room for all digits
const MOST_LETTERS = 44;
const LONG_DECIMALS = 8; // with more, two prices side by side need smaller letters

/**
 * @param {number} size
 * @param {number} places
 */
const sized = (size, places) => (size < MOST_WHOLE ? fixed(size, places) : `${fixed(size / 1e9, 4)}B`);

/** What a list was made of: as long as it is the same, the list stays as it is. */
class Made {
  constructor() {
    /** @type {unknown[]} */
    this.of = [];
  }

  /** @param {unknown[]} parts */
  isOf(...parts) {
    const same = parts.length === this.of.length && parts.every((part, index) => part === this.of[index]);
    this.of = parts;
    return same;
  }
}

/** The ladder: asks above, bids below, best next to the middle. */
export class Ladder {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    const head = element("div", "list-head");
    this.title = head.appendChild(element("span", "", "Book"));
    head.append(element("span", "", "size · sum"));
    this.asks = element("div", "side asks");
    this.middle = element("div", "middle");
    this.bids = element("div", "side bids");
    parent.append(head, this.asks, this.middle, this.bids);
    this.made = new Made();
  }

  /** Make the rows anew with the next `show`: there may be room for more or fewer. */
  forget() {
    this.made.of = [];
  }

  /**
   * @param {{bids: Level[], asks: Level[]} | null} book best first
   * @param {string} title
   * @param {number} decimals of prices
   * @param {boolean} exact
   * @param {boolean} phone
   */
  show(book, title, decimals, exact, phone) {
    this.title.textContent = title;
    if (this.made.isOf(book, decimals, exact, phone)) return;
    const { bids, asks } = book ?? { bids: [], asks: [] };
    const room = phone ? PHONE_ROWS : Math.max(1, Math.floor(this.asks.clientHeight / ROW));
    const shown = [asks.slice(0, room), bids.slice(0, room)];
    const sizes = shown.flat().map((level) => level.size);
    const most = Math.max(1e-300, ...sizes);
    const places = exact ? columnDecimals(sizes) : 1;
    this.asks.replaceChildren(...rows(shown[0], decimals, places, most, "ask").reverse());
    this.bids.replaceChildren(...rows(shown[1], decimals, places, most, "bid"));
    this.middle.textContent = middle(bids[0], asks[0], decimals);
  }
}

/**
 * @param {Level[]} levels
 * @param {number} decimals
 * @param {number} places
 * @param {number} most
 * @param {string} side
 */
const rows = (levels, decimals, places, most, side) => {
  let sum = 0;
  return levels.map(({ price, size }) => {
    sum += size;
    const row = element("div", `row ${side}`);
    row.style.backgroundSize = `${((size / most) * 100).toFixed(1)}% 100%`;
    row.append(
      element("span", "price", fixed(price, decimals)),
      element("span", "", sized(size, places)),
      element("span", "", sized(sum, Math.min(places, 3))),
    );
    return row;
  });
};

/**
 * @param {Level | undefined} bid
 * @param {Level | undefined} ask
 * @param {number} decimals
 */
const middle = (bid, ask, decimals) => {
  if (!bid && !ask) return "no book";
  if (!bid || !ask) return bid ? "no asks" : "no bids";
  const mid = (bid.price + ask.price) / 2;
  const spread = ask.price - bid.price;
  const points = fixed((spread / mid) * 10_000, 2);
  const crossed = spread <= 0 ? " · crossed" : "";
  const exact = `mid ${fixed(mid, decimals + 1)} · spread ${fixed(spread, decimals)} (${points} bp)${crossed}`;
  return exact.length > MOST_LETTERS ? `mid ${fixed(mid, decimals + 1)} · spread ${points} bp${crossed}` : exact;
};

/** Time & sales: the newest first. */
export class TimeAndSales {
  /** @param {HTMLElement} parent */
  constructor(parent) {
    const head = element("div", "list-head");
    this.title = head.appendChild(element("span", "", "Time & sales"));
    head.append(element("span", "", "price · size"));
    this.body = element("div", "tape");
    parent.append(head, this.body);
    this.made = new Made();
  }

  /** Make the lines anew with the next `show`: there may be room for more or fewer. */
  forget() {
    this.made.of = [];
  }

  /**
   * @param {Trades | null} trades
   * @param {Quotes | null} quotes
   * @param {number} moment
   * @param {{title: string, decimals: number, zone: Zone, phone: boolean, large: number}} options
   *   `large`: the size from which on a line is marked
   */
  show(trades, quotes, moment, { title, decimals, zone, phone, large }) {
    this.title.textContent = title;
    const newest = Math.max(trades?.times.at(-1) ?? 0, quotes?.times.at(-1) ?? 0);
    if (this.made.isOf(trades, quotes, Math.min(moment, newest), decimals, zone, phone, large)) return;
    const room = phone ? PHONE_ROWS + 4 : Math.max(1, Math.floor(this.body.clientHeight / ROW));
    if (!trades?.times.length) {
      this.body.replaceChildren(element("div", "none", "no trades"));
      return;
    }
    const lines = linesUpTo(trades, quotes, moment, room);
    const places = columnDecimals(lines.filter((line) => line.side >= 0).map((line) => line.size));
    this.body.replaceChildren(
      ...lines.map((line) => {
        if (line.side < 0) {
          const row = element("div", decimals > LONG_DECIMALS ? "row quote long" : "row quote");
          const arrow = line.rose ? "▲" : "▼";
          row.append(
            element("span", "", clock(line.time, zone)),
            element("span", "", `${arrow} ${fixed(line.price, decimals)} / ${fixed(line.size, decimals)}`),
          );
          return row;
        }
        const row = element("div", `row ${["sold", "bought", ""][line.side]}`);
        if (line.size >= large) row.classList.add("large");
        const many = line.count > 1 ? `${line.count}× ` : "";
        row.append(
          element("span", "", clock(line.time, zone)),
          element("span", "price", fixed(line.price, decimals)),
          element("span", "", many + sized(line.size, places)),
        );
        return row;
      }),
    );
    if (!lines.length) this.body.replaceChildren(element("div", "none", "no trades up to this moment"));
  }
}
