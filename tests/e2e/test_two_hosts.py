"""Two hosts with TCP between them: a rank of the other one dies, the cable is cut, the link is slow."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mpifl.mpi.launch import command
from tests.launching import LIMIT_SECONDS, Finished, held, recovers, run_job

SCRIPT = Path(__file__).with_name("two-hosts")
JOB = ("quickstart", "rounds=48", "training.engine=loop", "checkpoint.every=7")
NET = "10.77.0.0/24"
HEARTBEAT = [
    word
    for name, value in (("", 1), ("_period", 1), ("_timeout", 25), ("_thread", 1))
    for word in ("--mca", f"mpi_ft_detector{name}", str(value))
]

STARTS = 3
NOT_BEGUN = (
    "MPI_ERRORS_ARE_FATAL",
    "(ompi_mpi_init+",  # in a stack trace
    "was lost before it had read the job: start again",
    "ompi_proc_mark_as_failed: I have been reported dead",
    "*** Process received signal ***",  # of a starting rank; those that wait for it hang
)
"""What is printed where Open MPI 5.0.11 takes a rank that is still starting, and busy, for a dead one, or crashes then."""


def cannot() -> str | None:
    """Why this machine cannot be two hosts; None when it can."""
    if not recovers():
        return "this MPI was built without ULFM"
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need root and iproute2"
    name = f"try{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "the kernel does not let us make network namespaces"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return None


REASON = cannot()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


class Hosts:
    """A run with ranks 0 and 1 on hosta and so many others on hostb, that does not end before it may."""

    def __init__(self, folder: Path, options: list[str], others: int) -> None:
        self.tag, self.out, self.said = f"h{os.getpid() % 100000}", folder / "out", folder / "said"
        self.may_end = folder / "may-end"
        line = command(
            2 + others, [*JOB, *held(self.may_end, 48), "--out", str(self.out)], os.environ
        )
        ours = [
            "--prtemca",
            "plm_ssh_agent",
            "AGENT",
            "--prtemca",
            "prte_if_include",
            NET,
            "--mca",
            "pml",
            "ob1",
        ]
        hosts = f"10.77.0.1:2,10.77.0.2:{others}"
        ours += ["--mca", "btl_tcp_if_include", NET, "--host", hosts, *options]
        line = [line[0], *ours, *(word for word in line[1:] if word != "--oversubscribe")]
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [SCRIPT, self.tag, *line], cwd=folder, stdout=said, stderr=subprocess.STDOUT
            )

    def text(self) -> str:
        return self.said.read_text(errors="replace")

    def until(self, there: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)

    def pid(self, rank: int) -> int:
        found = subprocess.run(
            ["ip", "netns", "pids", f"{self.tag}b"], capture_output=True, text=True, check=True
        )
        for pid in found.stdout.split():
            if f"OMPI_COMM_WORLD_RANK={rank}".encode() in Path(
                f"/proc/{pid}/environ"
            ).read_bytes().split(b"\0"):
                return int(pid)
        raise AssertionError(f"rank {rank} is not on the other host")

    def link(self, *arguments: str) -> None:
        subprocess.run(arguments, check=True, capture_output=True)

    def finished(self) -> Finished:
        self.may_end.touch()
        return Finished(self.process.wait(timeout=LIMIT_SECONDS), "", self.text(), self.out)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=LIMIT_SECONDS)


Start = Callable[..., Hosts]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[Hosts] = []

    def start(*options: str, others: int = 2) -> Hosts:
        """A run in round 12; another one where Open MPI took a busy rank for a dead one and gave up."""

        def not_begun(text: str) -> bool:
            return any(sign in text for sign in NOT_BEGUN)

        for number in range(STARTS):
            folder = tmp_path / str(number)
            folder.mkdir()
            run = Hosts(folder, list(options), others)
            begun.append(run)
            run.until(lambda: "round 12/" in run.text() or not_begun(run.text()))  # noqa: B023
            if not not_begun(run.text()):
                return run
            run.stop()
        raise AssertionError(begun[-1].text())

    yield start
    for run in begun:
        run.stop()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = run_job(2, tmp_path_factory.mktemp("undisturbed"), *JOB)
    return str(done.summary["model_sha256"])


def test_a_rank_on_the_other_host_dies(start: Start, undisturbed: str) -> None:
    run = start()
    os.kill(run.pid(3), signal.SIGKILL)
    found = run.finished()
    assert found.status == 0, found.stderr
    assert found.summary["model_sha256"] == undisturbed
    assert found.summary["ranks_lost"] == 1


def test_the_cable_is_cut_and_heartbeats_tell(start: Start, undisturbed: str) -> None:
    """The run ends on the host of rank 0; mpirun itself goes on waiting for its daemon on the other (Open MPI 5.0.11).

    One rank is on the other host: of several, each would be missed only once the one before it is.
    """
    run = start(*HEARTBEAT, others=1)
    run.link("ip", "-n", f"{run.tag}a", "link", "set", f"{run.tag}va", "down")
    run.may_end.touch()
    run.until(lambda: "results in" in run.text())
    found = Finished(0, "", run.text(), run.out)
    assert found.summary["model_sha256"] == undisturbed
    # A rank that is only slow may miss its heartbeat too.
    assert found.summary["ranks_lost"] in (1, 2)


def test_the_link_is_slow(start: Start, undisturbed: str) -> None:
    run = start()
    try:
        run.link(
            "tc",
            "-n",
            f"{run.tag}b",
            "qdisc",
            "add",
            "dev",
            f"{run.tag}vb",
            "root",
            "netem",
            "delay",
            "20ms",
            "rate",
            "20mbit",
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this kernel has no netem")
    found = run.finished()
    assert found.status == 0, found.stderr
    assert found.summary["model_sha256"] == undisturbed
    assert found.summary["ranks_lost"] == 0
