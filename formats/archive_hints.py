"""Say what is in a directory beside databases, when there is nothing in it to replay."""

from collections.abc import Sequence
from pathlib import Path

from formats.archive_look import DIRECT
from formats.archive_names import parse_name
from formats.recognition import recognise
from formats.sources import Source, SourceError
from orderflow.errors import NothingToReplayError
from orderflow.instruments import nearest_first
from orderflow.times import format_dates
from recordings.search import FoundFiles

MOST_LOOKED_INTO = 50
MOST_NAMED = 3
IMPORT = "uv run -m formats import FILE… --into DIR"


def with_hint(
    error: NothingToReplayError, instrument: str, found: FoundFiles
) -> NothingToReplayError:
    """Return the error with what the files are that no replay reads, and how they are imported."""
    base = str(error)
    if found.others and base.startswith("no recording under"):
        base = f"no recording of {instrument} under {error.data_dir}"
    spans: dict[str, tuple[int, int]] = {}
    importable, unknown = [], []
    for path in found.others[:MOST_LOOKED_INTO]:
        what, direct = _what(path)
        name = parse_name(path) if direct else None
        if name:
            first_ms, end_ms = spans.get(name.symbol, (name.first_ms, name.end_ms))
            span = min(first_ms, name.first_ms), max(end_ms, name.end_ms)
            spans[name.symbol] = span
        elif what:
            importable.append(f"{path.name} ({what})")
        else:
            unknown.append(path.name)
    said = [f"archives there are of {_listed(instrument, spans)}"] if spans else []
    if importable:
        said.append(f"{IMPORT} makes recordings of {_shortened(importable)}")
    if unknown and not (found.files or said):
        said.append(f"{_shortened(unknown)}: of no format that {IMPORT} knows (docs/formats.md)")
    more = len(found.others) - MOST_LOOKED_INTO
    said += [f"{more:,} files more were not looked into"] if said and more > 0 else []
    return NothingToReplayError("; ".join((base, *said)), error.instrument, error.data_dir)


def _what(path: Path) -> tuple[str | None, bool]:
    """Return what a file is, None for what is not known, and whether a replay reads it itself."""
    try:
        with Source(path) as source:
            kind = recognise(source)
    except SourceError:
        return None, False
    return kind.what, kind.format in DIRECT


def _listed(instrument: str, spans: dict[str, tuple[int, int]]) -> str:
    nearest = nearest_first(instrument, spans)
    named = [f"{name} ({format_dates(spans[name][0], spans[name][1] - 1)})" for name in nearest]
    return _shortened(named)


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
