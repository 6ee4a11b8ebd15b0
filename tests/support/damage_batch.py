"""Judge many damaged recordings, seed by seed, in processes that may die of one.

    uv run python tests/support/damage_batch.py FIRST_SEED COUNT

A seed gives one recording and one damage (see `damage.py`); its verdict is one of `VERDICTS`.
Prints how often each came, and every finding with its seed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
JUDGE = ("-m", "damaged_runs")
HANG_SECONDS = 20
VERDICTS = {
    "right": "the bars are those of the undamaged recording",
    "failed": "the run, or the search for its files, failed and said why",
    "counted": "other bars, and data issues that stand for what was lost",
    "unseen": "SQLite finds nothing wrong either, and a plain scan gives the same bars",
    "silent": "other bars and no word, though SQLite finds damage",
    "unlike": "other bars than a plain scan gives, where SQLite finds nothing wrong",
    "bug": "an error that is none of the program's own",
    "died": f"the process crashed, or was not done after {HANG_SECONDS} s",
}
FINDINGS = frozenset({"silent", "unlike", "bug", "died"})


@dataclass
class Verdict:
    """What became of one seed."""

    seed: int
    verdict: str
    damage: str
    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.verdict}: {self.damage} [{self.kind}] {self.detail}"


def run_batch(first: int, count: int, judge: Sequence[str] = JUDGE) -> list[Verdict]:
    """Judge `count` seeds; one that kills its process is `died`, and the next ones go on."""
    verdicts: list[Verdict] = []
    end = first + count
    while first < end:
        begun, error = _run(first, end - first, judge, verdicts)
        if begun is not None:
            verdicts.append(Verdict(begun.seed, "died", begun.damage, begun.kind, error))
        elif len(verdicts) == 0 or verdicts[-1].seed < end - 1:
            msg = f"no verdict after {verdicts[-1:]}: {error}"
            raise RuntimeError(msg)
        first = verdicts[-1].seed + 1
    return verdicts


def _run(
    first: int, count: int, judge: Sequence[str], verdicts: list[Verdict]
) -> tuple[Verdict | None, str]:
    """Append the verdicts of one process; return the seed it died of, if any, and its stderr."""
    memory = "/dev/shm"  # noqa: S108 (where there is one: hundreds of files are written)
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as place:
        done = subprocess.run(
            [sys.executable, *judge, place, str(first), str(count)],
            env=os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{Path(__file__).parent}"},
            capture_output=True,
            text=True,
            check=False,
        )
    begun = None
    for line in done.stdout.splitlines():
        verdict = Verdict(**json.loads(line))
        if verdict.verdict == "begun":
            begun = verdict
        else:
            verdicts.append(verdict)
            begun = None
    return begun, f"exit code {done.returncode}: {done.stderr[-2000:]}"


def findings(verdicts: Sequence[Verdict]) -> str:
    """List the findings, one a line; empty when there is none."""
    return "\n".join(str(verdict) for verdict in verdicts if verdict.verdict in FINDINGS)


if __name__ == "__main__":
    judged = run_batch(int(sys.argv[1]), int(sys.argv[2]))
    print(findings(judged))  # noqa: T201
    print(dict(Counter(verdict.verdict for verdict in judged)))  # noqa: T201
