"""Selection rules that wait: a run with one is under way until the test lets it end, however fast it is."""

from __future__ import annotations

import os
import time

import numpy as np
from pydantic import Field

from mpifl.selection.context import SelectionContext
from mpifl.selection.oort import Oort
from mpifl.selection.power_of_choice import PowerOfChoice
from mpifl.selection.selection import Selection
from mpifl.selection.uniform import Uniform


class Waits(Selection):
    """A rule whose draws from number ``held`` on wait for a file."""

    file: str = Field(..., description="the file that is waited for")
    held: int = Field(..., description="the first draw that waits for it")

    def choose(self, c: SelectionContext) -> np.ndarray:
        """See Selection."""
        while c.draw >= self.held and not os.path.exists(self.file):
            time.sleep(0.01)
        return super().choose(c)


class Held(Waits, Uniform):
    """Uniform that waits."""

    name: str = "held"


class HeldOort(Waits, Oort):
    """Oort that waits."""

    name: str = "held_oort"


class HeldChoice(Waits, PowerOfChoice):
    """Power-of-choice that waits."""

    name: str = "held_choice"
