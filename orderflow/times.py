"""Times: read them as recorded, or as typed, into one scale, and write them for people."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from orderflow.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?!\d)", re.ASCII)
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_NUMBER = re.compile(r"\s*\d+(\.\d*)?([eE][+-]?\d+)?\s*", re.ASCII)


def to_nanoseconds(raw: object) -> int | None:
    """Convert a recorded timestamp to nanoseconds since the epoch, UTC.

    Integers, reals and numeric text are seconds, milli-, micro- or nanoseconds, recognised by their
    magnitude (below 1e11, 1e14, 1e17, 1e20); other text is ISO-8601, in UTC unless it says
    otherwise. Reals are rounded to the microsecond, which is what a double can hold of them.
    Return None for anything else, NULL and negative times included.
    """
    if isinstance(raw, bytes):
        raw = raw.decode(errors="replace")
    if isinstance(raw, str):
        if not _NUMBER.fullmatch(raw):
            return _iso_to_nanoseconds(raw)
        try:
            return _scale(Decimal(raw.strip()))
        except InvalidOperation:
            return None
    if isinstance(raw, float):
        nanoseconds = _scale(Decimal(raw)) if 0.0 <= raw < 1e20 else None
        return None if nanoseconds is None else (nanoseconds + 500) // 1000 * 1000
    if isinstance(raw, int):
        return _scale(raw)
    return None


# Below the limit, a time is in units of this many nanoseconds.
_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (10**20, 1))


def _scale(value: int | Decimal) -> int | None:
    if value < 0:
        return None
    for limit, factor in _UNITS:
        if value < limit:
            return int(value * factor)
    return None


def _iso_to_nanoseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000
    return nanoseconds if 0 <= nanoseconds < 10**20 else None


def time_form(raw: object) -> tuple[str, object] | None:
    """Return the form in which `raw` writes a time: its type, and its unit or how it is sorted.

    Recorded times of one form sort in the order of the times. Return None for what is not a time.
    """
    if to_nanoseconds(raw) is None:
        return None
    if isinstance(raw, int | float):
        return "number", next(limit for limit, _ in _UNITS if raw < limit)
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    if _NUMBER.fullmatch(text):
        return "numeric text", len(text.partition(".")[0])
    return "ISO-8601", text[10:11]


def parse_range(start: str, end: str) -> tuple[int, int]:
    """Parse START and END, `YYYY-MM-DD` or ISO-8601 with a time, to ms since the epoch, UTC.

    Raise `UsageError` when one is not a time or the range is empty.
    """
    start_ms, end_ms = parse_moment("START", start), parse_moment("END", end)
    if start_ms == end_ms:
        msg = (
            f"START and END are both {start}, and END is not included; one day is asked for as "
            "2025-06-09 2025-06-10"
        )
        raise UsageError(msg, "END", end)
    if start_ms > end_ms:
        msg = f"START must be before END; found {start} and {end}"
        raise UsageError(msg, "END", end)
    return start_ms, end_ms


def parse_moment(name: str, text: str) -> int:
    """Parse a time that was typed, `YYYY-MM-DD` or ISO-8601, to ms since the epoch, UTC.

    Without a zone it is in UTC. Raise `UsageError`, calling it `name`, when it is not a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        why = _why_no_day(text) or "it must be a date like 2025-06-09 or 2025-06-09T12:30"
        msg = f"{name} {text!r} is not a time: {why}"
        raise UsageError(msg, name, text) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _why_no_day(text: str) -> str | None:
    """Return why a text that looks like a date is not one; None for any other text."""
    found = _DAY.match(text)
    if not found:
        return None
    year, month, day = (int(number) for number in found.groups())
    if not 1 <= month <= 12:
        return f"a year has months 01 to 12; found {month:02}"
    days = 31 if month == 12 else (date(year or 1, month + 1, 1) - date(year or 1, month, 1)).days
    if not 1 <= day <= days:
        return f"{_MONTHS[month - 1]} {year} has {days} days; found {day:02}"
    return None


def format_utc(ms: int | None) -> str:
    """Write a time in ms as `2025-06-09 12:30:00`, UTC, without its fraction; None as `-`."""
    return "-" if ms is None else f"{_moment(ms):%Y-%m-%d %H:%M:%S}"


def format_dates(first_ms: int, last_ms: int) -> str:
    """Write the days of two times in ms as `2025-06-09 to 2025-06-11`, UTC; the same day once."""
    return _joined(f"{_moment(first_ms):%Y-%m-%d}", f"{_moment(last_ms):%Y-%m-%d}")


def format_range(first_ms: int, last_ms: int) -> str:
    """Write two times in ms as START and END are typed, `2025-06-09T00:00 to 2025-06-09T12:30`."""
    return _joined(f"{_moment(first_ms):%Y-%m-%dT%H:%M}", f"{_moment(last_ms):%Y-%m-%dT%H:%M}")


def _joined(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _moment(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def format_duration(seconds: float) -> str:
    """Write a length of time as `0.4 s`, `14 s`, `3 min 20 s`, `2 h 5 min` or `3 d 4 h`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    for size, name, part, part_name in _LENGTHS:
        if whole >= size:
            text = f"{whole // size} {name} {whole % size // part} {part_name}"
            return text.removesuffix(f" 0 {part_name}")
    return f"{whole} s"


_LENGTHS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
