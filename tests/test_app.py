import threading
from pathlib import Path
from typing import Any

import orjson
import plotly.io
import pytest
import typer
from page_fixtures import START_MS, put, put_run, status
from places import PROJECT

import app
from page import charts, layouts
from page.files import PageData, PageFiles
from page.sections import FIGURES, Section, Sections, changes
from viz_io import STATES

WORDS = {"head", "notes", "hint", "foot", "about"}
EVERYTHING = {*WORDS, "ladder", "time", "depth"}


@pytest.fixture
def sections(tmp_path: Path) -> Sections:
    put_run(tmp_path, 40, issues=[("crossed_books", START_MS, START_MS, 1)])
    return Sections(PageFiles(tmp_path))


def seen(sections: list[Section]) -> str:
    return ".".join(section.version for section in sections)


def locations(found: dict[str, dict[str, Any]], figure: str) -> list[Any]:
    """Return where in the figure a poll's patch assigns."""
    operations = found[figure]["figure"]["operations"]
    assert {operation["operation"] for operation in operations} == {"Assign"}
    return [operation["location"] for operation in operations]


def test_a_new_browser_gets_everything(sections: Sections) -> None:
    assert set(changes(sections.newest(), "")) == EVERYTHING


def test_nothing_changed_is_nothing_to_send(sections: Sections) -> None:
    newest = sections.newest()
    assert changes(sections.newest(), seen(newest)) == {}


def test_versions_of_another_page_bring_everything(sections: Sections) -> None:
    assert set(changes(sections.newest(), "12.34")) == EVERYTHING
    assert set(changes(sections.newest(), "1.2.3.4.5.6.7")) == EVERYTHING


@pytest.mark.parametrize(
    ("name", "charts_changed"),
    [
        ("ohlc_data.json", {"time": [charts.PRICE, charts.VOLUME, charts.ROOM, charts.LAST]}),
        ("metrics_data.json", {"time": [charts.OBI, charts.CVD]}),
        ("data_issues.json", {"time": [charts.ISSUES, charts.SHADE]}),
        ("depth_data.json", {"depth": [charts.BIDS, charts.ASKS, charts.MID]}),
        ("status_data.json", {}),
    ],
)
def test_a_file_changes_its_own_panels_alone(
    tmp_path: Path, sections: Sections, name: str, charts_changed: dict[str, list[int]]
) -> None:
    before = seen(sections.newest())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
    found = changes(sections.newest(), before)
    drawn = {figure: locations(found, figure) for figure in FIGURES if figure in found}
    assert drawn == {
        figure: [["data", place] for place in at] for figure, at in charts_changed.items()
    }
    ladder = {"ladder"} if name == "depth_data.json" else set()
    words = set() if name == "data_issues.json" else WORDS
    assert set(found) == words | ladder | set(charts_changed)


def test_the_layout_of_a_figure_is_never_sent_again(tmp_path: Path, sections: Sections) -> None:
    before = seen(sections.newest())
    put_run(tmp_path, 41)
    found = changes(sections.newest(), before)
    for figure in FIGURES:
        assert all(place[0] == "data" for place in locations(found, figure))


def test_the_next_run_lets_go_of_the_zoom(tmp_path: Path, sections: Sections) -> None:
    before = seen(sections.newest())
    put(tmp_path, "status_data.json", status(instrument="ETH-USDT"))
    found = changes(sections.newest(), before)
    for figure in FIGURES:
        axes = [["layout", axis, *options] for axis, options in layouts.WHOLE[figure].items()]
        assert locations(found, figure) == [["layout", "uirevision"], *axes]


def test_a_poll_is_json_that_any_renderer_reads(sections: Sections) -> None:
    found = orjson.loads(orjson.dumps(changes(sections.newest(), "")))
    data = {
        tuple(operation["location"]): operation["params"]["value"]
        for operation in found["time"]["figure"]["operations"]
    }
    assert len(data["data", charts.PRICE]["x"]) == 40
    assert data["data", charts.CVD]["uid"] == "cvd"
    assert found["ladder"]["children"][0]["namespace"] == "dash_html_components"


def test_a_section_is_built_once_for_every_browser(sections: Sections) -> None:
    built: list[list[Section]] = []
    threads = [threading.Thread(target=lambda: built.append(sections.newest())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(a is b for newest in built for a, b in zip(newest, built[0], strict=True))


def test_nobody_waits_for_a_refresh_that_another_makes(
    tmp_path: Path, sections: Sections, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sections.newest()
    put_run(tmp_path, 41)
    inside, go_on = threading.Event(), threading.Event()
    refresh = PageFiles.refresh

    def slow_refresh(files: PageFiles) -> PageData:
        inside.set()
        assert go_on.wait(10)
        return refresh(files)

    monkeypatch.setattr(PageFiles, "refresh", slow_refresh)
    other = threading.Thread(target=sections.newest)
    other.start()
    assert inside.wait(10)
    assert sections.newest() is before
    go_on.set()
    other.join()
    assert sections.newest() is not before


def test_the_template_is_sent_whole_and_dark() -> None:
    layout = layouts.time_layout(plotly.io.templates["plotly_dark"].to_plotly_json())
    assert layout["template"]["layout"]["paper_bgcolor"] == "rgb(17,17,17)"


def test_the_upload_button_is_off() -> None:
    assert app.GRAPH_OPTIONS["showSendToCloud"] is False


def test_the_page_needs_no_files(tmp_path: Path) -> None:
    newest = Sections(PageFiles(tmp_path / "not there")).newest()
    assert set(changes(newest, "")) == {*WORDS, *FIGURES}


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


def test_every_option_is_documented() -> None:
    told = (PROJECT / "docs" / "page.md").read_text()
    command = typer.main.get_command(app.cli)
    shown = [option.opts[0] for option in command.params if not getattr(option, "hidden", False)]
    assert shown == [
        "--host",
        "--port",
        "--output-dir",
        "--allow-host",
        "--allow-control",
        "--contract-value",
        "--verbose",
        "--quiet",
    ]
    assert all(name in told for name in shown)


def test_every_state_is_documented() -> None:
    told = (PROJECT / "docs" / "page.md").read_text()
    assert all(f"| {state} |" in told for state in STATES)
