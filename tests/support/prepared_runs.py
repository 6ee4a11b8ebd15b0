"""Prepare recordings, replay them from text and from the copies, and compare all that comes out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from places import PROJECT
from recording_factory import DAY, START

from formats.command_prepare import whole_files
from formats.prepared import use_prepared
from formats.prepared_reading import Levels
from formats.preparing import Prepared, PrepareOptions, prepare_file
from metrics.registry import parse_metrics
from recordings.discovery import Recording, find_recording
from replay.parallel import ParallelReplay
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles

RUN_ID = re.compile(rb'"run":"[^"]*"')
CHANGING = ("seconds", "rows_per_second", "written", "pid", "monitoring")
EVER = 4_000_000_000_000


def prepare(
    data: Path, root: Path, instrument: str = "BTC-USDT", *, start_ms: int = 0, end_ms: int = EVER
) -> list[Prepared]:
    """Prepare what a replay of the range needs, one recording after another."""
    done: list[Prepared] = []
    levels: Levels = [], []
    for tables in whole_files(find_recording(instrument, data, start_ms, end_ms)):
        made, levels = prepare_file(tables, PrepareOptions(root), levels)
        done.append(made)
    return done


def replay(
    data: Path,
    out: Path,
    root: Path | None = None,
    instrument: str = "BTC-USDT",
    *,
    start_ms: int = START,
    end_ms: int = START + 10 * DAY,
    metrics: tuple[str, ...] = (),
    **asked: Any,
) -> tuple[dict[str, bytes], str | None]:
    """Replay a recording, from its copies in `root` if so; return its files, and why not."""
    wanted = tuple(parse_metrics([*metrics], int))
    options = ReplayOptions(instrument, start_ms, end_ms, metrics=wanted, **asked)
    found = find_recording(instrument, data, start_ms, end_ms)
    why = use_prepared(found, root, is_named=True) if root else None
    if root and why is None:
        assert all(table.prepared for table in (*found.books, *found.trades))
    return written_of(found, options, out), why


def written_of(found: Recording, options: ReplayOptions, out: Path) -> dict[str, bytes]:
    """Replay what was found into a directory; return its files, but for what changes each time."""
    files = RunFiles(out)
    (ParallelReplay if options.jobs > 1 else Replay)(options, found, files).run()
    files.close()
    written = {path.name: path.read_bytes() for path in out.glob("*.*") if path.is_file()}
    status = json.loads(written["status_data.json"])
    for name in CHANGING:
        del status[name]
    written["status_data.json"] = json.dumps(status).encode()
    return {name: RUN_ID.sub(b"", data) for name, data in written.items()}


def assert_equal(
    data: Path, root: Path, tmp: Path, instrument: str = "BTC-USDT", **how: Any
) -> None:
    """Assert that a replay gives the same files, to the last bit, from text and from copies."""
    text, _ = replay(data, tmp / "of-text", None, instrument, **how)
    prepared, why = replay(data, tmp / "of-copies", root, instrument, **how)
    assert why is None
    assert text.keys() == prepared.keys()
    assert {name for name in text if text[name] != prepared[name]} == set()


def run_program(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with these arguments in the project's directory."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
