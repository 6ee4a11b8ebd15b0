"""The addresses of the order-flow files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from flow_files import START_MS, put_flow
from page_fixtures import put, put_run, trading

from app import make_app
from orderflow.array_file import unpack

POLL = {
    "output": "seen.data",
    "outputs": {"id": "seen", "property": "data"},
    "inputs": [{"id": "poll", "property": "n_intervals", "value": 1}],
    "state": [{"id": "seen", "property": "data", "value": ""}],
    "changedPropIds": ["poll.n_intervals"],
}


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    put_run(tmp_path, 5, [("silences", START_MS, START_MS + 60_000, 2)])
    put_flow(tmp_path, 5)
    app = make_app(tmp_path)
    client: FlaskClient = app.server.test_client()
    assert client.post("/_dash-update-component", json=POLL).status_code == 200
    return client


def test_a_file_is_answered_as_a_file_of_its_kind(client: FlaskClient) -> None:
    answer = client.get("/flow/footprint")
    assert (answer.status_code, answer.content_type) == (200, "application/octet-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    header, _ = unpack(answer.data)
    assert (header["kind"], header["first"]) == ("footprint", 0)
    header, _ = unpack(client.get("/flow/footprint?run=one&after=3").data)
    assert header["first"] == 4


def test_a_large_answer_is_compressed_for_who_reads_it(client: FlaskClient) -> None:
    plain = client.get("/flow/heatmap_0")
    assert "Content-Encoding" not in plain.headers
    packed = client.get("/flow/heatmap_0", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    small = client.get("/flow/trading", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers


def test_two_new_columns_are_less_than_3_kilobytes(client: FlaskClient) -> None:
    last = (START_MS + 300_000) // 250 - 1
    news = client.get(
        f"/flow/heatmap_0?run=one&after={last - 3}", headers={"Accept-Encoding": "gzip"}
    )
    header, _ = unpack(gzip.decompress(news.data))
    assert header["columns"] == 3  # the one that was in progress, and two more
    assert len(news.data) < 3000


@pytest.mark.parametrize("path", ["/flow/none", "/flow/heatmap_0.bin", "/flow/status"])
def test_a_name_that_is_none_is_refused_in_a_line(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert len(answer.data) < 100


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=-2", "after=1e9", "after=" + "9" * 17, "after=٣", "run=" + "r" * 201],
)
def test_a_question_that_is_none_is_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/flow/trades?{query}").status_code == 400


def test_nothing_is_written_through_these_addresses(client: FlaskClient) -> None:
    assert client.post("/flow/trades").status_code == 405


def test_the_depth_and_the_data_issues_are_json_with_words(client: FlaskClient) -> None:
    depth = client.get("/flow/depth").get_json()
    assert len(depth["bids"]) == len(depth["asks"]) == 50
    [issue] = client.get("/flow/issues").get_json()["issues"]
    assert issue == {
        "start": START_MS,
        "end": START_MS + 60_000,
        "text": "silences of the book: 2 · 00:00:00 to 00:01:00 · 1 min",
        "harmless": False,
    }


def test_a_run_without_these_files_has_none(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    client = make_app(tmp_path).server.test_client()
    assert client.get("/flow/trades").status_code == 204
    assert client.get("/flow/depth").get_json() == {"bids": [], "asks": []}


def test_fills_and_alerts_of_a_trading_run_are_told(client: FlaskClient, tmp_path: Path) -> None:
    assert client.get("/flow/trading").get_json() == {"fills": [], "alerts": []}
    put(tmp_path, "trading_data.json", trading(2))
    assert client.post("/_dash-update-component", json=POLL).status_code == 200
    told = client.get("/flow/trading").get_json()
    assert told["fills"][1] == {
        "time": START_MS + 5 * 60_000 + 45_000,
        "bought": False,
        "price": told["fills"][1]["price"],
        "quantity": 0.01,
        "maker": True,
        "fee": -0.1,
        "strategy": "levels",
    }
    assert told["alerts"] == [
        {
            "time": START_MS + 7 * 60_000 + 5,
            "strategy": "watcher",
            "text": "sell: break at support 104990.5",
        }
    ]
    put(tmp_path, "trading_data.json", trading(2, instrument="ETH-USDT"))
    assert client.post("/_dash-update-component", json=POLL).status_code == 200
    assert client.get("/flow/trading").get_json() == {"fills": [], "alerts": []}
