import ast
import inspect
import threading
from pathlib import Path
from typing import Any

import orjson
import plotly.io
import pytest
from page_fixtures import ROOT, put, put_run, status

import app
import page_charts as charts
from page_files import STATES, PageFiles, Snapshot

EVERYTHING = {"head", "notes", "hint", "foot", "ladder", "time", "depth"}


@pytest.fixture
def parts(tmp_path: Path) -> app.Parts:
    put_run(tmp_path, 40)
    return app.Parts(PageFiles(tmp_path))


def seen(parts: list[app.Part]) -> str:
    return ".".join(part.version for part in parts)


def places(found: dict[str, dict[str, Any]], figure: str) -> list[Any]:
    """Return where in the figure a poll's patch assigns."""
    operations = found[figure]["figure"]["operations"]
    assert {operation["operation"] for operation in operations} == {"Assign"}
    return [operation["location"] for operation in operations]


def test_a_new_browser_gets_everything(parts: app.Parts) -> None:
    assert set(app.changes(parts.newest(), "")) == EVERYTHING


def test_nothing_changed_is_nothing_to_send(parts: app.Parts) -> None:
    newest = parts.newest()
    assert app.changes(parts.newest(), seen(newest)) == {}


def test_versions_of_another_page_bring_everything(parts: app.Parts) -> None:
    assert set(app.changes(parts.newest(), "12.34")) == EVERYTHING
    assert set(app.changes(parts.newest(), "1.2.3.4.5.6.7")) == EVERYTHING


@pytest.mark.parametrize(
    ("name", "charts_changed"),
    [
        ("ohlc_data.json", {"time": [charts.PRICE, charts.VOLUME, charts.LAST]}),
        ("metrics_data.json", {"time": [charts.OBI, charts.CVD]}),
        ("depth_data.json", {"depth": [charts.BIDS, charts.ASKS, charts.MID]}),
        ("status_data.json", {}),
    ],
)
def test_a_file_changes_its_own_panels_alone(
    tmp_path: Path, parts: app.Parts, name: str, charts_changed: dict[str, list[int]]
) -> None:
    before = seen(parts.newest())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
    found = app.changes(parts.newest(), before)
    drawn = {figure: places(found, figure) for figure in app.FIGURES if figure in found}
    assert drawn == {
        figure: [["data", place] for place in at] for figure, at in charts_changed.items()
    }
    ladder = {"ladder"} if name == "depth_data.json" else set()
    assert set(found) == {"head", "notes", "hint", "foot"} | ladder | set(charts_changed)


def test_the_layout_of_a_figure_is_never_sent_again(tmp_path: Path, parts: app.Parts) -> None:
    before = seen(parts.newest())
    put_run(tmp_path, 41)
    found = app.changes(parts.newest(), before)
    for figure in app.FIGURES:
        assert all(place[0] == "data" for place in places(found, figure))


def test_the_next_run_lets_go_of_the_zoom(tmp_path: Path, parts: app.Parts) -> None:
    before = seen(parts.newest())
    put(tmp_path, "status_data.json", status(instrument="ETH-USDT"))
    found = app.changes(parts.newest(), before)
    for figure in app.FIGURES:
        axes = [["layout", axis, *options] for axis, options in charts.WHOLE[figure].items()]
        assert places(found, figure) == [["layout", "uirevision"], *axes]


def test_a_poll_is_json_that_any_renderer_reads(parts: app.Parts) -> None:
    found = orjson.loads(orjson.dumps(app.changes(parts.newest(), "")))
    data = {
        tuple(operation["location"]): operation["params"]["value"]
        for operation in found["time"]["figure"]["operations"]
    }
    assert len(data["data", charts.PRICE]["x"]) == 40
    assert data["data", charts.CVD]["uid"] == "cvd"
    assert found["ladder"]["children"][0]["namespace"] == "dash_html_components"


def test_a_part_is_built_once_for_every_browser(parts: app.Parts) -> None:
    built: list[list[app.Part]] = []
    threads = [threading.Thread(target=lambda: built.append(parts.newest())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(a is b for newest in built for a, b in zip(newest, built[0], strict=True))


def test_nobody_waits_for_a_look_that_another_takes(
    tmp_path: Path, parts: app.Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = parts.newest()
    put_run(tmp_path, 41)
    inside, go_on = threading.Event(), threading.Event()
    look = PageFiles.look

    def slow_look(files: PageFiles) -> Snapshot:
        inside.set()
        assert go_on.wait(10)
        return look(files)

    monkeypatch.setattr(PageFiles, "look", slow_look)
    other = threading.Thread(target=parts.newest)
    other.start()
    assert inside.wait(10)
    assert parts.newest() is before
    go_on.set()
    other.join()
    assert parts.newest() is not before


def test_the_template_is_sent_whole_and_dark() -> None:
    layout = charts.time_layout(plotly.io.templates["plotly_dark"].to_plotly_json())
    assert layout["template"]["layout"]["paper_bgcolor"] == "rgb(17,17,17)"


def test_the_upload_button_is_off() -> None:
    assert app.GRAPH_OPTIONS["showSendToCloud"] is False


def test_the_page_needs_no_files(tmp_path: Path) -> None:
    newest = app.Parts(PageFiles(tmp_path / "not there")).newest()
    assert set(app.changes(newest, "")) == {"head", "notes", "hint", "foot", *app.FIGURES}


def test_the_client_of_a_poll_gets_a_patch(tmp_path: Path) -> None:
    put_run(tmp_path, 10)
    client = app.make_app(tmp_path).server.test_client()
    poll = {
        "output": "seen.data",
        "outputs": {"id": "seen", "property": "data"},
        "inputs": [{"id": "poll", "property": "n_intervals", "value": 3}],
        "changedPropIds": ["poll.n_intervals"],
        "state": [{"id": "seen", "property": "data", "value": ""}],
    }
    answer = client.post("/_dash-update-component", json=poll)
    assert answer.status_code == 200
    assert set(answer.json["sideUpdate"]) == EVERYTHING
    poll["state"] = [
        {"id": "seen", "property": "data", "value": answer.json["response"]["seen"]["data"]}
    ]
    assert client.post("/_dash-update-component", json=poll).json["response"] == {}


PAGE = {"app", "page_files", "page_charts", "page_view", "page_server"}


def imports_of(module: str) -> set[str]:
    tree = ast.parse((ROOT / f"{module}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("module", sorted(PAGE))
def test_the_page_knows_nothing_of_the_replay_but_its_files(module: str) -> None:
    own = {path.stem for path in ROOT.glob("*.py")}
    assert imports_of(module) & own <= PAGE | {"errors"}


def test_what_knows_no_dash() -> None:
    assert not imports_of("page_files") & {"dash", "plotly", "flask"}
    assert not imports_of("page_charts") & {"dash", "plotly", "flask"}
    assert not imports_of("page_server") & {"dash", "plotly", "flask"}


def test_every_option_is_documented() -> None:
    told = (ROOT / "docs" / "page.md").read_text()
    shown = [
        name
        for option in inspect.signature(app.run).parameters.values()
        if not option.annotation.__metadata__[0].hidden
        for name in [f"--{option.name.replace('_', '-')}"]
    ]
    assert shown == ["--host", "--port", "--output-dir", "--allow-host"]
    assert all(name in told for name in shown)


def test_every_state_is_documented() -> None:
    told = (ROOT / "docs" / "page.md").read_text()
    assert all(f"| {state} |" in told for state in STATES)
