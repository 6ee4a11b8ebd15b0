"""A list of orders from a file, a run of them, and the files that come of it."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from made_up_market import market_and_orders

from orderflow.errors import OutputError
from trading.account import Fees
from trading.orders import OrderError, OrderRequest, OrderType, Side
from trading.paper import OrdersFileError, read_orders, run_orders, write_result
from trading.rules import Rules

LINE = {"time_ms": 5, "side": "buy", "type": "limit", "price": 100.5, "qty": 2, "cancel_ms": 9}
RULES = Rules(7, 3, fees=Fees(Decimal("-0.0001"), Decimal("0.0005")))


def orders_file(folder: Path, content: object) -> Path:
    path = folder / "orders.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_orders_are_read_as_their_digits_say(tmp_path: Path) -> None:
    fine = json.dumps([LINE]).replace("100.5", "0.1000000000000000001")
    with pytest.raises(OrderError, match=r"at most 18 decimals; found 0\.1000000000000000001"):
        read_orders(orders_file(tmp_path, fine))
    market = {"time_ms": 6, "side": "sell", "type": "market", "qty": "2.50", "valid_until_ms": 20}
    assert read_orders(orders_file(tmp_path, [LINE, market])) == [
        OrderRequest(0, Side.BUY, OrderType.LIMIT, Decimal(2), Decimal("100.5"), 5, 9),
        OrderRequest(1, Side.SELL, OrderType.MARKET, Decimal("2.5"), None, 6, None, 20),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON list of orders"),
        ("[{]", "is no JSON list of orders"),
        ({"orders": []}, "Expected `array`, got `object`"),
        ([LINE, {"side": "buy"}], r"missing required field `time_ms` - at `\$\[1\]`"),
        ([LINE | {"side": "bid"}], r"Invalid enum value 'bid' - at `\$\[0\].side`"),
        ([LINE | {"cancelms": 9}], "unknown field `cancelms`"),
        ([LINE | {"time_ms": 5.5}], r"Expected `int`, got `float` - at `\$\[0\].time_ms`"),
        ([LINE | {"price": True}], "got `bool`"),
        ([LINE | {"price": "12x"}], "price"),
        ('[{"time_ms":5,"side":"buy","type":"market","qty":NaN}]', "is no JSON list of orders"),
    ],
)
def test_a_file_that_is_no_list_of_orders_is_named_with_what_is_wrong(
    tmp_path: Path, content: object, message: str
) -> None:
    path = orders_file(tmp_path, content)
    with pytest.raises(OrdersFileError, match=message) as caught:
        read_orders(path)
    assert str(caught.value).startswith(f"{path}: is no JSON list of orders: ")
    assert caught.value.path == path


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OrdersFileError, match=r"none\.json: cannot be read: No such file"):
        read_orders(tmp_path / "none.json")


def test_an_order_that_cannot_be_meant_is_named_by_its_place(tmp_path: Path) -> None:
    path = orders_file(tmp_path, [LINE, LINE | {"qty": 0}])
    with pytest.raises(OrderError, match="order 1: qty is above 0"):
        read_orders(path)


def test_the_files_have_what_the_result_has_in_its_order(tmp_path: Path) -> None:
    market, requests = market_and_orders(1)
    result = run_orders(market, requests, RULES)
    write_result(tmp_path / "new", result)
    fills: list[dict[str, Any]] = json.loads((tmp_path / "new" / "fills.json").read_bytes())
    orders: list[dict[str, Any]] = json.loads((tmp_path / "new" / "orders.json").read_bytes())
    assert len(fills) == len(result.fills) > 20
    assert fills == sorted(fills, key=lambda fill: (fill["time_ms"], fill["order"]))
    for line, fill in zip(fills, result.fills, strict=True):
        names = ["order", "time_ms", "side", "price", "qty", "maker", "fee"]
        assert list(line) == names
        assert Decimal(repr(line["price"])) == fill.price
        assert (line["qty"], line["fee"]) == (float(fill.quantity), float(fill.fee))
        assert (line["order"], line["time_ms"], line["side"]) == (
            fill.order,
            fill.time_ms,
            fill.side,
        )
    assert [line["order"] for line in orders] == list(range(len(requests)))
    for line, end in zip(orders, result.ends, strict=True):
        wanted = {"order": end.order, "status": end.status, "time_ms": end.time_ms}
        assert line == wanted | ({"reason": end.reason} if end.reason else {})
    rejected = sum(line["status"] == "rejected" for line in orders)
    assert sum(result.rejected.values()) == rejected


def test_the_same_run_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        market, requests = market_and_orders(2)
        write_result(tmp_path / name, run_orders(market, requests, RULES))
    for name in ("fills.json", "orders.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_orders_are_sent_by_their_time_and_then_by_their_place() -> None:
    market, requests = market_and_orders(3)
    backwards = run_orders(market, requests[::-1], RULES)
    forwards = run_orders(market, requests, RULES)
    assert {f.order for f in backwards.fills} == {f.order for f in forwards.fills}
    assert backwards.account.cash == forwards.account.cash


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"fills\.json cannot be written"):
        write_result(tmp_path / "file", run_orders([], [], RULES))
