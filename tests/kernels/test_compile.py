"""Machine code from the cache: the same results, without what only a compilation needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mpifl.io.files import PACKAGE

CALL = """
import sys
import numpy as np
from mpifl.aggregation.exact_sum import accumulate
from mpifl.kernels.permutation import uniforms

total = np.zeros(3, np.int64)
accumulate(total, np.arange(3, dtype=np.float32), 0.25)
print(total.tolist(), uniforms(np.arange(3), 7).tolist())
print("numba.np.linalg" in sys.modules)
"""


def test_kernels_of_the_cache_are_loaded_without_the_tables_of_the_compiler(
    tmp_path: Path,
) -> None:
    """The first process compiles them, in a copy of the package, which has a cache of its own."""
    (tmp_path / "mpifl").symlink_to(PACKAGE)
    printed = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CALL], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        printed.append(done.stdout.splitlines())
    (results, compiled), (again, compiled_again) = printed
    assert results == again
    assert (compiled, compiled_again) == ("True", "False")
