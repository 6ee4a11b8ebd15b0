"""`GET /status`: what reading and writing costs."""

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from flow_files import put_flow
from page_fixtures import put, put_run, status

from app import make_app
from page.checks import FileContentError
from page.contents import parse_status

METER = {"count": 3, "bytes": 100, "mean_ms": 0.5, "most_ms": 1.25}
RUN = {
    "files": {"ohlc_data.json": METER},
    "failed": 0,
    "memory": {"now_mb": 80.5, "most_mb": 90.0},
}
POLL = {
    "output": "seen.data",
    "outputs": {"id": "seen", "property": "data"},
    "inputs": [{"id": "poll", "property": "n_intervals", "value": 1}],
    "state": [{"id": "seen", "property": "data", "value": ""}],
    "changedPropIds": ["poll.n_intervals"],
}


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    put_run(tmp_path, 5)
    put_flow(tmp_path, 5)
    client: FlaskClient = make_app(tmp_path).server.test_client()
    return client


def test_the_page_says_what_it_read_and_what_it_refused(
    client: FlaskClient, tmp_path: Path
) -> None:
    assert client.get("/status").get_json()["run"] is None
    for torn in (b"[[1,2", b"[1", b"{}"):
        client.post("/_dash-update-component", json=POLL)
        (tmp_path / "new").write_bytes(torn)
        (tmp_path / "new").rename(tmp_path / "depth_data.json")
    client.post("/_dash-update-component", json=POLL)
    client.get("/flow/footprint")
    told = client.get("/status").get_json()["page"]
    assert told["memory"]["most_mb"] >= told["memory"]["now_mb"] / 2 > 1
    depth, flow = told["files"]["depth_data.json"], told["files"]["footprint_data.bin"]
    assert (depth["read"]["count"], depth["parse"]["count"], depth["refused"]) == (4, 1, 3)
    assert (flow["read"]["count"], flow["refused"]) == (1, 0)
    assert flow["read"]["bytes"] == (tmp_path / "footprint_data.bin").stat().st_size
    assert "heatmap_0.bin" not in told["files"]


def test_what_the_run_says_of_itself_is_handed_on(client: FlaskClient, tmp_path: Path) -> None:
    put(tmp_path, "status_data.json", status(monitoring=RUN))
    client.post("/_dash-update-component", json=POLL)
    assert client.get("/status").get_json()["run"] == RUN


@pytest.mark.parametrize(
    "found",
    [
        5,
        [],
        {"files": "x"},
        {"files": {"a": {"b": {"c": 1}}}},
        {"files": {"a": {"count": "1"}}},
        {"files": {"a": {"count": 1e300}}},
        {"a" * 101: 1},
        {"files": {str(n): {} for n in range(101)}},
        {"memory": True},
    ],
)
def test_what_are_no_measurements_is_refused(found: object) -> None:
    with pytest.raises(FileContentError, match=r"monitoring|number"):
        parse_status(json.loads(json.dumps({"state": "running", "monitoring": found})))
