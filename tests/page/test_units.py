"""What sizes are in, and how they are written in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_fixtures import put_run

from page.files import PageFiles
from page.units import Unit, in_unit, unit_of

VALUES = {"BTC-USDT-SWAP": "0.01", "BTC-USD-SWAP": "100"}


@pytest.mark.parametrize(
    ("instrument", "unit"),
    [
        ("BTC-USDT", Unit("BTC", 1)),
        ("BTC-USDT-SWAP", Unit("BTC", 0.01)),
        ("BTC-USD-SWAP", Unit("USD", 100)),
        ("ETH-USDT-SWAP", Unit(None, 1)),
        ("XBTUSD", Unit(None, 1)),
        (None, Unit(None, 1)),
    ],
)
def test_sizes_are_in_the_currency_of_the_contract_value(
    instrument: str | None, unit: Unit
) -> None:
    assert unit_of(instrument, VALUES) == unit


def test_sizes_volumes_and_cvd_are_multiplied_and_nothing_else(tmp_path: Path) -> None:
    put_run(tmp_path, 3, volume=30.0)
    data = PageFiles(tmp_path).refresh()
    scaled = in_unit(data, Unit("BTC", 0.1))
    recorded = json.loads((tmp_path / "ohlc_data.json").read_bytes())
    assert scaled.bars.content
    assert scaled.metrics.content
    assert scaled.depth.content
    assert scaled.bars.content.volumes == pytest.approx([bar[5] * 0.1 for bar in recorded])
    assert scaled.bars.content.closes == [bar[4] for bar in recorded]
    assert data.metrics.content
    assert data.depth.content
    before = data.metrics.content
    assert scaled.metrics.content.cvd_closes == [
        pytest.approx(close * 0.1) for close in before.cvd_closes if close is not None
    ]
    assert scaled.metrics.content.obi_closes == before.obi_closes
    for side, was in zip(
        (scaled.depth.content.bids, scaled.depth.content.asks),
        (data.depth.content.bids, data.depth.content.asks),
        strict=True,
    ):
        assert [price for price, _ in side] == [price for price, _ in was]
        assert [size for _, size in side] == pytest.approx([size * 0.1 for _, size in was])
    assert scaled.status.content
    assert scaled.status.content.volume == 3
    assert in_unit(data, Unit("BTC", 1)) is data


def test_a_product_has_no_digits_that_are_none(tmp_path: Path) -> None:
    put_run(tmp_path, 1)
    (tmp_path / "depth_data.json").write_text('{"bids": [[1.0, 3.0]], "asks": []}')
    depth = in_unit(PageFiles(tmp_path).refresh(), Unit("BTC", 0.1)).depth.content
    assert depth
    assert depth.bids == [(1.0, 0.3)]
