"""Ranges of time of a store: the rows of a plain scan, whatever is stored, and while it is."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import INSTRUMENT, START, batches, content

from simulator import segments, time_range
from simulator.segments import LIVE, SEALED, StoreError, first_seqs
from simulator.storage import StoreWriter
from simulator.stored_rows import Fetch
from simulator.time_range import TimeRange, seq_at, stored_between

DAY_MS = 86_400_000
ALL = TimeRange()


def write(
    store: Path, fetches: list[list[int]], seal_bytes: int = 1 << 30, levels: int = 3
) -> None:
    """Store each list of times as a fetch of its own."""
    with StoreWriter(store, INSTRUMENT, seal_bytes=seal_bytes) as writer:
        number = writer.last_seq
        for times in fetches:
            fetch = Fetch(INSTRUMENT, "recording", START + number, START + DAY_MS)
            writer.begin(fetch, snapshot=True, shift_ms=0)
            for ts in times:
                number += 1
                writer.append(ts, content(number, levels))


def ts_of(line: bytes) -> int:
    return int(orjson.loads(line)["ts"])


def scanned(store: Path, wanted: TimeRange = ALL) -> bytes:
    """Return what a range should give, by reading every row of the store."""
    found: dict[bytes, list[bytes]] = {}
    for rows in batches(store):
        found.setdefault(rows.head.line(), []).extend(
            line + b"\n"
            for line in rows.lines
            if (wanted.start is None or wanted.start <= ts_of(line))
            and (wanted.end is None or ts_of(line) < wanted.end)
        )
    return b"".join(head + b"".join(lines) for head, lines in found.items() if lines)


def unpacked(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True).read()


def ranged(store: Path, wanted: TimeRange = ALL, *, packed: bool = False) -> bytes:
    body = b"".join(stored_between(store / INSTRUMENT, wanted, packed=packed))
    return unpacked(body) if packed else body


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write sealed segments and a live one, of fetches that overlap, many rows at one time."""
    store = tmp_path_factory.mktemp("mixed")
    write(store, [[n // 3 for n in range(2000)], [400 + n // 50 * 20 for n in range(900)]], 50_000)
    write(store, [[300] * 700 + [301 + n for n in range(500)], [5, 1000, 2000]])
    assert len(first_seqs(store / INSTRUMENT, SEALED)) > 3
    assert len(first_seqs(store / INSTRUMENT, LIVE)) == 1
    return store


times = st.none() | st.integers(-1, 2010) | st.integers(290, 420)


@settings(deadline=None)
@given(start=times, end=times, packed=st.booleans())
def test_a_range_has_the_rows_that_a_scan_finds(
    mixed: Path, start: int | None, end: int | None, packed: bool
) -> None:
    wanted = TimeRange(start, end)
    assert ranged(mixed, wanted, packed=packed) == scanned(mixed, wanted)


small = st.lists(st.lists(st.integers(0, 6), max_size=12), max_size=4)


@pytest.mark.thorough
@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fetches=small, sealed=st.booleans(), frame=st.integers(1, 5), length=st.integers(0, 300))
def test_any_small_store_gives_each_range_and_each_place(
    tmp_path: Path, fetches: list[list[int]], sealed: bool, frame: int, length: int
) -> None:
    store = tmp_path / "store"
    shutil.rmtree(store, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "FRAME_ROWS", frame)
        patch.setattr(time_range, "PACK_BYTES", 1 + length)
        patch.setattr(time_range, "SLICE_BYTES", 1 + length)
        patch.setattr(time_range, "_SEARCH_BYTES", 1 + length)
        patch.setattr(segments, "PIECE_BYTES", 1 + length)
        write(store, fetches, levels=1)
        for first_seq in first_seqs(store / INSTRUMENT, LIVE) if sealed else ():
            segments.seal(store / INSTRUMENT, first_seq)
        rows = [line for rows in batches(store) for line in rows.lines]
        for start in range(8):
            at = next((orjson.loads(row)["seq"] for row in rows if ts_of(row) >= start), None)
            assert seq_at(store, INSTRUMENT, start) == at
            for end in range(start + 1, 8):
                wanted = TimeRange(start, end)
                for packed in (False, True):
                    assert ranged(store, wanted, packed=packed) == scanned(store, wanted)


def test_only_frames_at_the_edges_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [list(range(1, 2561))])
    segments.seal(tmp_path / INSTRUMENT, 1)
    decoded: list[int] = []
    frame = segments.SealedSegment.frame

    def noted(segment: segments.SealedSegment, place: int) -> bytes:
        decoded.append(place)
        return frame(segment, place)

    monkeypatch.setattr(segments.SealedSegment, "frame", noted)
    for wanted, expected in (
        (ALL, []),
        (TimeRange(1, 2561), [9]),
        (TimeRange(300, 2000), [1, 7]),
        (TimeRange(300, 301), [1]),
        (TimeRange(257), [0]),
        (TimeRange(258), [1]),
        (TimeRange(0, 257), [0]),
        (TimeRange(9000, 9001), [9]),
        (TimeRange(None, 1), []),
    ):
        decoded.clear()
        list(stored_between(tmp_path / INSTRUMENT, wanted, packed=True))
        assert decoded == expected, wanted


def test_a_whole_sealed_segment_goes_out_as_its_file(tmp_path: Path) -> None:
    write(tmp_path, [list(range(1000))])
    segments.seal(tmp_path / INSTRUMENT, 1)
    path = segments.segment_path(tmp_path / INSTRUMENT, 1, SEALED)
    pieces = stored_between(tmp_path / INSTRUMENT, ALL, packed=True)
    assert b"".join(pieces) == path.read_bytes()


def test_frames_are_whole_lines(mixed: Path) -> None:
    body = b"".join(stored_between(mixed / INSTRUMENT, TimeRange(100, 1500), packed=True))
    while body:
        frame = zstandard.ZstdDecompressor().decompressobj()
        assert frame.decompress(body).endswith(b"\n")
        body = frame.unused_data


@pytest.mark.thorough
def test_a_row_of_megabytes_is_given_whole_and_found(tmp_path: Path) -> None:
    write(tmp_path, [[1, 2]])
    write(tmp_path, [[3], [3]], levels=60_000)
    write(tmp_path, [[4, 5]])
    for packed in (False, True):
        for wanted in (ALL, TimeRange(3, 4), TimeRange(4)):
            assert ranged(tmp_path, wanted, packed=packed) == scanned(tmp_path, wanted)
    assert seq_at(tmp_path, INSTRUMENT, 4) == 5


# -- while it is written


def halves(live: Path) -> Iterator[bytes]:
    whole = live.read_bytes()
    for size in range(len(whole) + 1):
        live.write_bytes(whole[:size])
        yield whole[:size]


def test_half_a_line_is_never_given(tmp_path: Path) -> None:
    write(tmp_path, [[1, 2]], levels=1)
    for left in halves(segments.segment_path(tmp_path / INSTRUMENT, 1, LIVE)):
        whole = left[: left.rfind(b"\n") + 1]
        expected = whole if whole.count(b"\n") > 1 else b""
        for packed in (False, True):
            assert ranged(tmp_path, packed=packed) == expected
            assert ranged(tmp_path, TimeRange(0, 9), packed=packed) == expected


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_sealed_while_it_is_read_comes_once(tmp_path: Path, *, packed: bool) -> None:
    write(tmp_path, [list(range(3000))], levels=10)
    write(tmp_path, [list(range(5000, 8000))], levels=10)
    before = scanned(tmp_path)
    pieces = stored_between(tmp_path / INSTRUMENT, ALL, packed=packed)
    body = next(pieces) + next(pieces)
    for first_seq in first_seqs(tmp_path / INSTRUMENT, LIVE):
        segments.seal(tmp_path / INSTRUMENT, first_seq)
    write(tmp_path, [[9000]])
    body += b"".join(pieces)
    assert (unpacked(body) if packed else body) == before


def test_a_segment_sealed_between_two_looks_at_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [[1, 2, 3]])
    before, opened = scanned(tmp_path), segments.LiveSegment.__init__

    def seal_first(self: segments.LiveSegment, directory: Path, first_seq: int) -> None:
        segments.seal(directory, first_seq)
        opened(self, directory, first_seq)

    monkeypatch.setattr(segments.LiveSegment, "__init__", seal_first)
    assert ranged(tmp_path) == before


# -- what can't be given


def test_a_removed_segment_is_an_error_where_its_rows_may_be_asked_for(tmp_path: Path) -> None:
    write(tmp_path, [list(range(n, n + 10)) for n in (0, 10, 20)])
    segments.segment_path(tmp_path / INSTRUMENT, 11, SEALED).unlink()
    for wanted in (ALL, TimeRange(5), TimeRange(12), TimeRange(20), TimeRange(5, 21)):
        with pytest.raises(StoreError, match="no rows after 10, and the next one there is 21: a"):
            ranged(tmp_path, wanted)
    for wanted in (TimeRange(None, 10), TimeRange(21)):
        assert ranged(tmp_path, wanted) != b""


def test_damage_is_an_error_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, [list(range(600))])
    live = segments.segment_path(tmp_path / INSTRUMENT, 1, LIVE)
    whole = live.read_bytes()
    live.write_bytes(whole.replace(b'{"seq":300,', b'{"sqe":300,'))
    with pytest.raises(StoreError, match=r"is damaged: a row was expected; found b'\{\"sqe\":300"):
        ranged(tmp_path, TimeRange(299))
    live.write_bytes(whole)
    segments.seal(tmp_path / INSTRUMENT, 1)
    sealed = segments.segment_path(tmp_path / INSTRUMENT, 1, SEALED)
    sealed.write_bytes(sealed.read_bytes()[:-5])
    for packed in (False, True):
        with pytest.raises(StoreError, match="is damaged: it ends at byte"):
            ranged(tmp_path, packed=packed)


def test_a_store_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, [[1], [2]])
    pieces = stored_between(tmp_path / INSTRUMENT, ALL, packed=False)
    next(pieces)
    shutil.rmtree(tmp_path / INSTRUMENT)
    write(tmp_path, [[1], [2]])
    with pytest.raises(StoreError, match="was replaced by another store"):
        list(pieces)
