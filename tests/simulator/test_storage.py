"""The store, in real files and with real processes: nothing lost, doubled or torn."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import orjson
import pytest
import zstandard
from places import PROJECT
from stores import FETCH, INSTRUMENT, START, batches, content, lines, numbered

from orderflow.events import LostRows
from simulator import segments
from simulator.segments import FRAME_ROWS, Index, StoreError
from simulator.storage import StoreInUseError, StoreWriter
from simulator.store_reader import StoreReader
from simulator.stored_rows import (
    END_CONTENT,
    Fetch,
    StoredBook,
    StoredEnd,
    StoredTrade,
    book_content,
    lost_marks,
    parse_row,
    row_line,
    trade_content,
)


def fill(store: Path, first: int, last: int, **options: float) -> None:
    """Store rows `first` to `last`, one a millisecond."""
    with StoreWriter(store, INSTRUMENT, **options) as writer:  # type: ignore[arg-type]
        assert writer.last_seq == first - 1
        writer.begin(FETCH, snapshot=True, shift_ms=0)
        for number in range(first, last + 1):
            writer.append(START + number, content(number))


def expected(first: int, last: int) -> list[bytes]:
    return [row_line(n, START + n, content(n))[:-1] for n in range(first, last + 1)]


def files(store: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in (store / INSTRUMENT).glob(pattern))


@contextmanager
def running(*command: object) -> Iterator[IO[str]]:
    """Run a program, and kill it at the end whatever happens; give what it prints."""
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[list[str]]:
    """Write a program that stores rows from where the store ends, for ever."""
    path = tmp_path / "writer.py"
    path.write_text(
        textwrap.dedent("""
        import os
        import sys
        import time
        from pathlib import Path
        from simulator.storage import StoreWriter
        from stores import FETCH, INSTRUMENT, START, content

        store, seal_bytes, levels = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
        said = []

        def on_full(error):
            if not said:
                print("full", error.strerror, flush=True)
            said.append(1)
            time.sleep(0.02)

        with StoreWriter(store, INSTRUMENT, seal_bytes=seal_bytes, on_full=on_full) as writer:
            writer.begin(FETCH, snapshot=True, shift_ms=0)
            print("writing", os.getpid(), flush=True)
            while True:
                number = writer.last_seq + 1
                writer.append(START + number, content(number, levels))
        """)
    )
    os.environ["PYTHONPATH"] = f"{PROJECT}{os.pathsep}{PROJECT / 'tests' / 'support'}"
    yield [sys.executable, str(path)]
    del os.environ["PYTHONPATH"]


# -- rows


def test_a_row_comes_out_as_what_went_in() -> None:
    lost = lost_marks([LostRows("late_rows", 90, 2), LostRows("rows_skipped", None)], 100)
    book = book_content(
        b'[["1.50","2"]]', b"[]", snapshot=True, reliable=False, ids=(7, None), lost=lost
    )
    assert parse_row(row_line(3, 100, book)) == StoredBook(
        3, 100, True, False, 7, None,
        (("late_rows", 2, 10), ("rows_skipped", 1, None)), b'[["1.50","2"]]', b"[]",
    )  # fmt: skip
    trade = trade_content((1, 'a"b', 1e-7, 100.0, None, 5))
    assert parse_row(row_line(4, 5, trade)[:-1]) == StoredTrade(
        4, 5, 'a"b', "0.0000001", "100", None
    )
    assert parse_row(row_line(5, 6, END_CONTENT)) == StoredEnd(5, 6)
    for line in (row_line(3, 100, book), row_line(4, 5, trade), row_line(5, 6, END_CONTENT)):
        assert orjson.loads(line)["seq"] in (3, 4, 5)


# -- writing and reading


def test_rows_are_read_as_they_were_stored_from_wherever_one_begins(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2000, seal_bytes=60_000)
    assert len(files(tmp_path, "*.zst")) > 1
    assert len(files(tmp_path, "*.jsonl")) == 1
    for first in (1, 2, 256, 257, 600, 1999, 2000):
        assert lines(tmp_path, from_seq=first) == expected(first, 2000)
    assert lines(tmp_path) == expected(1, 2000)
    assert lines(tmp_path, from_seq=2001) == []
    assert {rows.head.fetch for rows in batches(tmp_path)} == {FETCH}


def test_a_reader_may_begin_before_the_store_does_and_gets_each_row_once(tmp_path: Path) -> None:
    reader = StoreReader(tmp_path / "store", INSTRUMENT)
    assert reader.read() is None
    got: list[bytes] = []
    with StoreWriter(tmp_path / "store", INSTRUMENT, seal_bytes=5000) as writer:
        assert reader.read() is None
        writer.begin(FETCH, snapshot=True, shift_ms=0)
        for number in range(1, 1001):
            writer.append(START + number, content(number))
            if number % 7 == 0:
                while rows := reader.read():
                    assert rows.first_seq == len(got) + 1
                    got += rows.lines
    while rows := reader.read():
        got += rows.lines
    reader.close()
    assert got == expected(1, 1000)


def test_a_row_of_megabytes_is_read_whole(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, INSTRUMENT) as writer:
        writer.begin(FETCH, snapshot=True, shift_ms=0)
        for number in (1, 2, 3):
            writer.append(START, content(number, 300_000 if number == 2 else 1))
    found = lines(tmp_path)
    assert len(found[1]) > 3 << 20
    assert found == [
        row_line(n, START, content(n, 300_000 if n == 2 else 1))[:-1] for n in (1, 2, 3)
    ]


def test_half_a_line_is_never_read(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2)
    path = next((tmp_path / INSTRUMENT).glob("*.jsonl"))
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert lines(tmp_path) == whole[head:size].split(b"\n")[:-1], size


# -- a crash


@pytest.mark.thorough
def test_a_torn_end_is_cut_wherever_it_was_torn(tmp_path: Path) -> None:
    fill(tmp_path / "whole", 1, 3)
    name = files(tmp_path / "whole", "*.jsonl")[0]
    whole = (tmp_path / "whole" / INSTRUMENT / name).read_bytes()
    starts = [0] + [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole)):
        store = tmp_path / "torn"
        shutil.rmtree(store, ignore_errors=True)
        (store / INSTRUMENT).mkdir(parents=True)
        (store / INSTRUMENT / name).write_bytes(whole[:size])
        left = max(0, sum(start <= size for start in starts) - 2)
        with StoreWriter(store, INSTRUMENT) as writer:
            assert writer.last_seq == left, size
            assert writer.torn_bytes == size - max(start for start in starts if start <= size)
            assert writer.last_line == (expected(left, left)[0] + b"\n" if left else b"")
        fill(store, left + 1, 3)
        assert lines(store) == expected(1, 3), size


@pytest.mark.parametrize("begun", [0, 20])
def test_killed_at_the_beginning_of_a_segment_it_goes_on_in_the_one_before(
    tmp_path: Path, begun: int
) -> None:
    fill(tmp_path, 1, 3)
    name = files(tmp_path, "*.jsonl")[0]
    head = (tmp_path / INSTRUMENT / name).read_bytes()[:begun]
    (tmp_path / INSTRUMENT / name.replace("1.", "4.")).write_bytes(head)
    with StoreWriter(tmp_path, INSTRUMENT) as writer:
        assert writer.last_seq == 3
        assert writer.torn_bytes == begun
        assert writer.last_line == expected(3, 3)[0] + b"\n"
    fill(tmp_path, 4, 6)
    assert lines(tmp_path) == expected(1, 6)


@pytest.mark.parametrize("left", ["live", "both", "temporary"])
def test_a_sealing_that_was_killed_is_done_again(tmp_path: Path, left: str) -> None:
    fill(tmp_path, 1, 1000, seal_bytes=20_000)
    first = files(tmp_path, "*.zst")[0].partition(".")[0]
    sealed, index, live = (
        tmp_path / INSTRUMENT / f"{first}{s}" for s in (".jsonl.zst", ".index.json", ".jsonl")
    )
    packed = sealed.read_bytes()
    live.write_bytes(
        zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read()
    )
    if left != "both":
        sealed.unlink()
    if left == "temporary":
        index.unlink()
        sealed.with_name(f".{sealed.name}.tmp").write_bytes(b"half")
    assert lines(tmp_path) == expected(1, 1000)
    fill(tmp_path, 1001, 1001)
    assert not live.exists()
    assert sealed.exists()
    assert index.exists()
    assert files(tmp_path, ".*.tmp") == []
    assert lines(tmp_path) == expected(1, 1001)


def test_writing_goes_on_after_a_segment_that_was_sealed_last(tmp_path: Path) -> None:
    fill(tmp_path, 1, 300)
    segments.seal(tmp_path / INSTRUMENT, 1)
    assert lines(tmp_path) == expected(1, 300)
    fill(tmp_path, 301, 310)
    assert lines(tmp_path) == expected(1, 310)


@pytest.mark.thorough
def test_killed_writers_lose_double_and_tear_nothing(tmp_path: Path, program: list[str]) -> None:
    for _ in range(4):
        with running(*program, tmp_path / "store", 30_000, 3) as output:
            output.readline()
            time.sleep(0.15)
    found = lines(tmp_path / "store")
    assert len(found) > 1000
    assert found == expected(1, len(found))


# -- sealing


def test_an_index_says_where_each_frame_of_256_rows_begins(tmp_path: Path) -> None:
    fill(tmp_path, 1, 1000)
    segments.seal(tmp_path / INSTRUMENT, 1)
    packed = (tmp_path / INSTRUMENT / files(tmp_path, "*.zst")[0]).read_bytes()
    index = Index.read(tmp_path / INSTRUMENT, 1)
    assert [frame[0] for frame in index.frames] == list(range(1, 1001, FRAME_ROWS))
    ends = [offset for _, _, offset in index.frames[1:]] + [index.size]
    for (seq, ts, offset), end in zip(index.frames, ends, strict=True):
        rows = zstandard.ZstdDecompressor().decompress(packed[offset:end]).split(b"\n")
        assert (parse_row(rows[0]).seq, parse_row(rows[0]).ts) == (seq, ts)
    assert index.size == len(packed)
    assert len(packed) < sum(map(len, expected(1, 1000))) / 3


def test_a_segment_is_sealed_when_its_time_is_over(tmp_path: Path) -> None:
    fill(tmp_path, 1, 3, seal_seconds=0)
    assert len(files(tmp_path, "*.zst")) == 2
    assert lines(tmp_path) == expected(1, 3)


def test_segments_joined_are_one_stream(tmp_path: Path) -> None:
    fill(tmp_path, 1, 1000, seal_bytes=20_000)
    joined = b"".join(
        (tmp_path / INSTRUMENT / name).read_bytes() for name in files(tmp_path, "*.zst")
    )
    text = zstandard.ZstdDecompressor().stream_reader(joined, read_across_frames=True).read()
    rows = [line for line in text.splitlines() if b'"kind":"head"' not in line]
    assert rows == expected(1, len(rows))
    assert len(rows) > 800


# -- what belongs to what


def test_another_fetch_has_a_segment_of_its_own_and_the_same_one_goes_on(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2)
    fill(tmp_path, 3, 4)
    later = replace(FETCH, start_ms=FETCH.end_ms, end_ms=FETCH.end_ms + 1000)
    for shift in (0, 5, 5):
        with StoreWriter(tmp_path, INSTRUMENT) as writer:
            writer.begin(later, snapshot=False, shift_ms=shift)
            writer.append(FETCH.end_ms + shift, END_CONTENT)
    found = [
        (rows.head.fetch, rows.head.fetch_seq, rows.head.shift_ms, rows.first_seq, len(rows.lines))
        for rows in batches(tmp_path)
    ]
    assert found == [(FETCH, 1, 0, 1, 4), (later, 5, 0, 5, 1), (later, 5, 5, 6, 2)]


def test_a_segment_without_rows_makes_place_for_another_fetch(tmp_path: Path) -> None:
    fill(tmp_path, 1, 1)
    path = tmp_path / INSTRUMENT / files(tmp_path, "*.jsonl")[0]
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n")
    reader = StoreReader(tmp_path, INSTRUMENT)
    assert reader.read() is None
    other = replace(FETCH, source="demo")
    with StoreWriter(tmp_path, INSTRUMENT) as writer:
        assert (writer.last_seq, writer.last_line) == (0, b"")
        writer.begin(other, snapshot=False, shift_ms=0)
        writer.append(START, content(1))
    rows = reader.read()
    assert rows
    assert rows.head.fetch == other
    reader.close()


def test_a_second_writer_of_an_instrument_is_refused_and_one_of_another_is_not(
    tmp_path: Path, program: list[str]
) -> None:
    store = tmp_path / "store"
    with running(*program, store, 100_000, 3) as output:
        pid = int(output.readline().split()[1])
        with pytest.raises(StoreInUseError, match=f"another fetcher, pid {pid}; wait"):
            StoreWriter(store, INSTRUMENT)
        with StoreWriter(store, "ETH-USDT") as writer:
            writer.begin(Fetch("ETH-USDT", "recording", 0, 1), snapshot=True, shift_ms=0)
            writer.append(1, content(1))
    assert len(lines(store, "ETH-USDT")) == 1
    StoreWriter(store, INSTRUMENT).close()


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", "size=512k", "none", str(disk)]
    if not (mount and umount) or subprocess.run(command, check=False).returncode:
        pytest.skip("a small disk can only be mounted as root")
    yield disk
    subprocess.run([str(umount), str(disk)], check=True)


@pytest.mark.parametrize("seal_bytes", [1 << 30, 30_000])
def test_a_full_disk_is_waited_out_and_nothing_is_torn_or_doubled(
    small_disk: Path, program: list[str], seal_bytes: int
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    with running(*program, small_disk, seal_bytes, 3) as output:
        assert output.readline().startswith("writing")
        assert output.readline() == "full No space left on device\n"
        before = lines(small_disk)
        assert before == expected(1, len(before))
        ballast.unlink()
        until = time.monotonic() + 20
        while len(lines(small_disk)) <= len(before):
            assert time.monotonic() < until
    found = lines(small_disk)
    assert found == expected(1, len(found))


def test_a_file_that_may_not_grow_is_an_error_and_keeps_whole_rows(
    tmp_path: Path, program: list[str]
) -> None:
    limited = f"ulimit -f 64; exec {program[0]} {program[1]} {tmp_path / 'store'} 1000000000 50"
    done = subprocess.run(
        ["bash", "-c", limited],  # noqa: S607 (the system's own)
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "BTC-USDT can't be written: File too large" in done.stderr
    found = lines(tmp_path / "store")
    assert len(found) > 50
    assert all(numbered(found))
    assert all(orjson.loads(line) for line in found)
    with StoreWriter(tmp_path / "store", INSTRUMENT) as writer:
        assert writer.torn_bytes == 0
        assert writer.last_seq == len(found)


# -- reading while it is written


def test_a_reader_of_another_process_sees_each_row_once_and_never_half_of_one(
    tmp_path: Path, program: list[str]
) -> None:
    reader, got = StoreReader(tmp_path / "store", INSTRUMENT), 0
    with running(*program, tmp_path / "store", 800_000, 1000) as output:
        output.readline()
        while got < 400:
            rows = reader.read()
            for number, line in enumerate(rows.lines if rows else (), got + 1):
                assert line == row_line(number, START + number, content(number, 1000))[:-1]
                got = number
    reader.close()
    assert len(files(tmp_path / "store", "*.zst")) >= 2


def test_a_row_that_turns_time_back_begins_a_segment_also_after_a_restart(tmp_path: Path) -> None:
    times = [5, 9, 9, 3, 4, 2, 8]
    for part in (times[:3], times[3:]):
        with StoreWriter(tmp_path, INSTRUMENT) as writer:
            writer.begin(FETCH, snapshot=True, shift_ms=0)
            for ts in part:
                writer.append(ts, content(ts))
    assert segments.first_seqs(tmp_path / INSTRUMENT, segments.LIVE, segments.SEALED) == [1, 4, 6]
    assert [parse_row(line).ts for line in lines(tmp_path)] == times


# -- what can't be read


def test_a_store_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path, 1, 3)
    reader = StoreReader(tmp_path, INSTRUMENT)
    assert reader.read()
    shutil.rmtree(tmp_path / INSTRUMENT)
    assert reader.read() is None
    fill(tmp_path, 1, 9)
    with pytest.raises(StoreError, match="was replaced by another store"):
        reader.read()
    reader.close()


def test_a_removed_segment_is_no_silent_gap(tmp_path: Path) -> None:
    fill(tmp_path, 1, 1000, seal_bytes=20_000)
    names = files(tmp_path, "*.zst")
    (tmp_path / INSTRUMENT / names[1]).unlink()
    missing, found = (int(name.partition(".")[0]) for name in names[1:3])
    with pytest.raises(StoreError, match=f"no row {missing}, and the next one there is {found}"):
        lines(tmp_path)
    (tmp_path / INSTRUMENT / names[0]).unlink()
    assert lines(tmp_path) == expected(found, 1000)
    with pytest.raises(StoreError, match="no row 1, and the next one there is"):
        lines(tmp_path, from_seq=1)


def test_damage_is_said_with_its_place(tmp_path: Path) -> None:
    fill(tmp_path, 1, 1000, seal_bytes=20_000)
    sealed = tmp_path / INSTRUMENT / files(tmp_path, "*.zst")[0]
    packed = bytearray(sealed.read_bytes())
    offset = Index.read(tmp_path / INSTRUMENT, 1).frames[0][2]
    packed[offset + 8] ^= 0xFF
    packed[offset] ^= 0xFF
    sealed.write_bytes(packed)
    with pytest.raises(StoreError, match=rf"is damaged at byte {offset}: .*fetch again"):
        lines(tmp_path)
    live = tmp_path / INSTRUMENT / files(tmp_path, "*.jsonl")[0]
    whole = live.read_bytes()
    live.write_bytes(whole + whole.splitlines(keepends=True)[-1])
    with pytest.raises(StoreError, match="its last row should be number 1001"):
        StoreWriter(tmp_path, INSTRUMENT)


def test_a_sealed_segment_without_its_index_is_damage(tmp_path: Path) -> None:
    fill(tmp_path, 1, 10)
    segments.seal(tmp_path / INSTRUMENT, 1)
    (tmp_path / INSTRUMENT / files(tmp_path, "*.json")[0]).unlink()
    with pytest.raises(StoreError, match="has no index; delete it and fetch again"):
        lines(tmp_path)


def test_a_wrong_byte_in_a_frame_never_makes_wrong_rows(tmp_path: Path) -> None:
    fill(tmp_path, 1, 10)
    segments.seal(tmp_path / INSTRUMENT, 1)
    sealed = tmp_path / INSTRUMENT / files(tmp_path, "*.zst")[0]
    whole, passed = sealed.read_bytes(), 0
    for place in range(Index.read(tmp_path / INSTRUMENT, 1).frames[0][2], len(whole)):
        sealed.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert lines(tmp_path) == expected(1, 10)
            passed += 1  # some bits of the frame's header mean nothing
        except StoreError as error:
            assert "is damaged at byte" in str(error)  # noqa: PT017
    assert passed < 3


def test_a_segment_of_another_version_or_instrument_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 1, 3)
    shutil.copytree(tmp_path / INSTRUMENT, tmp_path / "ETH-USDT")
    with pytest.raises(StoreError, match="has rows of BTC-USDT from 1 on; give it back its name"):
        StoreWriter(tmp_path, "ETH-USDT")
    live = tmp_path / INSTRUMENT / files(tmp_path, "*.jsonl")[0]
    live.write_bytes(live.read_bytes().replace(b'"schema":1', b'"schema":2', 1))
    for use in (lines, lambda store: StoreWriter(store, INSTRUMENT)):
        with pytest.raises(StoreError, match="is no segment that this version reads: "):
            use(tmp_path)


def test_a_store_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be written: Not a directory; make it writable"):
        StoreWriter(tmp_path / "file", INSTRUMENT)
