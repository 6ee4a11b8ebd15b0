// What hands do on the chart: a click travels, the wheel and two fingers zoom the time, with Shift
// the prices, the price axis is stretched by dragging it. Dragging the time is Plotly's.

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Range} Range */
/** @typedef {import("./types").Panel} Panel */

/**
 * @typedef {Object} Hands what the chart does when it is told
 * @property {() => Scene | null} scene
 * @property {(range: Range) => void} time
 * @property {(panel: "heat" | "foot", range: Range | null) => void} prices
 * @property {(time: number) => void} click
 * @property {() => void} whole
 * @property {(at: {x: number, y: number} | null) => void} hover
 * @property {(held: boolean) => void} hold
 */

const CLICK_PIXELS = 4;
const STEP = 1.2;

/**
 * @param {Scene} scene
 * @param {number} y
 * @returns {"heat" | "foot" | null}
 */
export const panelAt = (scene, y) => {
  for (const name of /** @type {const} */ (["heat", "foot"])) {
    const panel = scene[name];
    if (panel && y >= panel.top && y <= panel.top + panel.height) return name;
  }
  return null;
};

/**
 * Return a range zoomed by a factor around a share of it.
 * @param {number} low
 * @param {number} high
 * @param {number} share
 * @param {number} factor
 * @returns {Range}
 */
export const zoomed = (low, high, share, factor) => {
  const fixed = low + share * (high - low);
  return [fixed - (fixed - low) * factor, fixed + (high - fixed) * factor];
};

/**
 * @param {HTMLElement} element
 * @param {Hands} hands
 */
export const listen = (element, hands) => {
  const place = (/** @type {MouseEvent | Touch} */ event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  wheel(element, hands, place);
  pointer(element, hands, place);
  fingers(element, hands, place);
};

/** @typedef {(event: MouseEvent | Touch) => {x: number, y: number}} Place */

/**
 * @param {HTMLElement} element
 * @param {Hands} hands
 * @param {Place} place
 */
const wheel = (element, hands, place) => {
  /** @param {WheelEvent} event */
  const turn = (event) => {
    const scene = hands.scene();
    if (!scene) return;
    event.preventDefault();
    event.stopPropagation();
    const { x, y } = place(event);
    const turned = event.deltaY || event.deltaX; // Shift turns the wheel in some browsers
    const factor = Math.min(2, Math.max(0.5, STEP ** (turned / (event.deltaMode ? 3 : 100))));
    const name = panelAt(scene, y);
    if (event.shiftKey || x > scene.x.left + scene.x.width + scene.profile.width) {
      const panel = name && scene[name];
      if (panel) hands.prices(name, zoomed(panel.low, panel.high, 1 - (y - panel.top) / panel.height, factor));
    } else {
      const share = (x - scene.x.left) / scene.x.width;
      hands.time(zoomed(scene.x.low, scene.x.high, Math.min(1, share), factor));
    }
  };
  element.addEventListener("wheel", turn, { capture: true, passive: false });
};

/**
 * @param {HTMLElement} element
 * @param {Hands} hands
 * @param {Place} place
 */
const pointer = (element, hands, place) => {
  /** @type {{x: number, y: number, scene: Scene, name: "heat" | "foot" | null, mode: string} | null} */
  let down = null;
  /** @param {PointerEvent} event */
  const begin = (event) => {
    const scene = hands.scene();
    if (event.button || !scene) return;
    const { x, y } = place(event);
    const name = panelAt(scene, y);
    const aside = x > scene.x.left + scene.x.width;
    down = { x, y, scene, name, mode: aside ? "stretch" : event.shiftKey ? "move" : "time" };
    if (down.mode === "time") hands.hold(true);
  };
  // Before Plotly: what is not a move of the time is none of its business.
  /** @param {MouseEvent} event */
  const keep = (event) => {
    if (down && down.mode !== "time") event.stopPropagation();
  };
  /** @param {PointerEvent} event */
  const move = (event) => {
    const { x, y } = place(event);
    if (!down) {
      if (event.pointerType === "mouse") hands.hover({ x, y });
      return;
    }
    hands.hover(null);
    const { scene, name, mode } = down;
    if (mode === "time" || !name) return;
    const panel = /** @type {Panel} */ (scene[name]);
    if (mode === "stretch") {
      hands.prices(name, zoomed(panel.low, panel.high, 0.5, Math.exp((y - down.y) / panel.height)));
      return;
    }
    const up = ((y - down.y) / panel.height) * (panel.high - panel.low);
    const left = ((x - down.x) / scene.x.width) * (scene.x.high - scene.x.low);
    hands.prices(name, [panel.low + up, panel.high + up]);
    hands.time([scene.x.low - left, scene.x.high - left]);
  };
  /** @param {PointerEvent} event */
  const end = (event) => {
    if (!down) return;
    const { x, y } = place(event);
    const { scene, mode } = down;
    const still = Math.hypot(x - down.x, y - down.y) < CLICK_PIXELS;
    down = null;
    setTimeout(() => hands.hold(false)); // Plotly first puts down what it holds
    if (!still || mode !== "time" || event.type === "pointercancel") return;
    if (x >= scene.x.left && x <= scene.x.left + scene.x.width) {
      hands.click(scene.x.low + ((x - scene.x.left) / scene.x.width) * (scene.x.high - scene.x.low));
    }
  };
  element.addEventListener("pointerdown", begin, true);
  element.addEventListener("mousedown", keep, true);
  window.addEventListener("pointermove", (event) => {
    if (down || element.contains(/** @type {Node} */ (event.target))) move(event);
  });
  window.addEventListener("pointerup", end, true);
  window.addEventListener("pointercancel", end, true);
  element.addEventListener("pointerleave", () => hands.hover(null));
  element.addEventListener(
    "dblclick",
    (event) => {
      event.stopPropagation();
      const scene = hands.scene();
      const { x, y } = place(event);
      const name = scene && panelAt(scene, y);
      if (scene && name && x > scene.x.left + scene.x.width) hands.prices(name, null);
      else hands.whole();
    },
    true,
  );
};

/**
 * One finger is the browser's: it scrolls the page, and a tap travels. Two zoom and move the time, so
 * that what is under a finger stays under it.
 * @param {HTMLElement} element
 * @param {Hands} hands
 * @param {Place} place
 */
const fingers = (element, hands, place) => {
  /** @type {number[] | null} */
  let times = null;
  /** @type {(event: TouchEvent, scene: Scene) => number[]} */
  const shares = (event, { x }) => [...event.touches].slice(0, 2).map((touch) => (place(touch).x - x.left) / x.width);
  /** @param {TouchEvent} event */
  const begin = (event) => {
    event.stopPropagation(); // before Plotly takes the finger for a drag
    const scene = hands.scene();
    times = null;
    if (!scene || event.touches.length !== 2) return;
    event.preventDefault();
    times = shares(event, scene).map((share) => scene.x.low + share * (scene.x.high - scene.x.low));
  };
  /** @param {TouchEvent} event */
  const move = (event) => {
    const scene = hands.scene();
    if (!times || !scene || event.touches.length !== 2) return;
    event.preventDefault();
    const [one, other] = shares(event, scene);
    const span = (times[1] - times[0]) / (other - one);
    if (!(span > 0) || Math.abs(other - one) < 0.02) return;
    const low = times[0] - one * span;
    hands.time([low, low + span]);
  };
  element.addEventListener("touchstart", begin, { capture: true, passive: false });
  element.addEventListener("touchmove", move, { capture: true, passive: false });
};
