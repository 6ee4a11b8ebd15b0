"""Serve the order-flow page: `uv run app.py`, then open http://127.0.0.1:8050.

The page is drawn from the files of a replay alone and never writes one. This module wires the
reading (`page_files`), the traces (`page_charts`) and the words (`page_view`) to Dash, and holds
the command line; who may ask and when the process ends is in `page_server`.
"""

import signal

if __name__ == "__main__":
    # Dash takes half a second to import; Ctrl+C in that time, or later, ends without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import plotly.io
import typer
from dash import Dash, Input, Output, Patch, State, dcc, html, no_update, set_props
from dash.exceptions import DependencyException
from flask import Flask, Response, request
from plotly.io.json import to_json_plotly
from werkzeug.exceptions import HTTPException

import page_charts as charts
import page_server
import page_view as view
from errors import OrderflowError
from page_files import Bars, Depth, Metrics, PageFiles, Snapshot

log = logging.getLogger("page")

POLL_MS = 500
# For who hears the page: the button is drawn by the style sheet.
NAMED: dict[str, Any] = {"aria-label": "Full screen"}
FIGURES = ("time", "depth")
SEEN_PATTERN = re.compile(r"[0-9a-f.]{0,100}")
HERE = Path(__file__).resolve().parent
BUTTONS_OUT = ["select2d", "lasso2d"]
GRAPH_OPTIONS = {
    "displaylogo": False,
    "showSendToCloud": False,  # Plotly 7 shows a button that uploads the chart
    "responsive": True,
    "scrollZoom": False,
    "doubleClick": "reset+autosize",
    "modeBarButtonsToRemove": BUTTONS_OUT,
}


@dataclass(frozen=True)
class Part:
    """Hold one part of the page, as JSON written once for every browser that asks for it.

    `traces` are keyed by (figure, place in its data), `children` by element; `revision` is the
    run both figures belong to, None in a part that does not tell.
    """

    version: str
    traces: dict[tuple[str, int], orjson.Fragment] = field(default_factory=dict)
    revision: str | None = None
    children: dict[str, orjson.Fragment] = field(default_factory=dict)


def _encoded(value: Any) -> orjson.Fragment:
    return orjson.Fragment(to_json_plotly(value, engine="orjson"))


def _bars_part(look: Snapshot) -> Part:
    bars = look.bars.content or Bars()
    decimals = charts.price_decimals(bars, look.depth.content or Depth())
    traces = {
        charts.PRICE: charts.price_trace(bars, decimals),
        charts.VOLUME: charts.volume_trace(bars),
        charts.LAST: charts.last_trace(bars),
    }
    return Part(look.bars.version, {("time", i): _encoded(t) for i, t in traces.items()})


def _metrics_part(look: Snapshot) -> Part:
    metrics = look.metrics.content or Metrics()
    traces = {charts.OBI: charts.obi_trace(metrics), charts.CVD: charts.cvd_trace(metrics)}
    return Part(look.metrics.version, {("time", i): _encoded(t) for i, t in traces.items()})


def _depth_part(look: Snapshot) -> Part:
    bars, depth = look.bars.content or Bars(), look.depth.content or Depth()
    traces = charts.depth_traces(depth, charts.price_decimals(bars, depth))
    return Part(
        look.depth.version,
        {("depth", i): _encoded(trace) for i, trace in enumerate(traces)},
        children={"ladder": _encoded(view.ladder(bars, depth))},
    )


def _words_part(look: Snapshot) -> Part:
    return Part(
        _words_version(look),
        children={
            "head": _encoded(view.head(look)),
            "notes": _encoded(view.notes_strip(look)),
            "hint": _encoded(view.hint(look)),
            "foot": _encoded(view.foot(look.status.content)),
        },
    )


def _run_part(look: Snapshot) -> Part:
    return Part(_run_version(look), revision=_run_version(look))


def _run_version(look: Snapshot) -> str:
    """Name the run, so that a zoom into yesterday does not hide the bars of the next one."""
    status = look.status.content
    return _name((status.instrument, status.start, status.window_seconds) if status else None)


def _words_version(look: Snapshot) -> str:
    versions = [r.version for r in (look.bars, look.metrics, look.depth, look.status)]
    return _name((versions, look.stale, look.problems()))


def _name(value: object) -> str:
    return hashlib.blake2s(repr(value).encode(), digest_size=3).hexdigest()


class Parts:
    """Keep the parts of the page, each built once per version of what it shows.

    Three parts change with one file each, the words with any, the run with the next run. A
    browser names the versions it has and gets the parts that differ: any number of browsers are
    complete, and what 50 of them ask for is built once.
    """

    def __init__(self, files: PageFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._parts: list[Part] = []

    def newest(self) -> list[Part]:
        """Look at the files and return all parts, always in the same order.

        While another thread is looking, return the parts as they were before: nobody waits for
        what the next poll brings. Only the first look is waited for.
        """
        if self._lock.acquire(blocking=not self._parts):
            try:
                self._parts = self._built(self._files.look())
            finally:
                self._lock.release()
        return self._parts

    def _built(self, look: Snapshot) -> list[Part]:
        wanted: tuple[tuple[str, Callable[[Snapshot], Part]], ...] = (
            (_run_version(look), _run_part),
            (look.bars.version, _bars_part),
            (look.metrics.version, _metrics_part),
            (look.depth.version, _depth_part),
            (_words_version(look), _words_part),
        )
        old: Sequence[Part | None] = self._parts or [None] * len(wanted)
        return [
            part if part is not None and part.version == version else build(look)
            for part, (version, build) in zip(old, wanted, strict=True)
        ]


def changes(parts: list[Part], seen: str) -> dict[str, dict[str, Any]]:
    """Return the properties to set, by element, in a browser that has the versions `seen`.

    Figures get a patch of whole traces and nothing of their layout: Dash 4.4.1 loses the zoom of
    a figure that is sent whole. Empty when nothing changed.
    """
    known = seen.split(".")
    if len(known) != len(parts):  # a new browser, or one with another version of the page
        known = [""] * len(parts)
    patches: dict[str, Patch] = {}
    properties: dict[str, dict[str, Any]] = {}
    for part, version in zip(parts, known, strict=True):
        if part.version == version:
            continue
        if part.revision is not None:
            for figure in FIGURES:
                shown = patches.setdefault(figure, Patch())["layout"]
                shown["uirevision"] = part.revision
                for axis, options in charts.WHOLE[figure].items():
                    for name, value in options.items():  # Dash up to 4.1 keeps the old zoom here
                        shown[axis][name] = value
        for (figure, place), trace in part.traces.items():
            patches.setdefault(figure, Patch())["data"][place] = trace
        properties |= {element: {"children": tree} for element, tree in part.children.items()}
    # As a plain dict, which orjson writes as it is; a Patch object makes Dash copy every list.
    return properties | {name: {"figure": p.to_plotly_json()} for name, p in patches.items()}


def layout() -> Any:
    """Return the page's elements: empty charts with their layouts, and the places for words."""
    template = plotly.io.templates["plotly_dark"].to_plotly_json()
    time_figure = {
        "data": charts.time_traces(Bars(), Metrics()),
        "layout": charts.time_layout(template),
    }
    depth_figure = {"data": charts.depth_traces(Depth()), "layout": charts.depth_layout(template)}
    return html.Div(
        [
            html.Header(
                [
                    html.Div(id="head"),
                    html.Button(id="fullscreen", title="Full screen", type="button", **NAMED),
                ]
            ),
            html.Div(id="notes", role="status"),
            html.Main(
                [
                    html.Section(
                        [_graph("time", time_figure), html.Div(id="hint")], className="panel time"
                    ),
                    html.Section(_graph("depth", depth_figure), className="panel depth"),
                    html.Section(id="ladder", className="panel ladder"),
                ]
            ),
            html.Footer(id="foot"),
            dcc.Interval(id="poll", interval=POLL_MS),
            dcc.Store(id="seen", data=""),
        ],
        id="page",
    )


def _graph(name: str, figure: dict[str, Any]) -> Any:
    image = {"format": "png", "filename": f"order-flow-{name}", "scale": 2}
    config: Any = GRAPH_OPTIONS | {"toImageButtonOptions": image}
    if name == "depth":  # a narrow panel: the legend needs the room of the zoom steps
        config["modeBarButtonsToRemove"] = [*BUTTONS_OUT, "zoomIn2d", "zoomOut2d"]
    return dcc.Graph(id=name, figure=figure, config=config, responsive=True)


def make_app(directory: Path) -> Dash:
    """Return the Dash application that draws the files of `directory`, which need not exist."""
    app = Dash(
        __name__,
        title="Order flow",
        update_title="",
        assets_folder=str(HERE / "assets"),
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        add_log_handler=False,
    )
    app.layout = layout()
    parts = Parts(PageFiles(directory))

    # While a poll is under way the next one waits: on a slow line answers would pile up and
    # none would be drawn.
    @app.callback(
        Output("seen", "data"),
        Input("poll", "n_intervals"),
        State("seen", "data"),
        running=[(Output("poll", "disabled"), True, False)],
    )
    def poll(_: int | None, seen: str) -> Any:
        newest = parts.newest()
        found = changes(newest, seen)
        if not found:
            # Not PreventUpdate: its empty 204 makes waitress close the connection, and every
            # poll opens another.
            return no_update
        for element, properties in found.items():
            set_props(element, properties)
        return ".".join(part.version for part in newest)

    _refuse_malformed(app.server)
    return app


def is_poll(body: Any) -> bool:
    """Return whether `body`, parsed JSON, is what the page's own poll sends.

    Dash trusts its callers with the shape of a request, and fails in its own code where it is
    another; so nothing else gets there.
    """
    match body:
        case {
            "output": "seen.data",
            "outputs": {"id": "seen", "property": "data"},
            "inputs": [{"id": "poll", "property": "n_intervals", **poll}],
            "state": [{"id": "seen", "property": "data", "value": str(seen)}],
            "changedPropIds": [*changed],
        }:
            count = isinstance(poll.get("value"), (int, type(None)))
            names = all(isinstance(name, str) for name in changed)
            return count and names and SEEN_PATTERN.fullmatch(seen) is not None
    return False


def _json(raw: bytes) -> Any:
    """Return the value of `raw`, None where it is no JSON or nested too deep."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _refuse_malformed(server: Flask) -> None:
    @server.before_request
    def check() -> Response | None:
        if request.path != "/_dash-update-component" or is_poll(_json(request.get_data())):
            return None
        return Response("400: not a poll of this page\n", 400, content_type="text/plain")

    @server.errorhandler(DependencyException)
    def not_served(_: Exception) -> Response:
        return Response("404: Not Found\n", 404, content_type="text/plain")

    @server.errorhandler(Exception)
    def fail(error: Exception) -> Any:
        if isinstance(error, HTTPException):
            return Response(f"{error.code}: {error.name}\n", error.code, content_type="text/plain")
        log.error("answering %s failed", request.path, exc_info=error)
        return Response("500: see the page's log\n", 500, content_type="text/plain")


def run(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8050,
    output_dir: Annotated[
        Path,
        typer.Option(envvar="ORDERFLOW_OUTPUT_DIR", help="Directory of the files to draw."),
    ] = HERE,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name the page may be called by; may be repeated."),
    ] = None,
    exit_with_parent: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Show the order flow that a replay writes, as a page in the browser."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    if exit_with_parent:
        # Ctrl+C reaches both: the parent still writes how far it came, then lets go of the page.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        page_server.end_with_parent()
    if not page_server.is_loopback(host):
        typer.echo(page_server.exposure_warning(host, allow_host or []), err=True)
    app = make_app(output_dir)
    guarded = page_server.guard(
        app.server.wsgi_app,
        page_server.allowed_hosts(host, allow_host or []),
        lambda: page_server.content_policy(app.csp_hashes()),
    )
    try:
        page_server.serve(guarded, host, port, lambda url: typer.echo(f"Page: {url}", err=True))
    except OrderflowError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(run)
