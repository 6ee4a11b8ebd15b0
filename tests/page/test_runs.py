"""Several runs as one page: which path leads where, and what the list of them says."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_fixtures import put_run
from werkzeug.test import Client

from app import make_page
from orderflow.errors import UsageError
from page import runs


@pytest.fixture
def client(tmp_path: Path) -> Client:
    directories = [tmp_path / name for name in ("one", "two", "later")]
    put_run(directories[0], 5)
    put_run(directories[1], 5, instrument="ETH-USDT", state="finished")
    application, _ = make_page(directories, allow_control=True, contract_values={})
    return Client(application)


def test_all_runs_are_listed_by_each_of_them(client: Client) -> None:
    listed = [
        {"path": "/", "directory": "one", "instrument": "BTC-USDT", "state": "running"},
        {"path": "/run/2/", "directory": "two", "instrument": "ETH-USDT", "state": "finished"},
        {"path": "/run/3/", "directory": "later", "instrument": None, "state": None},
    ]
    for path in ("/", "/run/2/", "/run/3/"):
        answer = client.get(f"{path}runs")
        assert (answer.status_code, answer.json) == (200, listed)


def test_a_path_answers_for_its_own_run_alone(client: Client) -> None:
    for path, instrument in (("/", "BTC-USDT"), ("/run/2/", "ETH-USDT"), ("/run/3/", None)):
        poll = {
            "output": "seen.data",
            "outputs": {"id": "seen", "property": "data"},
            "inputs": [{"id": "poll", "property": "n_intervals", "value": 1}],
            "state": [{"id": "seen", "property": "data", "value": ""}],
            "changedPropIds": ["poll.n_intervals"],
        }
        answer = client.post(f"{path}_dash-update-component", json=poll)
        assert answer.status_code == 200
        told = answer.get_data(as_text=True)
        assert [name for name in ("BTC-USDT", "ETH-USDT") if f'"{name}"' in told] == (
            [instrument] if instrument else []
        )
    page = client.get("/run/2/").get_data(as_text=True)
    assert 'src="/run/2/assets/' in page


@pytest.mark.parametrize("path", ["/run/4/", "/run/2", "/run/", "/run/2x/"])
def test_a_path_that_is_no_runs_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_directory_is_named_once_and_there_are_not_too_many(tmp_path: Path) -> None:
    for wrong in ([tmp_path, tmp_path], [tmp_path / str(n) for n in range(runs.MAX_RUNS + 1)]):
        with pytest.raises(UsageError, match="up to 20 directories, each once"):
            make_page(wrong, allow_control=True, contract_values={})
