"""Hand the bars of book samples from the processes of a replay to the one that writes them.

They lie in temporary files, so that memory does not grow with the recording.
"""

import contextlib
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from metrics.rolling_bars import Bar
from orderflow.errors import OutputError

FIELDS = 9
BARS_AT_ONCE = 1024


@contextlib.contextmanager
def spools(count: int) -> Iterator[list[str]]:
    """Give the paths of `count` files in a temporary directory, which goes with the block."""
    try:
        directory = tempfile.TemporaryDirectory(prefix="orderflow-bars-")
    except OSError as error:
        raise _unusable(Path(tempfile.gettempdir()), error) from error
    with directory as name:
        yield [str(Path(name) / str(number)) for number in range(count)]


class BarSpool:
    """Append bars of `FIELDS` numbers to a file, which is made when there are any."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._file = contextlib.ExitStack()
        self._write: Callable[[bytes], int] | None = None

    def __enter__(self) -> "BarSpool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with self._told():
            self._file.close()

    def add(self, bars: Sequence[Sequence[float]]) -> None:
        """Append bars. Raise `OutputError` when that fails."""
        if not bars:
            return
        with self._told():
            if self._write is None:
                self._write = self._file.enter_context(self._path.open("wb")).write
            self._write(b"".join(array("d", bar).tobytes() for bar in bars))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unusable(self._path, error) from error


def _unusable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: bars cannot be kept there ({error.strerror}); make room, name another directory "
        "in TMPDIR, or leave --jobs out",
        path,
    )


def read_spools(paths: Sequence[str]) -> Iterator[Bar]:
    """Yield the bars of files in their order; one that is not there has none."""
    for path in map(Path, paths):
        if not path.exists():
            continue
        with path.open("rb") as file:
            while data := file.read(8 * FIELDS * BARS_AT_ONCE):
                values = array("d", data).tolist()
                for start in range(0, len(values), FIELDS):
                    yield [int(values[start]), *values[start + 1 : start + FIELDS]]
