"""A build of which one extension fails must not pass for a machine without a C compiler."""

import importlib.util
import shutil
import sysconfig
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "native" / "src" / "orderflow_native"


def test_where_there_is_a_compiler_every_extension_is_built() -> None:
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not (shutil.which("cc") or shutil.which("gcc")) or not headers.exists():
        pytest.skip("no C compiler, or no headers of Python: nothing is compiled here")
    package = importlib.util.find_spec("orderflow_native")
    assert package is not None
    assert package.origin is not None
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    built = {path.name for path in Path(package.origin).parent.glob(f"*{suffix}")}
    assert built == {source.stem + suffix for source in SOURCES.glob("*.pyx")}
