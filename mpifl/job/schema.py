"""The sections of a job. A field's description is what the docs and the error messages say of it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from mpifl.job.section import Section


class Data(Section):
    """What the clients hold."""

    name: str = Field("digits", description="`digits` (embedded) or the path of a data set in HDF5")
    partition: Any = Field({"name": "natural"}, description="how samples become clients; natural keeps the file's clients")


class Population(Section):
    """Who the clients are."""

    clients: int | None = Field(None, ge=1, description="how many; default: as many as the data has")
    trace: str = Field("phones", description="a recipe in traces/, a recipe file (.yaml) or a device trace in HDF5")
    merge_gaps_seconds: float | None = Field(None, ge=0, description="join slots no farther apart than this")


class Training(Section):
    """One client's local work: minibatch SGD."""

    batch_size: int = Field(20, ge=1, description="samples a step; a client's last batch of an epoch may be smaller")
    epochs: int | None = Field(None, ge=1, description="passes over the client's samples; 1 when local_steps is not given")
    local_steps: int | None = Field(None, ge=1, description="SGD steps instead of epochs")
    lr: float = Field(0.05, gt=0, description="client learning rate")
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    threads: int = Field(1, ge=1, description="torch threads a rank; another number gives other bits")

    @model_validator(mode="before")
    @classmethod
    def _epochs_or_steps(cls, raw: Any) -> Any:
        """One epoch unless told otherwise; never both."""
        if isinstance(raw, dict):
            if raw.get("epochs") is not None and raw.get("local_steps") is not None:
                raise ValueError("give epochs or local_steps, not both")
            if raw.get("epochs") is None and raw.get("local_steps") is None:
                return {**raw, "epochs": 1}
        return raw


class Evaluation(Section):
    """When the global model is tested on the data set's test part, always after the last round."""

    every: int = Field(1, ge=1, description="rounds between evaluations")
    batch_size: int = Field(500, ge=1, description="test samples of one shard, the unit that a rank takes")


class Job(Section):
    """A whole experiment. The sections typed Any are components: ``mpifl.job.component`` finds their classes."""

    name: str = Field("job", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run directory")
    seed: int = Field(0, ge=0)
    rounds: int = Field(..., ge=1)
    data: Data = Data()
    population: Population = Population()
    model: Any = Field(...)
    training: Training = Field(default_factory=lambda: Training.model_validate({}))
    selection: Any = Field(...)
    clock: Any = Field({"mode": "sync"})
    algorithm: Any = Field({"name": "fedavg"})
    evaluation: Evaluation = Evaluation()
