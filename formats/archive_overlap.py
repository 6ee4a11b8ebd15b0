"""Decide which of databases and archives that have the same time of an instrument is replayed.

Rows that both have are never used twice: what one of the two covers is taken from it alone, and
where neither covers the other, or archives are of two kinds, nobody but the user can decide.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from formats.archive_look import Archive
from formats.sources import SourceError, bare_name
from orderflow.times import format_range, format_utc
from recordings.discovery import HOLE_MS
from recordings.import_notes import read_notes
from recordings.recorded_table import RecordedTable

Span = tuple[int, int]


def check_series(archives: Sequence[Archive]) -> None:
    """Raise `SourceError` where two archives say the same in ways that do not go together."""
    for one, other in combinations(archives, 2):
        overlap = min(one.end_ms, other.end_ms) - max(one.first_ms, other.first_ms)
        if one.table == other.table and one.series != other.series and overlap > HOLE_MS:
            msg = (
                f"{one.path} ({one.series}) and {other.path} ({other.series}) have the same time: "
                "which one is meant? Name it with --data-dir, or keep them in folders of their own"
            )
            raise SourceError(msg, one.path)


def without_imported(archives: Sequence[Archive], tables: Iterable[RecordedTable]) -> list[Archive]:
    """Return the archives of which none of the databases was made by an import."""
    paths = {table.path for table in tables}
    return [
        archive
        for archive in archives
        if not any(_is_import_of(archive.path, path) for path in paths)
    ]


def _is_import_of(archive: Path, database: Path) -> bool:
    if not database.name.startswith(bare_name(archive)):
        return False
    notes = read_notes(database) or {}
    known = notes.get("source"), notes.get("bytes"), notes.get("state")
    return known == (archive.name, str(archive.stat().st_size), "imported")


class Choice:
    """What is replayed of archives and of database tables of one kind, in the range.

    `archives` and `tables` are those chosen, `said` has a line for each that is left out.
    """

    def __init__(
        self,
        archives: Sequence[Archive],
        tables: Sequence[RecordedTable],
        start_ms: int,
        end_ms: int,
    ) -> None:
        self._range = start_ms, end_ms
        self.archives: list[Archive] = []
        self.tables = list(tables)
        self.said: list[str] = []
        disputed = self._settle_covered(archives, tables)
        for archive, rivals in disputed:
            self._settle(archive, rivals)

    def _settle_covered(
        self, archives: Sequence[Archive], tables: Sequence[RecordedTable]
    ) -> list[tuple[Archive, list[RecordedTable]]]:
        """Leave out the archives that databases cover; return those that they cover in part."""
        disputed = []
        for archive in archives:
            part = _common((archive.first_ms, archive.end_ms), self._range)
            met = [table for table in tables if self._meeting_ms(archive, table)]
            rivals = [table for table in met if self._is_rival(archive, table)]
            touching = [table for table in met if table not in rivals]
            if rivals and _covers(map(_span, rivals), part):
                names = ", ".join(sorted(table.path.name for table in rivals))
                self.said.append(
                    f"{archive.path}: left out, its {archive.table} is in {names}; --data-dir with "
                    "the archive's own path replays it"
                )
                continue
            self.archives.append(archive)
            self.said += [_meeting(archive, table) for table in touching]
            if rivals:
                disputed.append((archive, rivals))
        return disputed

    def _meeting_ms(self, archive: Archive, table: RecordedTable) -> int:
        """Return how long both have rows of, before the end of the range: the book needs all."""
        end_ms = min(archive.end_ms, self._range[1])
        return _length(_common(_span(table), (archive.first_ms, end_ms)))

    def _is_rival(self, archive: Archive, table: RecordedTable) -> bool:
        """Return whether both have too much in common, or all of the table, to use both."""
        met = self._meeting_ms(archive, table)
        return met > HOLE_MS or met == _length(_common(_span(table), (0, self._range[1])))

    def _settle(self, archive: Archive, rivals: Sequence[RecordedTable]) -> None:
        """Leave out the databases that archives cover; raise `SourceError` for others."""
        spans = [(archive.first_ms, archive.end_ms) for archive in self.archives]
        for table in rivals:
            of_table = _common(_span(table), self._range)
            if not _covers(spans, of_table):
                msg = (
                    f"{table.path} ({format_range(*_span(table))}) and {archive.path} "
                    f"({format_range(archive.first_ms, archive.end_ms)}) have {table.name} rows of "
                    "the same time, and neither has all of it: ask for a range in which they do "
                    "not meet, or keep them in folders of their own"
                )
                raise SourceError(msg, archive.path)
            if table in self.tables:
                self.tables.remove(table)
                self.said.append(
                    f"{table.path}: its {table.name} rows are left out, those of {archive.path} "
                    "are of the whole time; --data-dir with the file's own path replays it"
                )


def _meeting(archive: Archive, table: RecordedTable) -> str:
    """Say that rows of both are used, where there is at most `HOLE_MS` of both."""
    span = _common(_span(table), (archive.first_ms, archive.end_ms))
    return (
        f"{table.path} and {archive.path} meet for up to {_length(span) / 1000:g} s, from "
        f"{format_utc(span[0])} UTC: the {table.name} rows of both are used there, and equal ones "
        "once"
    )


def _span(table: RecordedTable) -> Span:
    return table.first_ms, table.last_ms + 1


def _common(one: Span, other: Span) -> Span:
    return max(one[0], other[0]), min(one[1], other[1])


def _length(span: Span) -> int:
    return max(span[1] - span[0], 0)


def _covers(spans: Iterable[Span], whole: Span) -> bool:
    """Return whether the spans leave out no more than `HOLE_MS` at a time."""
    reached = whole[0]
    for first_ms, end_ms in sorted(spans):
        if first_ms > reached + HOLE_MS:
            break
        reached = max(reached, end_ms)
    return reached >= whole[1] - HOLE_MS
