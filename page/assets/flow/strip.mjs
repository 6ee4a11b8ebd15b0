// The whole range: price and volume of every bar, the part in view, the moment travelled to. A drag
// moves the part, its edges resize it, a click outside brings it there.

import { CURSOR, GRID, LOST, MUTED, TEXT, alpha } from "./colours.mjs";
import { FONT } from "./footprint.mjs";
import { clock } from "./times.mjs";

/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").Issue} Issue */
/** @typedef {import("./types").Range} Range */
/** @typedef {import("./times.mjs").Zone} Zone */

const EDGE = 8;
const STEPS = [1, 5, 15, 60, 300, 900, 3600, 7200, 14_400, 43_200, 86_400, 604_800];

export class Strip {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(range: Range) => void} onRange
   */
  constructor(canvas, onRange) {
    this.canvas = canvas;
    this.onRange = onRange;
    /** @type {Range} */
    this.whole = [0, 1];
    /** @type {Range} */
    this.seen = [0, 1];
    /** @type {{mode: string, at: number, seen: Range} | null} */
    this.drag = null;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => (this.drag = null));
    }
  }

  /** @param {PointerEvent} event */
  timeAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / Math.max(1, box.width);
    return this.whole[0] + share * (this.whole[1] - this.whole[0]);
  }

  /** @param {PointerEvent} event */
  modeAt(event) {
    const perPixel = (this.whole[1] - this.whole[0]) / Math.max(1, this.canvas.clientWidth);
    const at = this.timeAt(event);
    const near = EDGE * perPixel;
    if (this.seen[1] - this.seen[0] > 3 * near) {
      if (Math.abs(at - this.seen[0]) < near) return "from";
      if (Math.abs(at - this.seen[1]) < near) return "to";
    }
    return at > this.seen[0] - near && at < this.seen[1] + near ? "both" : "jump";
  }

  /** @param {PointerEvent} event */
  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    const mode = this.modeAt(event);
    const at = this.timeAt(event);
    if (mode === "jump") {
      const half = (this.seen[1] - this.seen[0]) / 2;
      this.seen = [at - half, at + half];
      this.onRange(this.seen);
    }
    this.drag = { mode: mode === "jump" ? "both" : mode, at, seen: this.seen };
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!this.drag) {
      const mode = this.modeAt(event);
      this.canvas.style.cursor = mode === "both" ? "grab" : mode === "jump" ? "pointer" : "ew-resize";
      return;
    }
    const { mode, at, seen } = this.drag;
    const moved = this.timeAt(event) - at;
    const least = (this.whole[1] - this.whole[0]) / 2000;
    let [low, high] = seen;
    if (mode !== "to") low += moved;
    if (mode !== "from") high += moved;
    if (high - low < least) return;
    this.onRange([low, high]);
  }

  /**
   * @param {{bars: Bar[], windowMs: number, seen: Range, end: number, moment: number | null,
   *   issues: Issue[], zone: Zone}} what
   */
  paint({ bars, windowMs, seen, end, moment, issues, zone }) {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!bars.length) return;
    this.whole = [bars[0].time, Math.max(end, bars[bars.length - 1].time + windowMs)];
    this.seen = seen;
    const across = (/** @type {number} */ time) =>
      ((time - this.whole[0]) / (this.whole[1] - this.whole[0])) * width;
    const foot = height - 13;
    this.curves(context, bars, windowMs, across, foot);
    context.fillStyle = alpha(LOST, 0.5);
    for (const issue of issues) {
      if (!issue.harmless) {
        context.fillRect(across(issue.start), 0, Math.max(1, across(issue.end) - across(issue.start)), 3);
      }
    }
    const [left, right] = seen.map(across);
    context.fillStyle = alpha(CURSOR, 0.13);
    context.fillRect(left, 0, right - left, foot + 1);
    context.strokeStyle = alpha(CURSOR, 0.75);
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, 0.5, Math.max(2, right - left - 1), foot);
    if (moment !== null) {
      context.fillStyle = CURSOR;
      context.fillRect(across(moment) - 1, 0, 2, foot + 1);
    }
    this.labels(context, width, height, across, zone);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Bar[]} bars
   * @param {number} windowMs
   * @param {(time: number) => number} across
   * @param {number} foot
   */
  curves(context, bars, windowMs, across, foot) {
    const most = Math.sqrt(Math.max(...bars.map((bar) => bar.volume), 1e-300));
    context.fillStyle = "rgba(98,150,205,0.45)";
    for (const bar of bars) {
      const left = across(bar.time);
      const tall = (Math.sqrt(bar.volume) / most) * foot * 0.55;
      context.fillRect(left, foot - tall, Math.max(0.6, across(bar.time + (bar.stepMs ?? windowMs)) - left - 0.4), tall);
    }
    const low = Math.min(...bars.map((bar) => bar.low));
    const high = Math.max(...bars.map((bar) => bar.high));
    context.beginPath();
    for (const bar of bars) {
      const y = 4 + ((high - bar.close) / (high - low || 1)) * (foot - 10);
      context.lineTo(across(bar.time + windowMs / 2), y);
    }
    context.strokeStyle = TEXT;
    context.lineWidth = 1;
    context.stroke();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   * @param {(time: number) => number} across
   * @param {Zone} zone
   */
  labels(context, width, height, across, zone) {
    const [low, high] = this.whole;
    const wanted = ((high - low) / Math.max(1, width / 110)) / 1000;
    const step = (STEPS.find((seconds) => seconds >= wanted) ?? 2_419_200) * 1000;
    context.font = `10.5px ${FONT}`;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (let time = Math.ceil(low / step) * step; time < high; time += step) {
      const left = across(time);
      if (left < 26 || left > width - 26) continue;
      context.fillStyle = GRID;
      context.fillRect(left, 0, 1, height - 13);
      context.fillStyle = MUTED;
      context.fillText(clock(time, zone, 0), left, height - 1);
    }
  }
}
