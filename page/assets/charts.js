// What the charts do that Plotly has no option for: values fit what is visible of the time, the
// wheel zooms one axis, a finger scrolls the page and two zoom, a reload keeps the view.
(() => {
  "use strict";

  const PADDING = 0.05; // as Plotly leaves around what it fits
  const VOLUME_ROOM = 3.3; // charts.VOLUME_ROOM
  const JITTER = 0.05; // a hand that pans time moves the price a little, and does not mean it
  const CHARTS = {
    time: {
      axes: ["xaxis", "yaxis", "yaxis3", "yaxis4", "yaxis7", "yaxis8"],
      fit: {
        yaxis: (data, seen) => padded(extent(data, seen, "price", ["low", "high"])),
        yaxis2: (data, seen) => fromZero(extent(data, seen, "volume", ["y"]), VOLUME_ROOM),
        yaxis4: (data, seen) => padded(extent(data, seen, "cvd", ["y"], 1)),
        yaxis7: (data, seen) => padded(union([[0, 0], extent(data, seen, "position", ["y"], 1)])),
        yaxis8: (data, seen) =>
          padded(union(["equity", "realised"].map((uid) => extent(data, seen, uid, ["y"], 1)))),
      },
    },
    depth: {
      axes: ["xaxis", "yaxis"],
      fit: {
        yaxis: (data, seen) => {
          const sides = ["bids", "asks"].map((uid) => extent(data, seen, uid, ["y"], 1));
          return fromZero(union(sides), 1 + PADDING);
        },
      },
    },
  };

  // Plotly keeps the ends of a time axis as text in UTC, without saying so.
  const number = (end) => {
    if (typeof end === "number") return end;
    return Date.parse(end.length > 10 ? `${end.replace(" ", "T")}Z` : end);
  };

  const same = (one, other) => {
    if (!Array.isArray(one) || !Array.isArray(other)) return false;
    const [a, b, c, d] = [...one, ...other].map(number);
    return Math.abs(a - c) + Math.abs(b - d) <= 1e-9 * Math.abs(b - a);
  };

  const union = (extents) => {
    const known = extents.filter(Boolean);
    if (!known.length) return null;
    return [Math.min(...known.map((e) => e[0])), Math.max(...known.map((e) => e[1]))];
  };

  const padded = (extent) => {
    if (!extent) return null;
    const [low, high] = extent;
    const room = (high - low) * PADDING || Math.abs(high) * 1e-4 || 1;
    return [low - room, high + room];
  };

  const fromZero = (extent, room) => (extent && extent[1] > 0 ? [0, extent[1] * room] : null);

  // Least and greatest value of a trace's columns where its x is in `seen`; `around` points on
  // either side belong to it too, as a line leads there.
  const extent = (data, seen, uid, columns, around = 0) =>
    extentOf(data.find((candidate) => candidate.uid === uid), seen, columns, around);

  const extentOf = (trace, seen, columns, around = 0) => {
    if (!trace || trace.visible === "legendonly") return null;
    const inside = (x) => x !== undefined && x >= seen[0] && x <= seen[1];
    let [low, high] = [Infinity, -Infinity];
    trace.x.forEach((x, index) => {
      if (!inside(x) && !(around && (inside(trace.x[index - 1]) || inside(trace.x[index + 1]))))
        return;
      for (const column of columns) {
        const value = trace[column][index];
        if (value === null) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    });
    return low <= high ? [low, high] : null;
  };

  // A browser may be told to keep nothing: then the view is kept as long as the page is open.
  const remembered = (key) => {
    try {
      return JSON.parse(sessionStorage.getItem(key)) ?? {};
    } catch {
      return {};
    }
  };
  const remember = (key, value) => {
    try {
      sessionStorage.setItem(key, JSON.stringify(value));
    } catch {
      /* see above */
    }
  };

  const watch = (name, plot) => {
    const { fit } = CHARTS[name];
    // Those of a trading run come and go with it.
    const axes = () => CHARTS[name].axes.filter((axis) => plot.layout[axis]?.range);
    const key = `order-flow-${name}`;
    const whole = {}; // the ranges that are not automatic, as the page was made
    for (const axis of axes()) {
      if (!plot.layout[axis].autorange) whole[axis] = [...plot.layout[axis].range];
    }
    let run = ""; // as before the first poll, which may be over by now
    let own = new Set(); // axes that the user has set
    const last = {}; // the ranges as they were before the user's next change
    const given = {}; // the ranges that were set here, and not by the user
    let held = false;
    let drawing = false;
    let restoring = false;
    let first = true;

    const note = (noted) => {
      for (const axis of noted) last[axis] = [...plot.layout[axis].range];
    };

    const relayout = async (update) => {
      drawing = true;
      const set = Object.keys(update).map((name) => name.split(".")[0]);
      set.forEach((axis) => (given[axis] = update[`${axis}.range`]));
      try {
        await window.Plotly.relayout(plot, update);
        note(set);
      } finally {
        drawing = false;
      }
    };

    const fitValues = () => {
      if (held || drawing || restoring) return;
      const time = plot.layout.xaxis;
      const update = {};
      for (const [axis, range] of Object.entries(fit)) {
        const shown = plot.layout[axis];
        if (own.has(axis) || !shown?.range) continue;
        if (!own.has("xaxis")) {
          if (!shown.autorange) update[`${axis}.autorange`] = true;
          continue;
        }
        const wanted = range(plot.data, time.range.map(number).sort((a, b) => a - b));
        if (wanted && !same(wanted, shown.range)) update[`${axis}.range`] = wanted;
      }
      if (Object.keys(update).length) relayout(update);
    };

    const save = () => {
      if (restoring) return;
      const ranges = {};
      for (const axis of own) ranges[axis] = plot.layout[axis].range.map(number);
      const hidden = plot.data.filter((t) => t.visible === "legendonly").map((t) => t.uid);
      remember(key, { run, ranges, hidden });
    };

    // Plotly keeps what was hidden by a click when new data comes, by a note of what was there
    // before; what a script hides has no such note and would be back with the next bar.
    const hide = async (uids) => {
      const found = plot.data.flatMap((t, index) => (uids.includes(t.uid) ? [index] : []));
      if (!found.length) return;
      await window.Plotly.restyle(plot, { visible: "legendonly" }, found);
      const notes = plot._fullLayout._tracePreGUI;
      for (const index of found) (notes[plot.data[index].uid] ??= {}).visible = null;
    };

    const begin = async () => {
      own = new Set();
      const kept = remembered(key);
      const ranges = kept.run === run ? (kept.ranges ?? {}) : {};
      const update = {};
      for (const [axis, range] of Object.entries(ranges)) {
        own.add(axis);
        update[`${axis}.range`] = range;
      }
      restoring = true;
      try {
        if (first) await hide(kept.hidden ?? []);
        first = false;
        await relayout(update);
      } finally {
        restoring = false;
      }
      // Who zooms in that moment has their way too.
      for (const axis of axes()) {
        const { autorange, range } = plot.layout[axis];
        const known = [whole[axis], given[axis]].some((other) => same(range, other));
        if (!autorange && !known) own.add(axis);
      }
      save();
      fitValues();
    };

    const isMeant = (axis, range) => {
      const before = last[axis];
      if (same(range, before) || same(range, given[axis])) return own.has(axis);
      if (axis === "xaxis" || own.has(axis) || !before) return true;
      const [[a, b], [c, d]] = [before.map(number), range.map(number)];
      const panned = Math.abs(b - a - (d - c)) <= 1e-6 * Math.abs(b - a);
      return !(panned && Math.abs(c - a) < JITTER * Math.abs(b - a));
    };

    plot.on("plotly_relayout", (update) => {
      if (restoring) return;
      for (const axis of axes()) {
        const changed = `${axis}.range` in update || `${axis}.range[0]` in update;
        const range = plot.layout[axis].range;
        if (update[`${axis}.autorange`] || (changed && same(range, whole[axis]))) own.delete(axis);
        else if (changed && isMeant(axis, range)) own.add(axis);
      }
      note(axes());
      save();
      fitValues();
    });
    plot.on("plotly_restyle", save);
    const drawn = () => {
      note(axes().filter((axis) => plot.layout[axis].autorange));
      if (plot.layout.uirevision !== run) {
        run = plot.layout.uirevision;
        begin();
      } else setTimeout(fitValues); // whose zoom this is comes with the event after this one
    };
    plot.on("plotly_afterplot", drawn);
    drawn();

    plot.addEventListener("pointerdown", () => (held = true), true);
    const letGo = () => {
      held = false;
      setTimeout(fitValues);
    };
    window.addEventListener("pointerup", letGo, true);
    window.addEventListener("pointercancel", letGo, true);
    zoomByWheel(plot);
    zoomByTwoFingers(plot);
  };

  // Over a panel Plotly's wheel zooms both its axes; over an axis that one. So a wheel over a panel
  // is handed to the axis that is meant: the shared one, and with Shift the panel's own.
  const zoomByWheel = (plot) => {
    const hand = (event) => {
      const panel = event.target;
      if (!panel.matches?.(".nsewdrag")) return;
      event.stopPropagation();
      event.preventDefault();
      const axis = event.shiftKey
        ? panel.parentNode.querySelector(".nsdrag")
        : plot.querySelector(".ewdrag");
      const { clientX, clientY, deltaMode } = event;
      const deltaY = event.deltaY || event.deltaX; // Shift turns the wheel in some browsers
      const options = { clientX, clientY, deltaMode, deltaY, cancelable: true };
      axis?.dispatchEvent(new WheelEvent("wheel", options));
    };
    plot.addEventListener("wheel", hand, { capture: true, passive: false });
  };

  // One finger is the browser's: it scrolls the page, and a tap shows the values there. Two zoom
  // and move the shared axis, so that what is under a finger stays under it.
  const zoomByTwoFingers = (plot) => {
    let values = null; // of the time, or the price, under the fingers
    let waiting = null;
    let drawing = false;
    const shares = (event) => {
      const box = plot.querySelector(".nsewdrag").getBoundingClientRect();
      return [...event.touches].slice(0, 2).map((touch) => (touch.clientX - box.x) / box.width);
    };
    const draw = async () => {
      drawing = true;
      while (waiting) {
        const range = waiting;
        waiting = null;
        await window.Plotly.relayout(plot, { "xaxis.range": range });
      }
      drawing = false;
    };
    const begin = (event) => {
      if (!event.target.closest?.(".draglayer")) return;
      event.stopPropagation(); // before Plotly takes the finger for a drag
      values = null;
      if (event.touches.length !== 2) return;
      event.preventDefault();
      const [low, high] = plot.layout.xaxis.range.map(number);
      values = shares(event).map((share) => low + share * (high - low));
    };
    const move = (event) => {
      if (!values || event.touches.length !== 2) return;
      event.preventDefault();
      event.stopPropagation();
      const [one, other] = shares(event);
      const span = (values[1] - values[0]) / (other - one);
      if (!(span > 0) || Math.abs(other - one) < 0.02) return;
      const low = values[0] - one * span;
      waiting = [low, low + span];
      if (!drawing) draw();
    };
    plot.addEventListener("touchstart", begin, { capture: true, passive: false });
    plot.addEventListener("touchmove", move, { capture: true, passive: false });
  };

  // What the tab and saved pictures are called comes with the words of a poll.
  const nameTab = () => {
    document.title = document.getElementById("about")?.textContent || "Order flow";
  };
  const savePicture = (event) => {
    if (!event.target.closest?.('.modebar-btn[data-title^="Download"]')) return;
    const plot = event.target.closest(".js-plotly-plot");
    const graph = plot.closest(".dash-graph");
    event.stopPropagation();
    const filename = `${document.title} ${graph.id}`.replace(/[^\w.-]+/g, "_");
    const { offsetWidth: width, offsetHeight: height } = plot;
    window.Plotly.downloadImage(plot, { format: "png", scale: 2, width, height, filename });
  };
  document.addEventListener("click", savePicture, true);

  // The metrics stand under the time chart: they show its time, and their values fit that.
  const align = async (time, measured) => {
    if (!time.layout.xaxis.range || !measured.data.length) return;
    const range = time.layout.xaxis.range.map(number);
    const update = {};
    if (!same(range, measured.layout.xaxis.range)) update["xaxis.range"] = range;
    const extents = {};
    for (const trace of measured.data) {
      const columns = trace.type === "candlestick" ? ["low", "high"] : ["y"];
      (extents[trace.yaxis.replace("y", "yaxis")] ??= []).push(extentOf(trace, range, columns, 1));
    }
    for (const [axis, found] of Object.entries(extents)) {
      const wanted = padded(union(found));
      if (wanted && !same(wanted, measured.layout[axis]?.range)) update[`${axis}.range`] = wanted;
    }
    if (Object.keys(update).length) await window.Plotly.relayout(measured, update);
  };

  const watchMetrics = (time, measured) => {
    let aligning = false;
    let again = false;
    const begin = async () => {
      again = true;
      if (aligning) return;
      aligning = true;
      while (again) {
        again = false;
        await align(time, measured);
      }
      aligning = false;
    };
    time.on("plotly_afterplot", begin);
    measured.on("plotly_afterplot", begin);
    begin();
  };

  let isAligned = false;
  const missing = new Set(Object.keys(CHARTS));
  let about = null;
  const find = () => {
    for (const name of missing) {
      const plot = document.querySelector(`#${name} .js-plotly-plot`);
      if (!plot?.on || !plot.layout?.yaxis?.range) continue;
      missing.delete(name);
      watch(name, plot);
    }
    const [time, measured] = ["time", "measured"].map((name) =>
      document.querySelector(`#${name} .js-plotly-plot`));
    if (!isAligned && time?.on && measured?.on && measured.layout?.yaxis) {
      isAligned = true;
      watchMetrics(time, measured);
    }
    about ??= document.getElementById("about");
    if (missing.size || !about || !isAligned) return;
    observer.disconnect();
    nameTab();
    new MutationObserver(nameTab).observe(about, { childList: true, characterData: true, subtree: true });
  };
  const observer = new MutationObserver(find);
  observer.observe(document, { childList: true, subtree: true });
})();
