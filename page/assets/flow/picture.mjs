// Save what is seen as one PNG: head line, canvas, Plotly's axes, canvas above them, lists, strip.

import { BUY, GROUND, MUTED, SELL, TEXT, alpha } from "./colours.mjs";
import { FONT } from "./footprint.mjs";

const HEAD = 44;
const BORDER = "#21262d";

/**
 * @param {string} source
 * @returns {Promise<HTMLImageElement>}
 */
const loaded = (source) =>
  new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the axes cannot be drawn"));
    image.src = source;
  });

/**
 * Paint a list as it is seen: the bars behind its rows, and every word where it stands.
 * @param {CanvasRenderingContext2D} context
 * @param {HTMLElement} list
 * @param {(element: Element) => {left: number, top: number, width: number, height: number}} place
 */
const paintList = (context, list, place) => {
  const { left, top, width, height } = place(list);
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.fillStyle = BORDER;
  context.fillRect(left, top, width, 1);
  for (const row of list.querySelectorAll(".row")) paintRow(context, /** @type {HTMLElement} */ (row), place(row));
  for (const words of list.querySelectorAll(".list-head span, .row span, .middle, .none")) {
    const style = getComputedStyle(words);
    const box = place(words);
    const [before, after] = [parseFloat(style.paddingLeft), parseFloat(style.paddingRight)];
    context.font = `${style.fontWeight} ${style.fontSize} ${FONT}`;
    context.fillStyle = style.color;
    const aligned = style.textAlign === "right" || style.textAlign === "center" ? style.textAlign : "left";
    context.textAlign = aligned;
    const at = { left: box.left + before, center: box.left + box.width / 2, right: box.left + box.width - after }[aligned];
    context.fillText(words.textContent ?? "", at, box.top + box.height / 2 + 0.5, box.width - before - after + 2);
  }
  context.restore();
};

/**
 * @param {CanvasRenderingContext2D} context
 * @param {HTMLElement} row
 * @param {{left: number, top: number, width: number, height: number}} box
 */
const paintRow = (context, row, { left, top, width, height }) => {
  const share = parseFloat(row.style.backgroundSize) / 100;
  const sold = row.matches(".ask, .sold");
  if (!(share > 0) && !row.matches(".large")) return;
  context.fillStyle = alpha(sold ? SELL : BUY, 0.2);
  const part = share > 0 ? share * width : width;
  context.fillRect(left + width - part, top, part, height);
};

/**
 * Return a canvas with everything that is seen: the head line, the chart, the lists and the strip,
 * each where it stands on the page.
 * @param {{plot: any, under: HTMLCanvasElement, over: HTMLCanvasElement, strip: HTMLCanvasElement,
 *   root: HTMLElement, title: string, figures: [string, string][]}} what
 */
export const compose = async ({ plot, under, over, strip, root, title, figures }) => {
  const { width, height } = plot._fullLayout;
  const ratio = under.width / width;
  const source = await window.Plotly.toImage(plot, { format: "svg", width, height });
  const axes = await loaded(source);
  const whole = root.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const head = paintHead(context, whole.width, title, figures, false);
  canvas.width = Math.round(whole.width * ratio);
  canvas.height = Math.round((head + whole.height) * ratio);
  context.scale(ratio, ratio);
  context.fillStyle = GROUND;
  context.fillRect(0, 0, whole.width, head + whole.height);
  context.textBaseline = "middle";
  paintHead(context, whole.width, title, figures, true);
  const place = (/** @type {Element} */ element) => {
    const box = element.getBoundingClientRect();
    return { left: box.left - whole.left, top: box.top - whole.top + head, width: box.width, height: box.height };
  };
  const chart = place(under);
  for (const picture of [under, axes, over]) context.drawImage(picture, chart.left, chart.top, width, height);
  const foot = place(strip);
  context.drawImage(strip, foot.left, foot.top, foot.width, foot.height);
  for (const list of root.querySelectorAll(".list")) paintList(context, /** @type {HTMLElement} */ (list), place);
  return canvas;
};

/**
 * Return the height of the head line, which takes as many lines as its width needs; paint it or not.
 * @param {CanvasRenderingContext2D} context
 * @param {number} width
 * @param {string} title
 * @param {[string, string][]} figures
 * @param {boolean} painted
 */
const paintHead = (context, width, title, figures, painted) => {
  context.textAlign = "left";
  context.font = `650 18px ${FONT}`;
  context.fillStyle = TEXT;
  if (painted) context.fillText(title, 10, HEAD / 2);
  let [left, top] = [28 + context.measureText(title).width, 0];
  for (const [name, value] of figures) {
    context.font = `14px ${FONT}`;
    const room = Math.max(60, context.measureText(value).width + 26);
    if (left + room > width && left > 10) [left, top] = [10, top + HEAD];
    if (painted) {
      context.fillStyle = TEXT;
      context.fillText(value, left, top + 29);
      context.font = `10px ${FONT}`;
      context.fillStyle = MUTED;
      context.fillText(name, left, top + 12);
    }
    left += room;
  }
  return top + HEAD;
};

/**
 * @param {HTMLCanvasElement} canvas
 * @param {string} name without its ending
 */
export const save = (canvas, name) =>
  canvas.toBlob((blob) => {
    if (!blob) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/[^\w.-]+/g, "_")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, "image/png");
