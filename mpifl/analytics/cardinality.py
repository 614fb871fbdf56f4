"""How many different values the clients have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field

from mpifl.algorithms.arrays import Array, Arrays
from mpifl.algorithms.context import ClientContext, ServerContext
from mpifl.analytics.analytics import Analytics
from mpifl.analytics.numbers import rows_of, total
from mpifl.errors import InputError
from mpifl.job import Job
from mpifl.job.section import Count
from mpifl.models.layout import Layout


class Cardinality(Analytics):
    """How many different values the participants so far have: any of them, and all of them.

    A client uploads a 1 for each value that it has. Of labels and tokens there is a place for each,
    and both numbers are exact. With ``cells`` a value is hashed to one of so many places, and the
    union of n places of which v are empty is estimated as -n ln(v / n) (linear counting: Whang,
    Vander-Zanden, Taylor 1990); there is no such estimate of the intersection.
    """

    name: str = "cardinality"
    cells: Count | None = Field(
        None, description="hash values to so many places; default: a place for each label or token"
    )

    @property
    def size(self) -> int:
        """The number of places."""
        return self.cells or self.domain or 1

    def check_model(self, job: Job, layout: Layout) -> None:
        if self.cells is None and self.domain is None:
            raise InputError("algorithm.cells: missing: values of this kind have to be hashed")

    def uploaded_arrays(self, layout: Layout) -> Mapping[str, Array]:
        return {"there": Array((self.size,), coded=False)}

    def count(self, values: np.ndarray, c: ClientContext) -> dict[str, Any]:
        places = values if self.cells is None else hashed(values, self.cells)
        there = np.zeros(self.size, np.float32)
        there[places] = 1
        return {"there": torch.from_numpy(there)}

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        nothing = np.zeros(self.size, np.float32)
        return {"model": model, "any": nothing, "all": nothing + 1}

    def server(self, s: ServerContext, mean: Arrays) -> Arrays:
        clients = total(mean["there"], s.participants)
        return {
            "any": np.maximum(s.state["any"], clients > 0),
            "all": np.minimum(s.state["all"], clients == s.participants),
        }

    def found(self, state: Arrays) -> np.ndarray:
        full = float(state["any"].sum())
        if self.cells is None:
            common = float(state["all"].sum()) if full else 0.0
            return _rows(union=full, intersection=common)
        empty = self.size - full
        estimate = -self.size * math.log(empty / self.size) if empty else math.inf
        return _rows(union=estimate, cells=full)


def _rows(**numbers: float) -> np.ndarray:
    """Return a row (structured FOUND) for each number."""
    rows = [rows_of(quantity, [math.nan], [number]) for quantity, number in numbers.items()]
    return np.concatenate(rows)


def hashed(values: np.ndarray, cells: int) -> np.ndarray:
    """Return a place for each value (n,), from 0 to cells - 1: a hash of its bits.

    The finaliser of splitmix64 (Steele, Lea, Flood 2014) over those of the value as float64.
    """
    bits = (values.astype(np.float64) + 0.0).view(np.uint64)  # -0 as 0
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    mixed = bits ^ (bits >> np.uint64(31))
    return (mixed % np.uint64(cells)).astype(np.int64)
