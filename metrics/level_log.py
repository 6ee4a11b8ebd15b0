"""Keep the levels of book rows as the book has read them, in columns, for who writes them out."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from orderflow.compiled import fastest


class LevelRows(NamedTuple):
    """Book rows in time order, in columns.

    `time` is in ms and `snapshot` says whether the row replaces the book. `counts` has two numbers
    for each row, how many bids it has and how many asks; `price` and `size` have the levels of all
    rows, the bids of a row before its asks, as recorded: sizes are absolute, and 0 deletes.
    """

    time: "array[int]"
    snapshot: "array[int]"
    counts: "array[int]"
    price: "array[float]"
    size: "array[float]"

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.time)

    def parted(self, until_ms: int) -> tuple["LevelRows", "LevelRows"]:
        """Return the rows before a time, and those from then on."""
        place = bisect_left(self.time, until_ms)
        if place == len(self.time):
            return self, no_rows()
        levels = len(self.price) - sum(self.counts[2 * place :])
        before = LevelRows(
            self.time[:place],
            self.snapshot[:place],
            self.counts[: 2 * place],
            self.price[:levels],
            self.size[:levels],
        )
        after = LevelRows(
            self.time[place:],
            self.snapshot[place:],
            self.counts[2 * place :],
            self.price[levels:],
            self.size[levels:],
        )
        return before, after

    def followed_by(self, later: "LevelRows") -> "LevelRows":
        """Return these rows and later ones."""
        if not self.time:
            return later
        if not later.time:
            return self
        return LevelRows(
            self.time + later.time,
            self.snapshot + later.snapshot,
            self.counts + later.counts,
            self.price + later.price,
            self.size + later.size,
        )


def no_rows() -> LevelRows:
    """Return no row."""
    return LevelRows(array("q"), array("b"), array("i"), array("d"), array("d"))


class PythonLevelLog:
    """Keep the levels of each row that an `OrderbookManager` has applied.

    It is given to one, whose `update_rows` feeds it with the rows that could be read, less the
    levels that could not be used. `take` empties it.
    """

    def __init__(self) -> None:
        self._rows = no_rows()

    def note(
        self,
        timestamp: int,
        snapshot: bool,
        bids: tuple[Sequence[float], Sequence[float]],
        asks: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        """Keep a row, each side as prices and sizes."""
        rows = self._rows
        rows.time.append(timestamp)
        rows.snapshot.append(snapshot)
        rows.counts.extend((len(bids[0]), len(asks[0])))
        for prices, sizes in (bids, asks):
            rows.price.extend(prices)
            rows.size.extend(sizes)

    def take(
        self,
    ) -> tuple["array[int]", "array[int]", "array[int]", "array[float]", "array[float]"]:
        """Return the columns of `LevelRows`, and begin anew."""
        taken, self._rows = self._rows, no_rows()
        return taken.time, taken.snapshot, taken.counts, taken.price, taken.size


LevelLog = fastest("LevelLog", PythonLevelLog)
