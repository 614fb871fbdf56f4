"""The documentation knows every key, name and column there is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from mpifl.datasets.importers import REGISTRY as IMPORTERS
from mpifl.job import Job, Section
from mpifl.job.component import COMPONENTS, find_part
from mpifl.record.tables import TABLES

ROOT = Path(__file__).parents[1]
JOB_PAGE = (ROOT / "docs" / "job.md").read_text()
FORMATS = (ROOT / "docs" / "formats.md").read_text()
README = (ROOT / "README.md").read_text()
DATA_PAGE = (ROOT / "docs" / "data.md").read_text()
COMPONENT_SECTIONS = {".".join(component.path) for component in COMPONENTS}


def keys(schema: type[Section], prefix: str = "") -> list[str]:
    found = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            found += keys(inner, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


@pytest.mark.parametrize("key", keys(Job))
def test_every_key_of_a_job_has_a_row(key: str) -> None:
    assert f"`{key}`" in JOB_PAGE or key in COMPONENT_SECTIONS


@pytest.mark.parametrize(("component", "name"), [(c, n) for c in COMPONENTS for n in c.registry()])
def test_every_component_and_its_options_stand_in_its_section(component, name: str) -> None:
    heading = ".".join(component.path)
    page = JOB_PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    assert f"`{name}`" in page
    for option in find_part(component, name)[0].model_fields:
        assert option == component.key or re.search(rf"`({heading}\.)?{option}\b", page), option


@pytest.mark.parametrize("column", sorted({name for columns in TABLES.values() for name in columns}))
def test_every_column_of_a_run_is_explained(column: str) -> None:
    assert f"`{column}`" in FORMATS


@pytest.mark.parametrize("name", IMPORTERS)
def test_every_importer_and_its_options_stand_in_its_section(name: str) -> None:
    section = DATA_PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    module, _, class_name = IMPORTERS[name].partition(":")
    for option in getattr(importlib.import_module(module), class_name).model_fields:
        assert f"`{option.replace('_', '-')}`" in section or f"`--{option.replace('_', '-')}`" in section, option


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert link.startswith("http") or (folder / link).exists(), link


def test_the_readme_has_two_commands_that_install_everything() -> None:
    assert len(re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)) == 2
