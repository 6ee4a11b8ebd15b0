"""Read CSV by the names of its columns, and the times that are in it."""

from collections.abc import Callable, Iterator, Sequence

from formats.rows import MOST_ID, Job
from formats.sources import HEAD_BYTES, SourceError
from orderflow.times import to_nanoseconds

Fields = list[str | None]
"""The wanted columns of a line; None for one that the file, or the line, does not have."""


def read_columns(
    job: Job, wanted: Sequence[str], rename: Callable[[str], str] = str
) -> Iterator[tuple[bytes, Fields]]:
    """Yield each line after the header, whole, and its fields in the order of `wanted`.

    A name that ends in `?` may be missing. Raise `SourceError` where another one is. A line with
    more fields than the header, or fewer, has None in all places: which is which is not known.
    """
    lines = job.source.lines()
    first = next(lines, b"")[:HEAD_BYTES]
    header = [rename(name.strip()) for name in first.decode(errors="replace").split(",")]
    missing = [name for name in wanted if not name.endswith("?") and name not in header]
    if missing:
        msg = (
            f"{job.source.path}: no column {', '.join(missing)}; found {', '.join(header)[:200]}. "
            "Is the header missing?"
        )
        raise SourceError(msg, job.source.path)
    found = {name: index for index, name in reversed(list(enumerate(header)))}
    places = [found.get(name.removesuffix("?"), -1) for name in wanted]
    yield from pick(lines, places, len(header))


def pick(
    lines: Iterator[bytes], places: Sequence[int], width: int
) -> Iterator[tuple[bytes, Fields]]:
    """Yield each line, whole, and its fields at `places`; -1 is a place that there is not.

    Of a line that has not `width` fields, all are None.
    """
    for line in lines:
        if line.count(b",") != width - 1:
            yield line, [None] * len(places)
            continue
        fields = line.decode(errors="replace").split(",")
        yield line, [fields[place] if place >= 0 else None for place in places]


def to_ms(text: str | None) -> int | None:
    """Return a time, in whichever unit, in ms since the epoch, UTC; None for what is no time.

    What is finer than a millisecond is cut off. Text is read as decimal digits, never as a float.
    """
    if text is None:
        return None
    if len(text) == 13 and text.isdecimal() and text.isascii():
        return int(text)
    nanoseconds = to_nanoseconds(text)
    return None if nanoseconds is None else nanoseconds // 1_000_000


def to_ns(text: str | None) -> int | None:
    """Return a time in ns since the epoch, UTC; None for what is no time, or after 2262."""
    found = None if text is None else to_nanoseconds(text)
    return found if found is None or found <= MOST_ID else None


def to_integer(text: str | None) -> int | None:
    """Return a plain integer, perhaps negative, of at most 18 digits; None for any other text."""
    if text is None or not text.isascii() or not text.removeprefix("-").isdecimal():
        return None
    return int(text) if len(text) < 19 else None


def is_quotable(*texts: str | None) -> bool:
    """Return whether texts can stand between quotes in JSON as they are."""
    return all(
        text is not None and text.isprintable() and '"' not in text and "\\" not in text
        for text in texts
    )
