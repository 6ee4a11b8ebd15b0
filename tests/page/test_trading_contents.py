from typing import Any

import pytest
from page_fixtures import START_MS, trading

from page.checks import FileContentError
from page.contents import Status
from page.trading_contents import (
    OpenOrder,
    TradeAlert,
    TradeFill,
    Trading,
    parse_trading,
    trading_of_run,
)
from viz_io import MAX_FILLS


def test_a_run_is_read() -> None:
    run = parse_trading(trading(balance=100.0))
    assert (run.instrument, run.state, run.strategies) == (
        "BTC-USDT", "finished", ("levels", "watcher"),
    )  # fmt: skip
    fills = trading()["fills"]
    assert (len(run.fills), run.fill_count) == (40, 40)
    assert run.fills[1] == TradeFill(
        START_MS + 345_000, "sell", fills[1]["price"], 0.01, True, -0.1, "levels"
    )
    assert run.open_orders[1] == OpenOrder("sell", 105_100.5, 0.05, "levels")
    assert run.alerts == (
        TradeAlert(START_MS + 420_005, "watcher", "sell: break at support 104990.5"),
    )
    point = run.curve[4]
    assert (point.position, point.equity, point.realised) == (0.01, 2.0, 100 + 1 - 0.5)
    assert (run.position, run.equity, run.realised, run.fees) == (0.01, -12.5, 3.25, 8.0)


def test_a_run_that_has_just_begun_has_few_fields() -> None:
    names = ("schema", "instrument", "strategies", "state", "written", "bar_seconds", "balance")
    begun = {name: value for name, value in trading(state="running").items() if name in names}
    run = parse_trading(begun)
    assert (run.fills, run.curve, run.fill_count, run.best_bid) == ((), (), 0, None)


def test_fields_that_are_not_known_are_left_alone() -> None:
    run = parse_trading(trading(more=1, curve=[[START_MS, 1, 2, 3, 4, 5, 6, 7]]))
    assert run.curve[0].equity == 2


def changed(name: str, **fields: Any) -> dict[str, Any]:
    """Return a run of which the second entry of a list has other fields."""
    document = trading()
    document[name][1] |= fields
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "it holds an array, not an object"),
        (trading(schema=2), "its schema is 2, 1 is read"),
        (trading(schema=None), "its schema is None, 1 is read"),
        (trading(state="ended"), "'state' is 'ended', not one of running, finished"),
        (trading(state=["running"]), "'state' is \\['running'\\], not one of"),
        (trading(instrument=None), "'instrument' holds null"),
        (trading(instrument="x" * 101), "'instrument' has 101 characters, at most 100"),
        (trading(strategies=["a"] * 101), "'strategies' has 101 names, at most 100"),
        (trading(strategies=[1]), "a name in 'strategies' holds a number"),
        (trading(position=1e31), "'position' is 1e\\+31, beyond"),
        (trading(best_bid="1"), "'best_bid' is '1', not a finite number"),
        (trading(fill_count=-1), "'fill_count' is -1, less than 0"),
        (trading(event_time=-1), "'event_time' is -1, not a time in ms"),
        (trading(reason=5), "'reason' holds a number"),
        (trading(fills={}), "'fills' holds an object"),
        (trading(fills=[{}] * (MAX_FILLS + 1)), "'fills' has 1,001 entries, at most 1,000"),
        (trading(fills=[1]), "entry 0 of 'fills' holds a number"),
        (trading(open_orders=[{}] * 201), "'open_orders' has 201 entries, at most 200"),
        (trading(alerts=[{}] * 501), "'alerts' has 501 entries, at most 500"),
        (trading(curve=[[0] * 7] * 1002), "'curve' has 1,002 entries, at most 1,001"),
        (changed("fills", side="long"), "the side of entry 1 of 'fills' is 'long', not one of"),
        (changed("fills", price=None), "the price of entry 1 of 'fills' is None, not a finite"),
        (changed("fills", maker=1), "'maker' of entry 1 of 'fills' holds a number"),
        (changed("fills", time_ms="1"), "the time of entry 1 of 'fills' is '1', not a finite"),
        (changed("fills", strategy=None), "the strategy of entry 1 of 'fills' holds null"),
        (changed("open_orders", remaining=[]), "what remains of entry 1 of 'open_orders' is"),
        (trading(alerts=[{"time_ms": 1, "strategy": "a"}]), "the text of entry 0 of 'alerts'"),
        (trading(curve=[[1, 2, 3]]), "entry 0 of 'curve' has 3 fields, at least 7 are needed"),
        (trading(curve=[[1, None, 3, 4, 5, 6, 7]]), "a value of entry 0 of 'curve' is None"),
        (trading(curve=[[-1, 2, 3, 4, 5, 6, 7]]), "the time of entry 0 of 'curve' is -1"),
    ],
)
def test_what_is_no_trading_run_says_why(document: Any, message: str) -> None:
    with pytest.raises(FileContentError, match=message):
        parse_trading(document)


RUN = parse_trading(trading())


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (None, True),
        (Status("running"), True),
        (Status("running", "btc-usdt", START_MS, START_MS + 10**6), True),
        (Status("running", "ETH-USDT"), False),
        (Status("running", "BTC-USDT", START_MS + 10**9, START_MS + 10**10), False),
        (Status("running", "BTC-USDT", START_MS - 10**10, START_MS), False),
        (Status("running", "BTC-USDT", START_MS - 10**10, START_MS + 61_000), True),
    ],
)
def test_a_run_on_another_market_is_not_shown(status: Status | None, shown: bool) -> None:
    assert (trading_of_run(RUN, status) is RUN) == shown


def test_a_run_without_an_event_is_that_of_its_instrument() -> None:
    begun = Trading("BTC-USDT", (), "running")
    assert trading_of_run(begun, Status("running", "BTC-USDT", 5, 6)) is begun
    assert trading_of_run(None, None) is None
