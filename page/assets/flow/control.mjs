// Pause, step, speed and seek of the run itself, which all tabs share (docs/page.md).

const CONTENT_TYPE = "application/vnd.orderflow.control+json";
const EVERY_MS = 900;

/**
 * @typedef {Object} Standing
 * @property {boolean} obeys
 * @property {boolean} allowed
 * @property {boolean} paused
 * @property {number | "max"} speed
 * @property {number | null} seeking the time that it is on its way to
 */

export class Control {
  /** @param {() => void} onNews */
  constructor(onNews) {
    this.onNews = onNews;
    /** @type {Standing | null} */
    this.standing = null;
    this.words = "";
    this.looked = 0;
    this.waiting = 0;
    this.gone = false; // this server has no such route
  }

  get obeys() {
    return Boolean(this.standing?.obeys && this.standing.allowed);
  }

  /** Look how the run stands, at most each second. */
  async look(running = true) {
    clearTimeout(this.waiting);
    if (!running && this.standing) {
      this.standing = null;
      this.onNews();
    }
    if (!running || this.gone) return;
    const early = this.looked + EVERY_MS - Date.now();
    if (early > 0) {
      this.waiting = setTimeout(() => this.look(), early);
      return;
    }
    this.looked = Date.now();
    try {
      const answer = await fetch("control");
      const known = answer.headers.get("Content-Type")?.startsWith("application/json");
      if (!known) this.gone = true;
      if (!known || !answer.ok) return;
      const before = this.standing;
      const { event_time: _, ...standing } = await answer.json(); // which the poll tells
      this.standing = standing;
      if (JSON.stringify(standing) !== JSON.stringify(before)) this.onNews();
    } catch {
      /* page.js says that the server is gone */
    }
  }

  /** @param {Record<string, unknown>} order */
  async order(order) {
    this.words = "";
    try {
      const answer = await fetch("control", {
        method: "POST",
        headers: { "Content-Type": CONTENT_TYPE },
        body: JSON.stringify(order),
      });
      if (!answer.ok) {
        const found = await answer.json().catch(() => null);
        this.words = `The run did not take that: ${found?.error ?? answer.status}`;
      }
    } catch {
      this.words = "The run could not be reached.";
    }
    this.looked = 0;
    this.onNews();
    setTimeout(() => this.look(), 150);
  }

  toggle() {
    return this.order({ do: this.standing?.paused ? "resume" : "pause" });
  }

  /** @param {number} factor */
  speed(factor) {
    const now = this.standing?.speed;
    const speed = typeof now === "number" ? now * factor : factor < 1 ? 1000 : null;
    return this.setSpeed(speed === null ? "max" : Math.min(1_000_000, Math.max(0.01, speed)));
  }

  /** @param {number | "max"} speed */
  setSpeed(speed) {
    return this.order({ do: "speed", speed });
  }

  /** @param {number} time */
  seek(time) {
    return this.order({ do: "seek", time });
  }
}
