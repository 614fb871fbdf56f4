"""The sections of a job. A field's description is for users: docs and error messages show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mpifl.job.plug_in import PlugIn
from mpifl.job.quantiles import Quantiles
from mpifl.job.schedule import Schedule
from mpifl.job.section import Section

if TYPE_CHECKING:
    # For the type checker alone: a component's class is found by its name when a job is read, and
    # may import torch, which reading a job does not.
    from mpifl.algorithms.algorithm import Algorithm
    from mpifl.clock.policy import RoundPolicy
    from mpifl.datasets.partitioners.natural import Natural
    from mpifl.datasets.partitioners.partitioner import Partitioner
    from mpifl.models.model import Model
    from mpifl.optimizers.optimizer import Optimizer
    from mpifl.selection.selection import Selection
    from mpifl.transforms.transform import Transform
else:
    Algorithm = Model = Natural = Optimizer = Partitioner = RoundPolicy = Any
    Selection = Transform = Any

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A number that the round protocol holds in 32 bits."""

LARGEST_POPULATION = 10**12


def _default(**section: str) -> Any:
    """Return the default of a component: what a job file would say."""
    return section


class Split(Section):
    """What is held back from training.

    A part with a share above 0 replaces the part of that name in the data set.
    """

    by: Literal["published", "clients", "samples"] = Field(
        "published",
        description="keep the parts of the data set, or hold out whole clients, or a share of each"
        " client's samples",
    )
    validation: float = Field(0.0, ge=0, lt=1, description="share held out for validation, rounded")
    test: float = Field(0.0, ge=0, lt=1, description="share held out for the test, rounded")
    seed: int = Field(
        0, ge=0, description="seed of the split; the split is made after the partition"
    )

    @model_validator(mode="after")
    def _shares(self) -> Split:
        if self.by == "published" and (self.validation or self.test):
            raise ValueError("shares need by: clients or by: samples")
        if self.by != "published" and not 0 < self.validation + self.test < 1:
            raise ValueError("validation and test together must be more than 0 and less than 1")
        return self


class Data(Section):
    """The data set, and how its samples are dealt to clients."""

    name: str = Field(
        "digits", description="`digits` (embedded), the path of a data set in HDF5, or `sizes`"
    )
    samples_per_client: Quantiles | None = Field(
        None, description="with data.name sizes: how many each client has"
    )
    partition: Partitioner | Natural = Field(
        _default(name="natural"),
        description="how samples become clients; natural keeps the file's clients",
    )
    split: Split = Split()


class Population(Section):
    """The clients and their devices."""

    clients: int | None = Field(
        None,
        ge=1,
        le=LARGEST_POPULATION,
        description="number of clients; default: those of the data set; client c has the data of"
        " client c mod their number",
    )
    trace: str = Field(
        "phones",
        description="a recipe in traces/, a recipe file (.yaml), or a device trace in HDF5",
    )
    phones: Count | None = Field(
        None,
        description="with a recipe: how many phones are drawn from its distributions; default: the"
        " recipe's number",
    )
    devices: str = Field(
        "permuted",
        description="which device and which availability of the trace a client has: `permuted`"
        " (dealt by the seed), `by_name` (those of its name), or a CSV table",
    )
    memory_mb: float | None = Field(
        None,
        gt=0,
        description="memory that a participant needs, MB; clients of devices with less are never"
        " online; needs a trace with `memory_mb`",
    )
    merge_gaps_seconds: float | None = Field(
        None,
        ge=0,
        description="join online times of a device that are at most so many seconds apart",
    )


class Training(Section):
    """The local work of a client: minibatch SGD."""

    engine: Literal["auto", "loop", "stacked", "none"] = Field(
        "auto",
        description="one client at a time, or several as one computation; none: time rounds only",
    )
    stack: Count | None = Field(
        None, description="clients of a stack, with engine `stacked`; default: by the model"
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where models are trained and tested; a GPU gives other bits"
    )
    batch_size: Count = Field(
        20, description="samples of an SGD step; the last batch of an epoch may be smaller"
    )
    drop_last: Literal[True, False, "auto"] = Field(
        "auto",
        description="drop the last batch of an epoch when it is smaller; `auto`: only for models"
        " with batch norm",
    )
    epochs: Count | None = Field(
        None, description="passes over the client's samples; 1 when local_steps is not given"
    )
    local_steps: Count | None = Field(None, description="SGD steps instead of epochs")
    lr: float = Field(0.05, gt=0, description="client learning rate")
    lr_decay: float = Field(
        1.0, gt=0, le=1, description="factor on lr from one local step to the next"
    )
    schedule: Schedule = Field(Schedule(), description="how lr changes from round to round")
    optimizer: Optimizer = Field(
        _default(name="sgd"), description="how a local step follows from a gradient"
    )
    transform: Transform = Field(
        _default(name="none"), description="a random change of minibatches"
    )
    early_stop: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="a client stops after an epoch whose mean training loss is not below that of"
        " the epoch before by more than this share; needs clock.costs: measured",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a target that is spread evenly over all classes"
    )
    clip_value: float | None = Field(
        None, gt=0, description="clip each entry of a gradient to at most this size"
    )
    clip_norm: float | None = Field(
        None, gt=0, description="scale a gradient down to at most this Euclidean norm"
    )
    batch_norm: Literal["average", "local", "recompute"] = Field(
        "average",
        description="running statistics of batch norm: averaged over participants, kept by each"
        " client for its own training and test, or recomputed by the server on the validation part",
    )
    threads: Count = Field(1, description="torch threads a rank; another number gives other bits")

    @property
    def drops_last(self) -> bool:
        """Whether last batches are left out, once ``drop_last`` is settled; false for auto."""
        return self.drop_last is True

    @model_validator(mode="before")
    @classmethod
    def _epochs_or_steps(cls, raw: Any) -> Any:
        """Refuse epochs together with local_steps; without both set one epoch."""
        if isinstance(raw, dict):
            if raw.get("epochs") is not None and raw.get("local_steps") is not None:
                raise ValueError("give epochs or local_steps, not both")
            if raw.get("epochs") is None and raw.get("local_steps") is None:
                return {**raw, "epochs": 1}
        return raw


class Evaluation(Section):
    """When and on what the global model is tested; always after the last round."""

    every: Count = Field(1, description="rounds from one evaluation to the next")
    batch_size: Count = Field(500, description="test samples that a rank takes at a time")
    part: Literal["test", "validation"] = Field(
        "test", description="the part of the data set that is used"
    )
    per_client: bool = Field(
        False,
        description="also score each client of that part: mean, worst decile, the table /clients",
    )
    personal: bool = Field(
        False,
        description="also score each client with its own model (`algorithm`) on its own samples of"
        " that part",
    )
    personal_clients: Count | None = Field(
        None, description="with `personal`: how many clients, always the same; default: all"
    )
    fine_tune_steps: Count | None = Field(
        None,
        description="with `personal`: local steps that each client takes from its model first",
    )

    @property
    def by_client(self) -> bool:
        """Whether single clients are scored."""
        return self.per_client or self.personal

    @model_validator(mode="after")
    def _personal(self) -> Evaluation:
        if self.personal and self.per_client:
            raise ValueError("give per_client or personal, not both")
        if not self.personal and (self.personal_clients or self.fine_tune_steps):
            raise ValueError("personal_clients and fine_tune_steps need personal: true")
        return self


class Record(Section):
    """Which participants are recorded in run.h5."""

    participants: Literal["all", "sample", "none"] = Field(
        "all", description="who has rows in /participants"
    )
    sample_share: float = Field(
        0.01, gt=0, le=1, description="share of the clients kept with sample, always the same ones"
    )


class Checkpoint(Section):
    """How often a run saves the state from which it can be resumed."""

    every: Count = Field(10, description="rounds from one checkpoint to the next")
    keep: Count = Field(2, description="number of checkpoints that are kept")


class Runtime(Section):
    """What happens when something fails during a run."""

    on_client_error: Literal["abort", "drop"] = Field(
        "abort",
        description="when the training of a client fails: end the run, or go on without the client",
    )
    round_timeout: float | None = Field(
        None,
        gt=0,
        description="seconds without a message from a rank that end the run; default: no limit",
    )
    require_same_processors: bool = Field(
        False,
        description="refuse ranks with other processors, libraries or settings: bits may differ",
    )


class Job(Section):
    """A whole experiment.

    Model, selection, clock and algorithm are components: ``mpifl.job.component`` finds their
    classes.
    ``plug_ins`` are the sources of those that are not mpifl's, by the key that names them, such as
    ``algorithm.name``.
    """

    plug_ins: ClassVar[Mapping[str, PlugIn]] = {}

    name: str = Field(
        "job", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run directory"
    )
    seed: int = Field(0, ge=0, description="seed of everything random but the partition")
    rounds: Count = Field(..., description="number of server updates")
    data: Data = Data()
    population: Population = Population()
    model: Model = Field(..., description="what is trained")
    training: Training = Field(default_factory=lambda: Training.model_validate({}))
    selection: Selection = Field(..., description="whom to ask")
    clock: RoundPolicy = Field(_default(mode="sync"), description="when a round ends")
    algorithm: Algorithm = Field(
        _default(name="fedavg"),
        description="what clients compute, what is summed, and the server's step",
    )
    evaluation: Evaluation = Evaluation()
    record: Record = Record()
    checkpoint: Checkpoint = Checkpoint()
    runtime: Runtime = Runtime()
