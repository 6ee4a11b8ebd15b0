"""Say what is in a directory beside databases, when there is nothing in it to replay."""

from collections.abc import Sequence
from pathlib import Path

from formats.archive_look import DIRECT, Archive, look
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
    spans: dict[str, tuple[int, int]] = {}
    importable, unknown = [], []
    for path in found.others[:MOST_LOOKED_INTO]:
        what = _what(path)
        if isinstance(what, Archive):
            end_ms = what.end_ms if what.is_dated else what.first_ms + 1
            for name in what.instruments:
                earliest_ms, latest_ms = spans.get(name, (what.first_ms, end_ms))
                spans[name] = min(earliest_ms, what.first_ms), max(latest_ms, end_ms)
        elif what:
            importable.append(f"{path.name} ({what})")
        else:
            unknown.append(path.name)
    said = [_begun(error, instrument, found, is_there=instrument in spans)]
    said += [f"there are archives of {_listed(instrument, spans)}"] if spans else []
    said += [f"{IMPORT} makes recordings of {_shortened(importable)}"] if importable else []
    if unknown and not (found.files or spans or importable):
        said.append(f"{_shortened(unknown)}: of no format that {IMPORT} knows (docs/formats.md)")
    more = len(found.others) - MOST_LOOKED_INTO
    said += [f"{more:,} files more were not looked into"] if more > 0 else []
    return NothingToReplayError("; ".join(said), error.instrument, error.data_dir)


def _begun(
    error: NothingToReplayError, instrument: str, found: FoundFiles, *, is_there: bool
) -> str:
    """Return what is missing, without the advice for a directory in which there is nothing."""
    if found.files or not found.others:
        return str(error)
    if is_there:
        return f"no row of {instrument} in the range under {error.data_dir}"
    return f"no recording of {instrument} under {error.data_dir}"


def _what(path: Path) -> Archive | str | None:
    """Return an archive that a replay reads, what another file is, None for what is not known."""
    try:
        with Source(path) as source:
            kind = recognise(source)
        return (look(path) if kind.format in DIRECT else None) or kind.what
    except SourceError:
        return None


def _listed(instrument: str, spans: dict[str, tuple[int, int]]) -> str:
    nearest = nearest_first(instrument, spans)
    named = [f"{name} ({format_dates(spans[name][0], spans[name][1] - 1)})" for name in nearest]
    return _shortened(named)


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
