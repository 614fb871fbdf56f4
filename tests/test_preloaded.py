"""A process that tests/preloaded.py makes is to who starts it what one is that Python starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launching import LIMIT_SECONDS, python

pytestmark = pytest.mark.skipif(
    os.environ.get("MPIFL_PRELOADED") == "0", reason="MPIFL_PRELOADED is 0: every start is Python's"
)

SHOWS = """
import json, os, sys
print(json.dumps([sys.argv, os.getcwd(), sys.path[0], os.environ["SHOWN"], "HOME" in os.environ, __name__, sys.stdin.read()]))
os.write(int(sys.argv[1]), b"written")
sys.exit("ended")
"""
WAITS = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
print(os.getpid(), flush=True)
while True:
    time.sleep(0.1)  # a signal just before a sleep is seen at its end
"""
DRAWS = "import random, numpy; print(random.random(), numpy.random.random(), hash('a'))"


def begun(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A program that waits, and the process that its first line names."""
    (folder / "program.py").write_text(WAITS)
    line = [*python(), str(folder / "program.py")]
    started = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    return started, int(started.stdout.readline())


@pytest.mark.parametrize("start", [python, lambda: [sys.executable]], ids=["preloaded", "Python"])
def test_it_has_arguments_environment_folder_and_files(
    tmp_path: Path, start: Callable[[], list[str]]
) -> None:
    (tmp_path / "program.py").write_text(SHOWS)
    reading, writing = os.pipe()
    for line in (["-m", "program"], [str(tmp_path / "program.py")]):
        done = subprocess.run(
            [*start(), *line, str(writing), "ä \udcff"],
            cwd=tmp_path,
            env={"SHOWN": "x"},
            input="read",
            pass_fds=(writing,),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )
        assert (done.returncode, done.stderr) == (1, "ended\n")
        said = json.loads(done.stdout)
        assert said[0] == [str(tmp_path / "program.py"), str(writing), "ä \udcff"]
        assert said[1:] == [str(tmp_path), str(tmp_path), "x", False, "__main__", "read"]
        assert os.read(reading, 100) == b"written"


def test_a_signal_is_passed_on_and_its_status_comes_back(tmp_path: Path) -> None:
    run, process = begun(tmp_path)
    assert process != run.pid
    run.send_signal(signal.SIGUSR1)
    assert run.wait(timeout=LIMIT_SECONDS) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_it_ends_by_the_signal_that_ends_the_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    run, process = begun(tmp_path)
    os.kill(process, number)
    assert run.wait(timeout=LIMIT_SECONDS) == -number


def test_when_it_is_killed_so_is_the_process(tmp_path: Path) -> None:
    run, process = begun(tmp_path)
    run.kill()
    assert run.communicate(timeout=LIMIT_SECONDS)[0] == ""  # nobody has its output open
    end = time.monotonic() + LIMIT_SECONDS
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_processes_draw_other_numbers_and_do_not_all_have_one_hash_seed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(DRAWS)
    line = [*python(), str(tmp_path / "program.py")]
    said: list[list[str]] = []
    while len(said) < 2 or (len({row[2] for row in said}) < 2 and len(said) < 60):
        said.append(subprocess.check_output(line, text=True).split())
    drawn = list(zip(*said, strict=True))
    assert [len(set(column)) for column in drawn] == [len(said), len(said), 2]
