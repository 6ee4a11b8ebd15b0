// The transparent Plotly figure over the canvas: axes, grid and pan. It holds no data of its own.

import { GRID, MUTED } from "./colours.mjs";
import { FONT } from "./footprint.mjs";
import { fromAxis } from "./times.mjs";

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Range} Range */
/** @typedef {import("./types").View} View */

const PHONE = 700;
const STATISTICS_HEIGHT = 68;
const GAP = 26;

/**
 * Return the sizes of the parts, in CSS pixels.
 * @param {View} view
 * @param {number} width
 * @param {number} height
 */
export const measures = (view, width, height) => {
  const phone = width < PHONE;
  const margin = { l: 0, r: phone ? 58 : 66, t: 22, b: 38 };
  const inner = { width: width - margin.l - margin.r, height: height - margin.t - margin.b };
  const aside = phone ? 66 : 168;
  const book = view === "footprint" ? 0 : phone ? 22 : 56;
  const foot = view !== "heatmap";
  const statistics = foot ? STATISTICS_HEIGHT : 0;
  const rest = inner.height - statistics - (foot ? 8 : 0);
  const heatHeight = view === "both" ? Math.round((rest - GAP) * 0.53) : view === "heatmap" ? rest : 0;
  const footHeight = view === "both" ? rest - GAP - heatHeight : foot ? rest : 0;
  return { phone, margin, inner, aside, book, statistics, heatHeight, footHeight };
};

/** @param {object} options */
const axis = (options) => ({
  gridcolor: GRID,
  zeroline: false,
  fixedrange: true, // prices are moved by this page's own hand: interaction.mjs
  tickfont: { size: 11, color: MUTED },
  side: "right",
  anchor: "free",
  position: 1,
  separatethousands: true,
  exponentformat: "none",
  automargin: false,
  ...options,
});

const LABEL_LETTERS = 9; // that the margin has room for in letters of 11 px

/**
 * Return the size of the letters in which the prices at an axis have room beside it.
 * @param {Range} range
 */
export const labelSize = ([low, high]) => {
  const step = Math.max((high - low) / 9, 1e-20);
  const decimals = Math.max(0, Math.ceil(-Math.log10(step)));
  const whole = Math.max(1, Math.ceil(Math.log10(Math.max(high, 1) + step)));
  const letters = whole + Math.floor((whole - 1) / 3) * 0.5 + (decimals ? decimals + 0.5 : 0);
  return Math.max(6, Math.floor(11 * Math.min(1, LABEL_LETTERS / letters)));
};

/**
 * Return the layout for a view and a size.
 * @param {View} view
 * @param {number} width
 * @param {number} height
 */
export const layoutOf = (view, width, height) => {
  const { phone, margin, inner, aside, heatHeight, footHeight, statistics } = measures(view, width, height);
  const share = (/** @type {number} */ from, /** @type {number} */ size) => {
    const low = 1 - (from + size) / inner.height;
    return [Math.max(0, low), Math.min(1, Math.max(low + 1e-3, 1 - from / inner.height))];
  };
  const footTop = heatHeight ? heatHeight + GAP : 0;
  return {
    width,
    height,
    margin,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: MUTED, family: FONT, size: 11 },
    showlegend: false,
    hovermode: false,
    dragmode: "pan",
    xaxis: {
      type: "date",
      domain: [0, Math.max(0.2, 1 - aside / inner.width)],
      anchor: "free",
      position: 0,
      gridcolor: GRID,
      zeroline: false,
      tickfont: { size: 11, color: MUTED },
      nticks: phone ? 4 : 9,
      tickformatstops: [
        { dtickrange: [null, 1000], value: "%H:%M:%S.%L\n%b %-d, %Y" },
        { dtickrange: [1000, 60_000], value: "%H:%M:%S\n%b %-d, %Y" },
        { dtickrange: [60_000, 86_400_000], value: "%H:%M\n%b %-d, %Y" },
        { dtickrange: [86_400_000, null], value: "%b %-d\n%Y" },
      ],
    },
    yaxis: axis({ domain: heatHeight ? share(0, heatHeight) : [0.999, 1], visible: heatHeight > 0, nticks: 9 }),
    yaxis2: axis({
      domain: footHeight ? share(footTop, footHeight) : [0, 0.001],
      visible: footHeight > 0,
      nticks: 7,
    }),
    // The rows of figures: a panel of their own, so that a drag over them moves the time too.
    yaxis3: axis({ domain: statistics ? [0, statistics / inner.height] : [0, 0.001], visible: false }),
  };
};

const TRACES = ["y", "y2", "y3"].map((yaxis) => ({
  type: "scatter",
  mode: "lines",
  x: [null],
  y: [null],
  xaxis: "x",
  yaxis,
  hoverinfo: "skip",
}));

/** The figure, and the ranges of its axes. */
export class Figure {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    /** @type {any} */
    this.plot = null;
    /** @type {Record<string, any> | null} */
    this.waiting = null;
    this.busy = false;
    this.held = false;
    this.offset = 0; // how far the zone's clock is ahead of UTC
    /** @type {() => void} */
    this.onDraw = () => {};
    /** @type {(range: Range) => void} */
    this.onPan = () => {};
  }

  /**
   * @param {View} view
   * @param {number} width
   * @param {number} height
   */
  async show(view, width, height) {
    const layout = layoutOf(view, width, height);
    if (this.plot) {
      this.set(flat(layout));
      return;
    }
    this.plot = this.element;
    await window.Plotly.newPlot(this.element, TRACES, layout, {
      displayModeBar: false,
      scrollZoom: false,
      doubleClick: false,
      showTips: false,
    });
    this.plot.on("plotly_relayouting", () => this.onDraw());
    this.plot.on("plotly_afterplot", () => this.onDraw());
    this.plot.on("plotly_relayout", (/** @type {any} */ update) => {
      if (!this.busy && Object.keys(update).some((name) => name.startsWith("xaxis.range"))) {
        this.onPan(this.timeRange());
      }
      this.onDraw();
    });
  }

  /**
   * Change the layout; changes that come while one is under way, or a drag, are joined.
   * @param {Record<string, any>} update
   */
  set(update) {
    this.waiting = { ...this.waiting, ...update };
    this.apply();
  }

  async apply() {
    if (this.busy || this.held || !this.waiting || !this.plot) return;
    this.busy = true;
    try {
      while (this.waiting && !this.held) {
        const update = this.waiting;
        this.waiting = null;
        await window.Plotly.relayout(this.plot, update);
      }
    } finally {
      this.busy = false;
    }
  }

  /**
   * Set what is in view; return whether that differs, and so is drawn when Plotly has done it.
   * @param {Range | null} time
   * @param {Range | null} heat
   * @param {Range | null} foot
   */
  setRanges(time, heat, foot) {
    /** @type {Record<string, any>} */
    const update = {};
    const current = this.plot?._fullLayout;
    const differs = (/** @type {Range} */ range, /** @type {any} */ axis) => {
      if (!axis) return true;
      const [low, high] = axis.range.map(fromAxis);
      return Math.abs(low - range[0]) + Math.abs(high - range[1]) > 1e-9 * Math.abs(range[1] - range[0]);
    };
    if (time) {
      const shifted = /** @type {Range} */ (time.map((end) => end + this.offset));
      if (differs(shifted, current?.xaxis)) update["xaxis.range"] = shifted;
    }
    for (const [name, range] of /** @type {[string, Range | null][]} */ ([["yaxis", heat], ["yaxis2", foot]])) {
      if (!range || !differs(range, current?.[name])) continue;
      update[`${name}.range`] = range;
      update[`${name}.tickfont.size`] = labelSize(range);
    }
    const differ = Object.keys(update).length > 0;
    if (differ) this.set(update);
    return differ;
  }

  /** @returns {Range} */
  timeRange() {
    const [low, high] = this.plot._fullLayout.xaxis.range.map(fromAxis);
    return [low - this.offset, high - this.offset];
  }

  /**
   * Return where everything is: the one place that reads what Plotly keeps to itself.
   * @param {View} view
   * @returns {Scene | null}
   */
  scene(view) {
    const full = this.plot?._fullLayout;
    if (!full?.xaxis?._length) return null;
    const { width, height } = full;
    const { phone, aside, book, statistics, margin, inner } = measures(view, width, height);
    const [low, high] = this.timeRange();
    const x = { left: full.xaxis._offset, width: full.xaxis._length, low, high };
    const panel = (/** @type {any} */ axis) => ({
      left: x.left,
      width: x.width,
      top: axis._offset,
      height: axis._length,
      low: axis.range[0],
      high: axis.range[1],
    });
    const right = x.left + x.width;
    return {
      width,
      height,
      phone,
      x,
      heat: view === "footprint" ? null : panel(full.yaxis),
      foot: view === "heatmap" ? null : panel(full.yaxis2),
      statistics: statistics
        ? { left: x.left, width: x.width, top: margin.t + inner.height - statistics, height: statistics }
        : null,
      profile: { left: right + 4, width: aside - book - (book ? 8 : 6) },
      bookLeft: right + aside - book,
      bookWidth: book - 2,
    };
  }
}

/**
 * Return a layout as Plotly.relayout wants it: axes by the names of their options, so that ranges stay.
 * @param {Record<string, any>} layout
 */
const flat = (layout) => {
  /** @type {Record<string, any>} */
  const update = {};
  for (const [name, value] of Object.entries(layout)) {
    if (!name.includes("axis")) update[name] = value;
    else for (const option of ["domain", "visible", "nticks"]) {
      if (option in value) update[`${name}.${option}`] = value[option];
    }
  }
  return update;
};
