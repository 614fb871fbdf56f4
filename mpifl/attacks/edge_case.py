"""A backdoor on rare samples: inputs from the tail of the data get the attacker's label."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from mpifl.attacks.attack import Attack, Attacker
from mpifl.attacks.classes import check_classes, with_target
from mpifl.attacks.rare import Rare, rare_of_class, rare_of_file
from mpifl.errors import InputError
from mpifl.io.verified import bytes_sha256

if TYPE_CHECKING:
    import torch

    from mpifl.datasets.dataset import Dataset


class EdgeCase(Attack):
    """An attack: an edge-case backdoor (Wang et al., "Attack of the Tails", NeurIPS 2020).

    The first ``poisoned`` share of each minibatch is replaced by rare samples, drawn anew each
    time, with the label ``target``. The update is scaled down to the norm ``norm`` where it is
    longer (the projection of the paper's PGD attack, made once, at the end) and sent ``factor``
    times over (its model replacement).

    Rare are the samples of a data set of their own, the file ``samples``; or, of the class
    ``source``, the share ``rarest`` of samples that are farthest from the mean of the class in the
    train part (Euclidean distance of the features): the least likely ones under an isotropic normal
    distribution. Attackers have all of the train part, whoever's they are. The attack succeeds on a
    rare sample of the tested part when the model gives it ``target``; of a file that is its test
    part, as far as the job's data set has as many test samples.
    """

    name: str = "edge_case"
    target: int = Field(..., ge=0, description="the label of rare samples")
    samples: str | None = Field(
        None, description="a data set in HDF5 whose samples are the rare ones"
    )
    content: str | None = Field(
        None, description="SHA-256 of that file; the run fills it in, and refuses another file"
    )
    source: int | None = Field(None, ge=0, description="instead: a class, whose tail is rare")
    rarest: float = Field(0.1, gt=0, le=1, description="share of the class that is rare")
    poisoned: float = Field(0.5, gt=0, le=1, description="share of a minibatch that is replaced")
    norm: float | None = Field(None, gt=0, description="the longest update before `factor`")
    factor: float = Field(1.0, gt=0, description="how many times the update is sent")
    _rare: Rare | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _file_or_class(self) -> EdgeCase:
        if (self.samples is None) == (self.source is None):
            raise ValueError("say which samples are rare: samples or source, one of them")
        if self.source is not None and self.source == self.target:
            raise ValueError("source and target have to be two classes")
        if self.source is None and self.rarest != type(self).model_fields["rarest"].default:
            raise ValueError("rarest is of a source: of a file all samples are rare")
        if self.source is not None and self.content is not None:
            raise ValueError("content is of the file samples")
        return self

    def check(self, data: Dataset) -> None:
        check_classes(self.name, data, {"target": self.target, "source": self.source})
        self._found(data)

    def resolved(self) -> Attack:
        if self.samples is None:
            return self
        path = Path(self.samples).resolve()
        # A run that is resumed has the hash already, and ``check`` compares it with the file.
        content = self.content or _sha256(path)
        return self.model_copy(update={"samples": str(path), "content": content})

    def bound(self, data: Dataset) -> Attack:
        bound = self.model_copy()
        bound._rare = self._found(data)
        return bound

    def poison(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        assert self._rare is not None
        count = math.ceil(self.poisoned * len(x))
        drawn = random.integers(len(self._rare.train), size=count)
        x[:count] = torch.from_numpy(self._rare.train[drawn]).to(x)
        y[:count] = self.target
        return x, y

    def labels(self, y: np.ndarray, classes: int) -> np.ndarray:
        return with_target(y, self.target, self.poisoned)

    def change(self, update: torch.Tensor, attacker: Attacker) -> torch.Tensor:
        length = float(update.double().norm())
        bound = 1.0 if self.norm is None else min(1.0, self.norm / max(length, 1e-30))
        return update * (self.factor * bound)

    def aim(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, first: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        assert self._rare is not None
        if self._rare.test is not None:
            shown = torch.from_numpy(self._rare.test[first : first + len(x)]).to(x)
        else:
            own = y == self.source
            far = self._rare.is_far(x[own].cpu().numpy())
            shown = x[own][torch.from_numpy(far).to(x.device)]
        return shown, torch.full((len(shown),), self.target, dtype=y.dtype, device=y.device)

    def _found(self, data: Dataset) -> Rare:
        """Return the rare samples. Raises InputError where there are none, or a wrong file."""
        if self.source is not None:
            return rare_of_class(data, self.source, self.rarest)
        path = Path(str(self.samples))
        if self.content not in (None, _sha256(path)):
            raise InputError(
                f"attacks.samples: {path} is not the file with which the run began, whose sha256"
                f" begins with {str(self.content)[:12]}; restore it, or start a new run"
            )
        return rare_of_file(data, path)


def _sha256(path: Path) -> str:
    try:
        return bytes_sha256(path)
    except InputError as error:
        raise error.within("attacks.samples") from error
