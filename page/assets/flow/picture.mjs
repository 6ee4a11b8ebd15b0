// Save what is seen as one PNG: head line, canvas, Plotly's axes, canvas above them.

import { GROUND, MUTED, TEXT } from "./colours.mjs";
import { FONT } from "./footprint.mjs";

const HEAD = 44;
const STRIP = 44;

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
 * Return a canvas with the whole chart, its head line above it and the strip below.
 * @param {{plot: any, under: HTMLCanvasElement, over: HTMLCanvasElement, strip: HTMLCanvasElement,
 *   title: string, figures: [string, string][]}} what
 */
export const compose = async ({ plot, under, over, strip, title, figures }) => {
  const { width, height } = plot._fullLayout;
  const ratio = under.width / width;
  const source = await window.Plotly.toImage(plot, { format: "svg", width, height });
  const axes = await loaded(source);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round((HEAD + height + STRIP) * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(ratio, ratio);
  context.fillStyle = GROUND;
  context.fillRect(0, 0, width, HEAD + height + STRIP);
  context.textBaseline = "middle";
  context.font = `650 18px ${FONT}`;
  context.fillStyle = TEXT;
  context.fillText(title, 10, 22);
  let left = 28 + context.measureText(title).width;
  for (const [name, value] of figures) {
    context.font = `10px ${FONT}`;
    context.fillStyle = MUTED;
    context.fillText(name, left, 12);
    context.font = `14px ${FONT}`;
    context.fillStyle = TEXT;
    context.fillText(value, left, 29);
    left += Math.max(60, context.measureText(value).width + 26);
  }
  context.drawImage(under, 0, HEAD, width, height);
  context.drawImage(axes, 0, HEAD, width, height);
  context.drawImage(over, 0, HEAD, width, height);
  context.drawImage(strip, 0, HEAD + height, width, STRIP);
  return canvas;
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
