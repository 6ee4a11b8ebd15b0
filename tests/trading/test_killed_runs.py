"""Runs of which a process is killed at any moment: named, ended, nothing done twice or lost."""

import os
import random
import signal
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from desk_runs import wait_until
from trading_runs import report_in, trading_run

from synthetic_market import write_recording

SPAN = ("BTC-USDT", "2025-06-09T12:00", "2025-06-09T12:05")
START_MS = int(datetime(2025, 6, 9, 12, tzinfo=UTC).timestamp() * 1000)
MEMBERS = ("gateway", "executor", "a", "b")
WITHIN_SECONDS = 5.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    path = directory / "BTC-USDT_2025-06-09.db"
    write_recording(path, SPAN[0], START_MS, START_MS + 300_000, seed=4, max_rows=4000)
    return directory


def check_orders(out: Path) -> int:
    """Fail unless each signal that the executor took is in the files once; return how many."""
    report = report_in(out)
    orders: list[dict[str, Any]] = orjson.loads((out / "orders.json").read_bytes())
    fills: list[dict[str, Any]] = orjson.loads((out / "fills.json").read_bytes())
    filled: dict[tuple[str, int], Decimal] = {}
    for fill in fills:
        key = fill["strategy"], fill["order"]
        filled[key] = filled.get(key, Decimal(0)) + Decimal(str(fill["qty"]))
    for name, counts in report["counts"]["executor"]["strategies"].items():
        numbers = [order["order"] for order in orders if order["strategy"] == name]
        assert numbers == list(range(1, counts["signals"]["received"] + 1))
    ended = {(order["strategy"], order["order"]): order["status"] for order in orders}
    assert all(ended[key] == "filled" for key in filled)
    assert set(filled.values()) == {Decimal("0.01")}  # and not twice that
    return len(orders)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_moment_it_is_named_and_no_signal_is_lost_or_done_twice(
    data: Path, tmp_path: Path, seed: int
) -> None:
    rng, victim, out = random.Random(seed), MEMBERS[seed % len(MEMBERS)], tmp_path / "out"
    traders = ("--strategy", "a=traders:Trader", "--strategy", "b=traders:Trader")
    often = ("--set", "every=3", "--set", "b.every=2", "--window-ms", "50", "--no-bars")
    with trading_run(out, *SPAN, "--data-dir", data, *traders, *often, "--speed", "10") as run:
        if seed < 12:
            run.wait_until_under_way()
        else:  # while they come together
            wait_until(lambda: set(run.children()) >= set(MEMBERS))
        time.sleep(rng.random() * 2)
        os.kill(run.children()[victim], signal.SIGKILL)
        began = time.monotonic()
        assert run.end() == 1
        assert time.monotonic() - began < WITHIN_SECONDS
        assert f"Error: {victim}: " in run.text
        run.check_nothing_is_left()
    if victim != "executor" and seed < 12:
        assert check_orders(out) > 0
