"""Clients of Binance USD-M keep the book of a recording, from its REST snapshot on."""

import pytest
from client_runs import Source
from following import Followed, FollowingTests, all_follow, runs
from real_clients import Client, binance_clients, needs_clients
from real_recordings import needs_recordings

pytestmark = [pytest.mark.thorough, needs_clients, needs_recordings]

SOURCES = (
    Source("binance_usdm_btcusdt_20240718", "BTC-USDT-SWAP", 6),
    Source("binance_usdm_btcusdt_20240808", "BTC-USDT-SWAP", 6),
)
CLIENTS = binance_clients("binanceusdm", "{base}/{quote}:{quote}", "usdm")


@pytest.fixture(scope="module", params=runs(*SOURCES))
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return all_follow("binance-usdm", CLIENTS, request.param, tmp_path_factory.mktemp("binance"))


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    asked: Client = request.param
    return asked


class TestBinanceUsdmClients(FollowingTests):
    pass
