// Two things Dash has no part for: saying that the page's own server is gone, and full screen.
(() => {
  "use strict";

  const LOST =
    "The page's server no longer answers: the replay or app.py has ended. What you see is the " +
    "last picture. Start it again and this page goes on by itself.";
  const FAILURES = 2;
  const PATIENCE_MS = 10_000;
  let failures = 0;

  const show = () => {
    if (document.getElementById("lost")) return;
    const bar = document.createElement("div");
    bar.id = "lost";
    bar.setAttribute("role", "alert");
    bar.textContent = LOST;
    document.body.append(bar);
  };

  // Polling is off while a poll is under way, and Dash does not turn it on again after a failure.
  const pollAgain = () => window.dash_clientside.set_props("poll", { disabled: false });

  const ask = window.fetch.bind(window);
  window.fetch = async (resource, options) => {
    if (!String(resource).endsWith("_dash-update-component")) return ask(resource, options);
    try {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      // While another view is shown nothing of the bars page is sent: drawing it takes the longest.
      const headers = { ...options.headers, "X-Order-Flow-View": document.body.dataset.view ?? "bars" };
      const answer = await ask(resource, { ...options, headers, signal });
      failures = 0;
      document.getElementById("lost")?.remove();
      if (!answer.ok) pollAgain();
      return answer;
    } catch (error) {
      if (++failures >= FAILURES) show();
      pollAgain();
      throw error;
    }
  };

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#fullscreen")) return;
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen();
  });
})();
