"""The noise of the mechanisms: its variance, and how it hangs together over rounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.privacy.banded_mf import BandedMf, band
from mpifl.privacy.discrete import discrete_gaussian
from mpifl.privacy.dp_ftrl import DpFtrl, changed_nodes, levels
from mpifl.privacy.gaussian import Gaussian
from mpifl.privacy.local_gaussian import LocalGaussian
from mpifl.privacy.local_laplace import LocalLaplace
from mpifl.privacy.privacy import MakeGenerator
from mpifl.seeds import Purpose, generator

MAKE: MakeGenerator = partial(generator, 7, Purpose.NOISE)


def nodes(step: int) -> set[tuple[int, int]]:
    """The nodes that make up leaves 1 to ``step``, by its binary digits."""
    found = set()
    begin = 0
    for level in reversed(range(step.bit_length())):
        if step >> level & 1:
            found.add((level, begin >> level))
            begin += 1 << level
    return found


def test_each_step_changes_the_nodes_of_a_binary_tree() -> None:
    for step in range(1, 130):
        added, left = changed_nodes(step)
        assert set(left) <= nodes(step - 1)
        assert nodes(step) == (nodes(step - 1) - set(left)) | {added}
        assert levels(step) == math.ceil(math.log2(step + 1))  # as dp-accounting has it


def test_the_sum_of_a_trees_noise_is_that_of_its_nodes() -> None:
    stream = DpFtrl(noise_multiplier=1, restart=8).stream(2000, MAKE)
    for first in (1, 9):
        total = np.zeros(2000)
        for step in range(1, 9):
            total += stream(first + step - 1)
            assert total.var() == pytest.approx(step.bit_count(), rel=0.12)
    assert (stream(5) == stream(5)).all()


def test_banded_noise_is_the_inverse_of_the_matrix_times_independent_noise() -> None:
    rounds, bands, size = 12, 4, 5
    column = band(bands)
    assert column.tolist() == [1, 1 / 2, 3 / 8, 5 / 16]
    matrix = sum(np.eye(rounds, k=-k) * column[k] for k in range(bands))
    independent = np.stack([MAKE(t).standard_normal(size) for t in range(1, rounds + 1)])
    stream = BandedMf(noise_multiplier=1, bands=bands).stream(size, MAKE)
    found = np.stack([stream(t) for t in range(1, rounds + 1)])
    assert found == pytest.approx(np.linalg.solve(matrix, independent), abs=1e-12)
    # After a resume the stream begins in the middle.
    assert (BandedMf(noise_multiplier=1, bands=bands).stream(size, MAKE)(9) == found[8]).all()


def test_banded_noise_adds_up_to_less_than_independent_noise() -> None:
    stream = BandedMf(noise_multiplier=1, bands=16).stream(3000, MAKE)
    total = sum(stream(t) for t in range(1, 33))
    assert np.var(total) < 32 / 2


@pytest.mark.parametrize("deviation", [0.3, 1.7, 40.5, 3e9])
def test_discrete_noise_has_the_distribution_that_it_is_named_for(deviation: float) -> None:
    found = discrete_gaussian(deviation, 40_000, MAKE(1))
    assert found.dtype == np.int64
    x = (
        np.arange(-math.ceil(12 * deviation), math.ceil(12 * deviation) + 1)
        if deviation < 99
        else None
    )
    if x is None:
        assert found.std() == pytest.approx(deviation, rel=0.02)
        return
    chance = np.exp(-0.5 * np.square(x / deviation))
    chance /= chance.sum()
    counts = np.bincount(found - x[0], minlength=len(x))
    expected = chance * len(found)
    there = expected > 5
    chi = (np.square(counts - expected) / np.maximum(expected, 1e-300))[there].sum()
    assert chi < there.sum() + 5 * math.sqrt(2 * there.sum())
    assert not counts[expected < 1e-12].any()


@pytest.mark.parametrize(
    ("mechanism", "deviation", "length"),
    [
        (LocalGaussian(norm=2, noise_multiplier=3), 6.0, np.linalg.norm),
        (LocalLaplace(norm=2, noise_multiplier=3), 6.0 * math.sqrt(2), lambda v: np.abs(v).sum()),
    ],
)
def test_local_noise_is_added_to_a_bounded_update(
    mechanism: LocalGaussian, deviation: float, length: Callable[[np.ndarray], float]
) -> None:
    update = torch.from_numpy(np.linspace(-1, 1, 20_000, dtype=np.float32))
    sent = mechanism.perturb(update, update, partial(MAKE, 1, 2)).numpy()
    assert sent.std() == pytest.approx(deviation, rel=0.03)
    assert mechanism.upload() == pytest.approx((2, deviation))

    plain = mechanism.model_copy(update={"noise_multiplier": 0.0})
    bounded = plain.perturb(update, update, MAKE).numpy()
    assert length(bounded) == pytest.approx(2, rel=1e-5)
    short = update * 1e-5
    assert (plain.perturb(short, short, MAKE) == short).all()


def test_the_noise_of_adaptive_clipping_is_two_that_make_one() -> None:
    mechanism = Gaussian(noise_multiplier=0.8, count_noise=2.5)
    update, count = mechanism.shares(10)
    assert update**-2 + (0.5 / count) ** 2 == pytest.approx(0.8**-2)
    assert mechanism.model_copy(update={"noise_multiplier": 0.0}).shares(10) == (0.0, 0.0)


@pytest.mark.parametrize("samples", [[3, 10, 50, 2], [1], [400, 400]])
@pytest.mark.parametrize("keys", [{}, {"weights": "capped", "cap": 10}])
def test_what_one_client_counts_in_a_mean_is_the_most_that_it_moves_it(
    samples: list[int], keys: dict[str, Any]
) -> None:
    """Weights are 1, as shares of 5 updates, or samples up to 10, as shares of their sum."""
    mechanism = Gaussian(noise_multiplier=1, **keys)
    scale, most = mechanism.counted(np.array(samples), 5)
    weights = mechanism.weight(np.array(samples))
    capped = [min(count, 10) for count in samples] if keys else [1] * len(samples)
    assert weights.tolist() == capped
    # Updates of 1: without one of them the mean is less by its share.
    assert scale == pytest.approx(1 if keys else len(samples) / 5)
    assert most == pytest.approx(10 / sum(capped) if keys else 1 / 5)
    assert most >= scale * max(capped) / sum(capped) * (1 - 1e-12)


def test_a_round_of_nobody_counts_as_one_of_a_term_of_nothing() -> None:
    assert Gaussian(noise_multiplier=1).counted(np.empty(0, np.int64), 5) == (1 / 5, 1 / 5)
