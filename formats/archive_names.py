"""What the file names of OKX, Tardis and Bybit say of the archives: instrument and day.

An archive whose name says that it is another instrument's, or another day's, is not opened.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ENDINGS = frozenset({".gz", ".tgz", ".zip", ".zst", ".csv", ".data"})
"""How the name of an archive may end."""

_PACKING = re.compile(r"(?:\.(?:data|csv|tar|gz|tgz|zip|zst))+$", re.IGNORECASE)
_DATE = r"(?P<year>\d{4})-(?P<month>\d{2})(?:-(?P<day>\d{2}))?"
_OKX_DAY_BEGINS_MS = -8 * HOUR_MS  # in UTC+8, of trades
_FORMS = (
    (re.compile(rf"(?P<symbol>[\w-]+)-l2orderbook-(?P<depth>\d+)lv-{_DATE}", re.IGNORECASE), 0),
    (re.compile(rf"(?P<symbol>[\w-]+)-trades-{_DATE}"), _OKX_DAY_BEGINS_MS),
    (
        re.compile(
            rf"[a-z0-9-]+_(?:incremental_book_L2|book_snapshot_\d+|trades)_{_DATE}_(?P<symbol>.+)"
        ),
        0,
    ),
    (re.compile(rf"{_DATE}_(?P<symbol>[A-Z0-9-]+)_ob(?P<depth>\d+)"), 0),
    (re.compile(rf"(?P<symbol>[A-Z0-9-]+?)[_-]?{_DATE}"), 0),
)
_LOOSE = _FORMS[-1][0]
_GROUPS = frozenset({"SPOT", "FUTURES", "PERPETUALS", "OPTIONS"})
"""What Tardis calls files of many instruments."""


@dataclass(frozen=True)
class ArchiveName:
    """What a name says: `symbol`, the time it is of in ms, half open, and of how many levels.

    `is_sure`: no file that is something else is called so by chance.
    """

    symbol: str
    first_ms: int
    end_ms: int
    depth: str | None
    is_sure: bool

    def may_have(self, instrument: str) -> bool:
        """Return whether rows of the instrument may be in a file that is called so."""
        wanted, symbol = _plain(instrument), _plain(self.symbol)
        family, _, last = self.symbol.rpartition("-")
        if family and last.islower():  # BTC-USD-futureschain
            symbol = _plain(family)
        return wanted == symbol or self.symbol in _GROUPS or wanted.startswith(f"{symbol}-")

    def reaches(self, start_ms: int, end_ms: int) -> bool:
        """Return whether rows of `[start_ms, end_ms)` may be in it.

        What an exchange says just before midnight may be received, and stored, after it.
        """
        return self.end_ms > start_ms and self.first_ms - HOUR_MS < end_ms


def parse_name(path: Path) -> ArchiveName | None:
    """Return what the name of a file says, None where it is none that is known."""
    name = _PACKING.sub("", path.name)
    for form, shift_ms in _FORMS:
        if (found := form.fullmatch(name)) and (span := _span(found)):
            depth = found.groupdict().get("depth")
            first_ms, end_ms = (ms + shift_ms for ms in span)
            return ArchiveName(found["symbol"], first_ms, end_ms, depth, form is not _LOOSE)
    return None


def _span(found: re.Match[str]) -> tuple[int, int] | None:
    """Return the day or the month of a date, in ms, half open; None where there is none such."""
    year, month, day = (int(found[part] or 0) for part in ("year", "month", "day"))
    try:
        if day:
            first_ms = _ms(datetime(year, month, day, tzinfo=UTC))
            return first_ms, first_ms + DAY_MS
        after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        return _ms(datetime(year, month, 1, tzinfo=UTC)), _ms(after)
    except ValueError:
        return None


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "-", name.upper())
