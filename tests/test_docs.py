"""The documentation knows every key, name and column there is."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpifl.datasets.importers import REGISTRY as IMPORTERS
from mpifl.job import Job, Section
from mpifl.job.component import COMPONENTS, Component, find_part
from mpifl.job.read import read_job
from mpifl.record.tables import TABLES
from mpifl.selection import REGISTRY as RULES
from tests.test_imports import LEVEL

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
FORMATS = (ROOT / "docs" / "formats.md").read_text()
README = (ROOT / "README.md").read_text()
DATA_PAGE = (ROOT / "docs" / "data.md").read_text()
RULES_PAGE = (ROOT / "docs" / "selection.md").read_text()
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


def test_the_job_reference_is_what_the_classes_say() -> None:
    assert printed_by("job_reference.py") == REFERENCE, "run: make docs"


def test_the_design_page_lists_every_folder_in_the_order_of_the_layers() -> None:
    lines = (ROOT / "docs" / "design.md").read_text().splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    folders = [name for cell in cells for name in re.findall(r"`([a-z_/]+)/`", cell)]
    levels = [LEVEL[name.replace("/", ".")] for name in folders]
    assert levels == sorted(levels, reverse=True)
    packages = {path.parent.name for path in (ROOT / "mpifl").glob("*/__init__.py")}
    assert {name.partition("/")[0] for name in folders} == packages


def test_the_picture_is_what_its_script_draws() -> None:
    assert printed_by("architecture.py") == (ROOT / "docs" / "architecture.svg").read_text(), (
        "run: make docs"
    )


def test_the_man_page_is_what_the_commands_say_and_roff_reads_it() -> None:
    page = ROOT / "docs" / "mpifl.1"
    assert printed_by("man_page.py") == page.read_text(), "run: make docs"
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not here")
    line = [groff, "-man", "-Tutf8", "-ww", "-P-cbou", str(page)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    shown = " ".join(done.stdout.split())
    assert "mpifl run [OPTIONS] [JOB] [SECTION.KEY=VALUE]..." in shown
    assert "--clients-test" in shown
    assert "MPIFL_CACHE" in shown


def printed_by(script: str) -> str:
    line = [sys.executable, str(ROOT / "docs" / script)]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize("framework", ["FedScale", "FedML", "Flower", "pfl-research"])
def test_what_another_framework_s_configuration_becomes_is_a_job(
    framework: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "coming-from.md").read_text()
    section = page.split(f"\n## {framework}\n")[1].split("\n## ")[0]
    (text,) = re.findall("```yaml\n(.*?)```", section, re.DOTALL)
    (tmp_path / "job.yaml").write_text(text)
    job = read_job(str(tmp_path / "job.yaml"))
    assert job.selection.participants
    assert job.clock.availability == ("fedscale" if framework == "FedScale" else "always")


@pytest.mark.parametrize("key", keys(Job))
def test_every_key_of_a_job_has_a_row(key: str) -> None:
    assert f"\n| `{key}` |" in REFERENCE or key in COMPONENT_SECTIONS


@pytest.mark.parametrize(("component", "name"), [(c, n) for c in COMPONENTS for n in c.registry()])
def test_every_component_has_its_heading_and_a_row_for_each_of_its_keys(
    component: Component, name: str
) -> None:
    heading = ".".join(component.path)
    section = REFERENCE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    common, own = (
        section.split("\n### ")[0],
        section.split(f"\n### {heading}: {name}\n")[1].split("\n### ")[0],
    )
    for key in keys(find_part(component, name)[0], f"{heading}."):
        assert key == component.key_path or f"\n| `{key}` |" in common + own, key


def test_every_key_has_a_description() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([^|]*) \|$", REFERENCE, re.MULTILINE)
    assert len(rows) > 80
    assert [key for key, description in rows if len(description.split()) < 2] == []


def test_every_page_is_in_the_navigation() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    # docs/hooks.py lists the pages of algorithms.
    assert {page for page in pages if not page.startswith("algorithms/")} <= named
    assert all((ROOT / page).exists() for page in named - pages)


@pytest.mark.parametrize("example", sorted((ROOT / "examples" / "plug_ins").glob("*.[py]*")))
def test_every_plug_in_stands_in_a_tutorial(example: Path) -> None:
    included = f'\n--8<-- "examples/plug_ins/{example.name}"\n'
    tutorials = [page.read_text() for page in (ROOT / "docs" / "tutorials").glob("*.md")]
    assert sum(included in page for page in tutorials) == 1


@pytest.mark.parametrize(
    "column", sorted({name for columns in TABLES.values() for name in columns})
)
def test_every_column_of_a_run_is_explained(column: str) -> None:
    assert f"`{column}`" in FORMATS


@pytest.mark.parametrize("name", IMPORTERS)
def test_every_importer_and_its_options_stand_in_its_section(name: str) -> None:
    section = DATA_PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    module, _, class_name = IMPORTERS[name].partition(":")
    for option in getattr(importlib.import_module(module), class_name).model_fields:
        assert (
            f"`{option.replace('_', '-')}`" in section
            or f"`--{option.replace('_', '-')}`" in section
        ), option


@pytest.mark.parametrize(
    "page",
    ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))],
)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert link.startswith("http") or (folder / link).exists(), link


def test_the_readme_has_two_commands_that_install_everything() -> None:
    assert len(re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)) == 2


def test_the_pages_of_algorithms_are_what_the_classes_say(tmp_path: Path) -> None:
    script = ROOT / "docs" / "algorithm_pages.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=120)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "docs" / "algorithms").iterdir()}
    assert made == kept, "run: make docs"


@pytest.mark.parametrize("rule", RULES)
def test_every_selection_rule_has_a_row_in_the_table_of_rules(rule: str) -> None:
    assert f"\n| [`{rule}`](reference.md#selection-{rule}) |" in RULES_PAGE
