"""The batch script of a run on Slurm. Its text depends only on the request.

The script names the run directory and passes it to ``mpifl run --resume``, so that the same script
starts a run and resumes it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from mpifl.errors import INTERRUPTED, InputError, counted

TIME = re.compile(
    r"(?:(?P<d>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?:(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+))|(?P<only>\d+))"
)
ARRAY = re.compile(r"\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*(%\d+)?")
SIGNALLED = 128 + 10
"""The exit status of a process that SIGUSR1 ends before it handles signals.

The run had not begun.
"""


@dataclass(frozen=True)
class Request:
    """A run, and what is requested from Slurm; fields without a description are sbatch's options.

    Raises InputError for values that are not allowed.

    Attributes:
        job: A job file, or the name of a shipped job.
        name: The name of the job.
        threads: Its training.threads.
        overrides: ``section.key=value`` texts.
        time: The time limit as sbatch takes it.
        array: The seeds, one run each.
        requeue: Whether a stopped run is put back into the queue.
        memory: The memory of a node.
        warning_seconds: How long before the limit the run is told to end after its round. No round
            may take longer.
        resume: The run directory; None for runs/NAME.
        modules: The environment modules that are loaded first.
        activate: The file that is sourced after that.
        made_by: The command line that made the script, as a comment in it.
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
                f"--time: {self.time} is not allowed: the warning comes {self.warning_seconds} s"
                " before its end, so the run would be told to end as it begins; allowed: more,"
                " or a smaller --warning-seconds"
            )

        if self.array is not None and not ARRAY.fullmatch(self.array):
            raise InputError(
                f"--array: {self.array!r} is not allowed; allowed: seeds such as 1-5, 1,3,7 or"
                " 1-20%4 (four at a time)"
            )
        has_seed = any(override.startswith("seed=") for override in self.overrides)
        if self.array is not None and has_seed:
            raise InputError(
                "seed: not allowed with --array, which gives every run its own; leave one of the"
                " two out"
            )

        if self.ntasks_per_node < self.gpus_per_node:
            raise InputError(
                f"--gpus-per-node: {self.gpus_per_node} is not allowed with"
                f" {counted(self.ntasks_per_node, 'rank')} a node: every GPU needs a rank;"
                " allowed: at most --ntasks-per-node"
            )

        texts = {
            "--time": self.time,
            "--mem": self.memory,
            "--partition": self.partition,
            "--account": self.account,
        }
        for option, text in texts.items():
            if text is not None and not re.fullmatch(r"[\w.,:%+-]+", text):
                raise InputError(
                    f"{option}: {text!r} is not allowed; allowed: letters, digits and . , : + - _"
                )

    @property
    def folder(self) -> str:
        """The run directory as the script writes it: one for every seed of an array."""
        base = shlex.quote(self.resume or f"runs/{self.name}")
        return f'{base}-seed"$SLURM_ARRAY_TASK_ID"' if self.array is not None else base


def time_seconds(text: str) -> int:
    """Return the seconds of a time limit as sbatch reads it. Raises InputError.

    The forms are minutes, m:s, h:m:s, d-h, d-h:m and d-h:m:s.
    """
    match = TIME.fullmatch(text)
    if match is None:
        raise InputError(
            f"--time: {text!r} is not allowed; allowed: minutes, or a time such as 4:00:00 or"
            " 2-12:00:00"
        )

    numbers = {name: int(value or 0) for name, value in match.groupdict().items()}
    hours = 24 * numbers["d"] + numbers["dh"] + numbers["h"]
    minutes = numbers["dm"] + numbers["m"] + numbers["only"]
    return 3600 * hours + 60 * minutes + numbers["ds"] + numbers["s"]


def script(request: Request) -> str:
    """Return the batch script, ready for sbatch."""
    blocks = [_options(request), _surroundings(request), _run(request), _end(request)]
    return "\n".join(line for block in blocks for line in [*block, ""]).rstrip("\n") + "\n"


def _options(request: Request) -> list[str]:
    """Return the #SBATCH lines."""
    options: dict[str, str | int | None] = {
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
        *(f"#SBATCH --{name}={value}" for name, value in options.items() if value is not None),
        "#SBATCH --requeue" if request.requeue else "#SBATCH --no-requeue",
        "",
        "set -euo pipefail",
    ]


def _surroundings(request: Request) -> list[str]:
    """Return the lines that load modules, activate the environment and set binding and threads."""
    modules = [f"module load {shlex.quote(name)}" for name in request.modules] or [
        "# module load openmpi"
    ]
    return [
        "# The site's MPI, where mpifl's environment has none of its own, and that environment.",
        *modules,
        f"source {shlex.quote(request.activate)}",
        "",
        "# Every rank on cores of its own, memory beside them. Only where this job sees just the"
        " cores it was given: jobs",
        "# that share a node and see all of it would be bound to the same ones. (nproc takes"
        " OMP_NUM_THREADS for cores.)",
        'if [ "$(env -u OMP_NUM_THREADS nproc)" -eq "$SLURM_CPUS_ON_NODE" ]; then',
        '    export PRTE_MCA_rmaps_default_mapping_policy="slot:PE=$SLURM_CPUS_PER_TASK:HWTCPUS"',
        "    export PRTE_MCA_hwloc_default_binding_policy=hwthread",
        "else",
        "    export PRTE_MCA_hwloc_default_binding_policy=none",
        "fi",
        "",
        "# Threads of a rank: the job's training.threads, on which the bits depend."
        " (OMP_PROC_BIND would bind twice.)",
        f"export OMP_NUM_THREADS={request.threads}",
        *(_gpu_note(request) if request.gpus_per_node else []),
    ]


def _gpu_note(request: Request) -> list[str]:
    ranks = counted(-(-request.ntasks_per_node // request.gpus_per_node), "rank")
    return ["", f"# {ranks} to a GPU: each sees one of the node's, by its rank on the node."]


def _run(request: Request) -> list[str]:
    """Return the lines that start the run and pass Slurm's warning on to it."""
    seed = ['seed="$SLURM_ARRAY_TASK_ID"'] if request.array is not None else []
    arguments = " ".join(
        [shlex.quote(request.job), *(shlex.quote(text) for text in request.overrides), *seed]
    )
    return [
        "# The run directory: made when it does not exist, resumed when it does.",
        f"run={request.folder}",
        'echo "$(date -Is) job $SLURM_JOB_ID on $SLURM_JOB_NODELIST,'
        ' start $((${SLURM_RESTART_COUNT:-0} + 1)): $run"',
        "",
        f"# Slurm's warning, {request.warning_seconds} s before the limit: mpirun passes it on,"
        " and the run ends after its",
        f"# round with a checkpoint and status {INTERRUPTED}. The trap is set before anything is"
        " started: without it",
        "# the warning would end bash.",
        f"status={INTERRUPTED} launched= warned=",
        'warn() { warned=yes; [ -z "$launched" ] || kill -USR1 "$launched" || true; }',
        "trap warn USR1",
        'if [ -z "$warned" ]; then',
        f'    mpifl run -n "$SLURM_NTASKS" {arguments} --resume "$run" &',
        "    launched=$!",
        "    status=0",
        '    wait "$launched" || status=$?',
        "    # The trap interrupts wait; only the next wait returns mpirun's status.",
        '    while kill -0 "$launched" 2>/dev/null; do'
        ' status=0; wait "$launched" || status=$?; done',
        "fi",
    ]


def _end(request: Request) -> list[str]:
    """Return the lines after the run: requeue a stopped run, or say how to resume it."""
    requeue = [
        '    echo "$(date -Is) stopped with status $status: requeued"',
        '    scontrol requeue "$SLURM_JOB_ID"',
    ]
    message = [
        '    echo "$(date -Is) stopped with status $status: submit this script again to go on"'
    ]
    return [
        f"# {SIGNALLED}: the warning came before the ranks handled signals.",
        f'if [ "$status" -eq {INTERRUPTED} ] || [ "$status" -eq {SIGNALLED} ]; then',
        *(requeue if request.requeue else message),
        "fi",
        'exit "$status"',
    ]
