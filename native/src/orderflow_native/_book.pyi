from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from orderflow_native._samples import Samples

_Side = bytes | str | Sequence[Sequence[object]] | None

_Quote = tuple[float | None, float | None, float | None, float | None, float | None]

class _Outcome(NamedTuple):
    samples: Samples
    skipped: list[int]
    crossed: list[int]
    rejected: list[tuple[int, int]]

class OrderbookManager:
    engine: Final = "compiled"
    levels_rejected: int
    rows_skipped: int
    crossed_books: int
    def __init__(self, depth_levels: int = 50, *, uncross: bool = False) -> None: ...
    def update(
        self, bids: _Side, asks: _Side, snapshot: bool = False
    ) -> tuple[float, float] | None: ...
    def update_rows(
        self, rows: Sequence[tuple[Any, ...]], snapshots: Sequence[bool]
    ) -> _Outcome: ...
    def quote_rows(
        self, rows: Sequence[tuple[Any, ...]], snapshots: Sequence[bool]
    ) -> list[_Quote | None]: ...
    def clear(self) -> None: ...
    @property
    def is_empty(self) -> bool: ...
    @property
    def level_counts(self) -> tuple[int, int]: ...
    def top_levels(self, count: int) -> tuple[list[list[float]], list[list[float]]]: ...
    def sizes_at(
        self, bid_prices: Iterable[float], ask_prices: Iterable[float]
    ) -> tuple[list[float], list[float]]: ...

def parse_plain_side(text: bytes) -> tuple[list[float], list[float]] | None: ...
