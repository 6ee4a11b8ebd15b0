"""Clients of Kraken keep the book of a recording at 10 and at 100 levels."""

import pytest
from client_runs import Source
from following import Followed, FollowingTests, all_follow, runs
from real_clients import Client, kraken_clients, needs_clients
from real_recordings import needs_recordings

pytestmark = [pytest.mark.thorough, needs_clients, needs_recordings]

SOURCES = (
    Source("binance_spot_ethusdt_20240808", "ETH-USDT", 4),
    Source("binance_spot_nexousdt_202407", "NEXO-USDT", 50),
)


CLIENTS = kraken_clients(10, 100)


@pytest.fixture(scope="module", params=runs(*SOURCES))
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return all_follow("kraken", CLIENTS, request.param, tmp_path_factory.mktemp("kraken"))


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    asked: Client = request.param
    return asked


class TestKrakenClients(FollowingTests):
    pass
