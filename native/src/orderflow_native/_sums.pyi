from collections.abc import Iterable, Sequence

_Trade = tuple[int, str | None, float, float, str | None, int]

class CompensatedSum:
    def add(self, terms: Iterable[float]) -> list[float]: ...
    def merge(self, other: CompensatedSum) -> None: ...
    def clear(self) -> None: ...
    @property
    def value(self) -> float: ...

def price_bars(
    trades: Sequence[_Trade],
    window_ms: int,
    bar: list[float],
    volume: CompensatedSum,
    closed: CompensatedSum,
) -> list[list[float]]: ...
def delta_bars(
    trades: Sequence[_Trade], window_ms: int, bar: list[float], cvd: CompensatedSum
) -> tuple[list[list[float]], int]: ...
