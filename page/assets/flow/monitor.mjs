// What reading and writing costs, behind the foot line: asked for only while it is open.

import { element } from "./ladder.mjs";
import { counted } from "./range.mjs";

const EVERY_MS = 2000;
const COLUMNS = ["", "times", "bytes", "mean ms", "most ms", "refused"];

/** @typedef {{count: number, bytes: number, mean_ms: number, most_ms: number}} Meter */

/** Begin when the page is there. */
export const beginMonitor = () => {
  let timer = 0;
  const find = () => {
    const details = /** @type {HTMLDetailsElement | null} */ (document.getElementById("monitor"));
    const table = document.getElementById("monitor-table");
    if (!details || !table) return;
    observer.disconnect();
    const ask = async () => {
      if (!details.open) return;
      try {
        const answer = await fetch("status");
        if (answer.ok) table.replaceChildren(...tables(await answer.json()));
      } catch {
        // No server: page.js says so.
      }
      clearTimeout(timer);
      timer = setTimeout(ask, EVERY_MS);
    };
    details.addEventListener("toggle", ask);
  };
  const observer = new MutationObserver(find);
  observer.observe(document, { childList: true, subtree: true });
  find();
};

/** @param {{page: any, run: any}} state */
const tables = ({ page, run }) => {
  const made = [];
  if (run?.files) {
    const words = `The run: ${megabytes(run.memory)}, ${counted(run.failed ?? 0)} writes failed`;
    made.push(tableOf(`${words}. Written:`, lines(run.files)));
  }
  const read = Object.entries(page.files).flatMap(([name, file]) => [
    line(`${name}, read`, file.read, file.refused),
    line("parsed", file.parse, null),
  ]);
  made.push(tableOf(`The page: ${megabytes(page.memory)}, up ${counted(Math.round(page.seconds))} s. Read:`, read));
  return made;
};

/** @param {{now_mb: number | null, most_mb: number} | undefined} memory */
const megabytes = (memory) => (memory ? `${memory.now_mb ?? "–"} MB, at most ${memory.most_mb}` : "memory not known");

/** @param {Record<string, Meter>} files */
const lines = (files) => Object.entries(files).map(([name, meter]) => line(name, meter, null));

/**
 * @param {string} name
 * @param {Meter} meter
 * @param {number | null} refused
 */
const line = (name, meter, refused) => [
  name,
  counted(meter.count),
  counted(meter.bytes),
  meter.mean_ms.toFixed(2),
  meter.most_ms.toFixed(2),
  refused === null ? "" : counted(refused),
];

/**
 * @param {string} title
 * @param {string[][]} rows
 */
const tableOf = (title, rows) => {
  const table = element("table", "monitor");
  table.appendChild(element("caption", "", title));
  for (const [place, row] of [COLUMNS, ...rows].entries()) {
    const line = table.appendChild(element("tr", ""));
    for (const text of row) line.appendChild(element(place ? "td" : "th", "", text));
  }
  return table;
};
