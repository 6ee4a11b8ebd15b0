"""Read what the recorder of a file says that it lost, in the table `recorder_events`."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from orderflow.errors import RecordingError
from orderflow.times import format_duration, format_utc
from recordings.connection import connect, is_closed
from recordings.recorder_rows import EVENT_KINDS, RecorderEvent, is_loss

EVENTS_TABLE = "recorder_events"
MOST_KINDS = 40
"""So many kinds are listed, the most frequent first."""
LONGEST_KIND = 40
_FIELDS = "kind, instrument, began, ended, count, detail, row_before, row_after"


def recorder_losses(path: Path) -> list[RecorderEvent]:
    """Return the losses that a recorder noted in a file, by time; none of another program's file.

    Raise `RecordingError` for a file that can't be opened.
    """
    with closing(connect(path)[0]) as connection:
        try:
            found = connection.execute(
                f"SELECT {_FIELDS} FROM recorder_events ORDER BY began, id"  # noqa: S608
            ).fetchall()
        except sqlite3.Error:  # no such table, or damage, which the check of the file says
            return []
    events = (RecorderEvent(*map(_as_text, row)) for row in found)  # type: ignore[arg-type]
    return [event for event in events if is_loss(event.kind)]


def _as_text(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def loss_line(event: RecorderEvent) -> str:
    """Return a loss in words: what, when by the recorder's clock, for how long."""
    label = EVENT_KINDS[event.kind].label if event.kind in EVENT_KINDS else event.kind
    said = f"the recorder lost: {event.count:,} {label}, {format_utc(event.began)} UTC"
    if event.ended is not None:
        said += f", for {format_duration((event.ended - event.began) / 1000)}"
    return f"{said} ({event.detail})" if event.detail else said


def losses_in(
    connection: sqlite3.Connection, instrument: str | None, start_ms: int, end_ms: int
) -> dict[str, int]:
    """Count by kind the losses of an instrument in `[start_ms, end_ms)`; none without a table.

    Events by which nothing is lost are left out. Of tables of other shapes as much is used as can
    be: an event without a kind counts as `unnamed`, one without an instrument as everybody's, one
    without times as if it lay in the range. Raise `sqlite3.Error` when SQLite does.
    """
    listed = connection.execute(f"PRAGMA table_info({EVENTS_TABLE})").fetchall()
    columns = {name.decode(errors="replace").lower() for _, name, *_ in listed}
    if not columns:
        return {}
    kind = "coalesce(kind, 'unnamed')" if "kind" in columns else "'unnamed'"
    conditions = ["1"]
    if "instrument" in columns and instrument is not None:
        conditions.append("coalesce(instrument, '') IN ('', :instrument)")
    if "began" in columns:
        ended = "coalesce(ended, began)" if "ended" in columns else "began"
        conditions.append(f"(began IS NULL OR (began < :end AND {ended} >= :start))")
    sql = (
        f"SELECT substr({kind}, 1, {LONGEST_KIND}), count(*) FROM {EVENTS_TABLE} "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST_KINDS}"
    )
    values = {"instrument": instrument, "start": start_ms, "end": end_ms}
    found = {str(_as_text(name)): count for name, count in connection.execute(sql, values)}
    return {kind: count for kind, count in found.items() if is_loss(kind)}


def losses_of(
    paths: Iterable[Path], instrument: str | None, start_ms: int, end_ms: int
) -> dict[str, int]:
    """Count by kind what the recorder of several files says it lost in `[start_ms, end_ms)`.

    A file that cannot be asked counts for nothing: whoever reads its rows says why.
    """
    total: Counter[str] = Counter()
    for path in paths:
        try:
            connection, _ = connect(path, immutable=is_closed(path))
        except (RecordingError, OSError):
            continue
        with closing(connection):
            try:
                total.update(losses_in(connection, instrument, start_ms, end_ms))
            except sqlite3.Error:
                continue
    return dict(total)
