"""A matrix of availability by time step and phone, as made from FLASH's state traces (Yang et al., WWW 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.errors import InputError
from mpifl.traces.importers.importer import TraceImporter
from mpifl.traces.importers.parsed_trace import ParsedTrace
from mpifl.traces.importers.parsing import only, read_array
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import check_slots, of_counts


class FlashMatrix(TraceImporter):
    """A matrix of availability by time step and phone, .npy or .npy.xz.

    1 is online, 0 is not, and NaN, not observed, is taken for offline. Row k tells of the ``step_minutes`` from k step_minutes
    after midnight on. The period is the whole days that the steps fill; steps behind them are left out, and less than a day is
    a period as it is. Raises InputError naming file, step and phone.
    """

    files: ClassVar[str] = "MATRIX"
    step_minutes: float = Field(30.0, gt=0, description="Minutes from one step to the next.")

    def read(self, paths: Sequence[Path]) -> ParsedTrace:
        """See TraceImporter."""
        path = only(paths, 1, 1, "one matrix")[0]
        matrix = read_array(path)
        if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "fiub":
            raise InputError(
                f"{path}: {matrix.dtype} {matrix.shape}; expected numbers of (steps, phones)"
            )
        unseen = np.isnan(matrix)
        online = matrix == 1
        wrong = ~(unseen | online | (matrix == 0))
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            raise InputError(
                f"{path}: step {at[0]}, phone {at[1]}: {matrix[at]}; must be 0, 1 or NaN (not observed)"
            )
        step_seconds = self.step_minutes * 60
        # Rounded down, but not for the last bits of a step that is no whole number of seconds.
        days = np.floor(len(matrix) * step_seconds / DAY_SECONDS + 1e-9)
        steps = int(np.rint(days * DAY_SECONDS / step_seconds)) if days else len(matrix)
        period = days * DAY_SECONDS if days else steps * step_seconds
        # +1 where a run of online steps begins, -1 behind its end, phone by phone.
        edges = np.diff(online[:steps].T.astype(np.int8), axis=1, prepend=0, append=0)
        phone, first = np.nonzero(edges == 1)
        behind = np.nonzero(edges == -1)[1]
        phones = matrix.shape[1]
        counts = np.bincount(phone, minlength=phones)
        slots = of_counts(
            counts,
            first * step_seconds,
            np.minimum(behind * step_seconds, period),
            np.full(phones, period),
        )
        check_slots(path, range(phones), slots)
        seen = np.count_nonzero(~unseen)
        notes = [
            f"{path.name}: {unseen.mean():.1%} of its cells were not observed and are taken for offline; "
            f"{online.sum() / seen:.1%} of what was observed is online, {online.mean():.1%} of all"
        ]
        if steps < len(matrix):
            notes.append(
                f"{path.name}: the last {len(matrix) - steps} of {len(matrix)} steps lie behind {days:g} whole days; left out"
            )
        return ParsedTrace(
            f"availability matrix {path.name} (FLASH's state traces)",
            "BSD-2-Clause (FLASH)",
            slots=slots,
            notes=tuple(notes),
        )
