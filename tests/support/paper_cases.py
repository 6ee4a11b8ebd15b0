"""Recordings with orders around their best prices, for the oracle's exchange and the project's."""

from decimal import Decimal
from functools import cache
from typing import Any

import paper_oracle as oracle
from paper_orders import RECORDINGS, Tape, orders_of, tape_of

from trading.account import Contract, Fees
from trading.matching import MatchingEngine
from trading.orders import OrderRequest
from trading.paper import PaperResult, run_orders
from trading.rules import Rules

ORDERS = 2000
RATES = Decimal("-0.0001220703125"), Decimal("0.00048828125")
"""Maker's and taker's: -2**-13 and 2**-11."""


class Case:
    """A recording, as the oracle has it and as the project has it."""

    def __init__(self, name: str) -> None:
        self.instrument = RECORDINGS[name][1]
        self.market = oracle.market_of(*RECORDINGS[name])
        self.tape: Tape = tape_of(*RECORDINGS[name])
        self.scale = self.market.scale
        self.tick = Decimal(1).scaleb(-self.scale.price_decimals)
        self.lot = Decimal(1).scaleb(-self.scale.size_decimals)

    def orders(self, latency: tuple[int, int], seed: int = 1) -> list[OrderRequest]:
        return orders_of(self.tape, self.tick, self.lot, ORDERS, latency, seed)

    def execute(self, orders: list[OrderRequest], latency: tuple[int, int]) -> oracle.Outcome:
        return oracle.execute(self.market, orders, latency, RATES)

    def rules(self, latency: tuple[int, int], **more: Any) -> Rules:
        size = Decimal(oracle.CONTRACT_SIZE)
        contract = Contract(size, tick=self.tick, lot=self.lot)
        return Rules(*latency, fees=Fees(*RATES), contract=contract, **more)

    def run(
        self,
        orders: list[OrderRequest],
        rules: Rules,
        engine: type[MatchingEngine] = MatchingEngine,
        market: Any = None,
    ) -> oracle.Outcome:
        result = run_orders(market or self.tape.market, orders, rules, engine=engine)
        assert not result.counts
        return self.in_ticks(result)

    def in_ticks(self, result: PaperResult) -> oracle.Outcome:
        ticks, lots, account = self.scale.ticks, self.scale.lots, result.account
        fills = [
            (f.order, f.time_ms, f.side.value, ticks(f.price), lots(f.quantity), f.maker)
            for f in result.fills
        ]
        ends = [
            (end.order, end.status.value, 0 if end.status == "open" else end.time_ms)
            for end in result.ends
        ]
        unit = self.tick * self.lot
        return oracle.Outcome(
            fills, ends, account.fees / unit, account.cash / unit, account.position / self.lot
        )


@cache
def case_of(name: str) -> Case:
    return Case(name)
