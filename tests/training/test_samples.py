"""From the store to torch: right values, right shapes, one copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.analytics.values import tokens_of
from mpifl.datasets.dataset import Dataset, Description, open_dataset
from mpifl.datasets.store import storing, write_store
from mpifl.objectives.objective import IGNORED
from mpifl.training.samples import pool_of


def made(path: Path, x: object, y: np.ndarray | None, **said: object) -> Dataset:
    description = Description(**({"name": "n", "outputs": 3, "source": "s", "licence": "l"} | said))  # type: ignore[arg-type]
    with storing(path) as store:
        store.add("train", "a", x, y, where="")  # type: ignore[arg-type]
        write_store(path, store, description)
    return open_dataset(path)


def test_channels_have_a_scale_and_a_shift_of_their_own(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(256, size=(5, 3, 4, 4)).astype(np.uint8)
    scale, shift = (
        np.array([1.0, 2.0, 0.5], np.float32)[:, None, None],
        np.array([0.0, -1.0, 3.0], np.float32)[:, None, None],
    )
    data = made(tmp_path / "x.h5", x, np.arange(5) % 3, feature_scale=scale, feature_shift=shift)
    found, y = pool_of(data, data.train).read(slice(1, 4))
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), x[1:4].astype(np.float32) * scale + shift)
    assert y.tolist() == [1, 2, 0]


def test_next_tokens_of_windows(tmp_path: Path) -> None:
    windows = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = made(tmp_path / "x.h5", windows, None, outputs=12, vocabulary=12, task="language")
    x, y = pool_of(data, data.train).read(slice(0, 2))
    assert x.tolist() == [[0, 1, 2], [4, 5, 6]]
    assert y.tolist() == [[1, 2, 3], [5, 6, 7]]
    assert x.dtype == y.dtype == torch.int64


def test_next_tokens_of_sequences_of_several_lengths(tmp_path: Path) -> None:
    sequences = [np.array(s, np.int32) for s in ([0, 1, 2, 3], [4, 5], [6, 7, 8])]
    data = made(tmp_path / "x.h5", sequences, None, outputs=9, vocabulary=9, task="language")
    x, y = pool_of(data, data.train).read(slice(0, 3))
    assert x.tolist() == [[0, 1, 2], [4, 5, 9], [6, 7, 8]]
    assert y.tolist() == [[1, 2, 3], [5, IGNORED, IGNORED], [7, 8, IGNORED]]
    x, y = pool_of(data, data.train).read(slice(1, 2))  # as long as its own longest
    assert (x.tolist(), y.tolist()) == ([[4]], [[5]])


def test_sequences_of_one_token_have_something_to_read_and_nothing_to_predict(
    tmp_path: Path,
) -> None:
    """A recurrent layer takes no sequence of length 0."""
    sequences = [np.array(s, np.int32) for s in ([3], [5], [1, 2])]
    data = made(tmp_path / "x.h5", sequences, None, outputs=9, vocabulary=9, task="language")
    x, y = pool_of(data, data.train).read(slice(0, 2))
    assert (x.tolist(), y.tolist()) == ([[3], [5]], [[IGNORED], [IGNORED]])
    assert sorted(tokens_of(torch.nn.Identity(), x, y, 9).tolist()) == [3, 5]


def test_tokens_with_a_class(tmp_path: Path) -> None:
    sequences = [np.array(s, np.uint8) for s in ([0, 1], [4])]
    data = made(tmp_path / "x.h5", sequences, np.array([2, 0]), vocabulary=9)
    x, y = pool_of(data, data.train).read(slice(0, 2))
    assert x.tolist() == [[0, 1], [4, 9]]
    assert y.tolist() == [2, 0]


def test_numbers_to_predict(tmp_path: Path) -> None:
    y = np.array([[0.5], [2.5]], np.float32)
    data = made(tmp_path / "x.h5", np.ones((2, 3), np.float32), y, outputs=1, task="regression")
    found, numbers = pool_of(data, data.train).read(slice(0, 2))
    assert numbers.tolist() == [[0.5], [2.5]]
    assert found.tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_what_a_model_does_to_its_input_stays_out_of_the_data(tmp_path: Path, kind: type) -> None:
    data = made(tmp_path / "x.h5", np.ones((4, 3), kind), np.zeros(4, int))
    found, _ = pool_of(data, data.train).read(slice(0, 4))
    found.fill_(7)
    assert (data.train.x == 1).all()


def test_samples_are_copied_once(tmp_path: Path) -> None:
    """A million features of 8 bits: their 4 MB as float32 are the only allocation, whatever the scale and shift."""
    x = np.ones((1000, 1000), np.uint8)
    data = made(tmp_path / "x.h5", x, np.zeros(1000, int), feature_scale=0.5, feature_shift=1.0)
    for given in (data, replace(data, feature_scale=1.0, feature_shift=0.0)):
        with torch.profiler.profile(profile_memory=True) as profile:
            pool_of(given, given.train).read(slice(0, 1000))
        allocated = sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages())
        assert allocated < 4.1e6
