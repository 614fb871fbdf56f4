"""The batch script of a run on Slurm: what was asked for, and from that alone the text.

The script names the run directory and passes it to ``mpifl run --resume``, so the same script starts a run and goes on with it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from mpifl.errors import INTERRUPTED, InputError, counted

TIME = re.compile(
    r"(?:(?P<d>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?|(?:(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+))|(?P<only>\d+))"
)
ARRAY = re.compile(r"\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*(%\d+)?")
SIGNALLED = 128 + 10
"""What a process ends with that SIGUSR1 meets before it listens: the run had not begun."""


@dataclass(frozen=True)
class Request:
    """What is asked of Slurm, in sbatch's own words, and the run.

    ``job`` is a job file or the name of a shipped job, ``name`` its name and ``threads`` its training.threads. ``time`` is a
    limit as sbatch takes it, ``array`` the seeds, one run each. ``warning_seconds`` before the limit the run is told to end
    after its round: no round may take longer. ``activate`` is sourced, ``modules`` are loaded before. ``made_by`` is the
    command line that asked, for whoever reads the script. Raises InputError for what cannot be.
    """

    job: str
    name: str
    threads: int = 1
    overrides: tuple[str, ...] = ()
    nodes: int = 1
    ntasks_per_node: int = 1
    cpus_per_task: int = 1
    time: str = "1:00:00"
    gpus_per_node: int = 0
    array: str | None = None
    requeue: bool = False
    memory: str | None = None
    partition: str | None = None
    account: str | None = None
    warning_seconds: int = 120
    resume: str | None = None
    modules: tuple[str, ...] = ()
    activate: str = ".venv/bin/activate"
    made_by: str = ""

    def __post_init__(self) -> None:
        limit = time_seconds(self.time)
        if limit <= self.warning_seconds:
            raise InputError(
                f"--time: {self.time} is not allowed: the warning comes {self.warning_seconds} s before its end, so the run"
                " would be told to end as it begins; allowed: more, or a smaller --warning-seconds"
            )
        if self.array is not None and not ARRAY.fullmatch(self.array):
            raise InputError(
                f"--array: {self.array!r} is not allowed; allowed: seeds such as 1-5, 1,3,7 or 1-20%4 (four at a time)"
            )
        if self.array is not None and any(override.startswith("seed=") for override in self.overrides):
            raise InputError("seed: not allowed with --array, which gives every run its own; leave one of the two out")
        if self.ntasks_per_node < self.gpus_per_node:
            raise InputError(
                f"--gpus-per-node: {self.gpus_per_node} is not allowed with {counted(self.ntasks_per_node, 'rank')} a node:"
                " every GPU wants a rank; allowed: at most --ntasks-per-node"
            )
        for option, text in {
            "--time": self.time,
            "--mem": self.memory,
            "--partition": self.partition,
            "--account": self.account,
        }.items():
            if text is not None and not re.fullmatch(r"[\w.,:%+-]+", text):
                raise InputError(f"{option}: {text!r} is not allowed; allowed: letters, digits and . , : + - _")

    @property
    def folder(self) -> str:
        """The run directory as the script writes it, one for every seed of an array."""
        base = shlex.quote(self.resume or f"runs/{self.name}")
        return f'{base}-seed"$SLURM_ARRAY_TASK_ID"' if self.array is not None else base


def time_seconds(text: str) -> int:
    """A time limit as sbatch reads it: minutes, m:s, h:m:s, d-h, d-h:m or d-h:m:s. Raises InputError."""
    found = TIME.fullmatch(text)
    if found is None:
        raise InputError(f"--time: {text!r} is not allowed; allowed: minutes, or a time such as 4:00:00 or 2-12:00:00")
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    hours = 24 * part["d"] + part["dh"] + part["h"]
    return 3600 * hours + 60 * (part["dm"] + part["m"] + part["only"]) + part["ds"] + part["s"]


def script(request: Request) -> str:
    """The batch script, ready for sbatch."""
    blocks = [_options(request), _surroundings(request), _run(request), _end(request)]
    return "\n".join(line for block in blocks for line in [*block, ""]).rstrip("\n") + "\n"


def _options(request: Request) -> list[str]:
    asked: dict[str, str | int | None] = {
        "job-name": re.sub(r"[^\w.-]", "-", request.name),
        "partition": request.partition,
        "account": request.account,
        "nodes": request.nodes,
        "ntasks-per-node": request.ntasks_per_node,
        "cpus-per-task": request.cpus_per_task,
        "gpus-per-node": request.gpus_per_node or None,
        "mem": request.memory,
        "time": request.time,
        "array": request.array,
        "signal": f"B:USR1@{request.warning_seconds}",
        "output": "%x-%A_%a.out" if request.array is not None else "%x-%j.out",
        "open-mode": "append",
    }
    return [
        "#!/bin/bash",
        *([f"# {' '.join(request.made_by.splitlines())}"] if request.made_by else []),
        *(f"#SBATCH --{name}={value}" for name, value in asked.items() if value is not None),
        "#SBATCH --requeue" if request.requeue else "#SBATCH --no-requeue",
        "",
        "set -euo pipefail",
    ]


def _surroundings(request: Request) -> list[str]:
    modules = [f"module load {shlex.quote(name)}" for name in request.modules] or ["# module load openmpi"]
    return [
        "# The site's MPI, where mpifl's environment has none of its own, and that environment.",
        *modules,
        f"source {shlex.quote(request.activate)}",
        "",
        "# Every rank on cores of its own, memory beside them. Only where this job sees just the cores it was given: jobs",
        "# that share a node and see all of it would be bound to the same ones. (nproc takes OMP_NUM_THREADS for cores.)",
        'if [ "$(env -u OMP_NUM_THREADS nproc)" -eq "$SLURM_CPUS_ON_NODE" ]; then',
        '    export PRTE_MCA_rmaps_default_mapping_policy="slot:PE=$SLURM_CPUS_PER_TASK:HWTCPUS"',
        "    export PRTE_MCA_hwloc_default_binding_policy=hwthread",
        "else",
        "    export PRTE_MCA_hwloc_default_binding_policy=none",
        "fi",
        "",
        "# Threads of a rank: the job's training.threads, on which the bits depend. (OMP_PROC_BIND would bind twice.)",
        f"export OMP_NUM_THREADS={request.threads}",
        *(_gpu_note(request) if request.gpus_per_node else []),
    ]


def _gpu_note(request: Request) -> list[str]:
    ranks = -(-request.ntasks_per_node // request.gpus_per_node)
    return [
        "",
        f"# {counted(ranks, 'rank')} to a GPU: each sees one of the node's, by its rank on the node.",
    ]


def _run(request: Request) -> list[str]:
    seed = ['seed="$SLURM_ARRAY_TASK_ID"'] if request.array is not None else []
    arguments = " ".join([shlex.quote(request.job), *(shlex.quote(text) for text in request.overrides), *seed])
    return [
        "# The run directory: begun when it is not there, gone on with when it is.",
        f"run={request.folder}",
        'echo "$(date -Is) job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, start $((${SLURM_RESTART_COUNT:-0} + 1)): $run"',
        "",
        f"# Slurm's warning, {request.warning_seconds} s before the limit: mpirun passes it on, and the run ends after its",
        f"# round with a checkpoint and status {INTERRUPTED}. The trap comes before anything is started: bash would die of it.",
        f"status={INTERRUPTED} launched= warned=",
        'warn() { warned=yes; [ -z "$launched" ] || kill -USR1 "$launched" || true; }',
        "trap warn USR1",
        'if [ -z "$warned" ]; then',
        f'    mpifl run -n "$SLURM_NTASKS" {arguments} --resume "$run" &',
        "    launched=$!",
        "    status=0",
        '    wait "$launched" || status=$?',
        "    # The trap ends a wait; only the next one has mpirun's status.",
        '    while kill -0 "$launched" 2>/dev/null; do status=0; wait "$launched" || status=$?; done',
        "fi",
    ]


def _end(request: Request) -> list[str]:
    again = [
        '    echo "$(date -Is) stopped with status $status: requeued"',
        '    scontrol requeue "$SLURM_JOB_ID"',
    ]
    say = ['    echo "$(date -Is) stopped with status $status: submit this script again to go on"']
    return [
        f"# {SIGNALLED}: the warning came before the ranks could listen.",
        f'if [ "$status" -eq {INTERRUPTED} ] || [ "$status" -eq {SIGNALLED} ]; then',
        *(again if request.requeue else say),
        "fi",
        'exit "$status"',
    ]
