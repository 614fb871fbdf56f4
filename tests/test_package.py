"""What is installed is all of it: pip takes the packages that pyproject.toml names, and no others."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mpifl.io.files import PACKAGE
from mpifl.kernels.compile import CACHE_DIRECTORY

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = {
    "mpifl.jobs": ROOT / "jobs",
    "mpifl.traces.recipes": ROOT / "traces",
}  # they stand at the top of a checkout


def test_every_package_is_named() -> None:
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "mpifl").rglob("__init__.py")}
    packages = {".".join(folder.parts) for folder in folders} | set(SHIPPED)
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages


def test_every_file_that_is_no_code_is_in_the_package_data() -> None:
    named = PROJECT["tool"]["setuptools"]["package-data"]
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        folder = SHIPPED.get(package, ROOT / Path(*package.split(".")))
        others = {
            path
            for path in folder.iterdir()
            if path.is_file() and path.suffix not in (".py", ".pyc")
        }
        assert others <= {
            path for pattern in named.get(package, []) for path in folder.glob(pattern)
        }, package


def test_nothing_is_written_into_the_package() -> None:
    # pip leaves it there, and an editable install after a usual one is then hidden by the folder that stays.
    assert not Path(CACHE_DIRECTORY).is_relative_to(PACKAGE)


@pytest.mark.parametrize("library", PROJECT["project"]["dependencies"])
def test_every_library_has_the_version_it_was_tested_with(library: str) -> None:
    name = library.split(">")[0].lower().replace("-", "_")
    constraints = (ROOT / "constraints.txt").read_text().lower().replace("-", "_")
    assert f"\n{name}==" in constraints
