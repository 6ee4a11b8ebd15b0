"""Build the sections of the page, each once for every browser that asks for it."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from dash import Patch
from plotly.io.json import to_json_plotly

from page import charts, view
from page.files import Bars, Depth, Metrics, PageData, PageFiles

FIGURES = ("time", "depth")


@dataclass(frozen=True)
class Section:
    """Hold one section of the page, as JSON written once for every browser that asks for it.

    `traces` are keyed by (figure, index in its data), `children` by element; `revision` is the
    run both figures belong to, None in a section that does not tell.
    """

    version: str
    traces: dict[tuple[str, int], orjson.Fragment] = field(default_factory=dict)
    revision: str | None = None
    children: dict[str, orjson.Fragment] = field(default_factory=dict)


def _encoded(value: Any) -> orjson.Fragment:
    return orjson.Fragment(to_json_plotly(value, engine="orjson"))


def _bars_section(data: PageData) -> Section:
    bars = data.bars.content or Bars()
    decimals = charts.price_decimals(bars, data.depth.content or Depth())
    traces = {
        charts.PRICE: charts.price_trace(bars, decimals),
        charts.VOLUME: charts.volume_trace(bars),
        charts.LAST: charts.last_trace(bars),
    }
    return Section(data.bars.version, {("time", i): _encoded(t) for i, t in traces.items()})


def _metrics_section(data: PageData) -> Section:
    metrics = data.metrics.content or Metrics()
    traces = {charts.OBI: charts.obi_trace(metrics), charts.CVD: charts.cvd_trace(metrics)}
    return Section(data.metrics.version, {("time", i): _encoded(t) for i, t in traces.items()})


def _depth_section(data: PageData) -> Section:
    bars, depth = data.bars.content or Bars(), data.depth.content or Depth()
    traces = charts.depth_traces(depth, charts.price_decimals(bars, depth))
    return Section(
        data.depth.version,
        {("depth", i): _encoded(trace) for i, trace in enumerate(traces)},
        children={"ladder": _encoded(view.ladder(bars, depth))},
    )


def _words_section(data: PageData) -> Section:
    return Section(
        _words_version(data),
        children={
            "head": _encoded(view.head(data)),
            "notes": _encoded(view.notes_strip(data)),
            "hint": _encoded(view.hint(data)),
            "foot": _encoded(view.foot(data.status.content)),
        },
    )


def _run_section(data: PageData) -> Section:
    return Section(_run_version(data), revision=_run_version(data))


def _run_version(data: PageData) -> str:
    """Name the run, so that a zoom into yesterday does not hide the bars of the next one."""
    status = data.status.content
    return _name((status.instrument, status.start, status.window_seconds) if status else None)


def _words_version(data: PageData) -> str:
    versions = [r.version for r in (data.bars, data.metrics, data.depth, data.status)]
    return _name((versions, data.stale, data.problems()))


def _name(value: object) -> str:
    return hashlib.blake2s(repr(value).encode(), digest_size=3).hexdigest()


class Sections:
    """Keep the sections of the page, each built once per version of what it shows.

    Three sections change with one file each, the words with any, the run with the next run. A
    browser names the versions it has and gets the sections that differ: any number of browsers are
    complete, and what 50 of them ask for is built once.
    """

    def __init__(self, files: PageFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._sections: list[Section] = []

    def newest(self) -> list[Section]:
        """Look at the files and return all sections, always in the same order.

        While another thread is looking, return the sections as they were before: nobody waits for
        what the next poll brings. Only the first refresh is waited for.
        """
        if self._lock.acquire(blocking=not self._sections):
            try:
                self._sections = self._built(self._files.refresh())
            finally:
                self._lock.release()
        return self._sections

    def _built(self, data: PageData) -> list[Section]:
        wanted: tuple[tuple[str, Callable[[PageData], Section]], ...] = (
            (_run_version(data), _run_section),
            (data.bars.version, _bars_section),
            (data.metrics.version, _metrics_section),
            (data.depth.version, _depth_section),
            (_words_version(data), _words_section),
        )
        old: Sequence[Section | None] = self._sections or [None] * len(wanted)
        return [
            section if section is not None and section.version == version else build(data)
            for section, (version, build) in zip(old, wanted, strict=True)
        ]


def changes(sections: list[Section], seen: str) -> dict[str, dict[str, Any]]:
    """Return the properties to set, by element, in a browser that has the versions `seen`.

    Figures get a patch of whole traces and nothing of their layout: Dash 4.4.1 loses the zoom of
    a figure that is sent whole. Empty when nothing changed.
    """
    known = seen.split(".")
    if len(known) != len(sections):  # a new browser, or one with another version of the page
        known = [""] * len(sections)
    patches: dict[str, Patch] = {}
    properties: dict[str, dict[str, Any]] = {}
    for section, version in zip(sections, known, strict=True):
        if section.version == version:
            continue
        if section.revision is not None:
            for figure in FIGURES:
                shown = patches.setdefault(figure, Patch())["layout"]
                shown["uirevision"] = section.revision
                for axis, options in charts.WHOLE[figure].items():
                    for name, value in options.items():  # Dash up to 4.1 keeps the old zoom here
                        shown[axis][name] = value
        for (figure, index), trace in section.traces.items():
            patches.setdefault(figure, Patch())["data"][index] = trace
        properties |= {element: {"children": tree} for element, tree in section.children.items()}
    # As a plain dict, which orjson writes as it is; a Patch object makes Dash copy every list.
    return properties | {name: {"figure": p.to_plotly_json()} for name, p in patches.items()}
