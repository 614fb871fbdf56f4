"""Who may import whom: by the source alone, and where it matters by what Python then has loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mpifl"

LAYERS = [  # from low to high; a module may import from its own layer and from lower ones
    {"errors", "seeds", "shares", "stopwatch"},
    {"io"},
    {"kernels"},
    {"aggregation.exact_sum"},
    {"job"},
    {"optimizers"},
    {"datasets", "traces"},
    {"transforms"},
    {"population"},
    {"clock.kernels"},
    {"clock", "selection"},
    {"clock.policies"},
    {"models"},
    {"environments"},
    {"objectives"},
    {"mpi"},
    {"training"},
    {"aggregation"},
    {"algorithms"},
    {"analytics", "attacks", "contribution"},
    {"protocols", "exchange", "secure_aggregation"},
    {"fedml"},
    {"privacy"},
    {"rounds.plan"},
    {"rounds.experiment"},
    {"rounds.clients"},
    {"rounds.server"},
    {"rounds"},
    {"messages"},
    {"cluster"},
    {"record"},
    {"inversion"},
    {"state"},
    {"flower"},
    {"report"},
    {"sweeps"},
    {"commands"},
    {"run", "__main__"},
    {"testing"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
SERIALISERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}

Import = tuple[str, int]
"""What is imported, as a dotted name, and the line."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


NAMES_CLASSES_ABOVE = "mpifl.job.schema"
"""It types a job's components for the type checker; their classes are found by name when a job is read."""


def imports(name: str) -> Iterator[Import]:
    """Everything that a module imports, inside functions too; ``from a import b`` counts as a.b where that is a module."""
    tree = ast.parse(MODULES[name].read_text())
    if name == NAMES_CLASSES_ABOVE:
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES else node.module), node.lineno


def part(name: str) -> str | None:
    """The longest beginning of a module's name that has a layer (``aggregation.exact_sum``); None where nothing has."""
    words = name.split(".")[1:]
    beginnings = (".".join(words[:count]) for count in range(len(words), 0, -1))
    return next((beginning for beginning in beginnings if beginning in LEVEL), None)


def ours(name: str) -> list[Import]:
    return [
        (found, line)
        for found, line in imports(name)
        if found == "mpifl" or found.startswith("mpifl.")
    ]


def test_the_package_was_found() -> None:
    assert {
        "mpifl.rounds.plan.plan",
        "mpifl.clock.policies.sync",
        "mpifl.datasets.partitioners.iid",
    } <= set(MODULES)
    assert ("mpifl.population.population", 1) in {
        (found, 1) for found, _ in imports("mpifl.rounds.plan.plan")
    }


def test_every_module_has_its_layer() -> None:
    assert [name for name in MODULES if name != "mpifl" and part(name) is None] == []


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name != "mpifl"]
)  # mpifl itself offers what lies in its parts
def test_lower_layers_never_import_higher_ones(name: str) -> None:
    here = LEVEL[part(name) or ""]
    upward = [
        f"line {line}: {found}"
        for found, line in ours(name)
        if LEVEL.get(part(found) or "", -1) > here
    ]
    assert not upward


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in MODULES
        if part(name) in ("aggregation.exact_sum", "mpi")
        or name == "mpifl.rounds.clients.client_state"
    ],
)
def test_sums_stores_and_ranks_know_nothing_of_learning(name: str) -> None:
    low = LEVEL["aggregation.exact_sum"]
    upward = [
        f"line {line}: {found}"
        for found, line in ours(name)
        if part(found) != part(name) and LEVEL[part(found) or ""] > low
    ]
    assert not upward


def test_no_two_modules_import_each_other() -> None:
    graph = {
        name: {found for found, _ in ours(name) if found in MODULES} - {name} for name in MODULES
    }
    done: set[str] = set()

    def visit(name: str, before: tuple[str, ...]) -> None:
        assert name not in before, " -> ".join([*before, name])
        if name not in done:
            for found in graph[name]:
                visit(found, (*before, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert done == set(MODULES)


def test_mpi4py_is_imported_by_mpi_alone() -> None:
    importers = {
        name for name in MODULES for found, _ in imports(name) if found.split(".")[0] == "mpi4py"
    }
    assert "mpifl.mpi.start" in importers
    assert {name for name in importers if part(name) != "mpi"} == set()


def test_only_the_restricted_reader_unpickles() -> None:
    found = {
        (name, module)
        for name in MODULES
        for module, _ in imports(name)
        if module.split(".")[0] in SERIALISERS
    }
    assert found == {("mpifl.io.restricted_pickle", "pickle")}
    for name, path in MODULES.items():
        assert "allow_pickle=True" not in path.read_text(), name
        assert "torch.load(" not in path.read_text(), name


DECIDING = (
    "mpifl.rounds.plan",
    "mpifl.clock",
    "mpifl.selection",
    "mpifl.job",
    "mpifl.datasets",
    "mpifl.traces",
    "mpifl.population",
)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(DECIDING)])
def test_deciding_imports_neither_torch_nor_mpi(name: str) -> None:
    assert {found.split(".")[0] for found, _ in imports(name)} & {"torch", "mpi4py"} == set()


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("mpifl", {"torch", "mpi4py", "numpy", "h5py", "yaml"}),
        (
            "mpifl.rounds.plan.plan, mpifl.clock.policies.sync, mpifl.selection.uniform",
            {"torch", "mpi4py"},
        ),
        ("mpifl.job, mpifl.population.build", {"torch", "mpi4py", "sklearn"}),
        ("mpifl.record.progress, mpifl.record.summary", {"torch", "mpi4py"}),
        ("mpifl.aggregation.exact_sum, mpifl.rounds.clients.client_state", {"torch", "mpi4py"}),
        ("mpifl.commands.check_data, mpifl.commands.data_file", {"matplotlib"}),
        (
            "mpifl.rounds.experiment.experiment, mpifl.training.loop, mpifl.algorithms.fedavg",
            {"mpi4py"},
        ),
    ],
)
def test_what_is_loaded_with_it(modules: str, unwanted: set[str]) -> None:
    code = f"import sys, {modules}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "mpifl" in loaded
    assert not loaded & unwanted


def test_the_cache_of_kernels_knows_of_every_file_with_kernels() -> None:
    from mpifl.kernels.compile import SOURCES

    with_kernels = {
        path.relative_to(PACKAGE).as_posix()
        for name, path in MODULES.items()
        if ("mpifl.kernels.compile" in dict(imports(name)))
    }
    assert with_kernels <= set(SOURCES)
    assert set(SOURCES) == with_kernels
    assert not [
        name
        for name, path in MODULES.items()
        if "njit" in path.read_text() and name != "mpifl.kernels.compile"
    ]
