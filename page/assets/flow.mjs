// Begin the order-flow views when the page and Plotly are there; they stay out of sight as long as a
// run has no files for them. What each module in flow/ does stands at its head.

import { beginLens } from "./flow/lens.mjs";
import { beginMonitor } from "./flow/monitor.mjs";
import { Views } from "./flow/views.mjs";

const begin = () => {
  const [nav, root, head, about] = ["views", "flow", "flow-head", "flow-about"].map((id) => document.getElementById(id));
  if (!nav || !root || !head || !about || !window.Plotly) return;
  observer.disconnect();
  const views = new Views(nav, root, head);
  const hear = () => {
    if (!about.textContent) return;
    views.tell(JSON.parse(about.textContent));
  };
  new MutationObserver(hear).observe(about, { childList: true, characterData: true, subtree: true });
  hear();
};
const observer = new MutationObserver(begin);
observer.observe(document, { childList: true, subtree: true });
beginLens();
beginMonitor();
