"""Put the foot of the page into words: what the recording is like, what was read and is shown.

Pure, as `page.view` is.
"""

from __future__ import annotations

from typing import Any

from dash import html

from orderflow.issues import HARMLESS, describe, losses
from orderflow.times import format_duration, format_utc
from page.contents import Shown, Status
from page.wording import recorder_losses, short
from viz_io import MAX_BARS


def foot(status: Status | None, shown: Shown) -> list[Any]:
    """Return what the recording is like: its data issues, and what was read and is shown."""
    if status is not None and status.waiting_for:
        return []
    texts = [] if status is None else _issue_facts(status)
    texts += [(fact, "") for fact in _shown_facts(shown, status)]
    texts += [] if status is None else [(fact, "") for fact in _run_facts(status)]
    return [*_mark(status), *(html.Span(text, className=tone) for text, tone in texts)]


def has_issues(status: Status) -> bool:
    """Return whether anything was lost, as the terminal says it too."""
    lost = losses(status.counts) or recorder_losses(status.recorder_losses)
    return bool(lost) or status.reliable is False


def _mark(status: Status | None) -> list[Any]:
    if status is None or not (status.counts or status.reliable is False):
        return []  # its writer does not say
    if has_issues(status):
        return [html.Span("▲ data issues", className="health warn")]
    if status.state == "finished":
        return [html.Span("● no data issues", className="health good")]
    return [html.Span("● no data issues so far", className="health")]


def _issue_facts(status: Status) -> list[tuple[str, str]]:
    lost = [(text, "warn") for text in describe(losses(status.counts))]
    if status.reliable is False and not status.counts.get("no_book"):
        lost.append(("book not reliable", "warn"))
    if words := recorder_losses(status.recorder_losses):
        lost.append((words, "warn"))
    repeats = {kind: count for kind, count in status.counts.items() if kind in HARMLESS}
    return lost + [(f"{text} (harmless)", "") for text in describe(repeats)]


def _shown_facts(shown: Shown, status: Status | None) -> list[str]:
    """Say where the picture begins, when it does not begin with the run."""
    if shown.start is None:
        return []
    window_ms = (status.window_seconds if status and status.window_seconds else 60) * 1000
    if status and status.start is not None and shown.start < status.start + window_ms:
        return []  # as many bars as a file holds, and none before
    return [f"showing the last {MAX_BARS:,} bars, from {format_utc(shown.start)} UTC"]


def _run_facts(status: Status) -> list[str]:
    amounts = ((status.rows, "book rows"), (status.trades, "trades"), (status.bars, "bars"))
    facts = [f"{value:,} {unit}" for value, unit in amounts if value is not None]
    if status.volume is not None:
        facts.append(f"volume {short(status.volume)}")
    if status.longest_silence_ms is not None:
        facts.append(f"longest silence {format_duration(status.longest_silence_ms / 1000)}")
    if status.window_seconds:
        facts.append(f"{format_duration(status.window_seconds)} bars")
    if status.depth_levels:
        facts.append(f"OBI over {status.depth_levels} levels a side")
    if status.book_mode:
        facts.append(f"{status.book_mode} book")
    if status.engine:
        facts.append(f"{status.engine} engine")
    return facts
