"""Where the real recordings are, for the tests that use them where they are there."""

import pytest
from places import REAL_DATA

DATA = REAL_DATA

needs_recordings = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the real recordings are not here ({DATA} is no directory)"
)
OKX_FILES = ("okx_v5_202205", "okex_v5_202107_c1", "okex_v5_202107_c3")
BINANCE = {
    "binance_usdm_btcusdt_20240718": "BTC-USDT-SWAP",
    "binance_spot_ethusdt_20240808": "ETH-USDT",
}
TRADES_ONLY = ("freqtrade_xrpeth_201910", "XRP-ETH")
