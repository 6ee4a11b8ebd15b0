"""What an archive is, by its first rows."""

from pathlib import Path

from archive_writers import gzipped, lines
from recorded_market import START

from formats.archive_look import look


def test_a_line_that_is_none_is_of_no_instrument_of_its_own(tmp_path: Path) -> None:
    header = "instrument_name,trade_id,side,price,size,created_time"
    path = gzipped(tmp_path / "x.gz", lines([header, f"X-Y,1,buy,9,1,{START}", "nothing"]))
    found = look(path)
    assert found is not None
    assert found.instruments == {"X-Y"}
    assert not found.may_have("A-B")
