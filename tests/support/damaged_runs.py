"""Replay damaged recordings and judge what came out: the process that `damage_batch` starts.

Prints a line of JSON when a recording is damaged, and one with the verdict when it was replayed.
"""

import faulthandler
import json
import logging
import resource
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from shutil import copyfile
from typing import Any

from damage import damage
from damage_batch import HANG_SECONDS, Verdict
from recording_factory import small_batches
from small_recordings import END, INSTRUMENT, START, Kind, log_of, older, write_recordings

from orderflow.errors import OrderflowError
from recordings.discovery import find_recording
from replay.run import FINISHED, Replay, ReplayOptions
from replay.run_files import RunFiles

MOST_MEMORY = 4 << 30
LOST = {
    "rows": ("rows_skipped", "late_rows", "repeated_rows"),
    "trades": ("trades_skipped", "late_trades", "repeated_trades"),
}
"""Kinds of data issues that stand for so many rows, or trades, that were not used."""
LOST_SOME = {
    "rows": frozenset({"sequence_gaps", "silences", "no_book", "unproven_rows"}),
    "trades": frozenset({"no_trades"}),
}
"""Kinds that stand for any number of them."""
OTHER_VALUES = frozenset({"rows_skipped", "levels_rejected", "unknown_sides"})
"""Kinds of what was read, and could not be used as it was: it is among the rows and trades."""


@dataclass
class Outcome:
    """What a replay gave: everything computed from the rows, what it counted, and why it failed."""

    figures: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failure: str = ""


def replay(directory: Path) -> Outcome:
    """Replay what is in a directory, as the command line does."""
    options = ReplayOptions(INSTRUMENT, START, END, window_seconds=1, depth_levels=3, flow=False)
    with tempfile.TemporaryDirectory() as output, closing(RunFiles(Path(output))) as files:
        try:
            run = Replay(options, find_recording(INSTRUMENT, directory, START, END), files)
            run.run()
        except OrderflowError as error:
            return Outcome(failure=str(error))
    processor = run.processor
    figures = {
        "rows": processor.rows,
        "trades": processor.trades,
        "ohlc": processor.bars(),
        "metrics": processor.metric_bars(),
        "depth": processor.depth(),
    }
    counts = {kind: count for kind, count in run.summary()["counts"].items() if count}
    return Outcome(figures, counts, "" if run.state == FINISHED else str(run.reason))


# -- what SQLite says


def copy_files(paths: list[Path], into: Path) -> list[Path]:
    into.mkdir(parents=True)
    for path in paths:
        for each in (path, log_of(path)):
            if each.exists():
                copyfile(each, into / each.name)
    return [into / path.name for path in paths]


def complaint(path: Path) -> str:
    """Return what SQLite itself finds wrong with a file, empty if nothing."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.text_factory = bytes
            lines = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
            if lines != [b"ok"]:
                said = b"; ".join(lines).decode(errors="replace")
                return said.replace("\n", "; ")
            for name, _ in _tables(connection):
                connection.execute(f'SELECT * FROM "{name.decode()}" NOT INDEXED').fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return f"{error}"
    return ""


def _tables(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
    connection.text_factory = bytes
    found = connection.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'table'")
    return [row for row in found if row[0].lower() in (b"book", b"trades")]


def rewrite(paths: list[Path]) -> Path:
    """Write what a plain scan of each table gives into new files; return their directory."""
    directory = paths[0].parent / "rewritten"
    directory.mkdir()
    for path in paths:
        _rewrite(path, directory / path.name)
    return directory


def _rewrite(path: Path, into: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        tables = {name.decode(): sql for name, sql in _tables(connection)}
        (encoding,) = connection.execute("PRAGMA encoding").fetchone()
        with closing(sqlite3.connect(into)) as new:
            new.execute(f"PRAGMA encoding = '{encoding.decode()}'")
            for sql in tables.values():
                new.execute(sql.decode())
            new.commit()
        connection.execute("ATTACH ? AS new", (str(into),))
        for name in tables:
            listed = connection.execute(f'PRAGMA table_info("{name}")').fetchall()
            columns = ", ".join(f'"{row[1].decode()}"' for row in listed)
            for all_columns in (f"rowid, {columns}", columns):  # a table may have no rowid
                # The condition keeps SQLite from copying pages in place of rows.
                source = f'SELECT {all_columns} FROM main."{name}" NOT INDEXED WHERE 1'
                try:
                    connection.execute(f'INSERT INTO new."{name}"({all_columns}) {source}')
                except sqlite3.OperationalError:
                    continue
                break


# -- the judgement


def judge(seed: int, directory: Path, tell: Callable[[Verdict], None] = lambda _: None) -> Verdict:
    """Make the recording of a seed, damage it, replay it, and compare."""
    random = Random(seed)
    kind = Kind.draw(random)
    data = directory / "data"
    data.mkdir()
    paths = write_recordings(kind, data, random)
    whole = copy_files(paths, directory / "whole")
    with small_batches(*random.choice(((16, 32), (64, 64), (2048, 2048)))):
        right = replay(whole[0].parent)
        if right.counts or right.failure:
            msg = (
                f"seed {seed}: the undamaged recording is not whole: {right.counts} {right.failure}"
            )
            raise AssertionError(msg)
        verdict = Verdict(seed, "begun", damage(paths, kind, random), str(kind))
        tell(verdict)
        for path in paths:
            older(path).unlink()
        copies = copy_files(paths, directory / "copies")
        try:
            found = replay(data)
        except Exception as error:  # noqa: BLE001 (any at all is the finding)
            verdict.verdict, verdict.detail = "bug", repr(error)
        else:
            verdict.verdict, verdict.detail = compare(right, found, copies)
    return verdict


def compare(right: Outcome, found: Outcome, copies: list[Path]) -> tuple[str, str]:
    """Return the verdict on a replay of damaged files, of which there are copies, and why."""
    if found.failure:
        return "failed", found.failure
    if found.figures == right.figures:
        return "right", ""
    counted = ", ".join(f"{kind} {count}" for kind, count in found.counts.items())
    if is_explained(right, found):
        return "counted", counted
    differs = f"{difference(right, found)}; counted: {counted or 'nothing'}"
    complaints = [f"{path.name}: {why}" for path in copies if (why := complaint(path))]
    if complaints:
        return "silent", f"{differs}. SQLite: {'; '.join(complaints)[:300]}"
    plain = replay(rewrite(copies))
    if plain.figures == found.figures:
        return "unseen", differs
    return "unlike", f"{differs}. Against a plain scan: {difference(plain, found)}"


def is_explained(right: Outcome, found: Outcome) -> bool:
    """Return whether what was counted stands for at least as much as was lost.

    Where as many rows and trades were read, they have other values: only `OTHER_VALUES` explain it.
    """
    lost_any = False
    for name, kinds in LOST.items():
        lost = right.figures[name] - found.figures[name]
        stands_for = sum(found.counts.get(kind, 0) for kind in kinds)
        if lost > stands_for and LOST_SOME[name].isdisjoint(found.counts):
            return False
        lost_any = lost_any or lost > 0
    return lost_any or not OTHER_VALUES.isdisjoint(found.counts)


def difference(right: Outcome, found: Outcome) -> str:
    """Say what differs between two replays."""
    if not right.figures:
        return f"undamaged: {right.failure}"
    said = []
    for name, value in right.figures.items():
        other = found.figures[name]
        if other != value:
            said.append(
                f"{name} {value} -> {other}" if isinstance(value, int) else f"{name} differ"
            )
    return ", ".join(said)


def main(directory: Path, first: int, count: int) -> None:
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory(dir=directory) as place:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            say(judge(seed, Path(place), say))
            faulthandler.cancel_dump_traceback_later()


def say(verdict: Verdict) -> None:
    print(json.dumps(asdict(verdict)), flush=True)  # noqa: T201 (the parent reads it)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
