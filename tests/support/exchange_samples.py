"""Real frames of the exchanges, for the tests that use them where they are there."""

from functools import partial

import pytest
from places import REAL_DATA

SAMPLES = REAL_DATA.parent / "samples"

needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason=f"the real frames are not here ({SAMPLES} is no directory)"
)


def frames(name: str) -> list[bytes]:
    return [line for line in (SAMPLES / name).read_bytes().split(b"\n") if line]


kraken_v2_frames = partial(frames, "kraken_v2_btcusd_book10.jsonl")
kraken_v1_frames = partial(frames, "kraken_v1_xbtusd_book10.jsonl")
kraken_v1_trade_frames = partial(frames, "kraken_v1_trades.jsonl")
okx_frames = partial(frames, "okx_v5_btcusd220527.jsonl")
spot_frames = partial(frames, "binance_spot_nknusdt_stream.jsonl")
usdm_frames = partial(frames, "binance_usdm_akrousdt_stream.jsonl")


def spot_depth() -> bytes:
    return (SAMPLES / "binance_spot_nknusdt_depth_rest.json").read_bytes()


def usdm_depth() -> bytes:
    return (SAMPLES / "binance_usdm_akrousdt_depth_rest.json").read_bytes()
