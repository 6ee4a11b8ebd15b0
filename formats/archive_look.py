"""Look into an archive, at its first rows alone: what it is, of which instruments, and when."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from formats.archive_names import DAY_MS, HOUR_MS, ArchiveName, parse_name
from formats.recognition import recognise, sample_of
from formats.rows import EVERY, Job, Kind, Portion, Sample
from formats.sources import Source

DIRECT = frozenset({"okx", "tardis", "bybit"})
"""Formats of archives that are replayed without importing them."""
MOST_PORTIONS = 16
"""So far is looked for a first row."""


@dataclass(frozen=True)
class Archive:
    """An archive of `book` rows or of `trades`, its `table`.

    `instruments` are those of its first rows: an archive of several may have others as well.
    `first_ms` and `end_ms` bound it; where its name says no day, it is taken to be of one.
    Archives of different `series` say the same thing in ways that do not go together.
    """

    path: Path
    table: str
    instruments: frozenset[str]
    first_ms: int
    end_ms: int
    series: str
    is_dated: bool

    def may_have(self, instrument: str) -> bool:
        """Return whether rows of the instrument are in it, or may be further on."""
        wanted = instrument.upper()
        names = {name.upper() for name in self.instruments}
        return wanted in names or len(names) > 1 or _underlying(wanted) in map(_underlying, names)


def _underlying(instrument: str) -> str:
    """Return what contracts of one chain have in common: `BTC-USD` of `BTC-USD-250627`."""
    parts = instrument.split("-")
    return "-".join(parts[:2]) if len(parts) > 2 else instrument


def look(path: Path) -> Archive | None:
    """Return what an archive is; None for one without rows, and for one of another format.

    Raise `SourceError` for what cannot be read or is not known.
    """
    name = parse_name(path)
    with Source(path) as source:
        kind = recognise(source)
        if kind.read is None or kind.format not in DIRECT:
            return None
        series = _series(kind, name, sample_of(source))
        portions = islice(kind.read(Job(source)), MOST_PORTIONS)
        first = next((one for one in portions if one.book or one.trades), None)
        if first is None and source.failure:
            raise source.failure
    return _archive(path, name, series, first) if first else None


def _archive(path: Path, name: ArchiveName | None, series: str, first: Portion) -> Archive:
    rows = [(row[0], row[3]) for row in first.book] or [(row[0], row[5]) for row in first.trades]
    first_ms = min(time for _, time in rows)
    return Archive(
        path,
        "book" if first.book else "trades",
        frozenset(instrument for instrument, _ in rows) - {EVERY},
        first_ms,
        max(name.end_ms if name else first_ms + DAY_MS + HOUR_MS, first_ms + 1),
        series,
        name is not None,
    )


def _series(kind: Kind, name: ArchiveName | None, sample: Sample) -> str:
    """Return what tells an archive from others of the same days: depth, and Tardis' exchange."""
    depth = f" of {name.depth} levels" if name and name.depth else ""
    lines = sample.head.decode(errors="replace").split("\n")
    exchange = lines[1].split(",")[0] if sample.columns[0] == "exchange" and lines[1:] else ""
    return f"{kind.what}{depth}{' of ' + exchange if exchange else ''}"
