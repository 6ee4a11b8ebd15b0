"""A damaged recording gives the right bars, or a replay says that something is wrong with it.

`tests/support/damage.py` has the damages. What SQLite itself cannot see, such as another digit in a
price, is taken as it is: the bars then have to be those of the rows that a plain scan gives.
"""

import json
from collections import Counter
from copy import deepcopy
from pathlib import Path
from random import Random

import pytest
from brute_force import BruteBook, metric_bars, ohlc_bars
from damage import WAYS, damage
from damage_batch import FINDINGS, VERDICTS, Verdict, findings, run_batch
from damaged_runs import Outcome, compare, copy_files, is_explained, replay
from recording_factory import change, query
from small_recordings import INSTRUMENT, ROWS, Kind, write_recordings


def kind_of(seed: int, **fixed: object) -> Kind:
    drawn = Kind.draw(Random(seed)).__dict__
    return Kind(**(drawn | {"encoding": "UTF-8"} | fixed))


def write(directory: Path, seed: int = 1, **fixed: object) -> list[Path]:
    directory.mkdir(exist_ok=True)
    return write_recordings(kind_of(seed, **fixed), directory, Random(seed))


# -- damages by the hundred


@pytest.mark.thorough
def test_40_random_damages_end_in_the_right_bars_or_a_report() -> None:
    assert not findings(run_batch(1, 40))


@pytest.fixture(scope="module")
def hundreds() -> list[Verdict]:
    return run_batch(1001, 600)


@pytest.mark.slow
def test_600_random_damages_end_in_the_right_bars_or_a_report(hundreds: list[Verdict]) -> None:
    assert not findings(hundreds)


@pytest.mark.slow
def test_random_damages_are_of_every_way_and_end_in_every_way(hundreds: list[Verdict]) -> None:
    for way in {way.__name__ for way in WAYS} | {"log of"}:
        assert any(f": {way}" in verdict.damage for verdict in hundreds), way
    found = Counter(verdict.verdict for verdict in hundreds)
    assert set(found) <= set(VERDICTS)
    assert found["failed"] > len(hundreds) // 3
    assert found["right"] > len(hundreds) // 10
    assert found["unseen"] < len(hundreds) // 5


# -- what it is measured by


@pytest.mark.parametrize("seed", range(8))
def test_undamaged_recordings_give_the_bars_of_the_brute_force_model(
    tmp_path: Path, seed: int
) -> None:
    paths = write(tmp_path, seed, times="ms", files="one")
    rows, trades = [], []
    for path in copy_files(paths, tmp_path / "copies"):
        chosen = f"WHERE instrument = '{INSTRUMENT}'" if kind_of(seed).many else ""
        rows += query(path, f"SELECT timestamp, bids, asks FROM book {chosen} ORDER BY 1, id")
        sql = f"SELECT timestamp, price, size, side FROM trades {chosen} ORDER BY 1, id"
        trades += query(path, sql)
    book, samples = BruteBook(3), []
    for number, (time, *sides) in enumerate(rows):
        bids, asks = ([(float(p), float(s)) for p, s in json.loads(side)] for side in sides)
        whole = number == 0 or kind_of(seed).book == "snapshots"
        book.apply(bids, asks, snapshot=whole)
        samples.append((time, *(book.sums() or ())))
    found = replay(tmp_path).figures
    prices = [(time, price, size) for time, price, size, _ in trades]
    signed = [(time, side, size) for time, _, size, side in trades]
    assert [list(bar) for bar in found["ohlc"]] == ohlc_bars(prices, 1000)
    assert [list(bar) for bar in found["metrics"]] == metric_bars(samples, signed, 1000)
    assert (found["rows"], found["trades"]) == (ROWS, ROWS)


def outcome_of(directory: Path, **counts: int) -> Outcome:
    found = replay(directory)
    return Outcome(found.figures, found.counts | counts, found.failure)


@pytest.fixture
def right(tmp_path: Path) -> Outcome:
    plain = Kind.draw(Random(1)).__dict__ | {"files": "one", "many": False, "key": "rowid"}
    kind = Kind(**(plain | {"journal": "rollback", "index": "timestamp", "page_size": 4096}))
    (tmp_path / "whole").mkdir()
    write_recordings(kind, tmp_path / "whole", Random(1))
    return outcome_of(tmp_path / "whole")


def with_lost_row(right: Outcome, **counts: int) -> Outcome:
    figures = deepcopy(right.figures)
    figures["rows"] -= 1
    figures["metrics"] = figures["metrics"][:-1]
    return Outcome(figures, counts)


def test_a_loss_without_a_word_is_silent_where_sqlite_sees_the_damage(
    tmp_path: Path, right: Outcome
) -> None:
    (path,) = (tmp_path / "whole").glob("*.db")
    content = bytearray(path.read_bytes())
    content[4096:4104] = b"\xff" * 8  # the root of book
    path.write_bytes(content)
    verdict, why = compare(right, with_lost_row(right), [path])
    assert verdict == "silent"
    assert "rows 240 -> 239, metrics differ; counted: nothing. SQLite: " in why


def test_a_loss_without_a_word_is_unlike_a_plain_scan_where_there_is_no_damage(
    tmp_path: Path, right: Outcome
) -> None:
    assert compare(right, with_lost_row(right), [*(tmp_path / "whole").glob("*.db")])[0] == "unlike"


def test_what_sqlite_takes_for_a_whole_recording_is_unseen(tmp_path: Path, right: Outcome) -> None:
    (path,) = (tmp_path / "whole").glob("*.db")
    change(path, "DELETE FROM book WHERE id = (SELECT max(id) FROM book)")
    assert compare(right, outcome_of(tmp_path / "whole"), [path])[0] == "unseen"


def test_a_failure_and_equal_bars_are_no_findings(right: Outcome) -> None:
    assert compare(right, Outcome(failure="cannot be read"), []) == ("failed", "cannot be read")
    assert compare(right, deepcopy(right), []) == ("right", "")
    assert FINDINGS.isdisjoint({"failed", "right", "counted", "unseen"})


@pytest.mark.parametrize(
    ("counts", "explained"),
    [
        ({}, False),
        ({"rows_skipped": 1}, True),
        ({"late_rows": 2}, True),
        ({"sequence_gaps": 1}, True),
        ({"trades_skipped": 1}, False),
        ({"crossed_books": 9}, False),
    ],
)
def test_only_counts_of_what_was_lost_explain_it(
    right: Outcome, counts: dict[str, int], explained: bool
) -> None:
    assert is_explained(right, with_lost_row(right, **counts)) is explained


def test_fewer_counted_than_lost_explain_nothing(right: Outcome) -> None:
    found = with_lost_row(right, rows_skipped=1)
    found.figures["rows"] -= 1
    assert not is_explained(right, found)


@pytest.mark.parametrize(("kind", "explained"), [("levels_rejected", True), ("late_rows", False)])
def test_other_values_in_as_many_rows_are_explained_by_what_is_unusable_in_them(
    right: Outcome, kind: str, explained: bool
) -> None:
    found = Outcome(right.figures | {"metrics": []})
    assert not is_explained(right, found)
    found.counts[kind] = 1
    assert is_explained(right, found) is explained


def test_a_seed_that_kills_the_process_is_named_and_the_next_are_judged() -> None:
    code = """
import json, os, sys
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])):
    for verdict in ("begun", "right"):
        line = dict(seed=seed, verdict=verdict, damage="a page swapped", kind="small", detail="")
        print(json.dumps(line), flush=True)
        if seed in (3, 5):
            print("in row_at", file=sys.stderr, flush=True)
            os.abort()
"""
    verdicts = run_batch(1, 5, ("-c", code))
    assert [(each.seed, each.verdict) for each in verdicts] == [
        (1, "right"),
        (2, "right"),
        (3, "died"),
        (4, "right"),
        (5, "died"),
    ]
    assert "seed 3: died: a page swapped [small] exit code -6: in row_at" in findings(verdicts)


def test_a_judge_that_fails_before_a_damage_is_an_error_and_no_verdict() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        run_batch(1, 5, ("-c", "raise SystemExit('no such thing')"))


def test_findings_are_listed_with_what_makes_them_again() -> None:
    silent = Verdict(7, "silent", "page 3 swapped", "512 B pages", "rows 9 -> 8")
    said = "seed 7: silent: page 3 swapped [512 B pages] rows 9 -> 8"
    assert findings([Verdict(6, "right", "", ""), silent]) == said


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_gives_the_same_recording_and_damage_again(tmp_path: Path, seed: int) -> None:
    made = []
    for directory in (tmp_path / "first", tmp_path / "again"):
        paths = write(directory, seed, journal="rollback")
        said = damage(paths, kind_of(seed, journal="rollback"), Random(seed))
        made.append((said, [path.read_bytes() for path in paths]))
    assert made[0] == made[1]
