"""LoRA: a frozen network with small trained matrices beside its layers (``model.lora``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from mpifl.errors import InputError
from mpifl.io.files import is_file
from mpifl.job.section import Section

FOLDER = "adapter"
"""The folder of a run directory that PEFT reads."""

FILE = "adapter_model.safetensors"


class Lora(Section):
    """Low-rank adapters: of a layer W x the network computes W x + scale B A x, and trains A and B.

    A is (rank, inputs), drawn as PEFT draws it; B is (outputs, rank) and begins as zeros, so that
    the first model is the base. ``scale`` is alpha / rank. Adapters are those of the library PEFT.

    Source: Hu et al., LoRA (arXiv 2106.09685). The mean of products B A is not the product of the
    means of B and of A; with ``freeze_a`` all clients have the same A and it is (Sun et al.,
    FFA-LoRA, arXiv 2403.12313). With ``rank_stabilised`` the scale is alpha / sqrt(rank)
    (Kalajdzievski, arXiv 2312.03732). With ``base_bits`` the base is kept in 8 or 4 bits (Dettmers
    et al., LLM.int8, arXiv 2208.07339; QLoRA, arXiv 2305.14314).
    """

    rank: int = Field(8, ge=1, description="rows of A and columns of B")
    alpha: float = Field(16.0, gt=0, description="what is added counts alpha / rank times")
    dropout: float = Field(0.0, ge=0, lt=1, description="share dropped of what A reads")
    target_modules: list[str] | None = Field(
        None,
        min_length=1,
        description="the layers that get adapters, by name or end of a name; default: those that"
        " PEFT takes for the architecture, else all linear ones",
    )
    modules_to_save: list[str] = Field(
        [],
        description="layers that are trained and sent whole, by name, such as a new classifier",
    )
    initial: str | None = Field(
        None,
        description="first adapters: a run with such ones, or a folder of PEFT's; default: drawn",
    )
    base_bits: Literal[4, 8] | None = Field(
        None,
        description="bits of each weight of the frozen linear layers (bitsandbytes): 8, or 4 as"
        " NormalFloat; default: their own type",
    )
    freeze_a: bool = Field(
        False, description="leave A as it is drawn and train B alone: averages are then exact"
    )
    rank_stabilised: bool = Field(
        False, description="what is added counts alpha / sqrt(rank) times instead"
    )

    @field_validator("initial")
    @classmethod
    def _absolute(cls, initial: str | None) -> str | None:
        return None if initial is None else os.path.abspath(initial)

    def files(self) -> tuple[Path, ...]:
        """Return the file of the first adapters, if there is one. Raises InputError."""
        if self.initial is None:
            return ()
        for folder in (Path(self.initial) / FOLDER, Path(self.initial)):
            if is_file(folder / FILE):
                return (folder / FILE,)
        raise InputError(
            f"model.lora.initial: no {FILE} in {self.initial}; allowed: a run with model.lora, or a"
            " folder that PEFT wrote"
        )
