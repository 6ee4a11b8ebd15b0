"""A desk on the terminal: a table of its processes below the lines that they say."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orderflow.times import format_duration, format_utc
from simulator.desk import Desk, Stand
from simulator.supervisor import FAILED, FINISHED, PAUSING, RUNNING, Worker

COLUMNS = ("clients", "rows", "frames/s", "unread", "slow", "faults")
COLOURS = {RUNNING: "green", FINISHED: "green", PAUSING: "yellow", FAILED: "red"}


def table_of(desk: Desk) -> Table:
    """Return a table of a desk's processes as they are now."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=_title(desk),
        title_justify="left",
        title_style="",
        pad_edge=False,
        padding=(0, 1, 0, 0),  # 80 columns are enough
    )
    for name in ("process", "port", "state"):
        table.add_column(name, no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for worker in (*desk.others, desk.fetch):
        table.add_row(worker.name, "", _state(worker))
    for stand in _served(desk):
        table.add_row(stand.exchange, str(stand.port or ""), *_cells(stand))
    return table


def _served(desk: Desk) -> list[Stand]:
    """Return the publishers, without those that have no form for the instrument."""
    return [stand for stand in desk.stands if not stand.has_no_form]


def last_line(desk: Desk) -> str:
    """Return what a desk has done, in a line."""
    parts = [f"fetch {desk.fetch.state}"]
    for stand in _served(desk):
        if stand.status:
            frames, clients = stand.status["frames_sent"], stand.status["clients_accepted"]
            parts.append(f"{stand.exchange} {frames:,} frames to {_count(clients, 'client')}")
        else:
            parts.append(f"{stand.exchange} {stand.worker.state}")
    restarts = sum(worker.restarts for worker in desk.workers)
    if restarts:
        parts.append(_count(restarts, "restart"))
    return f"ended after {format_duration(time.monotonic() - desk.began)}: {', '.join(parts)}"


@contextmanager
def shown(
    make: Callable[[Callable[[str], None]], Desk],
) -> Iterator[tuple[Desk, Callable[[], None]]]:
    """Show the desk that `make` makes while the context lasts; give it, and what refreshes it.

    `make` is given what is to say lines, which go above the table.
    """
    console = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    desk = make(say)
    with Live(table_of(desk), console=console, auto_refresh=False) as live:
        yield desk, lambda: live.update(table_of(desk), refresh=True)
        live.update(table_of(desk), refresh=True)


def _title(desk: Desk) -> str:
    times = [s.instrument["time_ms"] for s in desk.stands if s.instrument]
    at = f"{format_utc(max(times))} UTC" if times else "waiting for the first row"
    lasted = format_duration(int(time.monotonic() - desk.began))
    return f"{desk.plan.instrument}  {at}  up {lasted}"


def _cells(stand: Stand) -> list[Any]:
    status = stand.status
    if not status:
        return [_state(stand.worker)]
    faults = sum(((status["faults"] or {}).get("counts") or {}).values())
    return [
        _state(stand.worker, waiting=not stand.instrument),
        f"{status['clients']:,}",
        f"{stand.instrument.get('rows', 0):,}",
        f"{stand.frames_per_second:,.0f}",
        _bytes(status["most_behind_bytes"]),
        f"{status['clients_closed'].get('slow', 0):,}",
        f"{faults:,}",
    ]


def _bytes(number: int) -> str:
    return f"{number / 1000:,.0f} kB" if number else "0"


def _state(worker: Worker, *, waiting: bool = False) -> Text:
    text = f"{FAILED}, code {worker.code}" if worker.state == FAILED else worker.state
    if worker.state == RUNNING and waiting:
        text = "no row yet"
    if worker.restarts:
        text += f" x{worker.restarts + 1}"
    return Text(text, style=COLOURS.get(worker.state, ""))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
