"""The sections of a job. docs/reference.md is made from the fields: types, defaults, ranges and descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mpifl.job.plug_in import PlugIn
from mpifl.job.quantiles import Quantiles
from mpifl.job.section import Section

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A number of things that the round protocol holds in 32 bits."""

LARGEST_POPULATION = 10**12


class Split(Section):
    """Which samples are held out for validation and test. A share above 0 replaces the part that the data came with."""

    by: Literal["published", "clients", "samples"] = Field(
        "published",
        description="keep the parts of the data set, or hold out whole clients, or a share of each client's samples",
    )
    validation: float = Field(0.0, ge=0, lt=1, description="share held out for validation, rounded")
    test: float = Field(0.0, ge=0, lt=1, description="share held out for the test, rounded")
    seed: int = Field(0, ge=0, description="seed of the split; the split is made after the partition")

    @model_validator(mode="after")
    def _shares(self) -> Split:
        if self.by == "published" and (self.validation or self.test):
            raise ValueError("shares need by: clients or by: samples")
        if self.by != "published" and not 0 < self.validation + self.test < 1:
            raise ValueError("validation and test together are to be more than 0 and less than 1")
        return self


class Data(Section):
    """The data set and how its samples are dealt to clients."""

    name: str = Field("digits", description="`digits` (embedded), the path of a data set in HDF5, or `sizes` (no samples)")
    samples_per_client: Quantiles | None = Field(
        None, description="with `data.name: sizes`: quantiles of the samples of a client"
    )
    partition: Any = Field(
        {"name": "natural"}, description="how samples are dealt to clients; `natural` keeps the clients of the data set"
    )
    split: Split = Split()


class Population(Section):
    """The clients and their devices."""

    clients: int | None = Field(
        None,
        ge=1,
        le=LARGEST_POPULATION,
        description="number of clients; default: those of the data set; client c has the data of client c mod their number",
    )
    trace: str = Field("phones", description="a recipe in traces/, a recipe file (.yaml), or a device trace in HDF5")
    merge_gaps_seconds: float | None = Field(
        None, ge=0, description="join online times of a device that are at most so many seconds apart"
    )


class Training(Section):
    """The local training of a client: minibatch SGD."""

    engine: Literal["auto", "loop", "stacked", "none"] = Field(
        "auto",
        description="`loop`: one client at a time; `stacked`: several as one computation; `auto`: the faster one;"
        " `none`: no training, only times",
    )
    stack: Count | None = Field(None, description="clients of a stack, with engine `stacked`; default: by the model")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where models are trained and tested; a GPU gives other bits")
    batch_size: Count = Field(20, description="samples of an SGD step; the last batch of an epoch may be smaller")
    drop_last: Literal[True, False, "auto"] = Field(
        "auto", description="drop the last batch of an epoch when it is smaller; `auto`: only for models with batch norm"
    )
    epochs: Count | None = Field(
        None, description="passes over the client's samples; default: 1, if `local_steps` is not given"
    )
    local_steps: Count | None = Field(None, description="SGD steps, instead of epochs")
    lr: float = Field(0.05, gt=0, description="learning rate of the clients")
    momentum: float = Field(0.0, ge=0, lt=1, description="as in torch.optim.SGD; fresh for every participant")
    weight_decay: float = Field(0.0, ge=0, description="as in torch.optim.SGD")
    threads: Count = Field(1, description="torch threads of a rank; another number gives other bits")

    @property
    def plain(self) -> bool:
        """Whether a step is weights -= lr gradient."""
        return not self.momentum and not self.weight_decay

    @property
    def drops_last(self) -> bool:
        """drop_last, once it is settled; auto is no by itself."""
        return self.drop_last is True

    @model_validator(mode="before")
    @classmethod
    def _epochs_or_steps(cls, raw: Any) -> Any:
        """Set one epoch when neither is given; refuse both."""
        if isinstance(raw, dict):
            if raw.get("epochs") is not None and raw.get("local_steps") is not None:
                raise ValueError("give epochs or local_steps, not both")
            if raw.get("epochs") is None and raw.get("local_steps") is None:
                return {**raw, "epochs": 1}
        return raw


class Evaluation(Section):
    """When the global model is tested, and on which data. It is always tested after the last round."""

    every: Count = Field(1, description="rounds from one evaluation to the next")
    batch_size: Count = Field(500, description="test samples that a rank takes at a time")
    part: Literal["test", "validation"] = Field("test", description="the part of the data set that is used")
    per_client: bool = Field(
        False, description="also score each client of that part: mean, worst decile, and the table /clients"
    )


class Record(Section):
    """Which participants have a row in run.h5."""

    participants: Literal["all", "sample", "none"] = Field("all", description="participants with a row in /participants")
    sample_share: float = Field(
        0.01, gt=0, le=1, description="share of the clients that `sample` keeps, the same ones in every round"
    )


class Checkpoint(Section):
    """When a run writes a checkpoint, from which it can be resumed."""

    every: Count = Field(10, description="rounds from one checkpoint to the next")
    keep: Count = Field(2, description="number of checkpoints that are kept")


class Runtime(Section):
    """What to do when something fails during a run."""

    on_client_error: Literal["abort", "drop"] = Field(
        "abort", description="when the training of a client fails: end the run, or go on without the client"
    )
    round_timeout: float | None = Field(
        None, gt=0, description="seconds without a message from a rank after which the run ends; default: no limit"
    )
    require_same_processors: bool = Field(
        False,
        description="refuse ranks whose processors, libraries or settings differ, which may change bits;"
        " also a resume on others",
    )


class Job(Section):
    """A whole experiment. The sections typed Any are components: ``mpifl.job.component`` finds their classes.

    ``plug_ins`` are the sources of those that are not mpifl's, by the key that names them (``algorithm.name``).
    """

    plug_ins: ClassVar[Mapping[str, PlugIn]] = {}

    name: str = Field("job", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the run; it names the run directory")
    seed: int = Field(0, ge=0, description="seed of everything random but partition and split")
    rounds: Count = Field(..., description="number of rounds: updates of the global model")
    data: Data = Data()
    population: Population = Population()
    model: Any = Field(..., description="the model that is trained")
    training: Training = Field(default_factory=lambda: Training.model_validate({}))
    selection: Any = Field(..., description="the selection rule: which clients are asked")
    clock: Any = Field({"mode": "sync"}, description="the round policy: when a round ends, and whose updates count")
    algorithm: Any = Field({"name": "fedavg"}, description="the federated algorithm: what clients compute, and the server step")
    evaluation: Evaluation = Evaluation()
    record: Record = Record()
    checkpoint: Checkpoint = Checkpoint()
    runtime: Runtime = Runtime()
