"""A trading run while it lasts, for the page: trading_data.json, at most twice a second."""

import logging
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import astuple
from decimal import Decimal
from pathlib import Path
from time import monotonic, time

import orjson

from orderflow.atomic import replace_file
from orderflow.errors import OutputError
from trading.account import ZERO
from trading.equity import EquityCurve
from trading.messages import Alert
from trading.paper_market import PaperMarket
from trading.report import RunLog, fill_line, open_order_line
from viz_io import (
    MAX_ALERTS,
    MAX_BARS,
    MAX_FILLS,
    MAX_OPEN_ORDERS,
    STATES,
    TRADING_FILE,
    TRADING_SCHEMA,
)

logger = logging.getLogger(__name__)

RUNNING, FINISHED, *_ = STATES
SECONDS_BETWEEN_WRITES = 0.5
MAX_TEXT = 300
"""Longest text of an alert in the file; a longer one is cut."""


class LiveRun:
    """Write what a run has done so far into `directory`, which is made where it is missing.

    The figures are those that the report would have if the run ended there; `bar_seconds`,
    `start_ms` and `balance` are the report's. `strategies` may be set later, when they are known.
    What an earlier run left is replaced at once: raise `OutputError` when it cannot be. A write
    that fails later is said once and tried again; `failure` holds its error as long as the file is
    out of date.
    """

    def __init__(
        self,
        directory: Path,
        instrument: str,
        strategies: Collection[str],
        *,
        bar_seconds: int = 60,
        start_ms: int | None = None,
        balance: Decimal | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.failure: OSError | None = None
        self.strategies = strategies
        self._path = directory / TRADING_FILE.name
        self._told = {
            "schema": TRADING_SCHEMA,
            "instrument": instrument,
            "bar_seconds": bar_seconds,
            "balance": float(balance or ZERO),
        }
        self._window_ms, self._start_ms = 1000 * bar_seconds, start_ms
        self._balance = balance or ZERO
        self._curve: EquityCurve | None = None
        self._points: deque[tuple[float, ...]] = deque(maxlen=MAX_BARS)
        self._fills: deque[dict[str, object]] = deque(maxlen=MAX_FILLS)
        self._fill_count = 0
        self._market: PaperMarket | None = None
        self._log = RunLog()
        self._reached_ms = 0
        self._clock = clock
        self._next_write = clock()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, self._content(RUNNING))
        except OSError as error:
            msg = f"{self._path} cannot be written: {error.strerror}"
            raise OutputError(msg, self._path) from error

    def update(self, market: PaperMarket, log: RunLog, time_ms: int) -> None:
        """Write the run as it stands, if it is time to; call this as often as you like.

        `time_ms` is how far the market has been moved.
        """
        self._market, self._log, self._reached_ms = market, log, time_ms
        if self._clock() >= self._next_write:
            self._write(RUNNING)

    def close(self, state: str = FINISHED, reason: str | None = None) -> None:
        """Write the run as it ended: `state` is one of `STATES`, `reason` says why it failed."""
        self._write(state, reason, durable=True)

    def _write(self, state: str, reason: str | None = None, *, durable: bool = False) -> None:
        began = self._clock()
        try:
            replace_file(self._path, self._content(state, reason), durable=durable)
        except OSError as error:
            if self.failure is None:
                logger.error("%s: cannot be written (%s); will try again", self._path, error)
            self.failure = error
        else:
            if self.failure is not None:
                logger.warning("%s: written again", self._path)
            self.failure = None
        ended = self._clock()
        # As a replay's files do, it takes no more than 2 % of the time of a fast run.
        self._next_write = ended + max(SECONDS_BETWEEN_WRITES, 50 * (ended - began))

    def _content(self, state: str, reason: str | None = None) -> bytes:
        told: dict[str, object] = {**self._told, "strategies": sorted(self.strategies)}
        told |= {"state": state, "reason": reason}
        if self._market is not None:
            told |= self._figures(self._market) | self._lists(self._market, self._log)
        return orjson.dumps(told | {"written": int(time() * 1000)})

    def _figures(self, market: PaperMarket) -> dict[str, object]:
        if self._curve is None:
            self._curve = EquityCurve(
                market.rules.contract, self._window_ms,
                start_ms=self._start_ms, balance=self._balance,
            )  # fmt: skip
        account, quotes = market.engine.account, market.quotes
        self._points.extend(map(astuple, self._curve.follow(market.engine.fills, quotes)))
        now = self._curve.now(account, quotes)
        best = quotes.at(quotes.last_ms)
        return {
            "event_time": min(self._reached_ms, quotes.last_ms) or None,
            "best_bid": best and best[0],
            "best_ask": best and best[1],
            "position": float(account.position),
            "equity": now.equity if now else float(self._balance),
            "realised": float(account.realised),
            "fees": float(account.fees),
            "curve": [*self._points, *([astuple(now)] if now else [])],
        }

    def _lists(self, market: PaperMarket, log: RunLog) -> dict[str, object]:
        fills = market.engine.fills
        new = max(self._fill_count, len(fills) - MAX_FILLS)
        self._fills.extend(fill_line(market, fill) for fill in fills[new:])
        self._fill_count = len(fills)
        mid = market.quotes.mid_at(market.quotes.last_ms) or 0.0
        orders = sorted(market.engine.open_orders, key=lambda order: abs(order.price - mid))
        return {
            "fill_count": len(fills),
            "fills": list(self._fills),
            "open_count": len(orders),
            "open_orders": [open_order_line(market, one) for one in orders[:MAX_OPEN_ORDERS]],
            "alert_count": len(log.alerts),
            "alerts": [_alert_line(alert) for alert in log.alerts[-MAX_ALERTS:]],
            "rejected": len(log.rejections),
            "rejected_reason": log.rejections[-1].reason[:MAX_TEXT] if log.rejections else None,
        }


def _alert_line(alert: Alert) -> dict[str, object]:
    text = alert.text if len(alert.text) <= MAX_TEXT else alert.text[: MAX_TEXT - 1] + "…"
    return {
        "time_ms": alert.time_ms,
        "strategy": alert.strategy,
        "text": text,
        "price": alert.price,
    }
