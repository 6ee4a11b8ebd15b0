"""Times on the wire: RFC 3339 with microseconds, and seconds with six decimals; no clock."""

import re

from exchanges.wire import FrameError, shown

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
DAY_US = 86_400_000_000
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?Z", re.ASCII
).fullmatch
_SECONDS = re.compile(r"(\d{1,11})(?:\.(\d{1,9}))?", re.ASCII).fullmatch


def format_rfc3339(time_us: int) -> str:
    """Write microseconds since the epoch, UTC, as `2023-07-30T15:29:58.343415Z`."""
    days, rest = divmod(time_us, DAY_US)
    seconds, fraction = divmod(rest, 1_000_000)
    year, month, day = _date_of(days)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}.{fraction:06}Z"


def parse_rfc3339(text: object) -> int:
    """Return the microseconds since the epoch of an RFC 3339 time in UTC, finer digits cut off.

    Raise `FrameError` for anything else, and for a day that is in no calendar.
    """
    found = _RFC3339(text) if isinstance(text, str) else None
    if found:
        year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
        if 1 <= month <= 12 and day >= 1:
            days = _days_to(year, month, day)
            if _date_of(days) == (year, month, day):
                seconds = days * 86_400 + hour * 3600 + minute * 60 + second
                return seconds * 1_000_000 + _microseconds(found[7])
    msg = f"a time must be RFC 3339, such as 2023-07-30T15:29:58.343415Z; found {shown(text)}"
    raise FrameError(msg)


def format_seconds(time_us: int) -> str:
    """Write microseconds since the epoch as seconds with six decimals, as Kraken v1 does."""
    return f"{time_us // 1_000_000}.{time_us % 1_000_000:06}"


def parse_seconds(text: object) -> int:
    """Return the microseconds of seconds written as a decimal; raise `FrameError` otherwise."""
    found = _SECONDS(text) if isinstance(text, str) else None
    if found is None:
        msg = f"a time must be seconds such as 1693415327.935623; found {shown(text)}"
        raise FrameError(msg)
    return int(found[1]) * 1_000_000 + _microseconds(found[2])


def format_rfc1123(seconds: int) -> str:
    """Write seconds since the epoch as `Sun, 21 Mar 21 14:23:14 +0000`, as Kraken's REST does."""
    days, rest = divmod(seconds, 86_400)
    year, month, day = _date_of(days)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    # The epoch was a Thursday.
    named = f"{_WEEKDAYS[(days + 3) % 7]}, {day:02} {_MONTHS[month - 1]} {year % 100:02}"
    return f"{named} {clock} +0000"


def _microseconds(fraction: str | None) -> int:
    return int((fraction or "0")[:6].ljust(6, "0"))


# Days from and to the civil calendar, by years that begin in March so that the leap day is their
# last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). `datetime` would do, and
# is kept out of here because it brings a clock along.
def _date_of(days: int) -> tuple[int, int, int]:
    days += 719_468
    era, of_era = divmod(days, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def _days_to(year: int, month: int, day: int) -> int:
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
