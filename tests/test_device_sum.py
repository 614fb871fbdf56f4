"""The exact sum by torch: the bits of the kernel's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mpifl.device_sum import DeviceSum, unsummable
from mpifl.exact_sum import VALUE_LIMIT, first_unsummable
from mpifl.training.device import CPU

ELSEWHERE = torch.device("cpu", 0)
"""Another name for the host: what lies there is treated as on a GPU."""
VALUES = st.floats(-VALUE_LIMIT, VALUE_LIMIT, width=32, exclude_min=True, exclude_max=True)


def added(device: torch.device, vectors: list[list[float]], weights: list[float]) -> tuple[np.ndarray, list[int | None]]:
    """The sum, and what was wrong with each: on the host when it is added, elsewhere with the first one at the end."""
    part = np.full((2, 3), 5, np.int64)
    sums = DeviceSum(part, device)
    found = [
        sums.add(number % 2, torch.tensor(vector), weight)
        for number, (vector, weight) in enumerate(zip(vectors, weights, strict=True))
    ]
    wrong = sums.close()
    if wrong is not None:
        assert (device, wrong[1].tolist()) == (ELSEWHERE, pytest.approx(vectors[wrong[0]], nan_ok=True))
        found[wrong[0]] = wrong[2]
    return part, found


@given(st.lists(st.tuples(st.lists(VALUES, min_size=3, max_size=3), st.floats(0, 1)), max_size=6))
def test_the_sum_is_the_kernels_bit_for_bit(terms: list[tuple[list[float], float]]) -> None:
    vectors, weights = [values for values, _ in terms], [weight / max(1, len(terms)) for _, weight in terms]
    here, there = added(CPU, vectors, weights), added(ELSEWHERE, vectors, weights)
    assert np.array_equal(here[0], there[0])
    assert here[1] == there[1] == [None] * len(terms)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), VALUE_LIMIT, -2 * VALUE_LIMIT])
@pytest.mark.parametrize("place", [0, 2])
def test_what_cannot_be_summed_is_found_in_the_same_place(wrong: float, place: int) -> None:
    values = [1.0, 2.0, 3.0]
    values[place] = wrong
    right = [1.0, 1.0, 1.0]
    here, there = (added(device, [right, values, right], [0.2, 0.5, 0.3]) for device in (CPU, ELSEWHERE))
    assert here[1] == there[1] == [None, place, None]
    assert (there[0] == 5).all()  # nothing is added
    assert unsummable(torch.tensor(values)) == first_unsummable(np.array(values, np.float32)) == place
    assert unsummable(torch.tensor([1.0])) is None
