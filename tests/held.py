"""A selection rule that waits: a run with it is under way until the test lets it end, however fast it is."""

from __future__ import annotations

import os
import time

import numpy as np
from pydantic import Field

from mpifl.selection.context import SelectionContext
from mpifl.selection.uniform import Uniform


class Held(Uniform):
    """Uniform, whose draws from number ``held`` on wait for a file."""

    name: str = "held"
    file: str = Field(..., description="the file that is waited for")
    held: int = Field(..., description="the first draw that waits for it")

    def choose(self, c: SelectionContext) -> np.ndarray:
        """See Selection."""
        while c.draw >= self.held and not os.path.exists(self.file):
            time.sleep(0.01)
        return super().choose(c)
