r"""Fuzz the compiled book under AddressSanitizer and UndefinedBehaviorSanitizer.

    uv run --with "cython>=3.1,<4" --with setuptools \
        python tests/native/fuzz_native.py --seconds 300

Builds the extension once more, in a temporary directory, and compares it with the Python class on
random hostile rows until the time is up. Any finding ends the process with the report. Needs gcc
or another compiler whose `-print-file-name=libasan.so` names its runtime.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

PROJECT = Path(__file__).resolve().parents[2]
SANITIZERS = "-fsanitize=address,undefined"
FLAGS = f"-O1 -g -fno-wrapv -fno-omit-frame-pointer -fno-sanitize-recover=all {SANITIZERS}"


def build(into: Path) -> None:
    places = ["--build-lib", str(into / "lib"), "--build-temp", str(into / "temp")]
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", *places],
        cwd=PROJECT / "native",
        env=os.environ | {"CFLAGS": FLAGS, "LDFLAGS": SANITIZERS},
        check=True,
    )
    if not list(into.glob("lib/orderflow_native/_book*")):
        sys.exit("the extension was not built; the compiler's message is above")


def run_sanitized(seconds: float, seed: int) -> int:
    compiler = os.environ.get("CC", "cc")
    runtime = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as directory:
        build(Path(directory))
        environment = os.environ | {
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaves memory behind at its end
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",  # or a read past a bytes object would go unseen
            "PYTHONPATH": os.pathsep.join(
                (f"{directory}/lib", str(PROJECT), str(PROJECT / "tests" / "support"))
            ),
        }
        command = [sys.executable, __file__, "--inside", directory]
        options = ["--seconds", str(seconds), "--seed", str(seed)]
        return subprocess.run([*command, *options], env=environment, check=False).returncode


def compare_texts(random: Random) -> None:
    """Damage a side again and again; what the compiled reader takes it must read as Python does."""
    from hostile_rows import damaged, hostile_side
    from orderflow_native import parse_plain_side

    from level_parser import parse_side
    from orderflow.errors import LevelFormatError

    side = hostile_side(random, 1000.0, 1)
    raw = side if isinstance(side, bytes) else b"[[1,2]]"
    for _ in range(10):
        read = parse_plain_side(raw)
        if read is not None:
            try:
                prices, sizes, rejected = parse_side(raw)
            except LevelFormatError as error:
                raise AssertionError(raw) from error
            assert (*read, 0) == (list(map(float, prices)), list(map(float, sizes)), rejected), raw
        raw = damaged(random, raw)[:20_000]


def fuzz(directory: str, seconds: float, seed: int) -> None:
    import orderflow_native
    from test_native import compare_sequence
    from test_native_rows import compare_trades
    from test_native_text import compare_stored_rows, compare_text_books

    assert orderflow_native.__file__.startswith(directory), orderflow_native.__file__
    end = time.monotonic() + seconds
    sequences = 0
    while time.monotonic() < end:
        sequences += 1
        try:
            compare_sequence(Random(seed + sequences))
            compare_texts(Random(seed + sequences))
            compare_trades(Random(seed + sequences))
            compare_text_books(Random(seed + sequences))
            compare_stored_rows(Random(seed + sequences))
        except BaseException:
            print(f"seed {seed + sequences}", file=sys.stderr)
            raise
    print(f"{sequences} sequences in {seconds:.0f} s, no finding; seeds from {seed + 1}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        fuzz(options.inside, options.seconds, options.seed)
    else:
        sys.exit(run_sanitized(options.seconds, options.seed))
