"""Which end a run has that is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpifl.errors import InputError
from mpifl.state.extension import rounds_at_end

NO_JOB: Any = None


@pytest.mark.parametrize("text", ["{}", "[]", '{"rounds": "3"}'])
def test_a_summary_that_does_not_say_how_many_rounds_were_run_is_told_in_a_line(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "job.yaml").write_text("name: a\n")
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InputError, match=r"summary\.json: rounds: .*expected how many were run"):
        rounds_at_end(tmp_path, NO_JOB, complete=True)
    (tmp_path / "summary.json").write_text('{"rounds": 3}')
    assert rounds_at_end(tmp_path, NO_JOB, complete=True) == 3
