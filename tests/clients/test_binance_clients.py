"""Clients of Binance spot keep the book of a recording, from its REST snapshot on."""

import pytest
from client_runs import Source
from following import Followed, FollowingTests, all_follow, runs
from real_clients import Client, binance_clients, needs_clients
from real_recordings import needs_recordings

pytestmark = [pytest.mark.thorough, needs_clients, needs_recordings]

SOURCES = (
    Source("binance_spot_ethusdt_20240808", "ETH-USDT", 8),
    Source("binance_spot_nexousdt_202407", "NEXO-USDT", 50),
)
CLIENTS = binance_clients("binance", "{base}/{quote}", "spot")


@pytest.fixture(scope="module", params=runs(*SOURCES))
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return all_follow("binance", CLIENTS, request.param, tmp_path_factory.mktemp("binance"))


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    asked: Client = request.param
    return asked


class TestBinanceClients(FollowingTests):
    pass
