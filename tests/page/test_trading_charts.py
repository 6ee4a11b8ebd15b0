from itertools import pairwise

import pytest
from page_fixtures import START_MS, WINDOW_MS, market, trading

from page import charts, layouts, trading_charts
from page.contents import Bars, Metrics, Shown, parse_bars
from page.marks import Grid, grid_of
from page.trading_charts import ALERTS, BOUGHT, EQUITY, FILLS, POSITION, REALISED, SAID, SOLD
from page.trading_contents import TradeAlert, TradeFill, TradePoint, parse_trading

GRID = grid_of(Shown(parse_bars(market(100)[0]), Metrics()), 60)
TRACES = trading_charts.trading_traces(parse_trading(trading()), GRID, 1)


def fill(time: float, side: str = "buy", **changed: object) -> TradeFill:
    """Return a fill so many minutes after the start."""
    given = {"price": 100.5, "quantity": 0.01, "maker": False, "fee": 0.5, "strategy": "a"}
    return TradeFill(START_MS + int(time * WINDOW_MS), side, **(given | changed))  # type: ignore[arg-type]


def test_a_fill_is_marked_at_its_price_over_the_candle_of_its_window() -> None:
    bought, sold, _ = trading_charts.fill_traces([fill(7), fill(7.75), fill(8, "sell")], GRID, 1)
    # The candle of minute 7 is drawn around 7, about half a minute wide.
    width = trading_charts.CANDLE_WIDTH
    minutes = [[(x - START_MS) / WINDOW_MS for x in trace["x"]] for trace in (bought, sold)]
    assert minutes[0] == pytest.approx([7 - width / 2, 7 + width / 4])
    assert minutes[1] == pytest.approx([8 - width / 2])
    assert (bought["y"], bought["yaxis"]) == ([100.5, 100.5], "y")
    assert (bought["marker"]["symbol"], sold["marker"]["symbol"]) == (
        "triangle-up", "triangle-down",
    )  # fmt: skip
    assert bought["hoverinfo"] == sold["hoverinfo"] == "skip"


def test_a_fill_stands_over_its_candle_where_cells_are_of_several_windows() -> None:
    grid = Grid(START_MS, 3 * WINDOW_MS, 40, WINDOW_MS)
    bought, _, said = trading_charts.fill_traces([fill(7.5)], grid, 1)
    assert bought["x"] == [START_MS + 7 * WINDOW_MS]
    assert said["x"] == [START_MS + 7 * WINDOW_MS]  # the middle of the windows 6, 7 and 8


def test_a_makers_mark_is_hollow_in_the_colour_of_its_side() -> None:
    fills = [fill(1, "sell", maker=True), fill(2, "sell")]
    _, sold, _ = trading_charts.fill_traces(fills, GRID, 1)
    assert sold["x"][0] > sold["x"][1]  # the legend shows the first: a taker's
    marker = sold["marker"]
    assert marker["color"] == [charts.DOWN, layouts.BACKGROUND]
    assert marker["line"]["color"] == [trading_charts.EDGE, charts.DOWN]


def test_fills_that_are_not_in_the_time_shown_are_left_out() -> None:
    fills = [fill(-0.1), fill(0), fill(99.9), fill(100)]
    bought, _, said = trading_charts.fill_traces(fills, GRID, 1)
    assert len(bought["x"]) == len([y for y in said["y"] if y]) == 2
    assert trading_charts.fill_traces(fills, Grid(), 1)[0]["x"] == []


def test_a_bar_tells_of_its_fills_by_time_and_counts_the_rest() -> None:
    fills = [fill(3 + n / 100, strategy=f"s{n}") for n in range(6)] + [fill(3.5, "sell")]
    *_, said = trading_charts.fill_traces([*reversed(fills)], GRID, 1)
    assert said["x"] == [START_MS + 3 * WINDOW_MS]
    (text,) = said["customdata"]
    assert [f"s{n}" in text for n in range(6)] == [True] * 4 + [False] * 2
    assert text.endswith("<br>and 3 more")
    assert (said["type"], said["width"], said["offset"]) == ("bar", WINDOW_MS, -WINDOW_MS / 2)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (fill(7.75), "00:07:45.000 buy 0.01 at 100.5<br>taker · fee 0.5 · a"),
        (
            fill(0.0001, "sell", maker=True, fee=-0.25, price=100.125),
            "00:00:00.006 sell 0.01 at 100.125<br>maker · rebate 0.25 · a",
        ),
        (
            fill(0, strategy="<b>&"),
            "00:00:00.000 buy 0.01 at 100.5<br>taker · fee 0.5 · &lt;b&gt;&amp;",
        ),
    ],
)  # fmt: skip
def test_a_fill_says_what_it_was_and_is_no_markup(given: TradeFill, text: str) -> None:
    assert trading_charts.describe_fill(given, 1) == text


def test_alerts_stand_at_their_bars_with_words_that_are_no_markup() -> None:
    time = START_MS + 7 * WINDOW_MS + 5_000
    alerts = [TradeAlert(time, "a", "<b>look</b>"), TradeAlert(time, "b", "long " * 60)]
    marks, said = trading_charts.alert_traces(alerts, GRID)
    assert marks["x"] == said["x"] == [START_MS + 7 * WINDOW_MS]
    (text,) = said["customdata"]
    assert text.startswith("00:07:05 a: &lt;b&gt;look&lt;/b&gt;<br>00:07:05 b: long long")
    lines = text.replace("&lt;", "<").replace("&gt;", ">").split("<br>")
    assert max(map(len, lines)) <= trading_charts.LINE_LENGTH


def test_position_and_equity_stand_at_the_bars_that_they_close() -> None:
    curve = [TradePoint(START_MS + n * WINDOW_MS, n, 10.0 * n, 5.0 * n) for n in range(3)]
    curve.append(TradePoint(START_MS + 2 * WINDOW_MS + 301, 7, 8, 9))  # the bar in progress
    position = trading_charts.position_trace(curve, GRID)
    assert position["x"] == [START_MS, START_MS + WINDOW_MS, START_MS + 2 * WINDOW_MS]
    assert position["y"] == [1, 2, 7]  # the first point is the start, before the first bar
    assert trading_charts.equity_trace(curve, GRID)["y"] == [10, 20, 8]
    assert trading_charts.realised_trace(curve, GRID)["y"] == [5, 10, 9]


def test_the_start_gives_way_to_the_close_of_its_bar() -> None:
    curve = [TradePoint(START_MS + 20, 0, 0, 0), TradePoint(START_MS + WINDOW_MS, 1, 1, 1)]
    assert trading_charts.position_trace(curve, GRID)["y"] == [1]


@pytest.mark.parametrize(("equity", "form"), [(12.345, ",.2f"), (0.00012, ",.8~f")])
def test_amounts_have_the_decimals_that_matter(equity: float, form: str) -> None:
    trace = trading_charts.equity_trace([TradePoint(START_MS + 5, 0, equity, 0)], GRID)
    assert trace["hovertemplate"] == f"%{{y:{form}}}"


def test_the_indexes_follow_those_of_the_market() -> None:
    uids = {index: trace["uid"] for index, trace in TRACES.items()}
    assert uids == {
        BOUGHT: "bought", SOLD: "sold", FILLS: "fills", ALERTS: "alerts", SAID: "said",
        POSITION: "position", EQUITY: "equity", REALISED: "realised",
    }  # fmt: skip
    first = len(charts.time_traces(Shown(Bars(), Metrics())))
    assert list(uids) == list(range(first, REALISED + 1))


def test_without_a_run_the_same_traces_are_empty() -> None:
    empty = trading_charts.trading_traces(None, GRID, 1)
    assert [t["uid"] for t in empty.values()] == [t["uid"] for t in TRACES.values()]
    assert all(trace["x"] == [] and not trace["showlegend"] for trace in empty.values())
    assert all(trace["x"] for trace in TRACES.values())


def domains(changed: trading_charts.Layout) -> dict[str, list[float]]:
    layout = layouts.time_layout({})
    found = {name: axis.get("domain") for name, axis in layout.items() if name.startswith("yaxis")}
    for path, value in changed.items():
        if path[0].startswith("yaxis"):
            found[path[0]] = value if len(path) == 2 else value.get("domain")
    return {name: domain for name, domain in found.items() if domain}


def test_the_panels_of_a_run_overlap_no_other() -> None:
    found = sorted(domains(trading_charts.PANELS).values())
    assert (found[0][0], found[-1][1]) == (0, 1)
    assert all(below[1] < above[0] for below, above in pairwise(found))
    assert {"yaxis7", "yaxis8", "yaxis9"} < domains(trading_charts.PANELS).keys()
    used = {trace["yaxis"].replace("y", "yaxis") for trace in TRACES.values()}
    assert used <= domains(trading_charts.PANELS).keys()


def test_alerts_alone_have_a_strip_between_the_panels_of_the_market() -> None:
    strip = trading_charts.panels(trading=True, executes=False)
    assert strip.keys() == trading_charts.PANELS.keys()
    found = sorted(domains(strip).values())
    assert (found[0][0], found[-1][1]) == (0, 1)
    assert all(below[1] < above[0] for below, above in pairwise(found))
    assert not strip["yaxis7",]["visible"]
    assert not strip["yaxis8",]["visible"]


def test_without_a_run_the_layout_is_as_it_was() -> None:
    assert trading_charts.panels(trading=True) is trading_charts.PANELS
    back = trading_charts.panels(trading=False)
    assert back.keys() == trading_charts.PANELS.keys()
    assert domains(back) == domains({})
    plain = layouts.time_layout({})
    assert back["annotations",] == plain["annotations"]
    assert back["xaxis", "anchor"] == plain["xaxis"]["anchor"]
    assert not back["yaxis7",]["visible"]
