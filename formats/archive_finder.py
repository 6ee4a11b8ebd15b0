"""Find the archives that a replay needs, read them, and join them with the databases."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from formats.archive_cache import ArchiveCache, ReadArchive
from formats.archive_look import DIRECT, Archive, look
from formats.archive_names import parse_name
from formats.archive_overlap import Choice, check_series, without_imported
from formats.archive_request import Asked, FoundRecording
from formats.recognition import recognise
from formats.reporting import Progress, report_lines
from formats.sources import Source, SourceError
from orderflow.command import say
from orderflow.errors import RecordingError
from orderflow.times import format_utc
from recordings.discovery import HOLE_MS, OpenedRecordings, Recording, open_recordings
from recordings.recorded_table import RecordedTable
from recordings.search import FoundFiles

logger = logging.getLogger(__name__)


class ArchiveFinder:
    """Find what a replay reads among archives, and the `databases` of the instrument, if any."""

    def __init__(self, asked: Asked, found: FoundFiles, databases: OpenedRecordings | None) -> None:
        self._asked, self._found, self._databases = asked, found, databases
        self._cache = ArchiveCache(self._say)
        self._read: dict[Path, ReadArchive] = {}
        self._left_out: set[tuple[Path, str]] = set()

    def find_in(self, path: Path) -> FoundRecording:
        """Find it in one archive, which the user has named; raise `SourceError` for none."""
        try:
            with Source(path) as source:
                kind = recognise(source)
        except SourceError as error:
            msg = f"{error}; uv run -m formats import FILE… --into DIR takes all of these"
            raise SourceError(msg, path) from error
        if kind.format not in DIRECT:
            msg = (
                f"{path} ({kind.what}) is not replayed as it is: uv run -m formats import {path} "
                "--into DIR makes a recording of it"
            )
            raise SourceError(msg, path)
        self._read_archive(path)
        return self._joined()

    def find(self, due: Sequence[Path], before: Sequence[Path]) -> FoundRecording:
        """Find it in the files that may be archives of the range, and of the days `before`."""
        archives = self._choose([one for path in due if (one := self._look(path))])
        for archive in archives:
            self._read_archive(archive.path)
        found = self._joined()
        earlier = list(before)
        while earlier and not found.recording.begins_whole:
            before_it = self._look(earlier.pop(0))
            if before_it and self._is_next_before(before_it, found.recording):
                self._read_archive(before_it.path)
                found = self._joined()
        return found

    # -- which archives

    def _look(self, path: Path) -> Archive | None:
        """Return an archive that may have rows of the instrument; hide one that is broken."""
        name = parse_name(path)
        try:
            archive = look(path)
        except SourceError as error:
            if name and name.is_sure:
                self._found.hide(RecordingError(str(error), str(path)))
            else:
                logger.info("left out: %s", error)
            return None
        return archive if archive and archive.may_have(self._asked.instrument) else None

    def _choose(self, looked: Sequence[Archive]) -> list[Archive]:
        """Return which archives are replayed; leave out what has the same rows."""
        asked, databases = self._asked, self._databases
        of_range = [archive for archive in looked if self._is_of_range(archive)]
        books, trades = (databases.books, databases.trades) if databases else ([], [])
        of_range = without_imported(of_range, (*books, *trades))
        chosen: list[Archive] = []
        for table, recorded in (("book", books), ("trades", trades)):
            choice = Choice(
                [archive for archive in of_range if archive.table == table],
                recorded,
                asked.start_ms,
                asked.end_ms,
            )
            check_series(choice.archives)
            chosen += choice.archives
            self._left_out |= {(t.path, table) for t in recorded if t not in choice.tables}
            for line in choice.said:
                logger.warning("%s", line)
        return chosen

    def _is_of_range(self, archive: Archive) -> bool:
        if archive.first_ms >= self._asked.end_ms:
            return False
        if archive.end_ms > self._asked.start_ms:
            return True
        if not archive.is_dated:
            logger.warning(
                "%s: left out, it begins at %s UTC and its name says no day; where it reaches into "
                "the range, import it",
                archive.path,
                format_utc(archive.first_ms),
            )
        return False

    def _is_next_before(self, archive: Archive, recording: Recording) -> bool:
        """Return whether a book may go on from an archive, and no database has rows beside it."""
        if archive.table != "book":
            return False
        first_ms = min(book.first_ms for book in recording.books)
        is_alone = all(
            min(book.last_ms, archive.end_ms) - max(book.first_ms, archive.first_ms) <= HOLE_MS
            for book in (self._databases.books if self._databases else [])
        )
        return archive.first_ms < first_ms and is_alone

    # -- reading

    def _read_archive(self, path: Path) -> None:
        try:
            with Progress(shown=not self._asked.quiet) as progress:
                read = self._cache.read(path, progress.show)
        except SourceError as error:
            if not self._found.others:  # it was named outright
                raise
            self._found.hide(RecordingError(str(error), str(path)))
            return
        self._read[path] = read
        if read.imported:
            self._say("\n".join(report_lines(read.imported)))

    def _joined(self) -> FoundRecording:
        """Return the recording of what was read so far and the databases."""
        asked = self._asked
        made = {read.recording: read for read in self._read.values()}
        files = FoundFiles([*self._found.files, *made], self._found.hidden)
        opened = open_recordings(asked.instrument, files, asked.data_dir)
        books, trades = map(self._without_left_out, (opened.books, opened.trades))
        for table in chain(books, trades):
            table.cut = made[table.path].cut if table.path in made else None
        opened = replace(opened, books=books, trades=trades)
        recording = opened.of_range(asked.start_ms, asked.end_ms, asked.book_mode)
        used = {table.path for table in (*recording.books, *recording.trades)}
        return FoundRecording(recording, tuple(sorted(used)) if used & made.keys() else ())

    def _without_left_out(self, tables: Sequence[RecordedTable]) -> list[RecordedTable]:
        return [table for table in tables if (table.path, table.name) not in self._left_out]

    def _say(self, line: str) -> None:
        if not self._asked.quiet:
            say(line)
