"""docs/metrics.md says of each metric what the metric says of itself, and its code runs."""

import re
import sys
from pathlib import Path

import pytest
from metric_runs import values
from places import PROJECT

from metrics.bar_kinds import KINDS
from metrics.registry import METRICS

PAGE = (PROJECT / "docs" / "metrics.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: section
    for section in PAGE.partition("## Examples")[2].partition("## What the names")[0].split("### ")
}


def test_there_is_a_section_for_each_metric_and_no_other() -> None:
    assert list(SECTIONS)[1:] == list(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_a_metrics_section_has_its_formula_unit_source_fields_and_example(name: str) -> None:
    kind, section = METRICS[name], SECTIONS[name]
    for row in (
        f"| formula | {kind.formula.replace('|', '&#124;')} |",
        f"| unit | {kind.unit} |",
        f"| source | {kind.source} |",
        f"| fields | {', '.join(kind.fields)} |",
        "| example | ",
    ):
        assert row in section


def test_every_kind_of_bar_is_there() -> None:
    table = PAGE.split("## Bars")[1].split("\n\n")[1]
    assert tuple(re.findall(r"^\| `(\w+):", table, re.MULTILINE)) == KINDS


def test_the_class_of_ones_own_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = PAGE.split("## One's own")[1].split("```python\n")[1].split("```")[0]
    (tmp_path / "page_metrics.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "page_metrics", raising=False)
    rows = [(0, [(99.0, 1.0)], [(101.0, 1.0)])]
    assert values("page_metrics:HalfSpread:share=0.25", rows) == [[0.5] * 4]
