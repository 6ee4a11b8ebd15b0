"""Read what the recorder of a file says that it lost, from the file's own table."""

import sqlite3
from contextlib import closing
from pathlib import Path

from orderflow.times import format_duration, format_utc
from recordings.connection import connect
from recordings.recorder_rows import EVENT_KINDS, RecorderEvent, is_loss

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
