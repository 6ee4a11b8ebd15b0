"""Build the extensions; without a C compiler the package is installed without them."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PACKAGE = Path("src/orderflow_native")
C_SOURCES = {
    "_book": ("book_side", "heat_columns", "level_table", "level_text"),
    "_exports": (),
    "_level_book": ("level_table", "level_text"),
    "_metrics": (),
    "_okx_archive": (),
    "_rows": (),
    "_samples": (),
    "_stored_rows": ("stored_row",),
    "_sums": (),
    "_text_book": ("text_changes", "text_form", "text_row", "text_side"),
    "_trades": (),
}
"""What an extension is made of beside its .pyx file."""


def extension(name: str, sources: tuple[str, ...]) -> Extension:
    """Return the extension `name`."""
    return Extension(
        f"orderflow_native.{name}",
        [str(PACKAGE / f"{name}.pyx"), *(str(PACKAGE / f"{source}.c") for source in sources)],
        depends=sorted(map(str, [*PACKAGE.glob("*.h"), *PACKAGE.glob("*.pxi")])) if sources else [],
        include_dirs=[str(PACKAGE)],
    )


# Not next to the sources: uv would take the C made from Cython for an edited source.
extensions = cythonize(
    [extension(name, sources) for name, sources in C_SOURCES.items()], build_dir="build/cython"
)
for made in extensions:
    # Products are rounded before they are added, everywhere: some compilers would fuse the two.
    # Whoever installs this waits for the compiler, and has no use for what a debugger reads.
    made.extra_compile_args = ["-ffp-contract=off", "-g0"]
    made.optional = True  # set here because cythonize drops it
setup(ext_modules=extensions, options={"build_ext": {"parallel": os.cpu_count() or 1}})
