"""Build the sections of the page, each once for every browser that asks for it."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from dash import Patch
from plotly.io.json import to_json_plotly

from page import charts, foot_view, layouts, metric_charts, trading_charts, trading_view, view
from page.contents import Bars, Depth, Metrics, Shown, common_range
from page.files import PageData, PageFiles, Reading, name_of
from page.flow import FlowFiles
from page.marks import grid_of, marks
from page.units import Unit, in_unit, unit_of
from viz_io import (
    DATA_FILE,
    DEPTH_FILE,
    ISSUES_FILE,
    METRIC_BARS_FILE,
    METRICS_FILE,
    STATUS_FILE,
    TRADING_FILE,
)

log = logging.getLogger("page")

FIGURES = ("time", "depth")


@dataclass(frozen=True)
class Section:
    """Hold one section of the page, as JSON written once for every browser that asks for it.

    `traces` are keyed by (figure, index in its data), `all_traces` by figure, `children` by
    element; `revision` is the run the figures belong to, None in a section that does not tell.
    `panels` are what changes of the layout of the figure `panels_of`, by path, and `properties`
    further ones of elements.
    """

    version: str
    traces: dict[tuple[str, int], orjson.Fragment] = field(default_factory=dict)
    revision: str | None = None
    children: dict[str, orjson.Fragment] = field(default_factory=dict)
    panels: trading_charts.Layout = field(default_factory=dict)
    panels_of: str = "time"
    all_traces: dict[str, orjson.Fragment] = field(default_factory=dict)
    properties: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_of_figures(self) -> bool:
        """Return whether it belongs to the bars page, and nothing of it is seen beside that."""
        return bool(self.traces or self.all_traces) or self.revision is not None


def _encoded(value: Any) -> orjson.Fragment:
    return orjson.Fragment(to_json_plotly(value, engine="orjson"))


def _traces(figure: str, traces: dict[int, charts.Trace]) -> dict[Any, orjson.Fragment]:
    return {(figure, index): _encoded(trace) for index, trace in traces.items()}


def _bars_section(version: str, data: PageData, shown: Shown) -> Section:
    bars = shown.bars
    decimals = charts.price_decimals(bars, data.depth.content or Depth())
    traces = {
        charts.PRICE: charts.price_trace(bars, decimals),
        charts.VOLUME: charts.volume_trace(bars),
        charts.ROOM: charts.room_trace(bars),
        charts.LAST: charts.last_trace(bars),
    }
    return Section(version, _traces("time", traces))


def _metrics_section(version: str, _: PageData, shown: Shown) -> Section:
    metrics = shown.metrics
    traces = {charts.OBI: charts.obi_trace(metrics), charts.CVD: charts.cvd_trace(metrics)}
    return Section(version, _traces("time", traces))


def _depth_section(version: str, data: PageData, shown: Shown) -> Section:
    depth = data.depth.content or Depth()
    traces = charts.depth_traces(depth, charts.price_decimals(shown.bars, depth))
    return Section(
        version,
        _traces("depth", dict(enumerate(traces))),
        children={"ladder": _encoded(view.ladder(shown.bars, depth))},
    )


def _issues_section(version: str, data: PageData, shown: Shown) -> Section:
    grid = grid_of(shown, _window_seconds(data))
    found = marks(data.issues.content.spans if data.issues.content else [], grid)
    traces = {
        charts.ISSUES: charts.issues_trace(found, grid),
        charts.SHADE: charts.shade_trace(found, grid),
    }
    return Section(version, _traces("time", traces))


def _trading_section(version: str, data: PageData, shown: Shown) -> Section:
    run, stale = data.trading_run, data.trading_stale
    decimals = charts.price_decimals(shown.bars, data.depth.content or Depth())
    grid = grid_of(shown, _window_seconds(data))
    return Section(
        version,
        _traces("time", trading_charts.trading_traces(run, grid, decimals)),
        children={"trading": _encoded(trading_view.panel(run, decimals, stale=stale))},
    )


def _panels_section(version: str, data: PageData, _: Shown) -> Section:
    executes = data.trading_run is None or data.trading_run.executes
    return Section(version, panels=trading_charts.panels(trading=bool(version), executes=executes))


def _measured_section(version: str, data: PageData, _: Shown) -> Section:
    measured = data.measured.content
    traces = metric_charts.metric_traces(measured) if measured else []
    return Section(version, all_traces={"measured": _encoded(traces)})


def _measured_panels_section(version: str, data: PageData, _: Shown) -> Section:
    described = data.measured.content.described if data.measured.content else ()
    shown = {"hidden": not described, "style": {"height": metric_charts.height_of(described)}}
    return Section(
        version,
        panels=metric_charts.panels(described),
        panels_of="measured",
        properties={"measured-frame": shown},
    )


def _words_section(version: str, data: PageData, shown: Shown) -> Section:
    return Section(
        version,
        children={
            "head": _encoded(view.head(data)),
            "notes": _encoded(view.notes_strip(data)),
            "hint": _encoded(view.hint(data)),
            "foot": _encoded(foot_view.foot(data.status.content, shown)),
            "about": _encoded(view.title(data.status.content)),
        },
    )


def _run_section(version: str, _: PageData, __: Shown) -> Section:
    return Section(version, revision=version)


def _run_version(data: PageData) -> str:
    """Name the run, so that a zoom into yesterday does not hide the bars of the next one."""
    status = data.status.content
    return name_of((status.instrument, status.start, status.window_seconds) if status else None)


def _cut_version(reading: Reading[Any], start: int | None) -> str:
    """Name what is shown of a file that is cut at `start`, where the other file begins."""
    return reading.version if start is None else name_of((reading.version, start))


def _issues_version(data: PageData, shown: Shown) -> str:
    """Name the marks: where there is no issue, new bars leave them as they are."""
    spans = data.issues.content.spans if data.issues.content else []
    return name_of((data.issues.version, grid_of(shown, _window_seconds(data))) if spans else None)


def _trading_version(data: PageData, shown: Shown) -> str:
    """Name what a trading run shows; nothing where there is none, as in a new browser."""
    if data.trading_run is None:
        return ""
    grid = grid_of(shown, _window_seconds(data))
    return name_of((data.trading.version, data.trading_stale, grid))


def _window_seconds(data: PageData) -> float | None:
    return data.status.content.window_seconds if data.status.content else None


def _words_version(data: PageData, shown: Shown) -> str:
    versions = [r.version for r in (data.bars, data.metrics, data.depth, data.status)]
    trading = trading_view.notes(data.trading_run, stale=data.trading_stale)
    others = (shown.start, data.stale, data.no_directory, data.problems(), trading)
    return name_of((versions, others))


Build = Callable[[str, PageData, Shown], Section]


class Sections:
    """Keep the sections of the page, each built once per version of what it shows.

    Six sections change with the content of their files, the words with any, the run with the next
    run, the panels when a trading run, or metrics, come or go. A browser names the versions it has
    and gets the sections that differ: any number of browsers are complete, and what 50 of them ask
    for is built once. A new browser has all that the section without a version would give it.
    `contract_values` are what a contract stands for, by instrument: sizes are shown in that unit,
    while `data` has them as the files do.
    """

    def __init__(
        self,
        files: PageFiles,
        flow: FlowFiles | None = None,
        contract_values: Mapping[str, str] | None = None,
    ) -> None:
        self._files = files
        self._flow = flow
        self._contract_values = contract_values or {}
        self._flow_was_there = False
        self.data: PageData | None = None
        self._lock = threading.Lock()
        self._sections: list[Section] = []
        self._failed: dict[str, str] = {}

    def newest(self) -> list[Section]:
        """Look at the files and return all sections, always in the same order.

        While another thread is looking, return the sections as they were before: nobody waits for
        what the next poll brings. Only the first refresh is waited for.
        """
        if self._lock.acquire(blocking=not self._sections):
            try:
                data = self._files.refresh()
                if self._flow:
                    data = replace(data, flow_problems=tuple(self._flow.problems()))
                self._sections = self._built(in_unit(data, self._unit(data)))
                self.data = data
            finally:
                self._lock.release()
        return self._sections

    def _unit(self, data: PageData) -> Unit:
        instrument = data.status.content.instrument if data.status.content else None
        return unit_of(instrument, self._contract_values)

    def _built(self, data: PageData) -> list[Section]:
        shown = common_range(data.bars.content or Bars(), data.metrics.content or Metrics())
        start = shown.start
        wanted: list[tuple[str, str, Build]] = [
            (STATUS_FILE.name, _run_version(data), _run_section),
            (DATA_FILE.name, _cut_version(data.bars, start), _bars_section),
            (METRICS_FILE.name, _cut_version(data.metrics, start), _metrics_section),
            (DEPTH_FILE.name, data.depth.version, _depth_section),
            (ISSUES_FILE.name, _issues_version(data, shown), _issues_section),
            (TRADING_FILE.name, _trading_version(data, shown), _trading_section),
            (METRIC_BARS_FILE.name, data.measured.version, _measured_section),
        ]
        built = [
            self._section(place, name, version, build, data, shown)
            for place, (name, version, build) in enumerate(wanted)
        ]
        undrawn = [
            name
            for (name, version, _), section in zip(wanted, built, strict=True)
            if section.version != version
        ]
        told = replace(data, undrawn=tuple(undrawn))
        words = _words_version(told, shown)
        run = data.trading_run
        with_panels = name_of(("panels", run.executes)) if run else ""
        measured = data.measured.content
        others = (
            ("panels", with_panels, _panels_section),
            (
                "panels of metrics",
                name_of(measured.described) if measured else "",
                _measured_panels_section,
            ),
            ("words", words, _words_section),
        )
        built += [
            self._section(place, name, version, build, told, shown)
            for place, (name, version, build) in enumerate(others, len(built))
        ]
        return [*built, self._flow_section(data)]

    def _flow_section(self, data: PageData) -> Section:
        """Tell which order-flow files there are; nothing at all before there was one."""
        old = self._sections[-1] if self._sections else None
        files = self._flow.versions() if self._flow else {}
        self._flow_was_there = self._flow_was_there or bool(files)
        told = flow_about(data, files, self._unit(data)) if self._flow_was_there else None
        version = name_of(told)
        if old and old.version == version:
            return old
        text = orjson.dumps(told).decode()
        return Section(version, children={"flow-about": _encoded(text)} if told else {})

    def _section(
        self, place: int, name: str, version: str, build: Build, data: PageData, shown: Shown
    ) -> Section:
        """Return a section of that version, or the last good one when it cannot be built.

        What the parsers accept can be drawn; where that is wrong, one section stands still and the
        others go on. It is said once, and tried again with the next content.
        """
        old = self._sections[place] if self._sections else Section("")
        if old.version == version or self._failed.get(name) == version:
            return old
        try:
            return build(version, data, shown)
        except Exception:
            if name not in self._failed:
                log.exception("%s cannot be drawn; the last good picture stays", name)
            self._failed[name] = version
            return old


def flow_about(data: PageData, files: dict[str, str], unit: Unit) -> dict[str, Any]:
    """Return what the order-flow views are told by a poll; without files they are not shown."""
    status = data.status.content
    about: dict[str, Any] = {"files": files, "unit": {"name": unit.name, "factor": unit.factor}}
    if files:
        about["files"] = files | {"depth": data.depth.version, "issues": data.issues.version}
    if files and data.trading_run is not None:
        about["files"]["trading"] = data.trading.version
    if status is not None:
        about |= {
            "instrument": status.instrument,
            "state": "stale" if data.stale else status.state,
            "start": status.start,
            "end": status.end,
            "event_time": status.event_time,
            "recording": status.data_dir is not None,
            "control": (status.paused, status.speed, status.control, status.seeking),
        }
    return about


def seen_after(sections: list[Section], seen: str, *, figures: bool = True) -> str:
    """Return the versions that a browser has after it got the `changes` from `seen`."""
    known = _known(sections, seen)
    return ".".join(
        version if section.is_of_figures and not figures else section.version
        for section, version in zip(sections, known, strict=True)
    )


def _known(sections: list[Section], seen: str) -> list[str]:
    known = seen.split(".")
    # Else a new browser, or one with another version of the page.
    return known if len(known) == len(sections) else [""] * len(sections)


def changes(
    sections: list[Section], seen: str, *, figures: bool = True
) -> dict[str, dict[str, Any]]:
    """Return the properties to set, by element, in a browser that has the versions `seen`.

    Figures get a patch of whole traces and nothing of their layout: Dash 4.4.1 loses the zoom of
    a figure that is sent whole. Without `figures` the bars page is not seen in that browser, and
    nothing of it is sent. Empty when nothing changed.
    """
    patches: dict[str, Patch] = {}
    properties: dict[str, dict[str, Any]] = {}
    for section, version in zip(sections, _known(sections, seen), strict=True):
        if section.version == version or (section.is_of_figures and not figures):
            continue
        if section.revision is not None:
            for figure in FIGURES:
                shown = patches.setdefault(figure, Patch())["layout"]
                shown["uirevision"] = section.revision
                for axis, options in layouts.WHOLE[figure].items():
                    for name, value in options.items():  # Dash up to 4.1 keeps the old zoom here
                        shown[axis][name] = value
        for path, value in section.panels.items():
            place: Any = patches.setdefault(section.panels_of, Patch())["layout"]
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
        for figure, traces in section.all_traces.items():
            patches.setdefault(figure, Patch())["data"] = traces
        for (figure, index), trace in section.traces.items():
            patches.setdefault(figure, Patch())["data"][index] = trace
        properties |= {element: {"children": tree} for element, tree in section.children.items()}
        properties |= section.properties
    # As a plain dict, which orjson writes as it is; a Patch object makes Dash copy every list.
    return properties | {name: {"figure": p.to_plotly_json()} for name, p in patches.items()}
