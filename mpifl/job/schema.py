"""The sections of a job. A field's description is for users: docs and error messages show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mpifl.job.evaluation import Evaluation
from mpifl.job.outages import Outages
from mpifl.job.plug_in import PlugIn
from mpifl.job.quantiles import Quantiles
from mpifl.job.recorded_updates import RecordedUpdates
from mpifl.job.runtime import Checkpoint, Runtime
from mpifl.job.schedule import Schedule
from mpifl.job.section import NAME, Count, Section
from mpifl.job.split import Split
from mpifl.job.stop import Stop

if TYPE_CHECKING:
    # For the type checker alone: a component's class is found by its name when a job is read, and
    # may import torch, which reading a job does not.
    from mpifl.aggregation.aggregation import Aggregation
    from mpifl.algorithms.algorithm import Algorithm
    from mpifl.attacks.attack import Attack
    from mpifl.clock.policy import RoundPolicy
    from mpifl.contribution.contribution import Contribution
    from mpifl.datasets.partitioners.natural import Natural
    from mpifl.datasets.partitioners.partitioner import Partitioner
    from mpifl.exchange.stage import Stage
    from mpifl.models.model import Model
    from mpifl.objectives.objective import Objective
    from mpifl.optimizers.optimizer import Optimizer
    from mpifl.privacy.privacy import Privacy
    from mpifl.protocols.protocol import Protocol
    from mpifl.record.loggers.logger import Logger
    from mpifl.secure_aggregation.secure_aggregation import SecureAggregation
    from mpifl.selection.selection import Selection
    from mpifl.transforms.transform import Transform
else:
    Aggregation = Algorithm = Attack = Contribution = Logger = Model = Natural = Objective = (
        Optimizer
    ) = Any
    Partitioner = Privacy = Protocol = RoundPolicy = Any
    SecureAggregation = Selection = Stage = Transform = Any

LARGEST_POPULATION = 10**12


def _default(**section: str) -> Any:
    """Return the default of a component: what a job file would say."""
    return section


class Data(Section):
    """The data set, and how its samples are dealt to clients."""

    name: str = Field(
        "digits",
        description="`digits` or `cartpole` (embedded), the path of a data set in HDF5, or `sizes`",
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
    outages: Outages = Outages()


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


class Exchange(Section):
    """What happens to an update or a model on its way: stages, the first one first."""

    up: tuple[Stage, ...] = Field((), description="what clients do to what they upload: a list")
    down: tuple[Stage, ...] = Field(
        (), description="what the server does to what participants receive: a list"
    )
    delta: bool = Field(
        False, description="down, send what has changed since the model that a client has already"
    )


class Record(Section):
    """Which participants are recorded in run.h5, and where else the rounds are logged."""

    participants: Literal["all", "sample", "none"] = Field(
        "all", description="who has rows in /participants"
    )
    sample_share: float = Field(
        0.01, gt=0, le=1, description="share of the clients kept with sample, always the same ones"
    )
    loggers: tuple[Logger, ...] = Field(
        (), description="what is told of each round's row while the run goes on: a list"
    )
    updates: RecordedUpdates | None = Field(None, description="updates that the run keeps")


class Job(Section):
    """A whole experiment.

    Model, selection, clock and algorithm are components: ``mpifl.job.component`` finds their
    classes.
    ``plug_ins`` are the sources of those that are not mpifl's, by the key that names them, such as
    ``algorithm.name``.
    """

    plug_ins: ClassVar[Mapping[str, PlugIn]] = {}

    name: str = Field("job", pattern=NAME, description="names the run directory")
    seed: int = Field(0, ge=0, description="seed of everything random but the partition")
    rounds: Count = Field(..., description="number of server updates")
    data: Data = Data()
    population: Population = Population()
    model: Model = Field(..., description="what is trained")
    objective: Objective = Field(
        _default(name="auto"), description="the loss that is trained, and the scores of a test"
    )
    protocol: Protocol = Field(
        _default(name="rounds"), description="who trains with whom, and what they send each other"
    )
    training: Training = Field(default_factory=lambda: Training.model_validate({}))
    selection: Selection = Field(..., description="whom to ask")
    clock: RoundPolicy = Field(_default(mode="sync"), description="when a round ends")
    algorithm: Algorithm = Field(
        _default(name="fedavg"),
        description="what clients compute, what is summed, and the server's step",
    )
    aggregation: Aggregation = Field(
        _default(name="mean"), description="how the updates of a round become one"
    )
    exchange: Exchange = Exchange()
    secure_aggregation: SecureAggregation = Field(
        _default(name="none"), description="how the server learns the sum of updates alone"
    )
    privacy: Privacy = Field(
        _default(name="none"), description="what bounds and hides a client's part in the model"
    )
    contribution: Contribution = Field(
        _default(name="none"), description="how much each participant's update was worth"
    )
    attacks: tuple[Attack, ...] = Field(
        (), description="clients that attack the model, and how: a list"
    )
    evaluation: Evaluation = Evaluation()
    stop: Stop = Stop()
    record: Record = Record()
    checkpoint: Checkpoint = Checkpoint()
    runtime: Runtime = Runtime()
