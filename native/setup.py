"""Build the extensions; without a C compiler the package is installed without them."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PACKAGE = Path("src/orderflow_native")
C_SOURCES = sorted(map(str, PACKAGE.glob("[a-z]*.c")))
TEXT_SOURCES = [path for path in C_SOURCES if Path(path).name.startswith("text_")]


def with_c(name: str, sources: list[str]) -> Extension:
    """Return the extension `name` that is made of a .pyx file and of C."""
    return Extension(
        f"orderflow_native.{name}",
        [str(PACKAGE / f"{name}.pyx"), *sources],
        depends=sorted(map(str, PACKAGE.glob("*.h"))),
        include_dirs=[str(PACKAGE)],
    )


books = [
    with_c("_book", [path for path in C_SOURCES if path not in TEXT_SOURCES]),
    with_c("_text_book", TEXT_SOURCES),
]
others = [
    Extension(f"orderflow_native.{name}", [str(PACKAGE / f"{name}.pyx")])
    for name in ("_rows", "_samples", "_sums")
]
# Not next to the sources: uv would take the C made from Cython for an edited source.
extensions = cythonize([*books, *others], build_dir="build/cython")
for extension in extensions:
    extension.optional = True  # set here because cythonize drops it
setup(ext_modules=extensions)
