"""What `--metric` takes: names, parameters, times, and classes of one's own."""

import sys
from pathlib import Path

import pytest
from metric_runs import values

from metrics.registry import MAX_METRICS, METRICS, parse_metric, parse_metrics
from orderflow.errors import UsageError
from orderflow.times import parse_moment

OWN = '''
from metrics.metric import BookMetric, SampledMetric, TradeMetric
from metrics import kernels

class Half(SampledMetric):
    """Half the spread."""

    name, formula, unit, source = "half_spread", "(Pa - Pb) / 2", "price", "own"

    def __init__(self, times: float = 0.5) -> None:
        super().__init__()
        self._times = times

    def samples(self, rows):
        spreads = kernels.spreads(rows.bid, rows.ask)
        return type(spreads)("d", [self._times * spread for spread in spreads])

class Buys(TradeMetric):
    name, formula, unit, source = "buys", "n of buys", "trades", "own"

    def __init__(self) -> None:
        self.begin_bar()

    def begin_bar(self) -> None:
        self._count = 0

    def add_trades(self, trades) -> None:
        self._count += trades.side.count(1)

    def value(self):
        return [self._count]

class Nameless(Buys):
    fields = ("one", "two")

class Mute(TradeMetric):
    def add_trades(self, trades): ...
    def value(self): return [0.0]

class Twice(Half):
    fields = ("open", "high", "open", "close")

class Both(Half, TradeMetric):
    def add_trades(self, trades): ...

class NoMetric:
    pass
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_metrics.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)


def test_every_metric_says_name_formula_unit_and_source() -> None:
    for name, kind in METRICS.items():
        assert name == kind.name
        assert all((kind.formula, kind.unit, kind.source, kind.__doc__))


def test_parameters_are_read_as_their_type_and_all_are_told() -> None:
    spec = parse_metric("vpin:volume=2.5,buckets=10")
    assert spec.parameters == {"volume": 2.5, "buckets": 10}
    assert parse_metric("depth:side=bid").parameters == {"bp": 10.0, "side": "bid"}
    assert parse_metric("obi").parameters == {"levels": 0}


def test_a_time_may_be_typed_where_a_parameter_is_one() -> None:
    spec = parse_metric("vwap:anchor=2025-06-09T12:30", lambda text: parse_moment("anchor", text))
    assert spec.parameters == {"anchor": "1749472200000"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("obbi", "no metric of this name; did you mean obi"),
        ("zzz", "there are cvd, delta, depth"),
        ("obi:level=3", "'level=3' is none of its parameters, once: levels"),
        ("obi:levels=3,levels=3", "once: levels"),
        ("spread:x=1", "once: none"),
        ("obi:levels=x", "levels is a whole number; found 'x'"),
        ("vpin", "it needs a volume, as in vpin:volume="),
        ("vpin:volume=x", "volume is a number; found 'x'"),
        ("vpin:volume=0", "vpin:volume=0: the parameter volume is above 0; found 0"),
        ("vpin:volume=nan", "is above 0; found nan"),
        ("obi:levels=-1", "levels is between 0 and 100000; found -1"),
        ("obi:levels=100001", "between 0 and 100000"),
        ("ofi:levels=11", "between 1 and 10; found 11"),
        ("ofi:levels=0", "between 1 and 10; found 0"),
        ("slope:levels=0", "between 1 and 1000"),
        ("depth:bp=nan", "between 0.001 and 9999"),
        ("depth:side=left", "one of both, bid, ask; found 'left'"),
        ("vwap:anchor=noon", "one of start, day, bar, or a time as in 2025-06-09T12:30"),
        ("realised_volatility:seconds=0", "between 0.001 and 86400"),
        ("realised_volatility:seconds=0.3333333", "seconds has 3 decimals; found 0.3333333"),
        ("kyle_lambda:seconds=0.0015", "seconds has 3 decimals; found 0.0015"),
        ("kyle_lambda:intervals=1", "between 2 and 10000"),
        ("micro_price:tick=1,buckets=100,spreads=100", "at most 400 states; found 10000"),
        ("nowhere_at_all:Metric", "no module 'nowhere_at_all'; is it in this folder"),
    ],
)
def test_what_cannot_be_meant_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_metric(text)


def test_a_metric_is_asked_for_once_and_a_file_has_so_many() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_metrics(["obi", "mid", "obi"])
    many = [f"obi:levels={i}" for i in range(MAX_METRICS + 1)]
    with pytest.raises(UsageError, match="at most 32 metrics go into a file; found 33"):
        parse_metrics(many)
    assert len(parse_metrics(many[:-1])) == MAX_METRICS


@pytest.mark.usefixtures("own")
class TestOwn:
    def test_a_class_of_ones_own_is_fed_as_ours_are(self) -> None:
        rows = [(0, [(99.0, 1.0)], [(101.0, 1.0)]), (10, [], [(101.0, 0.0), (103.0, 1.0)])]
        assert values("my_metrics:Half", rows) == [[1, 2, 1, 2]]
        assert values("my_metrics:Half:times=2", rows) == [[4, 8, 4, 8]]
        deals = [(0, 9.0, 1.0, "buy"), (1, 9.0, 1.0, "sell"), (2, 9.0, 1.0, "buy")]
        assert values("my_metrics:Buys", (), deals) == [[2]]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("NoMetric", "no class 'NoMetric' derived from BookMetric or TradeMetric"),
            ("Absent", "no class 'Absent'"),
            ("Mute", "Mute does not say its name, formula, unit, source"),
            ("Nameless", "found 1 for 2 fields"),
            ("Twice", "its fields have a name each; found"),
            ("Both", "Both is made of rows or of trades; found both"),
        ],
    )
    def test_a_class_that_is_no_metric_is_refused(self, name: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            parse_metric(f"my_metrics:{name}")

    def test_a_module_that_lacks_another_says_which(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "broken_metrics.py").write_text("import not_installed_here\n")
        with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
            parse_metric("broken_metrics:Metric")
