"""Read what a recorder says of itself: the optional table `recorder_events` of a recording.

It has a row for each time that something was lost: `id`, `kind`, `instrument`, `began` and `ended`
in ms, `count`, `detail`. Of other shapes as much is used as can be.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from orderflow.errors import RecordingError
from recordings.connection import connect, is_closed

EVENTS_TABLE = "recorder_events"
MOST_KINDS = 40
"""So many kinds are listed, the most frequent first."""
LONGEST_KIND = 40


def losses_in(
    connection: sqlite3.Connection, instrument: str | None, start_ms: int, end_ms: int
) -> dict[str, int]:
    """Count by kind the events of an instrument in `[start_ms, end_ms)`; none without a table.

    An event without a kind counts as `unnamed`, one without an instrument as everybody's, and one
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
    return {_text(name): count for name, count in connection.execute(sql, values)}


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


def _text(raw: object) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
