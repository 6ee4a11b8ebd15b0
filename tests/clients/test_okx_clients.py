"""Clients of OKX follow what OKX itself has sent, as the simulator publishes it again."""

import pytest
from client_runs import Source
from following import Followed, FollowingTests, all_follow, runs
from real_clients import Client, needs_clients
from real_recordings import needs_recordings

pytestmark = [pytest.mark.thorough, needs_clients, needs_recordings]

SOURCES = (
    Source("okex_v5_202107_c1", "ONT-USDT", 1.5),
    Source("okx_v5_202202", "ELON-USDT", 1.5),  # 8 decimals, and a second snapshot in mid-file
)
CLIENTS = [
    Client("ccxt okx", "follow_ccxt", "okx", "{base}/{quote}", 400),
    Client("python-okx", "follow_python_okx", "okx", "{base}-{quote}", 400, tls=True),
]


@pytest.fixture(scope="module", params=runs(*SOURCES))
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return all_follow("okx", CLIENTS, request.param, tmp_path_factory.mktemp("okx"))


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    asked: Client = request.param
    return asked


class TestOkxClients(FollowingTests):
    pass
