"""NautilusTrader itself reads the catalog: books, trades, a backtest; spoilt catalogs fail.

Run with `uv run --group oracle pytest -m "not slow" tests/formats/test_nautilus_oracle.py`.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from exports import MINUTE, START, exported, recording_of
from recorded_market import replayed_books, replayed_trades

pytest.importorskip("nautilus_trader", reason="the group oracle is not installed")
pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]

MOMENTS = 100
NS = 1_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = recording_of(tmp_path_factory.mktemp("recorded"), rows=1500)
    exported("nautilus", folder, folder / "catalog", start=START + MINUTE)
    return folder


def catalog_of(folder: Path) -> Any:
    from nautilus_trader.persistence.catalog import ParquetDataCatalog  # noqa: PLC0415

    return ParquetDataCatalog(str(folder / "catalog"))


def in_digits(number: Any) -> float:
    """Return what the digits say; `as_double` of 104894.1 is 104894.09999999999."""
    return float(str(number))


def check(deltas: list[Any], trades: list[Any], folder: Path) -> None:
    """Check that deltas make our book at random moments, and that the trades are ours."""
    from nautilus_trader.model.book import OrderBook  # noqa: PLC0415
    from nautilus_trader.model.enums import AggressorSide, BookType  # noqa: PLC0415

    path = folder / "BTC-USDT.db"
    books = {ms: sides for ms, *sides in replayed_books(path, "BTC-USDT")}
    in_range = [ms for ms in books if ms >= START + MINUTE]
    moments = set(Random(5).sample(in_range, MOMENTS))
    book = OrderBook(deltas[0].instrument_id, BookType.L2_MBP)
    place = 0
    for ms in sorted(moments):
        while place < len(deltas) and deltas[place].ts_event <= ms * NS:
            book.apply_delta(deltas[place])
            place += 1
        sides = [[(in_digits(level.price), round(level.size(), 9)) for level in side]
                 for side in (book.bids(), book.asks())]  # fmt: skip
        assert sides == [[tuple(level) for level in side] for side in books[ms]]
    names = {AggressorSide.BUYER: "buy", AggressorSide.SELLER: "sell"}
    found = [
        (t.ts_event // NS, in_digits(t.price), in_digits(t.size), names[t.aggressor_side],
         t.trade_id.value)
        for t in trades
    ]  # fmt: skip
    wanted = [t for t in replayed_trades(path, "BTC-USDT") if t[0] >= START + MINUTE]  # type: ignore[operator]
    assert found == wanted


def test_the_catalog_has_our_books_and_trades(folder: Path) -> None:
    catalog = catalog_of(folder)
    check(catalog.order_book_deltas(), catalog.trade_ticks(), folder)


def test_the_name_of_a_file_is_the_one_that_nautilus_gives() -> None:
    from nautilus_trader.persistence.catalog import parquet  # noqa: PLC0415

    from formats.export_nautilus import file_name  # noqa: PLC0415 (it imports pyarrow)

    for span in ((START * NS, START * NS + 1), (1, 10**18 + 123_456_789)):
        assert file_name(*span) == parquet._timestamps_to_filename(*span)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BTC-USDT", "CurrencyPair"),
        ("BTC-USDT-SWAP", "CryptoPerpetual"),
        ("BTC-USD-SWAP", "CryptoPerpetual"),
        ("BTC-USD-250627", "CryptoFuture"),
    ],
)
def test_instruments_of_all_kinds_are_read(name: str, kind: str, tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=20, instrument=name)
    exported("nautilus", folder, folder / "catalog", instrument=name)
    (instrument,) = catalog_of(folder).instruments()
    assert type(instrument).__name__ == kind
    assert (str(instrument.id), instrument.raw_symbol.value) == (f"{name}.OKX", name)
    assert instrument.price_precision == 1
    if kind != "CurrencyPair":
        assert instrument.is_inverse == ("USDT" not in name)
        assert str(instrument.settlement_currency) == ("USDT" if "USDT" in name else "BTC")


def test_a_backtest_runs_on_the_catalog_and_trades_at_our_prices(folder: Path) -> None:
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig  # noqa: PLC0415
    from nautilus_trader.config import LoggingConfig  # noqa: PLC0415
    from nautilus_trader.model.currencies import BTC, USDT  # noqa: PLC0415
    from nautilus_trader.model.enums import (  # noqa: PLC0415
        AccountType,
        BookType,
        OmsType,
        OrderSide,
    )
    from nautilus_trader.model.identifiers import Venue  # noqa: PLC0415
    from nautilus_trader.model.objects import Money, Quantity  # noqa: PLC0415
    from nautilus_trader.trading.strategy import Strategy  # noqa: PLC0415

    catalog = catalog_of(folder)
    (instrument,) = catalog.instruments()

    class BuyOnce(Strategy):  # type: ignore[misc]
        fills: list[tuple[int, float, float]] = []  # noqa: RUF012

        def on_start(self) -> None:
            self.subscribe_order_book_deltas(instrument.id, BookType.L2_MBP)
            self.subscribe_trade_ticks(instrument.id)
            self.sent = False

        def on_trade_tick(self, tick: Any) -> None:
            if not self.sent and tick.ts_event >= (START + 2 * MINUTE) * NS:
                self.sent = True
                size = Quantity(0.001, instrument.size_precision)
                self.submit_order(self.order_factory.market(instrument.id, OrderSide.BUY, size))

        def on_order_filled(self, event: Any) -> None:
            self.fills.append(
                (event.ts_event // NS, in_digits(event.last_px), in_digits(event.last_qty))
            )

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("OKX"), OmsType.NETTING, AccountType.CASH,
        [Money(1_000_000, USDT), Money(10, BTC)], book_type=BookType.L2_MBP,
    )  # fmt: skip
    engine.add_instrument(instrument)
    engine.add_data(catalog.order_book_deltas())
    engine.add_data(catalog.trade_ticks())
    strategy = BuyOnce()
    engine.add_strategy(strategy)
    engine.run()
    engine.dispose()
    assert sum(size for _, _, size in strategy.fills) == pytest.approx(0.001)
    books = {ms: asks for ms, _, asks in replayed_books(folder / "BTC-USDT.db", "BTC-USDT")}
    ms, price, _ = strategy.fills[0]
    before = books[max(at for at in books if at <= ms)]
    assert price == before[0][0]


def spoilt(what: str, deltas: list[Any], trades: list[Any]) -> tuple[list[Any], list[Any]]:
    from nautilus_trader.model.data import BookOrder, OrderBookDelta  # noqa: PLC0415
    from nautilus_trader.model.enums import BookAction, OrderSide  # noqa: PLC0415

    if what == "one trade gone":
        middle = len(trades) // 2
        return deltas, trades[:middle] + trades[middle + 1 :]
    if what == "lost deletes":
        return [delta for delta in deltas if delta.action != BookAction.DELETE], trades
    changed = []
    for delta in deltas:
        if delta.action == BookAction.ADD:
            order = BookOrder(OrderSide.NO_ORDER_SIDE, delta.order.price, delta.order.size, 0)
            delta = OrderBookDelta(  # noqa: PLW2901
                delta.instrument_id, delta.action, order, delta.flags, delta.sequence,
                delta.ts_event, delta.ts_init,
            )  # fmt: skip
        changed.append(delta)
    return changed, trades


@pytest.mark.parametrize("what", ["snapshot levels without side", "lost deletes", "one trade gone"])
def test_a_spoilt_catalog_does_not_pass(what: str, folder: Path) -> None:
    catalog = catalog_of(folder)
    changed = spoilt(what, catalog.order_book_deltas(), catalog.trade_ticks())
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        check(*changed, folder)
