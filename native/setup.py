"""Build the compiled book; without a C compiler install nothing of it, and no error either."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PACKAGE = Path("src/orderflow_native")

# not beside the sources, where uv would take the C made from Cython for an edited source
(book,) = cythonize(
    Extension(
        "orderflow_native._book",
        [str(PACKAGE / "_book.pyx"), *sorted(map(str, PACKAGE.glob("[a-z]*.c")))],
        depends=sorted(map(str, PACKAGE.glob("*.h"))),
        include_dirs=[str(PACKAGE)],
    ),
    build_dir="build/cython",
)
book.optional = True  # only here: cythonize drops it
setup(ext_modules=[book])
