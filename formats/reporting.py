"""Show an import on the terminal: how far it is, and what it found."""

import contextlib
import os
import sys
import time
from typing import Protocol

from formats.following import InstrumentFound
from formats.importing import Imported
from orderflow.command import CLEAR_LINE, is_terminal
from orderflow.issues import describe
from orderflow.times import format_duration, format_utc

SECONDS_BETWEEN = 0.1
MOST_NAMED = 5


class Reached(Protocol):
    """How far something has come: `position` of `size`."""

    @property
    def position(self) -> int:
        """Return what is done."""
        ...

    @property
    def size(self) -> int:
        """Return what there is to do."""
        ...


class Progress:
    """Show the share of a file, rows per second and the time left; on a terminal alone."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and is_terminal()
        self._began = self._last = time.perf_counter()
        self._rows = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def show(self, source: Reached, rows: int) -> None:
        """Take in that `rows` more were read of `source`."""
        self._rows += rows
        now = time.perf_counter()
        if not self._shown or now - self._last < SECONDS_BETWEEN:
            return
        self._last = now
        seconds, share = now - self._began, source.position / max(source.size, 1)
        left = format_duration(seconds * (1 - share) / share) if share else "?"
        self._write(f"{share:4.0%}  {self._rows / seconds:,.0f} rows/s  {left} left")

    def _write(self, line: str) -> None:
        if not self._shown:
            return
        with contextlib.suppress(OSError):  # nobody looks any more
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write(f"{CLEAR_LINE}{line[: columns - 1]}\r")
            sys.stderr.flush()


def report_lines(done: Imported) -> list[str]:
    """Return what became of a file as lines for a person to read."""
    if done.state == "already imported":
        return [f"{done.source}: imported before into {done.recording}, nothing is added"]
    if done.state == "part of another":
        return [f"{done.source}: {done.kind.what}, read with its other file" if done.kind else ""]
    rate = f"{done.rows / done.seconds:,.0f} rows/s" if done.seconds else "-"
    what = done.kind.what if done.kind else ""
    lines = [
        f"{done.source}: {what}, into {done.recording}",
        *_instrument_lines(done),
        f"  took        {format_duration(done.seconds)}, {rate}",
        f"  data issues {', '.join(_issues(done)) or 'none met in reading'}",
    ]
    lines += [f"  snapshots   {text}" for text in _proofs(done)]
    told = [f"{count:,} {name.replace('_', ' ')}" for name, count in done.counts.items()]
    lines += [f"  counted     {', '.join(told)}"] if told else []
    lines += [f"  note        {note}" for note in done.notes]
    if done.kind and done.kind.lost:
        lines.append(f"  not in it   {'; '.join(done.kind.lost)}")
    return lines


def _instrument_lines(done: Imported) -> list[str]:
    lines = [
        f"  {name}  {found.book_rows:,} book rows, {found.trades:,} trades, "
        f"{format_utc(found.first_ms)} to {format_utc(found.last_ms)} UTC"
        for name, found in sorted(done.instruments.items())
    ]
    if len(lines) > MOST_NAMED:
        more = len(lines) - MOST_NAMED
        lines[MOST_NAMED:] = [f"  … and {more:,} instruments more, listed with --json"]
    return lines


def _total(done: Imported, name: str) -> int:
    return sum(found.counts[name] for found in done.instruments.values())


def _issues(done: Imported) -> list[str]:
    said = [f"{done.unreadable:,} lines that can't be read"] if done.unreadable else []
    silences = sum(len(found.silences.found()) for found in done.instruments.values())
    counts = {
        "sequence_gaps": _total(done, "sequence_gaps"),
        "silences": silences,
        "unknown_sides": _total(done, "unknown_sides"),
    }
    said += describe(counts)
    if steps := _total(done, "book_steps_back"):
        longest = max(map(_longest_step, done.instruments.values()))
        said.append(
            f"{steps:,} book rows up to {longest:,} ms before the row they follow, given its time"
        )
    if unordered := _total(done, "unordered_rows"):
        said.append(f"{unordered:,} book rows far out of order, their times kept")
    if steps := _total(done, "trade_steps_back"):
        said.append(f"{steps:,} trades that step back in time, their times kept")
    return said


def _longest_step(found: InstrumentFound) -> int:
    return found.longest_step_back_ms


def _proofs(done: Imported) -> list[str]:
    compared = _total(done, "snapshots_compared")
    if not compared:
        return []
    text = f"{compared:,} compared with the book that the rows before lead to"
    differing = _total(done, "snapshots_differing")
    if not differing:
        return [f"{text}: all are equal"]
    return [f"{text}: {differing:,} differ, in {_total(done, 'levels_differing'):,} levels"]
