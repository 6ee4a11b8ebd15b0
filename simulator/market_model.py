"""Model a market: a moving price, a 400-level book, orders that set off orders.

Pure: it reads no clock and no file, and gives the rows that `synthetic_market` writes. What is
modelled, and how close it comes to real recordings, is in `docs/synthetic-market.md`. Every
draw goes through `Random.random`, the one method whose sequence Python promises to keep, so a
seed means the same market everywhere.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import NamedTuple, TypeVar
from zlib import crc32

GENERATOR_VERSION = 1  # raise it with every change of what a seed gives: cached demos depend on it
ROW_SPACING_MS = 100.0
DEPTH = 400
_GAP = 8  # mean distance of two neighbouring levels, in ticks
_GONE = '"0","0","0"]'
_CACHED_PRICES = 50_000
_LEANS = 9  # size tables per side, from thin to thick: they make the imbalance wander
_BRANCHING = 0.5  # orders that one order sets off: their count varies 4 times Poisson's
_KERNEL_DECAY = 0.003  # 1/ms
_MORE_FILLS = 0.42  # chance that an order has one more fill, in the same millisecond
_MEAN_FILLS = 1 / (1 - _MORE_FILLS)
_MOVE_SHARE = 0.35  # share of busy rows that move the touch
_DELETE, _NEW, _CHANGE, _SAME, _MISS = range(5)
_KNOWN_PRICES = {"BTC": 105_000.0, "ETH": 3_500.0, "SOL": 170.0, "XRP": 2.2, "DOGE": 0.2}
_T = TypeVar("_T")


@dataclass(frozen=True)
class MarketDensity:
    """Describe how much happens in a market.

    `levels_per_row` is the mean number of changed levels in an update, both sides together,
    `trades_per_second` the mean rate of trades, `volatility` the relative standard deviation of
    the price over one second. All three are rates at 10 rows a second: where a recording has
    fewer rows, trades thin out with them and a row's price step is limited (see `write_recording`).
    """

    levels_per_row: float
    trades_per_second: float
    volatility: float


QUIET = MarketDensity(levels_per_row=4, trades_per_second=0.8, volatility=1.0e-5)
NORMAL = MarketDensity(levels_per_row=16, trades_per_second=7, volatility=4.0e-5)
BUSY = MarketDensity(levels_per_row=44, trades_per_second=8, volatility=6.0e-5)
DEMO = MarketDensity(levels_per_row=16, trades_per_second=20, volatility=6.0e-5)
DENSITIES = {"quiet": QUIET, "normal": NORMAL, "busy": BUSY, "demo": DEMO}


class _Contract(NamedTuple):
    """Hold an instrument's price level in ticks and its decimals."""

    ticks: int
    price_decimals: int
    size_decimals: int

    @property
    def price(self) -> float:
        return float(self.ticks / 10**self.price_decimals)


def _contract(instrument: str) -> _Contract:
    coin = instrument.split("-", maxsplit=1)[0].upper()
    hashed = 10 ** (-1 + 3.5 * crc32(coin.encode()) / 2**32)
    price = _KNOWN_PRICES.get(coin, hashed)
    # a price of 100,000 to 1,000,000 ticks; BTC has one decimal on OKX and is just above
    decimals = 1 if coin == "BTC" else 5 - math.floor(math.log10(price))
    size_decimals = max(0, math.ceil(math.log10(price)) + 3)  # a lot is worth about 0.001
    return _Contract(round(price * 10**decimals), decimals, size_decimals)


class _Sampler:
    """Draw from tables of quantiles: one `random()` and one look-up, whatever the distribution."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed).random  # noqa: S311 - reproducible on purpose, no secret
        steps = [(i + 0.5) / 4096 for i in range(4096)]
        self.normals = [NormalDist().inv_cdf(p) for p in steps]
        self.exponentials = [-math.log(1 - p) for p in steps]

    def pick(self, table: list[_T]) -> _T:
        return table[int(self.random() * len(table))]

    def normal(self) -> float:
        return self.normals[int(self.random() * 4096)]

    def exponential(self) -> float:
        return self.exponentials[int(self.random() * 4096)]

    def lognormals(self, sigma: float) -> list[float]:
        """Return a table with the quantiles of a lognormal of mean 1."""
        raw = [math.exp(sigma * z) for z in self.normals]
        mean = sum(raw) / len(raw)
        return [value / mean for value in raw]


def _size_tables(sampler: _Sampler, contract: _Contract) -> list[list[str]]:
    """Return the texts after a level's price, `"size","0","orders"]`, one table for each lean."""
    tables = []
    for lean in range(_LEANS):
        median = 1_300 / contract.price * math.exp(0.18 * (lean - _LEANS // 2))
        table = []
        for _ in range(1024):
            size = median * math.exp(2.0 * sampler.normal())
            digits = contract.size_decimals if sampler.random() < 0.95 else 4
            size = max(round(size, min(digits, contract.size_decimals)), _lot(contract))
            text = _trimmed(f"{size:.{contract.size_decimals}f}")
            table.append(f'"{text}","0","{1 + int(sampler.exponential() * 0.9)}"]')
        tables.append(table)
    return tables


def _lot(contract: _Contract) -> float:
    return float(1 / 10**contract.size_decimals)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


class _PriceTexts(dict[int, str]):
    """Spell a price, keyed by its ticks (negative for bids), as `["30243.5",`."""

    def __init__(self, decimals: int) -> None:
        super().__init__()
        self._decimals = decimals

    def __missing__(self, key: int) -> str:
        if len(self) > _CACHED_PRICES:
            self.clear()  # the market has moved on: memory stays bounded
        whole, part = divmod(abs(key), 10**self._decimals)
        text = f'["{_trimmed(f"{whole}.{part:0{self._decimals}d}")}",'
        self[key] = text
        return text


def _rank(sampler: _Sampler) -> int:
    """Draw the rank, from 1 behind the touch, where something changes."""
    mean = 36 if sampler.random() < 0.85 else 110
    # at most 240: a row may delete 100 levels of a window of 400 and still find this rank
    return 1 + min(int(mean * sampler.exponential()), 239)


def _plan(sampler: _Sampler) -> list[tuple[int, int]]:
    """Return a table of (kind of change, where) with the shares seen in real updates.

    `where` is an index into the side's levels, or for `_NEW` and `_MISS` a distance in ticks:
    from the touch, or if negative from the last level outwards. New levels slightly outnumber
    deletions: those that fall on a level in the book only change it, and where these two
    balance the book keeps its density.
    """
    kinds: list[tuple[float, Callable[[], tuple[int, int]]]] = [
        (0.345, lambda: (_DELETE, _rank(sampler))),
        (0.395, lambda: (_NEW, _offset(sampler))),
        (0.10, lambda: (_CHANGE, _rank(sampler))),
        (0.012, lambda: (_CHANGE, 0)),
        (0.02, lambda: (_SAME, _rank(sampler))),
        (0.04, lambda: (_SAME, -1 - int(5 * sampler.random()))),
        (0.05, lambda: (_MISS, _offset(sampler))),
        (0.04, lambda: (_MISS, -1 - int(30 * sampler.exponential()))),
    ]
    return [make() for share, make in kinds for _ in range(round(share * 16_384))]


def _offset(sampler: _Sampler) -> int:
    return int((_rank(sampler) - 1 + sampler.random()) * _GAP) + 1


class _Side:
    """Keep one side of the book, and the changes since the last row.

    Levels are kept by a key that grows away from the touch: ticks for asks, minus ticks for
    bids, so that one code serves both. The exchange shows the best 400 of more: what leaves the
    window is remembered, within limits, and comes back when levels before it go.
    """

    def __init__(self, sampler: _Sampler, texts: _PriceTexts, sizes: list[list[str]]) -> None:
        self.touch = 0
        self.lean = _LEANS // 2
        self._sampler = sampler
        self._texts = texts
        self._size_tables = sizes
        self._plan = _plan(sampler)
        self._keys: list[int] = []
        self._sizes: dict[int, str] = {}
        self._changes: dict[int, str] = {}
        self._beyond: deque[tuple[int, str]] = deque(maxlen=1_000)

    def open(self, touch: int) -> None:
        """Fill the empty side from `touch` outwards, every level of it a change."""
        self.touch = touch
        self._put(touch)
        self.settle()

    def move(self, touch: int) -> None:
        """Move the best level: nearer, with new levels in between, or away, clearing the way."""
        keys, away = self._keys, touch - self.touch
        self.touch = touch
        if away > 0:
            cleared = bisect_left(keys, touch)
            for key in keys[:cleared]:
                del self._sizes[key]
                self._changes[key] = _GONE
            del keys[:cleared]
        for _ in range(-away // _GAP):
            self._put(touch + int(-away * self._sampler.random()))
        self._put(touch)
        self.settle()

    def trade_at_touch(self) -> None:
        """Change the size of the best level."""
        self._put(self.touch)

    def _put(self, key: int) -> None:
        if key not in self._sizes:
            insort(self._keys, key)
        self._sizes[key] = self._changes[key] = self._sampler.pick(self._size_tables[self.lean])

    def churn(self, count: int) -> None:
        """Apply `count` changes drawn from the plan, none of which removes the best level."""
        random, touch, plan, table = (
            self._sampler.random, self.touch, self._plan, self._size_tables[self.lean]
        )  # fmt: skip
        keys, sizes, changes = self._keys, self._sizes, self._changes
        choices, texts = len(plan), len(table)
        for _ in range(count):
            kind, where = plan[int(random() * choices)]
            if kind == _DELETE:
                key = keys.pop(where)
                del sizes[key]
                changes[key] = _GONE
            elif kind == _CHANGE:
                key = keys[where]
                sizes[key] = changes[key] = table[int(random() * texts)]
            elif kind == _SAME:
                key = keys[where]
                changes[key] = sizes[key]
            else:
                key = touch + where if where > 0 else keys[-1] - where
                known = key in sizes
                if known or (kind == _NEW and key < keys[-1]):
                    if not known:
                        insort(keys, key)
                    sizes[key] = changes[key] = table[int(random() * texts)]
                else:
                    changes[key] = _GONE

    def settle(self) -> None:
        """Bring the window back to 400 levels, at its far end."""
        keys, sizes, changes = self._keys, self._sizes, self._changes
        while len(keys) > DEPTH:
            key = keys.pop()
            self._beyond.append((key, sizes.pop(key)))
            changes[key] = _GONE
        while len(keys) < DEPTH:
            if self._beyond:
                key, text = self._beyond.pop()
                if key <= keys[-1]:
                    continue  # the whole window has passed it by
            else:
                key = keys[-1] + 1 + int((_GAP + 1) * self._sampler.exponential())
                text = self._sampler.pick(self._size_tables[self.lean])
            keys.append(key)
            sizes[key] = changes[key] = text

    def take(self) -> tuple[str, int]:
        """Return the text of the changes, best first, with their number, and forget them."""
        changes, texts = self._changes, self._texts
        text = ",".join([texts[key] + changes[key] for key in sorted(changes)])
        count = len(changes)
        changes.clear()
        return f"[{text}]", count


class _Orders:
    """Draw the times of orders that cross the spread: a Hawkes process, exponential kernel.

    Exact sampling after Dassios and Zhao, "Exact simulation of Hawkes process with exponentially
    decaying intensity" (2013), algorithm 3.1, the baseline scaled by the market's activity.
    """

    def __init__(self, sampler: _Sampler, rate_per_ms: float, stretch: float, start: int) -> None:
        self._sampler = sampler
        self._baseline = rate_per_ms * (1 - _BRANCHING)
        self._decay = _KERNEL_DECAY / stretch
        self._excess = 0.0
        self.next_ms = float(start)
        self.advance(1.0)

    def advance(self, activity: float) -> None:
        """Move `next_ms` to the next order."""
        random = self._sampler.random
        wait = -math.log(1 - random()) / (self._baseline * activity)
        if self._excess > 0:
            left = 1 + self._decay * math.log(1 - random()) / self._excess
            if left > 0:
                wait = min(wait, -math.log(left) / self._decay)
        self._excess = self._excess * math.exp(-self._decay * wait) + _BRANCHING * self._decay
        self.next_ms += wait


class _Walk:
    """Move the price: a random walk whose volatility clusters, with slight trends.

    It is drawn back to where it began, weakly, so that it cannot run into zero however long it is.
    """

    def __init__(self, sampler: _Sampler, ticks: int, step_ticks: float) -> None:
        self.fair = float(ticks)
        self.pressure = 0.0
        self._heat = 0.0
        self._trend = 0.0
        self._home = ticks
        self._sampler = sampler
        self._step = step_ticks

    @property
    def activity(self) -> float:
        """Return the present volatility, 1 being usual."""
        return math.exp(0.5 * self._heat)

    def advance(self) -> None:
        """Move by one row."""
        normal = self._sampler.normal
        self._heat = max(-1.5, min(1.5, 0.998 * self._heat + 0.035 * normal()))
        self._trend = 0.995 * self._trend + 0.006 * normal()
        step = math.exp(self._heat) * (normal() + self._trend)
        self.pressure = 0.9 * self.pressure + 0.1 * step
        pull = 1e-5 * (self._home - self.fair)
        self.fair = min(max(self.fair + self._step * step + pull, 0.5 * self._home), 2 * self._home)


_BookRow = tuple[str, str, str, int]
_TradeRow = tuple[str, str, float, float, str, int]
RowStream = Iterator[tuple[_BookRow, list[_TradeRow]]]


class Market:
    """Generate book rows and trades in time order, one after the other, in bounded memory."""

    def __init__(
        self, instrument: str, seed: int, density: MarketDensity, spacing: float, start_ms: int
    ) -> None:
        self.levels = self.text_bytes = self.trades = 0
        self._instrument, self._density = instrument, density
        self._spacing, self._start = spacing, start_ms
        self._contract = contract = _contract(instrument)
        self._sampler = sampler = _Sampler(seed)
        stretch = spacing / ROW_SPACING_MS
        step = density.volatility * math.sqrt(spacing / 1000) * contract.ticks
        # a row that moves further than this would rewrite the book: days in few rows stay cheap
        self._walk = _Walk(sampler, contract.ticks, min(step, 1.5 * density.levels_per_row))
        self._orders = _Orders(
            sampler, density.trades_per_second / 1000 / _MEAN_FILLS / stretch, stretch, start_ms
        )
        texts, sizes = _PriceTexts(contract.price_decimals), _size_tables(sampler, contract)
        self._bids, self._asks = (_Side(sampler, texts, sizes) for _ in range(2))
        # further levels follow, about 1.5 times the root of these, from moves of the touch and of
        # the window's far end (measured): solve n + 1.5 sqrt(n) = levels_per_row for n
        root = (math.sqrt(2.25 + 4 * density.levels_per_row) - 1.5) / 2
        self._churn = root**2 / 2
        self._row_factors = sampler.lognormals(0.3)
        self._side_factors = sampler.lognormals(0.6)
        self._trade_sizes = self._make_trade_sizes()
        self._buying = True
        self._lean = 0.0

    def _make_trade_sizes(self) -> list[float]:
        lot, digits = _lot(self._contract), self._contract.size_decimals
        return [
            max(round(40 / self._contract.price * math.exp(2.3 * z), digits), lot)
            for z in self._sampler.normals
        ]

    def stream(self, rows: int, end_ms: int) -> RowStream:
        """Yield each of `rows` book rows with the trades from its time to that of the next."""
        now = self._start
        for number in range(rows):
            following = end_ms if number == rows - 1 else self._time(number + 1)
            if number == 0:
                self._open()
            elif self._sampler.random() > 0.003:  # else a heartbeat
                self._update()
            yield self._book_row(now), self._trades_until(following)
            now = following

    def _time(self, number: int) -> int:
        # jitter around a grid, not from row to row: the number of rows of a range is exact
        jitter = 0.34 * (self._sampler.random() - 0.5)
        return self._start + int((number + jitter) * self._spacing)

    def _open(self) -> None:
        self._bids.open(-self._contract.ticks)
        self._asks.open(self._contract.ticks + 1)

    def _update(self) -> None:
        sampler, walk = self._sampler, self._walk
        walk.advance()
        self._lean = 0.98 * self._lean + 0.12 * sampler.normal() + 0.1 * walk.pressure
        tilt = max(-4, min(4, round(1.6 * self._lean)))
        self._bids.lean, self._asks.lean = 4 + tilt, 4 - tilt
        if sampler.random() < min(_MOVE_SHARE, self._density.levels_per_row / 120):
            best_bid = round(walk.fair)
            wide = int(6 * sampler.exponential()) if sampler.random() < 0.15 else 0
            self._bids.move(-best_bid)
            self._asks.move(best_bid + 1 + wide)
        mean = self._churn * sampler.pick(self._row_factors)
        for side in (self._bids, self._asks):
            count = int(mean * sampler.pick(self._side_factors) + sampler.random())
            side.churn(min(count, 100))
            side.settle()

    def _book_row(self, now: int) -> _BookRow:
        bids, bid_levels = self._bids.take()
        asks, ask_levels = self._asks.take()
        self.levels += bid_levels + ask_levels
        self.text_bytes += len(bids) + len(asks)
        return self._instrument, bids, asks, now

    def _trades_until(self, end_ms: int) -> list[_TradeRow]:
        orders, sampler = self._orders, self._sampler
        made: list[_TradeRow] = []
        while orders.next_ms < end_ms:
            if sampler.random() < 0.35:  # else the side of the order before: flow persists
                lean = max(-0.4, min(0.4, 0.6 * self._walk.pressure))
                self._buying = sampler.random() < 0.5 + lean
            touched = self._asks if self._buying else self._bids
            price = abs(touched.touch) / 10**self._contract.price_decimals
            side, when = "buy" if self._buying else "sell", int(orders.next_ms)
            while True:
                self.trades += 1
                size = sampler.pick(self._trade_sizes)
                made.append((self._instrument, str(self.trades), price, size, side, when))
                if sampler.random() >= _MORE_FILLS:
                    break
            touched.trade_at_touch()
            orders.advance(self._walk.activity)
        return made
