"""An npz that is written as it comes is one that others read."""

import io
import random
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from formats.npz_file import NpzWriter, joined_sum

DESCRIPTOR = [("a", "<u8"), ("b", "<f8")]


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_the_archive_is_sound_and_its_array_has_its_length(count: int, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    records = [struct.pack("<Qd", number, number / 7) for number in range(count)]
    with NpzWriter(path, "data", DESCRIPTOR, b"a note") as writer:
        for record in records:
            writer.write(record)
        writer.close(16)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment == b"a note"
        found = archive.read("data.npy")
    form = f"{{'descr': {DESCRIPTOR}, 'fortran_order': False, 'shape': ({count},)}}"
    assert found[:10] == b"\x93NUMPY\x01\x00\xf6\x00"
    assert found[10:256].decode() == form.ljust(245) + "\n"
    assert found[256:] == b"".join(records)


def test_a_file_that_was_not_ended_is_no_archive(tmp_path: Path) -> None:
    with NpzWriter(tmp_path / "x.npz", "data", DESCRIPTOR) as writer:
        writer.write(bytes(160))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO((tmp_path / "x.npz").read_bytes()))


def test_the_sum_of_two_pieces_is_that_of_both() -> None:
    draw = random.Random(1)
    for length in (0, 1, 8, 1000, 65_537):
        first, second = draw.randbytes(300), draw.randbytes(length)
        joined = joined_sum(zlib.crc32(first), zlib.crc32(second), length)
        assert joined == zlib.crc32(first + second)
