"""`POST /control`: who may order a run, what is an order, and how many there may be."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from dash import Dash
from page_fixtures import page
from test_server import ask

import app
from page.control_route import CONTENT_TYPE, MOST_WAITING

HOST = "127.0.0.1:8050"
OWN = {"Host": HOST, "Origin": f"http://{HOST}", "Content-Type": CONTENT_TYPE}
START, END = 1_000_000, 2_000_000


def put_status(directory: Path, **changed: Any) -> None:
    status = {
        "schema": 1, "state": "running", "instrument": "X", "start": START, "end": END, "pid": 77,
        "paused": False, "speed": "max", "seeking": None, "control": 0, "event_time": 1_500_000,
    }  # fmt: skip
    (directory / "new").write_bytes(orjson.dumps(status | changed))
    (directory / "new").rename(directory / "status_data.json")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    put_status(tmp_path)
    return tmp_path


@pytest.fixture
def shown(directory: Path) -> Dash:
    return app.make_app(directory)


def post(shown: Dash, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    client = shown.server.test_client()
    answer = client.post("/control", data=data, headers=OWN if headers is None else headers)
    return answer.status_code, answer.get_json()


def orders(directory: Path) -> Any:
    return orjson.loads((directory / "control.json").read_bytes())


PAUSE = {"do": "pause"}


@pytest.mark.parametrize(
    "order",
    [
        PAUSE, {"do": "resume"}, {"do": "row"}, {"do": "bar"}, {"do": "speed", "speed": 10},
        {"do": "speed", "speed": 0.5}, {"do": "speed", "speed": "max"},
        {"do": "seek", "time": START}, {"do": "seek", "time": END - 1},
    ],
)  # fmt: skip
def test_an_order_is_handed_on(shown: Dash, directory: Path, order: dict[str, Any]) -> None:
    assert post(shown, order) == (202, {"sequence": 1})
    assert orders(directory) == {"schema": 1, "pid": 77, "orders": [{"sequence": 1, **order}]}


@pytest.mark.parametrize(
    "order",
    [
        b"", b"{", b"[]", b"null", {}, {"do": "fly"}, {"do": "pause", "more": 1}, {"do": ["row"]},
        {"do": "speed"}, {"do": "speed", "speed": 0}, {"do": "speed", "speed": -1},
        {"do": "speed", "speed": 1e7}, {"do": "speed", "speed": True},
        {"do": "speed", "speed": "x"},
        b'{"do": "speed", "speed": NaN}', b'{"do": "speed", "speed": 1e999}',
        {"do": "seek"}, {"do": "seek", "time": START - 1}, {"do": "seek", "time": END},
        {"do": "seek", "time": 1.5e6}, {"do": "seek", "time": True}, {"do": "seek", "time": "now"},
        b"[" * 900,
    ],
)  # fmt: skip
def test_what_is_no_order_is_refused(shown: Dash, directory: Path, order: Any) -> None:
    assert post(shown, order)[0] == 400
    assert not (directory / "control.json").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:8051"},
        {"Origin": "http://127.0.0.1:8050.evil.example"},
        {"Origin": "file://"},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": CONTENT_TYPE + "; charset=utf-8"},
        {"Content-Type": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_is_refused(shown: Dash, directory: Path, changed: dict[str, str]) -> None:
    assert post(shown, PAUSE, OWN | changed)[0] == 403
    assert post(shown, PAUSE, {k: v for k, v in OWN.items() if k not in changed})[0] in (202, 403)
    missing = {name: value for name, value in OWN.items() if name != "Origin"}
    assert post(shown, PAUSE, missing)[0] == 403


def test_off_this_machine_it_must_be_allowed(directory: Path) -> None:
    closed = app.make_app(directory, allow_control=False)
    assert post(closed, PAUSE)[0] == 403
    assert closed.server.test_client().get("/control").get_json()["allowed"] is False
    assert not (directory / "control.json").exists()


@pytest.mark.parametrize(
    "changed", [{"state": "finished"}, {"state": "failed"}, {"control": None}, {"pid": None}]
)
def test_where_nothing_obeys_nothing_is_written(
    shown: Dash, directory: Path, changed: dict[str, Any]
) -> None:
    put_status(directory, **changed)
    assert post(shown, PAUSE)[0] == 409
    assert shown.server.test_client().get("/control").get_json()["obeys"] is False
    assert not (directory / "control.json").exists()


def test_orders_wait_until_they_are_taken(shown: Dash, directory: Path) -> None:
    for number in (1, 2, 3):
        assert post(shown, PAUSE) == (202, {"sequence": number})
    put_status(directory, control=2)
    assert post(shown, {"do": "row"}) == (202, {"sequence": 4})
    assert [order["sequence"] for order in orders(directory)["orders"]] == [3, 4]


def test_a_page_started_later_goes_on_counting(directory: Path) -> None:
    put_status(directory, control=9)
    assert post(app.make_app(directory), PAUSE) == (202, {"sequence": 10})


def test_orders_for_the_run_before_are_not_handed_to_the_next(shown: Dash, directory: Path) -> None:
    post(shown, PAUSE)
    put_status(directory, pid=78)
    assert post(shown, {"do": "row"}) == (202, {"sequence": 1})
    assert orders(directory)["pid"] == 78
    assert [order["do"] for order in orders(directory)["orders"]] == ["row"]


def test_a_flood_is_refused_and_what_waits_is_bounded(
    shown: Dash, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("page.control_route.time.monotonic", lambda: clock[0])
    shown = app.make_app(directory)
    codes = [post(shown, PAUSE)[0] for _ in range(100)]
    assert codes == [202] * 40 + [429] * 60
    for _ in range(200):
        clock[0] += 0.1
        put_status(directory)  # alive, and taking nothing
        last = post(shown, PAUSE)
    assert last == (429, {"error": f"the run has {MOST_WAITING} orders it has not yet taken"})
    assert len(orders(directory)["orders"]) == MOST_WAITING


def test_a_long_body_is_refused(shown: Dash) -> None:
    assert post(shown, b" " * 1025)[0] == 413


def test_the_state_is_told(shown: Dash, directory: Path) -> None:
    put_status(directory, paused=True, speed=12.5, seeking=1_600_000, control=4)
    assert shown.server.test_client().get("/control").get_json() == {
        "obeys": True, "allowed": True, "paused": True, "speed": 12.5, "seeking": 1_600_000,
        "control": 4, "state": "running", "event_time": 1_500_000,
    }  # fmt: skip


def test_a_run_that_no_longer_writes_does_not_obey(
    shown: Dash, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("page.run_status.time.time", lambda: now + 6)
    assert post(shown, PAUSE)[0] == 409


def test_the_real_server_asks_for_its_name_first(directory: Path) -> None:
    with page(directory) as (url, _):
        address = url.removeprefix("http://")
        body = orjson.dumps(PAUSE)
        own = {"Content_Type": CONTENT_TYPE, "Origin": f"http://{address}"}
        foreign = {"Content_Type": CONTENT_TYPE, "Origin": "http://evil.example"}
        assert ask(address, "/control", body, Host="evil.example", **own)[0] == 400
        rebound = {"Host": "evil.example", **foreign}
        assert ask(address, "/control", body, **rebound)[0] == 400
        assert ask(address, "/book?time=1", Host="evil.example")[0] == 400
        assert ask(address, "/control", body, **foreign)[0] == 403
        put_status(directory)
        assert ask(address, "/control", body, **own)[0] == 202
        assert ask(address, "/control", b" " * 70_000, **own)[0] == 413
        assert orjson.loads(ask(address, "/control")[2])["obeys"] is True
