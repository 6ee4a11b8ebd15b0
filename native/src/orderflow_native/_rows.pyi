from collections.abc import Iterable, Iterator
from typing import Any

_Row = tuple[Any, ...]
_Trade = tuple[int, str | None, float, float, str | None, int]

def are_whole_ms(rows: list[_Row]) -> bool: ...
def is_sorted(rows: list[_Row]) -> bool: ...

class TradeDecoder:
    skipped: int
    repeated: int
    skipped_times: list[int]
    repeated_times: list[int]
    def __init__(self, start_ms: float, end_ms: float) -> None: ...
    def decode(self, batches: Iterable[list[_Row]]) -> Iterator[list[_Trade]]: ...
