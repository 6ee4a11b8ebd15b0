from collections.abc import Iterable

_Trade = tuple[int, str | None, float, float, str | None, int]

class CompensatedSum:
    def add(self, terms: Iterable[float]) -> list[float]: ...
    def merge(self, other: CompensatedSum) -> None: ...
    @property
    def value(self) -> float: ...

def add_prices(
    trades: list[_Trade],
    start: int,
    end_ms: float,
    bar: list[float],
    volume: CompensatedSum,
) -> tuple[int, list[float]]: ...
def add_deltas(
    trades: list[_Trade],
    start: int,
    end_ms: float,
    bar: list[float],
    cvd: CompensatedSum,
) -> tuple[int, list[float], int]: ...
