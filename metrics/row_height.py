"""Choose how many ticks high the rows of volume by price are."""

from metrics.price_grid import PriceGrid


class RowHeight:
    """The height of rows in ticks: 1 at first, then 5, 10, 50, 100 and so on.

    A tick that becomes finer leaves rows of a tick rows of a tick, and others as high as they were.
    """

    def __init__(self, grid: PriceGrid) -> None:
        self.ticks = 1
        self._grid = grid
        self._tick = grid.units, grid.decimals
        self._raised = 0

    def follow(self) -> int:
        """Return by how much row numbers are to be multiplied since the tick was looked at."""
        tick = self._grid.units, self._grid.decimals
        if tick == self._tick:
            return 1
        finer = self._grid.ticks_in(*self._tick) if self._tick[0] else 1
        self._tick = tick
        if self.ticks == 1:
            return finer
        self.ticks *= finer
        return 1

    def grow(self) -> int:
        """Make rows higher; return by how much row numbers are to be divided."""
        factor = 2 if self._raised % 2 else 5
        self._raised += 1
        self.ticks *= factor
        return factor
