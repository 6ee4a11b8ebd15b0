"""Whatever the files hold, a poll is answered with JSON that a browser reads."""

import json
import logging
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from page_fixtures import START_MS, grow_older, put, put_run, status, trading

from orderflow.issues import LABELS
from page import charts, view
from page.files import PageFiles
from page.sections import Section, Sections, changes
from viz_io import (
    DATA_FILE,
    DEPTH_FILE,
    ISSUES_FILE,
    METRICS_FILE,
    STATUS_FILE,
    TRADING_FILE,
)

NAMES = [
    path.name
    for path in (DATA_FILE, METRICS_FILE, DEPTH_FILE, STATUS_FILE, ISSUES_FILE, TRADING_FILE)
]

WILD = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, -1e308, 5e-324, 1e30, -1e30, 0, -0.0, -1, 10**400, 1e15, 0.1]),
    st.integers(),
    st.none(),
    st.booleans(),
    st.text(max_size=20),
)
TIMES = st.one_of(st.integers(0, 10**6).map(lambda n: START_MS + 1000 * n), WILD)
# Most values are good, else nearly nothing would come past the parsers.
NUMBERS = st.one_of(st.floats(-1e30, 1e30), st.floats(0, 1e6), st.integers(0, 10**30), WILD)
GOOD = st.one_of(st.floats(-1e30, 1e30), st.integers(-(10**30), 10**30), st.floats(0, 1e-300))
GOOD_TIMES = st.integers(0, 253_402_300_799_999) | st.integers(START_MS, START_MS + 10**6)
NESTED = st.recursive(
    WILD, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)

STATUS_NUMBERS = (
    "window_seconds", "progress", "rows_per_second", "seconds", "volume", "bars", "rows", "trades",
    "depth_levels", "longest_silence_ms",
)  # fmt: skip


def documents(times: Any, numbers: Any, sizes: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return contents of all files, of roughly the right shape."""
    levels = st.lists(st.tuples(numbers, sizes), max_size=30)
    nulls = st.tuples(times, *[st.none()] * 8, *[numbers] * 4)
    bars = st.lists(st.tuples(times, *[numbers] * 5), max_size=20)
    metrics = st.lists(
        st.one_of(nulls, *(st.tuples(times, *[numbers] * n) for n in (4, 8, 12))), max_size=20
    )
    kinds = st.sampled_from(sorted(LABELS)) | st.text(max_size=30)
    span = st.tuples(times, times).map(lambda t: sorted(t, key=lambda v: (str(type(v)), v)))
    issue = st.builds(
        lambda kind, ends, count: {
            "kind": kind, "start": ends[0], "end": ends[1], "count": count
        },
        kinds, st.just([None, None]) | span, numbers,
    )  # fmt: skip
    optional: dict[str, Any] = dict.fromkeys(STATUS_NUMBERS, numbers)
    optional |= dict.fromkeys(("start", "end", "event_time", "written"), times)
    optional |= dict.fromkeys(("instrument", "reason", "engine", "book_mode"), st.text())
    optional |= {"reliable": st.booleans(), "counts": st.dictionaries(kinds, numbers, max_size=8)}
    state = {"state": st.sampled_from(["running", "finished", "stopped", "failed"])}
    return st.fixed_dictionaries(
        {
            DATA_FILE.name: bars,
            METRICS_FILE.name: metrics,
            DEPTH_FILE.name: st.fixed_dictionaries({"bids": levels, "asks": levels}),
            STATUS_FILE.name: st.fixed_dictionaries(state, optional=optional),
            ISSUES_FILE.name: st.fixed_dictionaries(
                {"schema": st.just(1), "issues": st.lists(issue, max_size=20)}
            ),
            TRADING_FILE.name: trading_runs(times, numbers, sizes),
        }
    )  # fmt: skip


def trading_runs(times: Any, numbers: Any, counts: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return contents of the file of a trading run, of roughly the right shape."""
    side, text = st.sampled_from(["buy", "sell"]), st.text(max_size=30)
    order = {"side": side, "price": numbers, "strategy": text}
    fill = order | {"time_ms": times, "qty": numbers, "maker": st.booleans(), "fee": numbers}
    alert = {"time_ms": times, "strategy": text, "text": text}
    lists = {"fills": fill, "open_orders": order | {"remaining": numbers}, "alerts": alert}
    optional: dict[str, Any] = {
        name: st.lists(st.fixed_dictionaries(entry), max_size=9) for name, entry in lists.items()
    }
    optional["curve"] = st.lists(st.tuples(times, *[numbers] * 6), max_size=9)
    optional |= dict.fromkeys(("written", "event_time"), times) | {"reason": text}
    optional |= dict.fromkeys(("position", "equity", "realised", "fees", "balance"), numbers)
    optional |= dict.fromkeys(("best_bid", "best_ask"), st.none() | numbers)
    optional |= dict.fromkeys(("fill_count", "open_count", "alert_count", "rejected"), counts)
    given = {
        "schema": st.just(1),
        "instrument": text,
        "strategies": st.lists(text, max_size=5),
        "state": st.sampled_from(["running", "finished", "stopped", "failed"]),
    }
    return st.fixed_dictionaries(given, optional=optional)


def poll(directory: Path) -> dict[str, Any]:
    """Return what a new browser gets, read by a parser that takes no NaN and no Infinity."""
    raw = orjson.dumps(changes(Sections(PageFiles(directory)).newest(), ""))

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in an answer")

    found: dict[str, Any] = json.loads(raw, parse_constant=refuse)
    return found


def write(directory: Path, contents: dict[str, Any]) -> None:
    for name, content in contents.items():
        put(directory, name, content)


FUZZ = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)


@pytest.mark.thorough
@FUZZ
@given(
    contents=documents(TIMES, NUMBERS, NUMBERS) | st.dictionaries(st.sampled_from(NAMES), NESTED)
)
@example(contents={DEPTH_FILE.name: {"bids": [[1, 1e308]] * 3, "asks": [[2, 1e308]] * 3}})
@example(contents={DEPTH_FILE.name: {"bids": [[1e308, 1]], "asks": [[1.7e308, 1]]}})
@example(contents={DATA_FILE.name: [[START_MS, *[10**400] * 5]]})
@example(contents={STATUS_FILE.name: {"state": "running", "seconds": 1e308, "progress": 5e-324}})
def test_any_content_is_answered(
    tmp_path: Path, contents: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, contents)
    found = poll(tmp_path)
    assert "cannot be drawn" not in caplog.text  # refused by a parser, or drawn
    assert {"head", "notes", "foot"} <= set(found)


@pytest.mark.thorough
@FUZZ
@given(contents=documents(GOOD_TIMES, GOOD, GOOD.map(abs)))
def test_whatever_the_parsers_accept_can_be_drawn(
    tmp_path: Path, contents: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, contents)
    data = PageFiles(tmp_path).refresh()
    assert data.problems() == []
    found = poll(tmp_path)
    assert {"time", "depth", "head"} <= set(found)
    assert caplog.records == []


@pytest.mark.parametrize("name", NAMES)
def test_a_number_that_overflows_costs_its_own_file_alone(tmp_path: Path, name: str) -> None:
    put_run(tmp_path, 20)
    write(
        tmp_path,
        {
            name: {
                DATA_FILE.name: [[START_MS, 1e308, 1e308, -1e308, 1e308, 1e308]],
                METRICS_FILE.name: [[START_MS, *[1e308] * 12]],
                DEPTH_FILE.name: {"bids": [[1e308, 1e308]] * 9, "asks": [[1e308, 1e308]] * 9},
                STATUS_FILE.name: status(volume=1e308),
                ISSUES_FILE.name: {
                    "schema": 1,
                    "issues": [{"kind": "x", "start": 1, "end": 2, "count": 1e308}],
                },
                TRADING_FILE.name: trading(equity=1e308),
            }[name]
        },
    )
    data = PageFiles(tmp_path).refresh()
    assert [problem[0] for problem in data.problems()] == [name]
    assert f"{name} cannot be used" in json.dumps(poll(tmp_path)["notes"])


def names(sections: list[Section]) -> list[str]:
    return [section.version for section in sections]


def test_a_section_that_cannot_be_built_keeps_its_last_good_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put_run(tmp_path, 20)
    sections = Sections(PageFiles(tmp_path))
    before = sections.newest()

    def fail(*_: object) -> None:
        raise OverflowError("beyond a double")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "page"):
        patch.setattr(charts, "obi_trace", fail)
        for count in (21, 22, 22):
            put_run(tmp_path, count)
            after = sections.newest()
    assert after[2] is before[2]
    assert names(after)[1] != names(before)[1]  # the other charts go on
    told = json.dumps(json.loads(orjson.dumps(changes(after, ".".join(names(before))))))
    assert "metrics_data.json cannot be used: what it holds cannot be drawn" in told
    assert [record.getMessage() for record in caplog.records] == [
        "metrics_data.json cannot be drawn; the last good picture stays"
    ]
    put_run(tmp_path, 23)
    assert sections.newest()[2] is not before[2]
    assert "cannot be used" not in json.dumps(poll(tmp_path)["notes"])


def test_a_first_section_that_cannot_be_built_leaves_the_page_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(tmp_path, 20)

    def fail(*_: object) -> None:
        raise OverflowError("beyond a double")

    monkeypatch.setattr(charts, "depth_traces", fail)
    monkeypatch.setattr(view, "head", fail)
    found = poll(tmp_path)
    assert set(found) == {"time", "depth"}
    assert "ladder" not in found


def test_issues_without_bars_are_not_drawn(tmp_path: Path) -> None:
    put_run(tmp_path, 0, issues=[("silences", START_MS, START_MS + 10**6, 1)])
    operations = poll(tmp_path)["time"]["figure"]["operations"]
    drawn = {
        op["location"][1]: op["params"]["value"] for op in operations if op["location"][0] == "data"
    }
    assert drawn[charts.ISSUES]["x"] == drawn[charts.SHADE]["x"] == []


def sections_of(directory: Path) -> Sections:
    put_run(directory, 100)
    return Sections(PageFiles(directory))


def seen(sections: list[Section]) -> str:
    return ".".join(names(sections))


def sent(sections: list[Section], known: str) -> dict[str, Any]:
    """Return what is sent to a browser that has the versions `known`."""
    found: dict[str, Any] = json.loads(orjson.dumps(changes(sections, known)))
    return found


def locations(found: dict[str, Any]) -> set[tuple[Any, ...]]:
    """Return what of the time figure is set."""
    return {tuple(operation["location"]) for operation in found["time"]["figure"]["operations"]}


def test_without_a_trading_run_nothing_is_sent_for_one(tmp_path: Path) -> None:
    found = sent(sections_of(tmp_path).newest(), "")
    assert "trading" not in found
    assert {path[1] for path in locations(found) if path[0] == "data"} == set(range(8))
    assert not {path for path in locations(found) if "domain" in path or "yaxis8" in path}


def test_a_trading_run_comes_with_its_panels_and_they_are_sent_once(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    before = seen(sections.newest())
    put(tmp_path, TRADING_FILE.name, trading(10))
    found = sent(sections.newest(), before)
    assert set(found) == {"time", "trading"}
    assert {path[1] for path in locations(found) if path[0] == "data"} == set(range(8, 16))
    assert ("layout", "yaxis", "domain") in locations(found)
    before = seen(sections.newest())
    put(tmp_path, TRADING_FILE.name, trading(11))
    found = sent(sections.newest(), before)
    assert {path[0] for path in locations(found)} == {"data"}


@pytest.mark.parametrize("how", ["gone", "another instrument"])
def test_a_trading_run_that_goes_takes_its_panels_with_it(tmp_path: Path, how: str) -> None:
    sections = sections_of(tmp_path)
    put(tmp_path, TRADING_FILE.name, trading(10))
    before = seen(sections.newest())
    if how == "gone":
        (tmp_path / TRADING_FILE.name).unlink()
    else:
        put(tmp_path, STATUS_FILE.name, status(instrument="ETH-USDT"))
    found = sent(sections.newest(), before)
    assert found["trading"] == {"children": []}
    assert ("layout", "yaxis", "domain") in locations(found)
    assert sent(sections.newest(), seen(sections.newest())) == {}


def test_a_trading_run_that_is_torn_stays_as_it_was_and_is_said(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    put(tmp_path, TRADING_FILE.name, trading(10))
    before = seen(sections.newest())
    put(tmp_path, TRADING_FILE.name, json.dumps(trading(10))[:-9])
    found = sent(sections.newest(), before)
    assert not {"time", "trading"} & set(found)
    assert "trading_data.json cannot be used: it is not JSON" in str(found["notes"])


def test_a_stale_trading_run_is_said(tmp_path: Path) -> None:
    sections = sections_of(tmp_path)
    put(tmp_path, TRADING_FILE.name, trading(10, state="running"))
    before = seen(sections.newest())
    grow_older(tmp_path / TRADING_FILE.name, 6)
    found = sent(sections.newest(), before)
    assert "The trading run has not written" in str(found["notes"])
    assert "'stale'" in str(found["trading"])
