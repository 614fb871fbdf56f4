"""Where messages go: the terminal, log.txt, and nowhere once nobody reads."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging
import sys
from pathlib import Path
from mpifl.io.log import log_to_file, log_to_terminal

log_to_terminal()
log = logging.getLogger("mpifl.record.run_record")
if len(sys.argv) > 1:
    log_to_file(Path(sys.argv[1]))
for number in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
    log.info("round %d", number)
log.warning("first\\n  its place\\nsecond")
"""


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=True)


def test_a_report_is_printed_as_it_is_and_a_problem_with_a_prefix() -> None:
    done = ran()
    assert done.stdout == "round 0\n"
    assert done.stderr == "mpifl: first\n  its place\nmpifl: second\n"


def test_the_file_has_all_of_it_with_level_and_goes_on_after_what_it_has(tmp_path: Path) -> None:
    ran(str(tmp_path))
    ran(str(tmp_path), "2")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    ends = [line.split(" ", 2)[-1] for line in lines]
    first = ["INFO round 0", "WARNING first", "its place", "second"]
    assert [end.strip() for end in ends if end.strip()] == [
        *first,
        "INFO round 0",
        "INFO round 1",
        *first[1:],
    ]


def test_a_folder_that_takes_no_file_is_one_line_and_the_run_goes_on(tmp_path: Path) -> None:
    done = ran(str(tmp_path / "missing"))
    assert done.stdout == "round 0\n"
    assert done.stderr.startswith(
        f"mpifl: {tmp_path}/missing/log.txt: no log is kept: No such file"
    )


def test_a_full_disk_leaves_lines_out_and_says_nothing() -> None:
    full = Path("/dev/full")
    assert full.is_char_device()
    program = PROGRAM.replace("log_to_file(Path(sys.argv[1]))", "log_to_file(Path('/dev'))")
    program = "import mpifl.io.log as module\nmodule.LOG_FILE = 'full'\n" + program
    line = [sys.executable, "-c", program, "x"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout == "round 0\n"
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_does_not_end_the_program(tmp_path: Path) -> None:
    line = [sys.executable, "-c", PROGRAM, str(tmp_path), "100000"]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "round 0\n"
        program.stdout.close()
        assert program.stderr is not None
        problems = program.stderr.read()
    assert program.returncode == 0
    assert problems == "mpifl: first\n  its place\nmpifl: second\n"
    assert "round 99999" in (tmp_path / "log.txt").read_text()


def test_a_second_run_in_a_process_has_handlers_of_its_own() -> None:
    program = PROGRAM.replace("log_to_terminal()\n", "log_to_terminal()\nlog_to_terminal()\n")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "round 0\n"
    assert logging.getLogger("mpifl").handlers == []  # nothing was set in this process
