"""Checkpoints in the cache: whole or not used, bounded, and nobody else's business."""

import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from random import Random

import pytest
from places import PROJECT
from recording_factory import START, book_rows, random_times, trade_rows, write_recording

from orderflow.events import LostRows
from recordings import checkpoints
from recordings.checkpoints import (
    Checkpoint,
    CheckpointCache,
    Checkpoints,
    CheckpointsError,
    decode,
    encode,
    pack,
)
from recordings.discovery import find_recording
from recordings.moments import Moment, Moments

KEY = "what they are of"


def some(count: int = 5) -> Checkpoints:
    lost = ((15, LostRows("late_rows", 150)), (15, LostRows("rows_skipped", None, 2)))
    made = Checkpoints(10, facts={"book_mode": "incremental"})
    for number in range(count):
        state = pack(b"state %d" % number)
        made.add(
            Checkpoint(10 * number, 100 * number, state, 1, 9, number > 1, lost), 100 * number + 99
        )
    made.end(Checkpoint(10 * count, 100 * count, pack(b"the end")))
    return made


def the_file(cache: Path) -> Path:
    (found,) = cache.rglob("checkpoints.bin")
    return found


class TestFile:
    def test_what_is_written_is_read(self) -> None:
        made = some()
        read = decode(encode(made, KEY), KEY)
        assert (read.listed, read.facts, read.distance) == (made.listed, made.facts, 10)
        assert read.is_whole
        assert read.listed[3].unpacked() == b"state 3"

    @pytest.mark.parametrize("seed", range(3))
    def test_one_that_is_cut_or_changed_anywhere_is_refused(self, seed: int) -> None:
        data, draw = encode(some(), KEY), Random(seed)
        for _ in range(200):
            at = draw.randrange(len(data))
            changed = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
            for bad in (data[:at], changed, data + b"x"):
                with pytest.raises(CheckpointsError):
                    decode(bad, KEY)

    def test_one_of_another_recording_is_refused(self) -> None:
        with pytest.raises(CheckpointsError, match="another recording"):
            decode(encode(some(), "another"), KEY)

    @pytest.mark.parametrize("state", [b"no zlib", zlib.compress(b"cut short")[:-3], b""])
    def test_a_state_that_is_none_is_refused(self, state: bytes) -> None:
        with pytest.raises(CheckpointsError):
            Checkpoint(0, 0, state).unpacked()

    def test_a_state_that_unpacks_to_too_much_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpoints, "MAX_STATE_BYTES", 1000)
        with pytest.raises(CheckpointsError, match="over 1,000 bytes"):
            Checkpoint(0, 0, pack(bytes(1001))).unpacked()


def test_too_many_checkpoints_become_half_as_many_and_none_of_their_rows_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "MAX_CHECKPOINTS", 6)
    made = Checkpoints(10)
    for number in range(7):
        lost = ((10 * number, LostRows("late_rows", number)),)
        made.add(Checkpoint(10 * number, number, b"", number * 10, number * 10 + 9, True, lost), 0)
    assert [one.number for one in made.listed] == [0, 20, 40, 60]
    assert [(one.low, one.high, len(one.lost)) for one in made.listed] == [
        (0, 19, 2),
        (20, 39, 2),
        (40, 59, 2),
        (60, 69, 1),
    ]
    assert all(one.in_order for one in made.listed)
    assert made.distance == 20


class TestCache:
    def test_what_is_stored_is_loaded_under_its_key_alone(self, tmp_path: Path) -> None:
        cache = CheckpointCache(tmp_path)
        assert cache.load(KEY) is None
        cache.store(KEY, some())
        loaded = cache.load(KEY)
        assert loaded is not None
        assert loaded.listed == some().listed
        assert cache.load("other") is None

    def test_a_damaged_file_is_replaced(self, tmp_path: Path) -> None:
        cache = CheckpointCache(tmp_path)
        cache.store(KEY, some())
        the_file(tmp_path).write_bytes(b"torn")
        assert cache.load(KEY) is None
        cache.store(KEY, some())
        assert cache.load(KEY) is not None

    def test_old_ones_make_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoints, "MAX_ENTRIES", 3)
        cache = CheckpointCache(tmp_path)
        for number in range(6):
            cache.store(str(number), some())
        assert len(list(tmp_path.rglob("checkpoints.bin"))) == 3
        assert cache.load("5") is not None

    def test_a_cache_that_cannot_be_written_costs_time_alone(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("no directory")
        cache = CheckpointCache(tmp_path / "file")
        for _ in range(3):
            cache.store(KEY, some())
            assert cache.load(KEY) is None
        assert [record.message[:27] for record in caplog.records] == ["checkpoints are not kept: t"]

    def test_what_others_have_put_there_is_not_touched(self, tmp_path: Path) -> None:
        cache = CheckpointCache(tmp_path)
        cache.store(KEY, some())
        stranger = the_file(tmp_path).parent.parent / "notes.txt"
        stranger.write_text("mine")
        cache.store("other", some())
        assert stranger.read_text() == "mine"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    times = random_times(1, 500)
    return write_recording(tmp_path / "BTC-USDT.db", book_rows(times), trade_rows(times))


def moment_of(path: Path, cache: Path) -> Moment:
    found = find_recording("BTC-USDT", path, 0, 10**14, "incremental")
    return Moments(found, 0, cache_dir=cache).at(START + 200)


@pytest.mark.parametrize("damage", [b"", b"OFCP1\n", b"x" * 5000])
def test_answers_are_right_whatever_lies_in_the_cache(
    recording: Path, tmp_path: Path, damage: bytes
) -> None:
    cache = tmp_path / "cache"
    right = moment_of(recording, cache)
    for path in cache.rglob("checkpoints.bin"):
        path.write_bytes(damage)
    assert moment_of(recording, cache) == right
    assert all(path.read_bytes()[:6] == b"OFCP1\n" for path in cache.rglob("checkpoints.bin"))
    assert all(path.stat().st_size > 100 for path in cache.rglob("checkpoints.bin"))


def test_the_second_time_no_row_before_the_checkpoint_is_read(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    right = moment_of(recording, cache)
    monkeypatch.setattr("recordings.moment_sources.BookSource.read", None)
    monkeypatch.setattr("recordings.moment_sources.TradeSource.read", None)
    assert moment_of(recording, cache) == right


STORING = """
import sys
from pathlib import Path
from random import Random
from recordings.checkpoints import Checkpoint, CheckpointCache, Checkpoints, pack
cache = CheckpointCache(Path(sys.argv[1]))
made = Checkpoints(10)
noise = Random(1).randbytes(500_000)
for number in range(20):
    made.add(Checkpoint(number, number, pack(noise), 1, 2), number)
made.end(Checkpoint(20, 20, pack(b"")))
print("storing", flush=True)
while True:
    cache.store("key", made)
"""


@pytest.mark.thorough
def test_after_a_kill_the_file_is_whole_or_not_there(tmp_path: Path) -> None:
    draw = Random(5)
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", STORING, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            wanted = draw.randrange(1, 4)
            seen: set[int] = set()
            while len(seen) < wanted:  # until so many of its files have been seen
                seen |= {p.stat().st_ino for p in tmp_path.rglob("checkpoints.bin")}
            os.kill(process.pid, signal.SIGKILL)
        cache = CheckpointCache(tmp_path)
        loaded = cache.load("key")
        assert loaded is not None
        assert len(loaded.listed) == 21
    cache.store("key", some())
    assert list(tmp_path.rglob("*.tmp")) == []


def test_several_processes_at_once_have_the_same_answer(recording: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "recordings", "book", "BTC-USDT", str(START + 200), "--json"]
    command += ["--data-dir", str(recording), "--book-mode", "incremental"]
    environment = os.environ | {"ORDERFLOW_CACHE_DIR": str(tmp_path / "cache")}
    processes = [
        subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=300)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 3
    assert len(answers) == 1
    assert list(tmp_path.rglob("*.tmp")) == []
