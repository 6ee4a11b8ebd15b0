// The order-flow views: what ties state, store, figure, chart and lists together.

import { Chart } from "./chart.mjs";
import { Control } from "./control.mjs";
import { Figure } from "./figure.mjs";
import { buildFrame } from "./frame.mjs";
import { Head } from "./head.mjs";
import { bookOf, hasHoles, ringFor } from "./heatmap.mjs";
import { Hover, wordsAt } from "./hover.mjs";
import { listen } from "./interaction.mjs";
import { Help, listenToKeys } from "./keys.mjs";
import { Ladder, TimeAndSales } from "./ladder.mjs";
import { bookAt, finestAt, fits, newestTime, oldestTime } from "./model.mjs";
import { fixed } from "./numbers.mjs";
import { drawOver } from "./overlay.mjs";
import { Navigation } from "./navigation.mjs";
import { Older } from "./older.mjs";
import { Seek } from "./seek.mjs";
import { compose, save } from "./picture.mjs";
import { COLUMNS, State } from "./state.mjs";
import { RINGS, Store } from "./store.mjs";
import { largeSize, sortedSizes } from "./tape.mjs";
import { Strip } from "./strip.mjs";
import { clock, dateAndClock, offsetOf, zoneName } from "./times.mjs";
import { Toolbar } from "./toolbar.mjs";
import { Travel } from "./travel.mjs";

/** @typedef {import("./types").Range} Range */
/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./store.mjs").About} About */

const SETTLE_MS = 120;
const JOIN_MS = 60;

export class Views {
  /**
   * @param {HTMLElement} nav
   * @param {HTMLElement} root
   * @param {HTMLElement} head
   */
  constructor(nav, root, head) {
    this.root = root;
    this.nav = nav;
    this.state = new State();
    this.store = new Store((name) => this.hear(name));
    this.travel = new Travel(() => {
      clearTimeout(this.joining);
      if (this.active) this.showWords();
      requestAnimationFrame(() => this.show()); // the ladder first: a picture takes longer
    });
    this.control = new Control(() => this.show());
    this.place = new Navigation(this.state, this.store, this.travel, this.control, () => this.width());
    const frame = buildFrame(root);
    this.area = frame.area;
    this.note = frame.note;
    this.hint = frame.hint;
    this.figure = new Figure(frame.plot);
    this.figure.onDraw = () => this.draw();
    this.figure.onPan = (range) => this.place.setTime(range);
    this.chart = new Chart(frame.under, frame.over);
    this.hover = new Hover(frame.area);
    this.ladder = new Ladder(frame.book);
    this.sales = new TimeAndSales(frame.sales);
    this.strip = new Strip(frame.strip, (range) => this.place.setTime(range));
    this.listenToHands();
    this.head = new Head(head, () => this.place.toNewest());
    this.help = new Help(this.state);
    this.seek = new Seek((time) => this.seekTo(time));
    /** @type {{x: number, y: number} | null} */
    this.pointer = null;
    this.frame = 0;
    this.settling = this.joining = 0;
    this.size = "";
    this.older = new Older(this.store, () => {
      this.store.begin = this.older.begin;
      this.show();
    });
    this.toolbar = new Toolbar(nav, this.state, {
      first: () => this.place.toFirst(),
      step: (rows) => this.place.step(rows),
      pause: () => this.pause(),
      newest: () => this.place.toNewest(),
      bar: (bars) => this.place.stepBars(bars),
      speed: (speed) => this.control.setSpeed(speed),
      seek: () => this.askSeek(),
      picture: () => this.savePicture(),
      help: () => this.help.toggle(),
    });
    listenToKeys(this.state, this.help, {
      step: (rows) => this.place.step(rows),
      bar: (bars) => this.place.stepBars(bars),
      first: () => this.place.toFirst(),
      newest: () => this.place.toNewest(),
      pause: () => this.pause(),
      speed: (factor) => this.control.obeys && this.control.speed(factor),
      picture: () => this.savePicture(),
      whole: () => this.place.whole(),
      zone: () => this.state.set({ zone: this.state.choice.zone === "utc" ? "local" : "utc" }),
      seek: () => this.askSeek(),
    });
    this.state.onChange((changed) => this.change(changed));
    new ResizeObserver(() => this.resize()).observe(this.area);
    document.addEventListener("visibilitychange", () => this.show());
  }

  listenToHands() {
    listen(this.area, {
      scene: () => this.scene(),
      time: (range) => this.place.setTime(range),
      prices: (panel, range) => this.state.set({ [panel]: range }),
      click: (time) => this.place.click(time),
      whole: () => this.place.whole(),
      hover: (at) => {
        this.pointer = at;
        this.drawOver();
      },
      hold: (held) => {
        this.figure.held = held;
        if (!held) this.show();
      },
    });
  }

  get choice() {
    return this.state.choice;
  }

  get active() {
    return this.choice.view !== "bars" && document.body.classList.contains("has-flow");
  }

  width() {
    return this.scene()?.x.width ?? 1000;
  }

  scene() {
    return this.active ? this.figure.scene(this.choice.view) : null;
  }

  /** @param {About} about what the newest poll says */
  tell(about) {
    const there = Object.keys(about.files ?? {}).some((name) => name === "footprint" || RINGS.includes(name));
    const before = document.body.classList.contains("has-flow");
    document.body.classList.toggle("has-flow", there);
    this.nav.hidden = !there;
    this.store.learn(about);
    this.travel.unit = this.store.unit;
    if (there !== before) this.switchView();
    if (!this.active) {
      this.showToolbar();
      return;
    }
    this.store.refresh(about, this.wanted());
    this.travelOn();
    this.control.look(about.state === "running");
    this.showSoon();
  }

  /** Bring everything up to date when what was asked for has come: one picture for all of it. */
  showSoon() {
    clearTimeout(this.joining);
    if (!this.store.asking.size) this.show();
    else this.joining = setTimeout(() => this.show(), JOIN_MS);
  }

  /** Return the names of what the view needs. */
  wanted() {
    const names = ["footprint", "trades", "best", "depth", "issues", "trading"];
    if (this.choice.view === "footprint") return [...names, ...RINGS.slice(1, 2)];
    const scene = this.scene();
    const [low, high] = scene ? [scene.x.low, scene.x.high] : this.place.timeRange();
    const pixel = (high - low) / Math.max(1, scene?.x.width ?? 1000);
    const wished = this.choice.columns || COLUMNS.find((ms) => ms >= pixel * 0.999) || COLUMNS[4];
    for (let level = COLUMNS.indexOf(wished); level < RINGS.length; level++) {
      names.push(RINGS[level]);
      const ring = this.store.rings[level];
      if (!ring) break;
      const holes = scene?.heat && hasHoles(ring, scene.x, scene.heat);
      if (ring.first * ring.columnMs <= Math.max(low, oldestTime(this.store)) && !holes) break;
    }
    return names;
  }

  /** @param {string} name of what has come */
  hear(name) {
    if (name === "run") this.state.set({ moment: null, row: null, range: null, span: 0, heat: null, foot: null, rows: 0, dots: 0 });
    if (RINGS.includes(name) && this.store.about) this.store.refresh(this.store.about, this.wanted());
    this.showSoon();
  }

  /** @param {Set<string>} changed */
  change(changed) {
    if (changed.has("view")) this.switchView();
    if (changed.has("moment") || changed.has("row")) this.travelOn();
    if (this.store.about && this.active) this.store.refresh(this.store.about, this.wanted());
    // The book of a moment mostly comes sooner than a picture without it would be drawn.
    clearTimeout(this.joining);
    if (changed.has("moment") && this.travel.asking) this.joining = setTimeout(() => this.show(), JOIN_MS);
    else this.show(changed.has("contrast"));
  }

  /** Ask for the book of the moment, where there is somebody to ask. */
  travelOn() {
    if (this.store.about?.recording) this.travel.go(this.choice.moment, this.choice.row);
  }

  switchView() {
    const active = this.active;
    document.body.dataset.view = active ? "flow" : "bars";
    this.root.hidden = !active;
    this.size = "";
    if (active) {
      this.travelOn();
      this.resize();
      if (this.store.about) this.store.refresh(this.store.about, this.wanted());
    } else {
      // What was hidden has had no size.
      for (const plot of document.querySelectorAll("main .js-plotly-plot")) window.Plotly.Plots.resize(plot);
    }
    this.showToolbar();
  }

  async resize() {
    const { clientWidth: width, clientHeight: height } = this.area;
    const size = `${width}:${height}:${this.choice.view}`;
    if (!this.active || !width || !height || size === this.size) return;
    this.size = size;
    this.ladder.forget();
    this.sales.forget();
    await this.figure.show(this.choice.view, width, height);
    this.show(true);
  }

  pause() {
    if (this.control.obeys) this.control.toggle();
  }

  askSeek() {
    if (!this.control.obeys) return;
    const { start = null, end = null } = this.store.about ?? {};
    this.seek.open({ time: this.choice.moment ?? newestTime(this.store), start, end, zone: this.choice.zone });
  }

  /** @param {number} time */
  seekTo(time) {
    this.control.seek(time);
    this.place.toNewest();
  }

  /** Bring everything up to date, once a frame however often it is asked for. */
  show(contrast = false) {
    this.mustFit = this.mustFit || contrast;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.active || document.hidden) return;
      this.update();
    });
  }

  update() {
    const { choice, store } = this;
    this.root.classList.toggle("empty", !newestTime(store));
    const paused = this.control.standing?.paused ? "The run is paused before its first event: ▶ or space lets it go on." : "";
    this.hint.textContent = paused || "Nothing to draw yet: the run has had no event.";
    const range = this.place.timeRange();
    this.older.want(range);
    this.figure.offset = offsetOf(range[1], choice.zone);
    const width = this.width();
    const rings = store.present;
    const ring = rings.length ? ringFor(rings, { width, low: range[0], high: range[1] }, choice.columns) : null;
    const fitted = fits(store, ring, ...range);
    const current = this.scene();
    const heat = choice.heat ?? steady(current?.heat ?? null, fitted.heat);
    const foot = choice.foot ?? steady(current?.foot ?? null, fitted.foot);
    const moves = !this.figure.held && this.figure.setRanges(range, heat, foot); // and draws then
    const scene = this.scene();
    if (scene) {
      this.chart.fitContrast(scene, this.shown(), this.mustFit);
      this.mustFit = false;
    }
    if (!moves) this.draw();
    this.showWords();
    this.settle();
  }

  /** After the last change: contrast, and what else the view needs by now. */
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      const scene = this.scene();
      if (!scene || this.figure.held || document.hidden) return;
      this.figure.apply();
      if (this.store.about) this.store.refresh(this.store.about, this.wanted());
      if (this.chart.fitContrast(scene, this.shown())) this.draw();
    }, SETTLE_MS);
  }

  shown() {
    return { store: this.store, choice: this.choice, moment: this.moment, pointer: this.pointer };
  }

  get moment() {
    return this.choice.moment === null ? null : this.travel.found;
  }

  draw() {
    const scene = this.scene();
    if (!scene || document.hidden) return;
    this.chart.draw(scene, this.shown());
    this.drawStrip(scene);
  }

  drawOver() {
    const scene = this.scene();
    if (!scene) return;
    drawOver(this.chart.over, scene, this.shown(), this.chart.last);
    const { pointer } = this;
    this.hover.show(pointer ? wordsAt(scene, pointer, this.store, this.choice, this.chart) : [], pointer, scene);
  }

  /** @param {Scene} scene */
  drawStrip(scene) {
    const { footprint, issues } = this.store;
    this.strip.paint({
      bars: this.older.stripBars(),
      windowMs: footprint?.windowMs ?? 60_000,
      seen: [scene.x.low, scene.x.high],
      end: newestTime(this.store),
      moment: this.choice.moment,
      issues,
      zone: this.choice.zone,
    });
  }

  showWords() {
    const { choice, store, travel, moment } = this;
    const scene = this.scene();
    const phone = scene?.phone ?? false;
    const decimals = store.footprint?.decimals ?? 2;
    const zone = zoneName(newestTime(store), choice.zone);
    const at = choice.moment;
    const column = at !== null && !moment ? finestAt(store, at) : null;
    const book = bookAt(store, at, moment) ?? (column && bookOf(column.ring, column.column));
    const time = at ?? newestTime(store);
    const when = clock(time, choice.zone, phone ? 0 : 3);
    const about = column ? `Book ≈ by rows of ${fixed(column.ring.row[column.column], decimals)}, ${when}` : `Book at ${when} ${zone}`;
    this.ladder.show(book, at === null ? (time ? `Book now, ${when} ${zone}` : "Book") : about, decimals, !column, phone);
    const trades = moment?.trades.times.length ? moment.trades : store.trades;
    const quotes = moment?.quotes.times.length ? moment.quotes : store.quotes;
    const title = at === null ? "Time & sales" : "Time & sales up to the cursor";
    const large = largeSize(store.trades ?? trades);
    this.sales.show(trades, quotes, time, { title, decimals, zone: choice.zone, phone, large });
    this.head.show(store, choice, moment, (scene ?? { x: { high: Infinity } }).x.high, this.control.standing?.paused ?? false);
    const problems = [...store.problems].map(([name, problem]) => `${name}: ${problem}; the last good picture stays`);
    const { seeking = null } = this.control.standing ?? {};
    const way = seeking === null ? "" : `The run is on its way to ${dateAndClock(seeking, choice.zone, 0)}`;
    const older = this.older.words(this.place.timeRange());
    const words = [at === null ? "" : travel.words, way, this.control.words, older, ...problems].filter(Boolean);
    this.note.textContent = words.join(" · ");
    this.note.hidden = !words.length;
    this.showToolbar();
  }

  showToolbar() {
    const { footprint, trades } = this.store;
    const row = footprint?.rowPrice ?? 0;
    const rows = row ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((factor) => row * factor) : [];
    const { standing } = this.control;
    this.toolbar.show(
      this.choice,
      { rows, decimals: footprint?.decimals ?? 2, dots: trades ? dotSizes(sortedSizes(trades)) : [] },
      { obeys: this.control.obeys, paused: standing?.paused ?? false, speed: standing?.speed ?? null },
    );
  }

  async savePicture() {
    const { plot } = this.figure;
    if (!plot || !this.active) return;
    const time = this.choice.moment ?? newestTime(this.store);
    const instrument = this.store.about?.instrument ?? "Order flow";
    const canvas = await compose({
      plot,
      under: this.chart.under,
      over: this.chart.over,
      strip: this.strip.canvas,
      root: this.root,
      title: instrument,
      figures: this.head.figures,
    });
    save(canvas, `${instrument} ${dateAndClock(time, this.choice.zone, 0)} ${this.choice.view}`);
  }
}

/**
 * Return the sizes offered for dots: round ones near these shares of the trades.
 * @param {Float64Array} sorted
 */
const dotSizes = (sorted) => {
  if (!sorted.length) return [];
  const at = [0.5, 0.75, 0.9, 0.97, 0.99, 0.998].map((share) => sorted[Math.floor(sorted.length * share)]);
  return [...new Set(at.map((size) => Number(size.toPrecision(1))))].filter((size) => size > 0);
};

/**
 * Return the range that is shown, as long as it is nearly the one that fits: prices that jump with
 * every trade cannot be read.
 * @param {{low: number, high: number} | null} shown
 * @param {Range | null} wanted
 * @returns {Range | null}
 */
const steady = (shown, wanted) => {
  if (!shown || !wanted) return wanted;
  const room = (wanted[1] - wanted[0]) * 0.04;
  const near = Math.abs(shown.low - wanted[0]) < room && Math.abs(shown.high - wanted[1]) < room;
  return near ? [shown.low, shown.high] : wanted;
};
