"""unicorn follows the streams of 1000 ms for 100 books, which takes 100 seconds and more."""

import pytest
from client_runs import Source
from following import Followed, FollowingTests, all_follow, runs
from real_clients import Client, binance_clients, needs_clients
from real_recordings import needs_recordings

pytestmark = [pytest.mark.slow, needs_clients, needs_recordings]

SPOT = (
    Source("binance_spot_ethusdt_20240808", "ETH-USDT", 2),
    Source("binance_spot_nexousdt_202407", "NEXO-USDT", 20),
)
USDM = (
    Source("binance_usdm_btcusdt_20240718", "BTC-USDT-SWAP", 1.5),
    Source("binance_usdm_btcusdt_20240808", "BTC-USDT-SWAP", 1),
)


def slow_unicorn(exchange: str, symbol: str, market: str) -> Client:
    clients = binance_clients(exchange, symbol, market, (1000,), least_books_at_1000_ms=100)
    return clients[-1]


CLIENTS = {
    "binance": slow_unicorn("binance", "{base}/{quote}", "spot"),
    "binance-usdm": slow_unicorn("binanceusdm", "{base}/{quote}:{quote}", "usdm"),
}


def venue_of(source: Source) -> str:
    return "binance" if source in SPOT else "binance-usdm"


@pytest.fixture(scope="module", params=runs(*SPOT, *USDM))
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    venue = venue_of(request.param[0])
    return all_follow(venue, [CLIENTS[venue]], request.param, tmp_path_factory.mktemp("slow"))


@pytest.fixture
def client(followed: Followed) -> Client:
    return CLIENTS[venue_of(followed.feed.source)]


class TestSlowStreams(FollowingTests):
    pass
