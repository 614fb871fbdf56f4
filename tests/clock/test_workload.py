from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpifl.clock.workload import Workload

walks = settings(derandomize=True, deadline=None, max_examples=200)
sizes = st.lists(st.integers(1, 60), min_size=1, max_size=5)


def _batches(samples: int, batch_size: int) -> list[int]:
    """The sizes of the batches of one epoch, taken off the heap of samples one after the other."""
    batches = []
    while samples > 0:
        batches.append(min(batch_size, samples))
        samples -= batches[-1]
    return batches


@walks
@given(samples=sizes, batch_size=st.integers(1, 70), epochs=st.integers(1, 6))
def test_epochs_cost_the_steps_and_samples_of_a_walk_through_their_batches(samples, batch_size, epochs):
    workload = Workload(0, 0, batch_size, epochs, None)
    held = np.array(samples)
    steps = workload.steps(held)
    walked = [[size for _ in range(epochs) for size in _batches(n, batch_size)] for n in samples]
    assert steps.dtype == np.int64
    assert steps.tolist() == [len(batches) for batches in walked]
    assert workload.processed(held, steps).tolist() == [sum(batches) for batches in walked]


@walks
@given(samples=sizes, batch_size=st.integers(1, 70), local_steps=st.integers(1, 50))
def test_local_steps_go_on_into_further_epochs(samples, batch_size, local_steps):
    workload = Workload(0, 0, batch_size, None, local_steps)
    held = np.array(samples)
    steps = workload.steps(held)
    processed = []
    for n in samples:
        batches: list[int] = []
        while len(batches) < local_steps:
            batches += _batches(n, batch_size)
        processed.append(sum(batches[:local_steps]))
    assert steps.dtype == np.int64
    assert steps.tolist() == [local_steps] * len(samples)
    assert workload.processed(held, steps).tolist() == processed


@pytest.mark.parametrize(
    ("epochs", "local_steps", "steps", "processed"),
    [
        (1, None, 3, 25),  # 10 + 10 + 5
        (2, None, 6, 50),
        (None, 2, 2, 20),
        (None, 3, 3, 25),
        (None, 4, 4, 35),  # 25, and the first 10 of the next epoch
    ],
)
def test_a_client_with_25_samples_in_batches_of_10(epochs, local_steps, steps, processed):
    workload = Workload(0, 0, 10, epochs, local_steps)
    held = np.array([25])
    assert workload.steps(held).tolist() == [steps]
    assert workload.processed(held, workload.steps(held)).tolist() == [processed]
