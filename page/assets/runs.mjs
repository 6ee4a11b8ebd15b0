// A page of several runs: the choice between them, in the head line. Each run has a page of its own.

const EVERY_MS = 5000;

const begin = () => {
  const place = document.getElementById("runs");
  if (!place) return;
  observer.disconnect();
  const field = document.createElement("select");
  field.id = "run";
  field.setAttribute("aria-label", "Run");
  field.title = "The runs of this page";
  field.addEventListener("change", () => {
    const view = new URLSearchParams(location.hash.slice(1)).get("view");
    location.assign(field.value + (view ? `#view=${view}` : ""));
  });
  place.append(field);
  look(place, field);
};

/**
 * Ask for the runs now and then, as instruments and states change; of one run there is no choice.
 * @param {HTMLElement} place
 * @param {HTMLSelectElement} field
 */
const look = async (place, field) => {
  let again = true;
  try {
    const answer = document.hidden ? null : await fetch("runs");
    if (answer && !answer.headers.get("Content-Type")?.startsWith("application/json")) return;
    if (answer?.ok) {
      const runs = await answer.json();
      again = runs.length > 1;
      place.hidden = !again;
      document.body.classList.toggle("has-runs", again);
      if (again) offer(field, runs);
    }
  } catch {
    /* page.js says that the server is gone */
  }
  if (again) setTimeout(() => look(place, field), EVERY_MS);
};

/**
 * @param {HTMLSelectElement} field
 * @param {{path: string, directory: string, instrument: string | null, state: string | null}[]} runs
 */
const offer = (field, runs) => {
  const words = runs.map(({ path, directory, instrument, state }) => {
    const what = [instrument ?? "no run yet", directory, state].filter(Boolean).join(" · ");
    return /** @type {[string, string]} */ ([path, what]);
  });
  const wanted = JSON.stringify(words);
  if (field.dataset.runs === wanted || document.activeElement === field) return;
  field.dataset.runs = wanted;
  field.replaceChildren(...words.map(([path, what]) => new Option(what, path)));
  field.value = location.pathname;
};

const observer = new MutationObserver(begin);
observer.observe(document, { childList: true, subtree: true });
