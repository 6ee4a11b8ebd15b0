// The elements that the order-flow views are drawn into.

import { element } from "./ladder.mjs";

/**
 * @param {string} id
 */
const canvas = (id) => {
  const made = document.createElement("canvas");
  made.id = id;
  made.setAttribute("aria-hidden", "true");
  return made;
};

/**
 * @param {HTMLElement} parent
 * @param {string} css
 * @param {string} label
 */
const list = (parent, css, label) => {
  const made = parent.appendChild(element("section", `list ${css}`));
  made.setAttribute("aria-label", label);
  return made;
};

/**
 * Fill an element with the chart, the lists beside it and the strip below.
 *
 * The canvases are beside the figure, one before it and one after, so that it is between them.
 * @param {HTMLElement} root
 */
export const buildFrame = (root) => {
  const main = element("div", "flow-main");
  const area = main.appendChild(element("div", "flow-chart"));
  area.id = "flow-chart";
  const [under, over] = [canvas("flow-under"), canvas("flow-over")];
  const plot = element("div", "flow-plot");
  plot.id = "flow-plot";
  const hint = area.appendChild(element("div", "flow-hint"));
  const note = element("div", "flow-note");
  note.setAttribute("role", "status");
  area.append(under, plot, over);
  const lists = main.appendChild(element("aside", "flow-lists"));
  lists.append(note);
  const strip = canvas("flow-strip");
  strip.removeAttribute("aria-hidden");
  strip.setAttribute("role", "img");
  strip.setAttribute("aria-label", "Whole range: drag to move what is in view");
  root.append(main, strip);
  return {
    area,
    under,
    over,
    plot,
    note,
    hint,
    strip,
    book: list(lists, "book", "Book"),
    sales: list(lists, "sales", "Time and sales"),
  };
};
