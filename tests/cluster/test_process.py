"""What a command says before it can load anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mpifl.errors import WRONG_INPUT

HOMELESS = Path(__file__).with_name("homeless.py")


@pytest.mark.parametrize(
    "command", [["mpifl.run", "quickstart"], ["mpifl", "check", "quickstart"]], ids=["run", "check"]
)
def test_nowhere_to_keep_kernels_is_one_line_that_names_the_variable(command: list[str]) -> None:
    done = subprocess.run([sys.executable, HOMELESS, *command], capture_output=True, text=True)

    assert done.returncode == WRONG_INPUT
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "mpifl: cache folder: you have no home folder; point MPIFL_CACHE to a folder you can write"
    )


def test_what_is_loaded_at_the_start_is_not_garbage_to_look_through() -> None:
    code = (
        "import gc; from mpifl.cluster.process import collect_garbage, prepare_process;"
        " prepare_process(); off = gc.isenabled(); collect_garbage();"
        " print(off, gc.isenabled(), gc.get_freeze_count() > 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]
