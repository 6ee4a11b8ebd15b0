"""Replay archives of OKX, Tardis and Bybit without importing them.

Those of the instrument and range asked for are read into recordings in the user's cache, the first
time, and join the databases under the same directory. Where names say that there are none, nothing
is opened, nor imported that reads them.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from formats.archive_names import ENDINGS, parse_name
from formats.archive_request import Asked, FoundRecording
from orderflow.errors import NothingToReplayError
from orderflow.instruments import check_instrument
from recordings.discovery import OpenedRecordings, open_recordings
from recordings.search import SUFFIXES, FoundFiles

if TYPE_CHECKING:
    from formats.archive_finder import ArchiveFinder


def find_with_archives(asked: Asked, found: FoundFiles) -> FoundRecording:
    """Find what a replay needs among databases and archives; read the archives it needs.

    Raise as `recordings.discovery.find_recording` does, saying also which archives there are;
    `SourceError` where archives and databases of the same time cannot both be meant.
    """
    check_instrument(asked.instrument)
    try:
        return _find(asked, found)
    except NothingToReplayError as error:
        from formats.archive_hints import with_hint  # noqa: PLC0415 (seldom needed)

        raise with_hint(error, asked.instrument, found) from error


def _find(asked: Asked, found: FoundFiles) -> FoundRecording:
    if found.is_outright and found.files[0].suffix not in SUFFIXES:
        return _finder(asked, FoundFiles(), None).find_in(found.files[0])
    databases, missing = None, None
    try:
        databases = open_recordings(asked.instrument, found, asked.data_dir)
        asked = replace(asked, instrument=databases.instrument)
    except NothingToReplayError as error:
        missing = error
    due, before = _by_name(asked, found.others)
    if not due and missing:
        raise missing
    if not due and databases:
        recording = databases.of_range(asked.start_ms, asked.end_ms, asked.book_mode)
        if not before or recording.begins_whole:
            return FoundRecording(recording)
    return _finder(asked, found, databases).find(due, before)


def _finder(asked: Asked, found: FoundFiles, databases: OpenedRecordings | None) -> "ArchiveFinder":
    from formats.archive_finder import ArchiveFinder  # noqa: PLC0415 (a replay of databases)

    return ArchiveFinder(asked, found, databases)


def _by_name(asked: Asked, paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files that may be of the instrument: those to be looked into, and earlier ones.

    The latter are archives of the days before START, the latest first, on which the book at START
    may depend.
    """
    due: list[Path] = []
    before: list[tuple[int, Path]] = []
    for path in paths:
        if path.suffix.lower() not in ENDINGS:
            continue
        name = parse_name(path)
        if name is None or (
            name.may_have(asked.instrument) and name.reaches(asked.start_ms, asked.end_ms)
        ):
            due.append(path)
        elif name.may_have(asked.instrument) and name.end_ms <= asked.start_ms:
            before.append((name.end_ms, path))
    return due, [path for _, path in sorted(before, reverse=True)]
