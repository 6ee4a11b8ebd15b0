"""Build the extensions; without a C compiler the package is installed without them."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PACKAGE = Path("src/orderflow_native")

book = Extension(
    "orderflow_native._book",
    [str(PACKAGE / "_book.pyx"), *sorted(map(str, PACKAGE.glob("[a-z]*.c")))],
    depends=sorted(map(str, [*PACKAGE.glob("*.h"), *PACKAGE.glob("*.pxi")])),
    include_dirs=[str(PACKAGE)],
)
others = [
    Extension(f"orderflow_native.{name}", [str(PACKAGE / f"{name}.pyx")])
    for name in ("_rows", "_samples", "_sums", "_trades")
]
# Not next to the sources: uv would take the C made from Cython for an edited source.
extensions = cythonize([book, *others], build_dir="build/cython")
for extension in extensions:
    # Products are rounded before they are added, everywhere: some compilers would fuse the two.
    extension.extra_compile_args = ["-ffp-contract=off"]
    extension.optional = True  # set here because cythonize drops it
setup(ext_modules=extensions)
