"""Sequences of one token: they are read, and nothing of them is predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpifl.datasets.dataset import Dataset, Part, write_dataset
from mpifl.errors import TrainingError
from tests.algorithms.reference import Run


def job(path: Path, lengths: list[int]) -> tuple[str, ...]:
    """Return a job on two clients, each with half of the sequences, which are tested on too."""
    begin = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.random.default_rng(0).integers(5, size=begin[-1]).astype(np.int32)
    offsets = np.array([0, len(lengths) // 2, len(lengths)])
    part = Part(tokens, None, offsets, np.array(["a", "b"], "S"), begin)
    facts = {"outputs": 5, "vocabulary": 5, "task": "language", "source": "", "licence": ""}
    write_dataset(path, Dataset(name="short", train=part, test=part, **facts))  # type: ignore[arg-type]
    return (
        f"data={{name: {path}, partition: natural}}",
        "model={name: lstm, hidden: 4}",
        "selection.participants=2",
        "training.batch_size=2",
        "rounds=2",
        "evaluation.every=1",
    )


def test_a_client_of_single_tokens_takes_part_and_changes_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", *job(tmp_path / "short.h5", [1, 1, 1, 1, 4, 5, 3, 2]))
    assert run.state["model"].isfinite().all()
    for result in run.results:
        alone, other = result.metrics["loss"]  # by client
        assert alone == 0
        assert other > 0
        assert result.tested is not None
        assert np.isfinite(result.tested.scores["loss"])


def test_a_test_part_without_targets_ends_the_run_in_a_line(tmp_path: Path) -> None:
    said = r"^evaluation\.part: the test part has nothing to predict: none of its targets counts$"
    with pytest.raises(TrainingError, match=said):
        Run(tmp_path / "run", *job(tmp_path / "short.h5", [1] * 8))
