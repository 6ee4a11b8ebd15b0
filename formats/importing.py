"""Import one file after another into recordings: each whole, once, with a report."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from formats.following import Follower, InstrumentFound
from formats.recognition import AUTO, recognise
from formats.rows import EVERY, Job, Kind, Portion, Reader
from formats.sources import Source, SourceError, bare_name
from orderflow.errors import OutputError, UsageError
from orderflow.instruments import check_instrument
from recordings.import_notes import read_notes
from recordings.writer import RecordingWriter

Progress = Callable[[Source, int], None]
MOST_INSTRUMENTS = 10_000
"""Most instruments of a file: more are none, but a file that would fill the memory."""


@dataclass(frozen=True)
class ImportOptions:
    """How files are imported; `contract_values` are notes on instruments, by name."""

    into: Path
    format: str = AUTO
    instrument: str | None = None
    best_only: bool = False
    contract_values: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Imported:
    """What became of one file.

    `state` is `imported`, `already imported`, `part of another` (a file that is read with another
    one, and by itself is nothing) or `cut`: then `why` says what is missing, and what
    was read up to there is in `recording`. `counts` has what the format's own reader counted.
    """

    source: Path
    recording: Path
    state: str
    kind: Kind | None = None
    why: str = ""
    unreadable: int = 0
    first_unreadable: str = ""
    seconds: float = 0.0
    instruments: dict[str, InstrumentFound] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Return how many rows and trades there are."""
        return sum(found.book_rows + found.trades for found in self.instruments.values())

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "source": str(self.source),
            "recording": str(self.recording),
            "state": self.state,
            "why": self.why,
            "format": self.kind.format if self.kind else None,
            "kind": self.kind.what if self.kind else None,
            "lost": list(self.kind.lost) if self.kind else [],
            "notes": self.notes,
            "counts": dict(self.counts),
            "unreadable_lines": self.unreadable,
            "first_unreadable": self.first_unreadable,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows / self.seconds) if self.seconds else 0,
            "instruments": {name: found.as_json() for name, found in self.instruments.items()},
        }


def import_file(
    path: Path, options: ImportOptions, progress: Progress = lambda _source, _rows: None
) -> Imported:
    """Import a file into a recording of its own under `options.into`.

    The recording appears when it is whole. A file that was imported there before, under whatever
    name, adds nothing. One that is cut short is imported as far as it goes, and replaced when the
    whole file comes. Raise `SourceError` for one that can't be imported, `OutputError` for a
    recording that can't be written.
    """
    began = time.perf_counter()
    with Source(path) as source:
        kind = recognise(source, options.format)
        if kind.read is None:
            return Imported(path, path, "part of another", kind)
        digests = {"sha256": _digest(path)}
        _check_against_checksum(path, digests["sha256"])
        if kind.beside:
            digests["sha256_beside"] = _digest(kind.beside(path))
        target = options.into / f"{bare_name(path)}.{kind.format}.db"
        if earlier := _imported_before(options.into, digests):
            return Imported(path, earlier, "already imported", kind)
        job = Job(source, options.instrument, options.best_only)
        follower = Follower(proving=kind.proves)
        _make_directory(options.into)
        with RecordingWriter(target, imported=True, replace=_may_replace(target, path)) as writer:
            for portion in _portions(kind.read, job, options):
                book = follower.follow(portion)
                job.check_book(follower.levels)
                writer.write_book(book)
                writer.write_trades(portion.trades)
                progress(source, len(book) + len(portion.trades))
            _check_found(job, follower)
            done = _report(job, kind, target, follower)
            writer.write_notes(_notes(done, options, path) | digests)
    done.seconds = time.perf_counter() - began
    return done


def _portions(read: Reader, job: Job, options: ImportOptions) -> Iterator[Portion]:
    """Yield what a file holds, each instrument under the name that it is to have."""
    names: dict[str, str] = {}
    unread: tuple[set[str], set[str]] = (set(), set())
    for portion in read(job):
        found = {row[0] for rows in portion for row in rows}
        for name in sorted(found - names.keys() - {EVERY}):
            _name_of(name, names, options, job)
        if EVERY in found or any(unread):
            book = _spread(portion.book, unread[0], names)
            portion = Portion(book, _spread(portion.trades, unread[1], names))  # noqa: PLW2901
        if any(name != called for name, called in names.items()):
            portion = Portion(  # noqa: PLW2901
                [(names[row[0]], *row[1:]) for row in portion.book],
                [(names[trade[0]], *trade[1:]) for trade in portion.trades],
            )
        yield portion


def _spread(rows: list[Any], unread: set[str], names: Mapping[str, str]) -> list[Any]:
    """Return rows, and for each that is of `EVERY` instrument one for each of `names`.

    `unread` has the instruments without a row since: these need no second one, so that rows are at
    most twice as many.
    """
    done: list[Any] = []
    for row in rows:
        if row[0] != EVERY:
            unread.discard(row[0])
            done.append(row)
            continue
        of = [name for name in names if name not in unread] or list(names)[:1]
        done += [(name, *row[1:]) for name in of]
        unread.update(of)
    return done


def _name_of(name: str, names: dict[str, str], options: ImportOptions, job: Job) -> None:
    names[name] = options.instrument or name
    if len(names) > MOST_INSTRUMENTS:
        msg = f"{job.source.path} has more than {MOST_INSTRUMENTS:,} instruments; split it"
        raise SourceError(msg, job.source.path)
    if options.instrument and len(names) > 1:
        msg = (
            f"{job.source.path} has several instruments, {', '.join(sorted(names))} among them; "
            "import it without --instrument"
        )
        raise SourceError(msg, job.source.path)
    try:
        check_instrument(names[name])
    except UsageError as error:
        msg = f"{job.source.path}: {error}; name it with --instrument"
        raise SourceError(msg, job.source.path) from error


def _check_found(job: Job, follower: Follower) -> None:
    """Raise `SourceError` where there was nothing to import."""
    if follower.instruments:
        return
    path = job.source.path
    if job.source.failure:
        raise job.source.failure
    told = (f"{count:,} {name.replace('_', ' ')}" for name, count in job.counts.items())
    what = ", ".join(told) or "it has a header alone"
    if job.unreadable:
        what = f"{job.unreadable:,} lines can't be read, the first {job.first_unreadable!r}"
    msg = f"{path} has no row to import: {what}"
    raise SourceError(f"{msg}; docs/formats.md has what it should look like", path)


def _report(job: Job, kind: Kind, target: Path, follower: Follower) -> Imported:
    failure = job.source.failure
    if job.source.may_be_cut:
        job.notes.append(
            "the last line has no end: where the file was cut there, its last number may be too"
        )
    return Imported(
        job.source.path,
        target,
        "cut" if failure else "imported",
        kind,
        str(failure) if failure else "",
        job.unreadable,
        job.first_unreadable,
        instruments=follower.instruments,
        notes=job.notes,
        counts=job.counts,
    )


# -- notes, and what was imported before


def _notes(done: Imported, options: ImportOptions, path: Path) -> dict[str, str]:
    report = done.as_json()
    for name in ("seconds", "rows_per_second", "recording", "source"):
        del report[name]
    values = {
        name: value
        for name, value in options.contract_values.items()
        if not done.instruments or name in done.instruments
    }
    return {
        "source": path.name,
        "bytes": str(path.stat().st_size),
        "state": done.state,
        "contract_values": orjson.dumps(values).decode(),
        "report": orjson.dumps(report).decode(),
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_against_checksum(path: Path, digest: str) -> None:
    """Raise `SourceError` where a `.CHECKSUM` beside the file, as Binance has them, differs."""
    beside = path.with_name(f"{path.name}.CHECKSUM")
    try:
        # isfile: of a pipe the text may never come; no name is too long for it
        said = beside.read_text()[:64].lower() if os.path.isfile(beside) else digest  # noqa: PTH113
    except (OSError, UnicodeDecodeError):
        said = ""
    if said != digest:
        msg = f"{path} is not what {beside.name} says (SHA-256 {digest[:12]}…); download it again"
        raise SourceError(msg, path)


def _imported_before(into: Path, digests: Mapping[str, str]) -> Path | None:
    """Return the whole recording under `into` that was made of files with this content."""
    for path in sorted(into.glob("*.db")):
        notes = read_notes(path) if path.is_file() else None
        if notes and notes.get("state") == "imported" and digests.items() <= notes.items():
            return path
    return None


def _may_replace(target: Path, path: Path) -> bool:
    """Return whether there is a recording of a file cut short; raise `SourceError` for another."""
    if not target.exists():
        return False
    notes = read_notes(target)
    if notes and notes.get("state") == "cut":
        more, size = int(notes.get("bytes", 0)), path.stat().st_size
        if more > size and notes.get("source") == path.name:
            msg = f"{target} is of the first {more:,} bytes of {path.name}, and here are {size:,}"
            raise SourceError(f"{msg}; download it to its end", path)
        return True
    msg = (
        f"{target} is there already, of another file of the name {path.name}; import this one into "
        "a folder below it, such as --into "
        f"{target.parent / 'more'}: a replay joins what is in all folders"
    )
    raise SourceError(msg, path)


def _make_directory(into: Path) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{into} can't be made: {error.strerror}; name another folder with --into"
        raise OutputError(msg, into) from error
