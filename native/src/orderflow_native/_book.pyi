from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from orderflow_native._samples import Samples

_Side = bytes | str | Sequence[Sequence[object]] | None

_Quote = tuple[float | None, float | None, float | None, float | None, float | None]

class _Outcome(NamedTuple):
    samples: Samples
    skipped: list[int]
    crossed: list[int]
    rejected: list[tuple[int, int]]

class _Grid(Protocol):
    units: int
    decimals: int
    off_tick: bool
    version: int
    ticks_per_price: float
    def fit(self, prices: Iterable[float]) -> None: ...
    def ticks_in(self, units: int, decimals: int) -> int: ...

class HeatColumns:
    def __init__(self, grid: _Grid, start_ms: int = -1, heat: bool = True) -> None: ...
    def finish(self, book: OrderbookManager) -> None: ...
    def ring(self, level: int, book: OrderbookManager) -> tuple[int, dict[str, bytes]]: ...
    def best_changes(self) -> tuple[int, dict[str, bytes]]: ...

class RowRecorder:
    def __init__(
        self, depths: Sequence[int] = (), levels: int = 0, ranges: Sequence[float] = ()
    ) -> None: ...
    def take(
        self,
    ) -> tuple[list[array[float]], list[array[float]], list[array[float]], list[array[float]]]: ...

class LevelLog:
    def take(
        self,
    ) -> tuple[array[int], array[int], array[int], array[float], array[float]]: ...

class RowReader:
    ended: bool
    def __init__(
        self,
        addresses: dict[str, int],
        uri: bytes,
        sql: bytes,
        instrument: str | None,
        largest: int,
    ) -> None: ...
    def read(self, most_rows: int) -> list[tuple[Any, ...]] | None: ...
    def close(self) -> None: ...

class BookReader:
    ended: bool
    size: int
    in_order: bool
    def __init__(
        self,
        addresses: dict[str, int],
        uri: bytes,
        sql: bytes,
        instrument: str | None,
        largest: int,
        *,
        marked: bool,
        by_time: bool,
    ) -> None: ...
    def read(self, most_rows: int, most_bytes: int) -> dict[str, Any] | None: ...
    def close(self) -> None: ...

class OrderbookManager:
    engine: Final = "compiled"
    levels_rejected: int
    rows_skipped: int
    crossed_books: int
    def __init__(
        self,
        depth_levels: int = 50,
        *,
        uncross: bool = False,
        columns: HeatColumns | None = None,
        recorder: RowRecorder | None = None,
        level_log: LevelLog | None = None,
    ) -> None: ...
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
    def all_levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]: ...
    def sizes_at(
        self, bid_prices: Iterable[float], ask_prices: Iterable[float]
    ) -> tuple[list[float], list[float]]: ...

def merged_rows(rows: list[Any]) -> dict[str, Any]: ...
def parse_levels(
    rows: Sequence[tuple[Any, ...]],
) -> tuple[array[int], array[int], array[float], array[float], array[int], array[int]]: ...
def parse_plain_side(text: bytes) -> tuple[list[float], list[float]] | None: ...
