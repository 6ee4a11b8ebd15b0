"""Serve the order-flow page: `uv run app.py`, then open http://127.0.0.1:8050.

The page is drawn from the files of a replay alone and never writes one. This module wires the
sections (`page.sections`) to Dash, and holds the command line; who may ask and when the process
ends is in `page.server`.
"""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from wsgiref.types import WSGIApplication

import plotly.io
import typer
from dash import Dash, Input, Output, State, dcc, html, no_update, set_props
from flask import request

from orderflow import command
from orderflow.command import Quiet, Verbose, say
from orderflow.errors import UsageError
from orderflow.instruments import parse_contract_values
from page import charts, flow_routes, layouts, metric_charts, runs
from page import server as page_server
from page.book_route import add_book_route
from page.contents import Bars, Depth, Metrics, Shown
from page.control_route import add_control_route
from page.files import PageFiles
from page.flow import FlowFiles
from page.monitor_route import add_monitor_route
from page.range_route import add_range_route
from page.run_status import RunStatus
from page.sections import Sections, changes, seen_after
from page.server import refuse_malformed

POLL_MS = 500
# What a poll says of the view its page shows: assets/page.js.
VIEW_HEADER = "X-Order-Flow-View"
# For who hears the page: the button is drawn by the style sheet.
NAMED: dict[str, Any] = {"aria-label": "Full screen"}
HERE = Path(__file__).resolve().parent
# The wheel and two fingers zoom, and leave the prices to fit what is seen.
BUTTONS_OUT = ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d"]
GRAPH_OPTIONS = {
    "displaylogo": False,
    "showSendToCloud": False,  # Plotly 7 shows a button that uploads the chart
    "responsive": True,
    "scrollZoom": True,  # one axis at a time: assets/charts.js
    "doubleClick": "reset+autosize",
    "modeBarButtonsToRemove": BUTTONS_OUT,
}


def layout() -> Any:
    """Return the page's elements: empty charts with their layouts, and the places for words."""
    template = plotly.io.templates["plotly_dark"].to_plotly_json()
    time_figure = {
        "data": charts.time_traces(Shown(Bars(), Metrics())),
        "layout": layouts.time_layout(template),
    }
    measured_figure = {"data": [], "layout": metric_charts.metric_layout(template)}
    depth_figure = {"data": charts.depth_traces(Depth()), "layout": layouts.depth_layout(template)}
    return html.Div(
        [
            html.Header(
                [
                    html.Div(id="runs", hidden=True),  # one of several runs: assets/runs.mjs
                    html.Div(id="head"),
                    html.Div(id="flow-head"),
                    html.Div(id="range-words", hidden=True),  # what older bars are shown
                    html.Button(id="fullscreen", title="Full screen", type="button", **NAMED),
                ]
            ),
            # The order-flow views fill these where a run has files for them: assets/flow.mjs.
            html.Nav(id="views", hidden=True),
            html.Div(id="notes", role="status"),
            html.Div(id="flow", hidden=True),
            html.Main(
                [
                    html.Section(
                        [
                            _graph("time", time_figure),
                            # The metrics asked for by --metric, and nothing without any.
                            html.Div(
                                html.Div(
                                    _graph("measured", measured_figure),
                                    id="measured-frame",
                                    hidden=True,
                                ),
                                id="measured-panel",
                            ),
                            html.Div(id="hint"),
                        ],
                        className="panel time",
                    ),
                    html.Section(id="trading", className="panel trading"),
                    html.Section(_graph("depth", depth_figure), className="panel depth"),
                    html.Section(id="ladder", className="panel ladder"),
                ]
            ),
            html.Footer(
                [
                    html.Div(id="foot"),
                    html.Details(
                        [html.Summary("files and memory"), html.Div(id="monitor-table")],
                        id="monitor",
                    ),
                ]
            ),
            html.Div(id="about", hidden=True),  # what page.js calls the tab and saved pictures
            html.Div(id="flow-about", hidden=True),  # which order-flow files there are
            dcc.Interval(id="poll", interval=POLL_MS),
            dcc.Store(id="seen", data=""),
        ],
        id="page",
    )


def _graph(name: str, figure: dict[str, Any]) -> Any:
    config: Any = GRAPH_OPTIONS
    return dcc.Graph(id=name, figure=figure, config=config, responsive=True)


def make_app(
    directory: Path,
    *,
    allow_control: bool = True,
    contract_values: Mapping[str, str] | None = None,
    path: str = "/",
) -> Dash:
    """Return the Dash application that draws the files of `directory`, which need not exist.

    `allow_control` says whether pages may pause, step and seek the run; `contract_values` what a
    contract stands for, by instrument; `path` where browsers find the page, ending in `/`.
    """
    app = Dash(
        __name__,
        routes_pathname_prefix="/",
        requests_pathname_prefix=path,
        title="Order flow",
        update_title="",
        assets_folder=str(HERE / "page" / "assets"),
        assets_path_ignore=["^flow$"],  # modules: assets/flow.mjs asks for them
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        add_log_handler=False,
    )
    app.layout = layout()
    flow = FlowFiles(directory)
    files = PageFiles(directory)
    sections = Sections(files, flow, contract_values)

    # While a poll is under way the next one waits: on a slow line answers would pile up and
    # none would be drawn.
    @app.callback(
        Output("seen", "data"),
        Input("poll", "n_intervals"),
        State("seen", "data"),
        running=[(Output("poll", "disabled"), True, False)],
    )
    def poll(_: int | None, seen: str) -> Any:
        newest = sections.newest()
        figures = request.headers.get(VIEW_HEADER) != "flow"
        found = changes(newest, seen, figures=figures)
        if not found:
            # Not PreventUpdate: its empty 204 makes waitress close the connection, and every
            # poll opens another.
            return no_update
        for element, properties in found.items():
            set_props(element, properties)
        return seen_after(newest, seen, figures=figures)

    refuse_malformed(app.server)
    flow_routes.register(app.server, flow, sections)
    add_range_route(app.server, flow.ranges, sections)
    status = RunStatus(directory)
    add_book_route(app.server, status)
    add_monitor_route(app.server, files, flow, sections)
    add_control_route(app.server, status, allowed=allow_control)
    return app


def make_page(
    directories: Sequence[Path], *, allow_control: bool, contract_values: Mapping[str, str]
) -> tuple[WSGIApplication, Callable[[], str]]:
    """Return what serves the runs of all directories, and its Content-Security-Policy."""
    if len(set(directories)) < len(directories) or len(directories) > runs.MAX_RUNS:
        msg = f"--output-dir names up to {runs.MAX_RUNS} directories, each once"
        raise UsageError(msg, "--output-dir", directories)
    shown = runs.shown_runs(directories)
    pages = []
    for one in shown:
        check_directory(one.directory)
        page = make_app(
            one.directory,
            allow_control=allow_control,
            contract_values=contract_values,
            path=one.path,
        )
        runs.add_runs_route(page.server, shown)
        pages.append((one.path, page))
    application = runs.dispatch([(path, page.server.wsgi_app) for path, page in pages])

    def policy() -> str:
        hashes = {each: None for _, page in pages for each in page.csp_hashes()}
        return page_server.content_policy(hashes)

    return application, policy


def check_directory(directory: Path) -> None:
    """Say that there is no such directory, as a replay may yet make it; refuse what is a file."""
    if directory.is_dir():
        return
    if directory.exists():
        msg = f"--output-dir must be a directory; found a file: {directory}"
        raise UsageError(msg, "--output-dir", directory)
    say(f"Warning: --output-dir {directory} does not exist; the page waits for a replay to make it")


cli = command.new_app()


@cli.command()
def run(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8050,
    output_dir: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="ORDERFLOW_OUTPUT_DIR",
            help="Directory of the files to draw, by default beside the code; repeat it for a "
            "page of several runs.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name the page may be called by; may be repeated."),
    ] = None,
    allow_control: Annotated[
        bool,
        typer.Option("--allow-control", help="Let pages on other machines pause and seek the run."),
    ] = False,
    contract_value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            envvar="ORDERFLOW_CONTRACT_VALUE",
            help="What a contract is worth, BTC-USDT-SWAP=0.01, to show sizes in that currency; "
            "repeatable.",
        ),
    ] = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    exit_with_parent: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Show the order flow that a replay writes, as a page in the browser."""
    command.set_up_logging(verbose, quiet=quiet)
    if exit_with_parent:
        # Ctrl+C reaches both: the parent still writes how far it came, then lets go of the page.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        page_server.end_with_parent()
    else:
        startup.end_at_interrupt()  # the page holds nothing that has to be saved
    if not page_server.is_loopback(host):
        say(page_server.exposure_warning(host, allow_host or []))
    may_order = page_server.is_loopback(host) or allow_control
    application, policy = make_page(
        output_dir or [HERE],
        allow_control=may_order,
        contract_values=parse_contract_values(contract_value or ()),
    )
    names = page_server.allowed_hosts(host, allow_host or [])
    guarded = page_server.guard(application, names, policy)
    page_server.serve(guarded, host, port, lambda url: say(f"Page: {url}"))


if __name__ == "__main__":
    command.run(cli)
