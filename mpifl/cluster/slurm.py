"""What is requested from Slurm for a run, an array of seeds or a sweep, and what is allowed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal

from mpifl.errors import InputError, counted

TIME = re.compile(
    r"(?:(?P<d>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?:(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+))|(?P<only>\d+))"
)
ARRAY = re.compile(r"\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*(%\d+)?")
WORD = re.compile(r"[\w.,:%+-]+")
CONSTRAINT = re.compile(r"[\w.,:%+|&*()\[\]-]+")
OPTION = re.compile(r"--([a-z][a-z0-9-]*)(=.*)?")
OWN_OPTIONS = (
    *("nodes", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "mem", "time", "array"),
    *("partition", "account", "qos", "gres", "constraint", "exclusive", "requeue", "no-requeue"),
    "signal",
)
"""Options of sbatch that have a way of their own to be asked for."""

Launcher = Literal["mpirun", "srun"]


@dataclass(frozen=True)
class Request:
    """A run, and what is requested from Slurm; fields without a description are sbatch's options.

    Raises InputError for values that are not allowed.

    Attributes:
        job: A job file, or the name of a shipped job; or the folder of a Flower app.
        name: The name of the job.
        threads: Its training.threads.
        overrides: ``section.key=value`` texts; options of a Flower app.
        time: The time limit as sbatch takes it.
        array: The seeds, one run each; of a sweep, which of its runs.
        requeue: Whether a stopped run is put back into the queue.
        memory: The memory of a node.
        warning_seconds: How long before the limit the run is told to end after its round. No round
            may take longer.
        resume: The run directory; None for runs/NAME. Of a sweep, its folder.
        modules: The environment modules that are loaded first.
        activate: The file that is sourced after that.
        made_by: The command line that made the script, as a comment in it.
        sweep: What follows ``mpifl sweep JOB``, to run a sweep; None for a single job.
        runs: How many runs the sweep has.
        extra: Options that sbatch gets as they are.
        launcher: What starts the ranks.
        image: An Apptainer image with mpifl, used in place of ``activate``.
        flower: Whether it is a Flower app.
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
    sweep: tuple[str, ...] | None = None
    runs: int = 0
    qos: str | None = None
    gres: str | None = None
    constraint: str | None = None
    exclusive: bool = False
    extra: tuple[str, ...] = ()
    launcher: Launcher = "mpirun"
    image: str | None = None
    flower: bool = False

    def __post_init__(self) -> None:
        self._check_time()
        self._check_array()
        self._check_words()
        self._check_extra()
        self._check_folder()

        if self.ntasks_per_node < self.gpus_per_node:
            raise InputError(
                f"--gpus-per-node: {self.gpus_per_node} is not allowed with"
                f" {counted(self.ntasks_per_node, 'rank')} a node: every GPU needs a rank;"
                " allowed: at most --ntasks-per-node"
            )
        if self.image is not None and self.launcher == "mpirun" and self.nodes > 1:
            raise InputError(
                f"--image: not allowed with {counted(self.nodes, 'node')} and --launcher mpirun,"
                " which runs within the image and starts ranks on its own node alone; allowed:"
                " --launcher srun"
            )

    def _check_time(self) -> None:
        if time_seconds(self.time) <= self.warning_seconds:
            raise InputError(
                f"--time: {self.time} is not allowed: the warning comes {self.warning_seconds} s"
                " before its end, so the run would be told to end as it begins; allowed: more,"
                " or a smaller --warning-seconds"
            )

    def _check_array(self) -> None:
        if self.array is None:
            return
        if not ARRAY.fullmatch(self.array):
            raise InputError(
                f"--array: {self.array!r} is not allowed; allowed: seeds such as 1-5, 1,3,7 or"
                " 1-20%4 (four at a time)"
            )
        listed = re.sub(r":\d+|%\d+", "", self.array)
        numbers = [int(number) for number in re.split("[,-]", listed)]
        if self.sweep is not None and not 1 <= min(numbers) <= max(numbers) <= self.runs:
            raise InputError(
                f"--array: {self.array!r} is not allowed: the sweep has runs 1 to {self.runs};"
                " allowed: those"
            )
        words = ("--seed",) if self.flower else ("seed=",)
        has_seed = any(override.startswith(words) for override in self.overrides)
        if has_seed and self.sweep is None:
            raise InputError(
                "seed: not allowed with --array, which gives every run its own; leave one of the"
                " two out"
            )

    def _check_words(self) -> None:
        texts = {
            "--time": self.time,
            "--mem": self.memory,
            "--partition": self.partition,
            "--account": self.account,
            "--qos": self.qos,
            "--gres": self.gres,
        }
        for option, text in texts.items():
            if text is not None and not WORD.fullmatch(text):
                raise InputError(
                    f"{option}: {text!r} is not allowed; allowed: letters, digits and . , : % + - _"
                )
        if self.constraint is not None and not CONSTRAINT.fullmatch(self.constraint):
            raise InputError(
                f"--constraint: {self.constraint!r} is not allowed; allowed: letters, digits and"
                " . , : % + - _ | & * ( ) [ ]"
            )

    def _check_extra(self) -> None:
        for text in self.extra:
            found = OPTION.fullmatch(text)
            if found is None or not text.isprintable():
                raise InputError(
                    f"--sbatch: {text!r} is not allowed; allowed: one option of sbatch in one line,"
                    " such as --mail-type=END"
                )
            if found.group(1) in OWN_OPTIONS:
                raise InputError(
                    f"--sbatch: {text!r} is not allowed: `mpifl slurm` writes --{found.group(1)};"
                    " see `mpifl slurm --help` for its option"
                )

    def _check_folder(self) -> None:
        """Refuse options of a Flower app that name a run directory: the script names it."""
        for text in self.overrides if self.flower else ():
            option = text.partition("=")[0]
            if len(option) > 2 and any(own.startswith(option) for own in ("--out", "--resume")):
                raise InputError(
                    f"{option}: not allowed behind --: the script names the run directory itself;"
                    " allowed: --resume before it"
                )

    @property
    def folder(self) -> str:
        """The run directory as the script writes it; one for every seed of an array.

        Of a sweep it is that of the sweep.
        """
        if self.sweep is not None:
            return shlex.quote(self.resume or f"sweeps/{self.name}")
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
