from array import array
from collections.abc import Sequence
from typing import Any

_Columns = tuple[array[float], array[float], array[float], array[int]]
_Rows = tuple[array[float], array[float], array[float], array[float]]

def trade_columns(trades: Sequence[tuple[Any, ...]]) -> _Columns: ...

class VolumeByRow:
    delta: float
    min_delta: float
    max_delta: float
    volume: float
    notional: float
    highest: float
    def __len__(self) -> int: ...
    def clear(self) -> None: ...
    def add(
        self,
        trades: _Columns,
        start: int,
        stop: int,
        ticks_per_price: float,
        row_ticks: int,
        most: int,
        any_price: bool,
    ) -> int: ...
    def rescale(self, multiply: int, divide: int) -> None: ...
    def columns(self) -> _Rows: ...

def add_windows(
    cells: VolumeByRow,
    profile: Any,
    trades: _Columns,
    start: int,
    stop: int,
    window: int | None,
    window_ms: int,
    scale: tuple[float, int, int, bool],
) -> tuple[int, int | None, list[tuple[Any, ...]]]: ...
