"""What a sweep prints."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
from mpifl.commands.sweep_lines import SweepLines
from mpifl.sweeps.outcome import Outcome, State

lines = SweepLines(Path("s"), total=2, done=0)
lines.begin(1, 1)
with lines:
    for number in (1, 2):
        lines.ended(Outcome(number, "a", State.FAILED, "exit status 1", Path("log")))
lines.end()
print("at its end", file=sys.stderr)
"""


def test_a_reader_that_has_gone_does_not_end_it() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "at its end\n")
