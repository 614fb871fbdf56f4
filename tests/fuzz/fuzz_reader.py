"""A process that opens damaged HDF5 files for the tests, because HDF5 itself may hang or crash over one (it did: HDF5 2.0.0).

It says of each path, one JSON line each: {"read": hash of all that is in it}, {"refused": the one line}, or {"defect": what was
raised}. Run as a program it is that process; ``Reader`` is the tests' end of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

LIMIT_SECONDS, LIMIT_CPU_SECONDS = 300, 20
ROOT = Path(__file__).parents[2]


class Reader:
    """Asks a process, and starts another one when it hangs or has crashed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, kind: str, path: Path, other: Path) -> dict[str, Any]:
        """What becomes of a "data" set or "trace" in a run with the ``other`` of the two, or of a "run" directory's run.

        {"died": how} where HDF5 did not bear it.
        """
        if self._process is None:
            line = [sys.executable, __file__]
            self._process = subprocess.Popen(
                line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._answer()  # it is there
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([kind, str(path), str(other)]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        began, spent, said = time.monotonic(), self._cpu_seconds(), None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while (
                time.monotonic() - began < LIMIT_SECONDS
                and self._cpu_seconds() - spent < LIMIT_CPU_SECONDS
            ):
                if selector.select(0.5):
                    said = self._process.stdout.readline()
                    break
        if said:
            answer: dict[str, Any] = json.loads(said)
            return answer
        self.close()
        return {"died": "hung" if said is None else "crashed"}

    def _cpu_seconds(self) -> float:
        """What it has worked: one that only waits for a busy machine has not hung."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def content(kind: str, path: Path, other: Path) -> str:
    """A hash of all that a run reads of a data set or trace. Raises InputError."""
    import numpy as np

    from mpifl.job import parse_job
    from mpifl.population.build import open_population, prepare

    data, trace = (path, other) if kind == "data" else (other, path)
    raw = {
        "data": {"name": str(data)},
        "population": {"trace": str(trace)},
        "model": "logreg",
        "rounds": 1,
    }
    job = parse_job({**raw, "selection": {"name": "uniform", "participants": 1}})
    population = open_population(job, *prepare(job))
    found = hashlib.sha256()
    if kind == "trace":
        phones = population.phones
        own = [column for column in phones[3:] if isinstance(column, np.ndarray)]
        for column in (*own, *phones.curves, *phones.pinned):
            found.update(np.asarray(column).tobytes())
        return found.hexdigest()
    opened = population.data
    for part in opened.parts.values():
        for client in range(part.clients):
            rows = part.rows(client)
            found.update(
                part.client[client]
                + b"".join(
                    np.asarray(v[rows]).tobytes() for v in (part.y, part.coarse) if v is not None
                )
            )
            pieces = (
                [rows]
                if part.begin is None
                else [slice(part.begin[k], part.begin[k + 1]) for k in range(rows.start, rows.stop)]
            )
            found.update(b"".join(np.asarray(part.x[piece]).tobytes() for piece in pieces))
    said = (
        opened.task,
        opened.outputs,
        opened.vocabulary,
        opened.feature_scale,
        opened.feature_shift,
        opened.labels.tolist(),
    )
    found.update(repr(said).encode())
    return found.hexdigest()


def resumed(folder: Path) -> str:
    """A hash of the state from which a run directory's run goes on, and of the rows that it keeps. Raises InputError."""
    from mpifl.record.run_directory import write_environment
    from mpifl.record.run_file import run_file
    from mpifl.state.resume import begin

    beginning = begin(None, [], None, str(folder))
    try:
        if beginning.complete:
            return "complete"
        write_environment(folder, "no MPI", [], beginning.content_sha256)
        job, begun = beginning.experiment.job, beginning.snapshot
        with run_file(folder, job, begun.rows) as file:
            rows = b"".join(row.tobytes() for row in file.rounds())
        return hashlib.sha256(f"{begun.rounds_done} {begun.clock}".encode() + rows).hexdigest()
    finally:
        beginning.lock.close()


def main() -> None:
    """Answer until nobody asks any more."""
    sys.path.insert(0, str(ROOT))
    from mpifl.errors import InputError

    print("{}", flush=True)
    for line in sys.stdin:
        kind, path, other = json.loads(line)
        try:
            answer = {
                "read": resumed(Path(path))
                if kind == "run"
                else content(kind, Path(path), Path(other))
            }
        except InputError as error:
            answer = {"refused": str(error)}
        except Exception:
            answer = {"defect": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
