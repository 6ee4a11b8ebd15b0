// Bars of any part of the run, as `GET /range` has them: one question at a time, the newest wins.

import { ContentError, readRange, unpack } from "./container.mjs";

/** @typedef {import("./types").RangeBars} RangeBars */

const PATIENCE_MS = 10_000;
const AGAIN_MS = 500;
export const ALL_TIME = 10 ** 14;
export const MOST = 1000;

export class Asker {
  /** @param {(found: RangeBars | null) => void} onAnswer null where the run has no such files */
  constructor(onAnswer) {
    this.onAnswer = onAnswer;
    this.asking = false;
    /** @type {[number, number, number] | null} */
    this.next = null;
    this.problem = "";
  }

  /**
   * Ask for the bars of a time, in ms; a question that waits is replaced by a newer one.
   * @param {number} low
   * @param {number} high
   */
  ask(low, high, most = MOST) {
    this.next = [Math.max(0, Math.floor(low)), Math.min(ALL_TIME, Math.ceil(high)), most];
    if (!this.asking) this.run();
  }

  async run() {
    this.asking = true;
    while (this.next) {
      const [low, high, most] = this.next;
      this.next = null;
      if (low >= high) continue;
      try {
        const signal = /** @type {any} */ (AbortSignal).timeout(PATIENCE_MS);
        const answer = await fetch(`range?from=${low}&to=${high}&most=${most}`, { signal });
        if (answer.status === 202) {
          await new Promise((done) => setTimeout(done, AGAIN_MS));
          this.next ??= [low, high, most];
          continue;
        }
        if (answer.status === 204) this.onAnswer(null);
        else if (answer.ok) this.onAnswer(readRange(unpack(await answer.arrayBuffer())));
        this.problem = answer.ok ? "" : `the server answered ${answer.status}`;
      } catch (error) {
        // No server: page.js says so. What cannot be used leaves what is shown.
        if (error instanceof ContentError) this.problem = error.message;
      }
    }
    this.asking = false;
  }
}

/** @param {number} value */
export const counted = (value) => value.toLocaleString("en-US");
