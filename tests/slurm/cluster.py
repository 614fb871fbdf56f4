"""A Slurm of one's own: munged, slurmctld and two slurmd on loopback, everything they keep in one temporary folder.

The tests start it; by hand, ``python -m tests.slurm.cluster [COMMAND ...]`` runs a command (or a shell) inside it, and
``python -m tests.slurm.cluster --check`` says whether it can be started here. Needs root and the Debian packages slurm-wlm and
munge; nothing of the machine's own Slurm or munge is read or changed. Each slurmd has a host name of its own (UTS and mount
namespaces), so that mpirun takes them for two hosts; where that is not allowed there is one node, with the machine's own name.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel", "sinfo")
START_SECONDS = 120
NAMESPACES = ("unshare", "--uts", "--mount")
CPUS = 8  # what a node says that it has; the tests' jobs are small

# Each node's two GPUs are plain files: what an allocation is told of them is real, what stands behind them is not.
CONFIGURATION = """
ClusterName=mpifl
SlurmctldHost={controller}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=600
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
NODE = "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=4000 Gres=gpu:2 State=UNKNOWN\n"


def missing() -> str | None:
    """Why no Slurm can be started here, and what would help; None where one can."""
    absent = [name for name in PROGRAMS if _program(name) is None]
    if absent:
        return f"no Slurm here ({', '.join(absent)} not found): apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "slurmd starts jobs as root alone, and this is not root"


def nodes() -> list[str]:
    """Names of the nodes that there will be."""
    named = subprocess.run([*NAMESPACES, "hostname", "node1"], capture_output=True, check=False)
    return [_host()] if named.returncode else ["node1", "node2"]


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Mapping[str, str]]:
    """The cluster, up while the block runs: the variables by which Slurm's commands find it.

    Raises RuntimeError with the end of the logs where it does not come up.
    """
    names = nodes()
    configuration = _configure(folder, names)
    environment = {"SLURM_CONF": str(configuration)}
    with contextlib.ExitStack() as running:
        for line in (
            ["munged", "--foreground", "--force", *_munge_files(folder)],
            ["slurmctld", "-D", "-i", "-f", str(configuration)],
            *(_node(name, configuration) for name in names),
        ):
            running.enter_context(_daemon(line, folder, environment))
        _wait_until_idle(folder, environment, len(names))
        try:
            yield environment
        finally:
            _cancel_all(environment)


def _node(name: str, configuration: Path) -> list[str]:
    line = ["slurmd", "-D", "-N", name, "-f", str(configuration)]
    if name == _host():
        return line
    own = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"'
    return [
        *NAMESPACES,
        "sh",
        "-c",
        own,
        name,
        str(configuration.parent / "hosts"),
        str(_program(line[0])),
        *line[1:],
    ]


def _configure(folder: Path, names: list[str]) -> Path:
    (folder / "state").mkdir(parents=True)
    folder.chmod(0o755)  # munged wants its socket to be within everyone's reach
    devices = [folder / f"gpu{number}" for number in range(2)]
    for device in devices:
        device.touch()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    controller_port, *ports = _free_ports(1 + len(names))
    path = folder / "slurm.conf"
    text = CONFIGURATION.format(controller=_host(), folder=folder, controller_port=controller_port)
    path.write_text(
        text
        + "".join(
            NODE.format(name=name, port=port, cpus=CPUS)
            for name, port in zip(names, ports, strict=True)
        )
    )
    gpus = [f"NodeName={name} Name=gpu File={device}\n" for name in names for device in devices]
    (folder / "gres.conf").write_text("".join(gpus))
    (folder / "hosts").write_text(f"127.0.0.1 localhost {_host()} {' '.join(names)}\n")
    return path


def _munge_files(folder: Path) -> list[str]:
    named = {
        "key-file": "munge.key",
        "socket": "munge.socket",
        "pid-file": "munge.pid",
        "seed-file": "munge.seed",
    }
    return [f"--{option}={folder / name}" for option, name in named.items()]


@contextlib.contextmanager
def _daemon(line: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    program = _program(line[0])
    assert program is not None
    with open(folder / f"{Path(line[0]).name}-{secrets.token_hex(2)}.out", "wb") as said:
        process = subprocess.Popen(
            [program, *line[1:]],
            env=os.environ | environment,
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _cancel_all(environment: Mapping[str, str]) -> None:
    """End what is left: jobs outlive slurmd."""
    surroundings = os.environ | environment
    subprocess.run(
        ["scancel", "--partition=all"],
        env=surroundings,
        capture_output=True,
        timeout=120,
        check=False,
    )
    for _ in range(50):
        left = subprocess.run(
            ["squeue", "-h"], env=surroundings, capture_output=True, timeout=120, check=False
        )
        if not left.stdout:
            return
        time.sleep(0.2)


def _wait_until_idle(folder: Path, environment: Mapping[str, str], count: int) -> None:
    end = time.monotonic() + START_SECONDS
    said = ""
    while time.monotonic() < end:
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                ["sinfo", "-h", "-o", "%T %D"],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            said = done.stdout + done.stderr
        if said.strip() == f"idle {count}":
            return
        time.sleep(0.2)
    logs = "".join(
        f"\n{path.name}: {path.read_text()[-2000:]}"
        for path in sorted([*folder.glob("*.out"), *folder.glob("*.log")])
    )
    raise RuntimeError(f"Slurm did not come up in {START_SECONDS} s; sinfo: {said.strip()}{logs}")


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main(arguments: list[str]) -> int:
    """Run a command inside a cluster, or say whether that can be."""
    reason = missing()
    if arguments == ["--check"] or reason:
        print(f"Slurm: skipped: {reason}" if reason else "Slurm: can be started here")
        return 1 if reason else 0
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as base,
        slurm(Path(base) / "cluster") as environment,
    ):
        return subprocess.run(
            arguments or ["bash"], env=os.environ | environment, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
