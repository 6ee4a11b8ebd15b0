"""What a file is packed in, and what is wrong with that, is met as a stream, and said in a line."""

import gzip
import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard
from archive_writers import gzipped, tar_gz, zipped

from formats.sources import MAX_LINE_BYTES, Source, SourceError, bare_name

LENGTH = 700_000
TEXT = b"".join(b"line %d\n" % number for number in range(20_000))


def read(path: Path) -> tuple[bytes, str | None]:
    """Return all lines, and why there are no more."""
    with Source(path) as source:
        found = b"".join(line + b"\n" for line in source.lines())
        return found, str(source.failure) if source.failure else None


def pack(path: Path, kind: str, data: bytes = TEXT) -> Path:
    if kind == "plain":
        path.write_bytes(data)
    elif kind == "gz":
        gzipped(path, data)
    elif kind == "gz of gz":
        gzipped(path, gzip.compress(data))
    elif kind == "two gz":
        path.write_bytes(gzip.compress(data[:999]) + gzip.compress(data[999:]))
    elif kind == "zip":
        zipped(path, {"x.csv": data})
    elif kind == "tar.gz":
        tar_gz(path, {"x.data": data})
    elif kind == "zst":
        path.write_bytes(zstandard.compress(data))
    else:
        frames = (zstandard.compress(part) for part in (data[:999], data[999:]))
        path.write_bytes(b"".join(frames))
    return path


@pytest.mark.parametrize(
    "kind", ["plain", "gz", "gz of gz", "two gz", "zip", "tar.gz", "zst", "two zst"]
)
def test_lines_are_the_same_however_they_are_packed(kind: str, tmp_path: Path) -> None:
    assert read(pack(tmp_path / "x", kind)) == (TEXT, None)


def test_windows_ends_a_byte_order_mark_and_no_last_end_make_no_difference(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    assert read(gzipped(tmp_path / "x.gz", text)) == (TEXT, None)


@pytest.mark.parametrize("kind", ["gz", "gz of gz", "tar.gz", "zst"])
def test_of_a_file_cut_short_whole_lines_are_read_and_it_is_said(kind: str, tmp_path: Path) -> None:
    random = bytes(zlib.crc32(b"%d" % i) % 90 + 33 for i in range(LENGTH))
    text = b"".join(random[i : i + 50].replace(b"\n", b"") + b"\n" for i in range(0, LENGTH, 50))
    path = pack(tmp_path / "x", kind, text)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, why = read(path)
    assert 0 < len(found) < len(text)
    assert text.startswith(found)
    assert why
    assert "cut short or damaged" in why


def test_a_zip_cut_short_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", "zip")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceError, match="no whole zip"):
        read(path)


def test_a_zip_of_which_a_byte_was_changed_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.csv", TEXT)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    assert "CRC" in str(read(path)[1])


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "gz", "gz of gz"])
def test_damage_is_said_of_small_files_too(kind: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "x", kind, b"2.5,7\n" * 9 + b"1.5,8\n")
    data = bytearray(path.read_bytes())
    if kind == "zip":
        data[data.rindex(b"PK\x01\x02") + 16] ^= 1  # the sum of the file
        path.write_bytes(data)
    else:
        path.write_bytes(data[:-4])
    assert "cut short or damaged" in str(read(path)[1])


def test_a_zip_of_another_method_than_deflate_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.csv", bytes(50_000_000))
    with pytest.raises(SourceError, match="not packed by deflate"):
        read(tmp_path / "x.zip")


@pytest.mark.parametrize("write", [tar_gz, zipped])
def test_several_files_in_one_archive_are_refused(write: object, tmp_path: Path) -> None:
    path = write(tmp_path / "x", {"a.csv": TEXT, "b.csv": TEXT})  # type: ignore[operator]
    with pytest.raises(SourceError, match="an archive has one file in it"):
        read(path)


@pytest.mark.parametrize("write", [tar_gz, zipped])
@pytest.mark.parametrize("name", ["../../x.csv", "/etc/x.csv"])
def test_a_path_out_of_the_archive_is_refused(write: object, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x", {name: TEXT})  # type: ignore[operator]
    with pytest.raises(SourceError, match="a path out of the archive"):
        read(path)


def test_a_folder_in_an_archive_is_left_out_of_the_name(tmp_path: Path) -> None:
    with Source(zipped(tmp_path / "x.zip", {"folder/y.csv": TEXT})) as source:
        assert source.name == "y.csv"


def test_a_link_in_a_tar_is_no_file(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        info = tarfile.TarInfo("x.data")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(SourceError, match="no file in it"):
        read(tmp_path / "x.tar")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("folder", ["f" * 90, "f/" * 60])
def test_a_name_of_any_length_is_read(form: int, folder: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as archive:
        info = tarfile.TarInfo("folder")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        info = tarfile.TarInfo(f"{folder}/x.csv")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT))
    with Source(tmp_path / "x.tar") as source:
        assert source.name == "x.csv"
    assert read(tmp_path / "x.tar") == (TEXT, None)


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_that_announces_a_gigabyte_of_name_is_refused(kind: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(header(kind, 1 << 30) + bytes(2048))
    with pytest.raises(SourceError, match="a name or header of 1,073,741,824 bytes"):
        read(tmp_path / "x.tar")


def test_headers_upon_headers_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(header(tarfile.XGLTYPE, 0) * 3000)
    with pytest.raises(SourceError, match="the tar has no file in it"):
        read(tmp_path / "x.tar")


def test_a_zip_in_an_archive_and_what_is_not_read_are_named(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "in.zip", {"x.csv": TEXT}).read_bytes()
    for path in (gzipped(tmp_path / "a", inner), zipped(tmp_path / "b", {"in.zip": inner})):
        with pytest.raises(SourceError, match="a zip inside another archive"):
            read(path)
    (tmp_path / "x.xz").write_bytes(b"\xfd7zXZ\x00" + bytes(99))
    with pytest.raises(SourceError, match="xz is not read"):
        read(tmp_path / "x.xz")


def test_what_is_packed_over_and_over_is_refused(tmp_path: Path) -> None:
    data = TEXT
    for _ in range(9):
        data = gzip.compress(data)
    (tmp_path / "x.gz").write_bytes(data)
    with pytest.raises(SourceError, match="packed more than 4 times"):
        read(tmp_path / "x.gz")


def test_a_line_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with gzip.open(packed, "wb") as file:
        for _ in range(MAX_LINE_BYTES // 500_000 + 2):
            file.write(bytes(500_000))
    (tmp_path / "x.gz").write_bytes(packed.getvalue())
    with pytest.raises(SourceError, match="a line is longer than 8,000,000 bytes"):
        read(tmp_path / "x.gz")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be read: No such file"):
        read(tmp_path / "none.gz")


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("BTC-USDT-L2orderbook-400lv-2025-06-09.tar.gz", "BTC-USDT-L2orderbook-400lv-2025-06-09"),
        ("2025-06-09_X_ob500.data.zip", "2025-06-09_X_ob500"),
        ("x.csv", "x"),
        (".csv", ".csv"),
        ("x_34.5.csv.gz", "x_34.5"),
    ],
)
def test_the_bare_name_is_without_the_endings_of_packing(name: str, bare: str) -> None:
    assert bare_name(Path(name)) == bare


def test_a_zstd_that_needs_much_memory_is_refused(tmp_path: Path) -> None:
    settings = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    (tmp_path / "x.zst").write_bytes(packer.compress(TEXT) + packer.flush())
    with pytest.raises(SourceError, match="over 64 MB to be unpacked; unpack it first"):
        read(tmp_path / "x.zst")


@pytest.mark.parametrize("length", [600, 70_000, 700_000])
def test_of_a_gzip_that_lacks_its_sum_alone_every_byte_is_read(length: int, tmp_path: Path) -> None:
    text = (b"a" * 29 + b"\n") * (length // 30)
    path = pack(tmp_path / "x", "gz", text)
    path.write_bytes(path.read_bytes()[:-4])
    with Source(path) as source:
        source.head()
        assert b"".join(iter(source.read, b"")) == text
        assert source.failure
