"""Tell by its content which kind of file is to be imported."""

from collections.abc import Callable

from formats import (
    binance,
    bybit,
    collector,
    databento,
    hftbacktest_npz,
    lobster,
    okx_archive,
    tardis,
)
from formats.rows import Kind, Sample
from formats.sources import Source, SourceError
from orderflow.errors import UsageError

RECOGNISERS: dict[str, Callable[[Sample], Kind | None]] = {
    "okx": okx_archive.recognise,
    "tardis": tardis.recognise,
    "bybit": bybit.recognise,
    "binance": binance.recognise,
    "dbn": databento.recognise,
    "hftbacktest": hftbacktest_npz.recognise,
    "lobster": lobster.recognise,
    "collector": collector.recognise,
}
"""How a file of each format is recognised, in the order in which they are asked."""
AUTO = "auto"


def check_format(name: str) -> None:
    """Raise `UsageError` for a name that is neither `auto` nor a format's."""
    if name != AUTO and name not in RECOGNISERS:
        msg = f"--format is {AUTO}, {', '.join(RECOGNISERS)}; found {name!r}"
        raise UsageError(msg, "--format", name)


def recognise(source: Source, wanted: str = AUTO) -> Kind:
    """Return the kind of a file of the format `wanted`, of any for `auto`.

    Raise `SourceError`, saying how the file begins, when it is none.
    """
    sample = sample_of(source)
    for name, recogniser in RECOGNISERS.items():
        kind = recogniser(sample) if wanted in (AUTO, name) else None
        if kind:
            return kind
    if not sample.head:
        source.read()  # whether damage is why
        if source.failure:
            raise source.failure
        msg = f"{source.path}: nothing is in it; download it again"
        raise SourceError(msg, source.path)
    found = repr(sample.line[:80]) if sample.line.isprintable() else "bytes that are no text"
    what = "a file to import" if wanted == AUTO else f"a file of {wanted}"
    msg = (
        f"{source.path} is not recognised as {what}: it begins with {found}. A header may be "
        "missing; docs/formats.md has what each format looks like"
    )
    raise SourceError(msg, source.path)


def sample_of(source: Source) -> Sample:
    """Return what a file is recognised by."""
    head = source.head()
    text = head.lstrip(b"\r\n")
    line = text.split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")
    return Sample(head, line, source.name)
