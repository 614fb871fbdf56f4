"""What is said of an update that cannot be summed."""

from __future__ import annotations

import pytest
import torch

from mpifl.errors import Diverged
from mpifl.rounds.clients.update_sum import check_summable
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment

ATTACKS = "attacks=[{name: scaling, share: 0.5, factor: 1e30}]"
NOISE = "privacy={name: local_gaussian, noise_multiplier: 1}"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], r"training has diverged \(a smaller training.lr may help\)$"),
        ([ATTACKS], r"training has diverged .*, or an attacker has made it so \(attacks\)$"),
        ([NOISE], r"training has diverged .*, or its noise is too large \(privacy\)$"),
        ([ATTACKS, NOISE], r"\(attacks\), or its noise is too large \(privacy\)$"),
    ],
)
def test_it_names_what_may_have_made_it_so_large(keys: list[str], said: str) -> None:
    experiment = check_job("quickstart", keys)[0]
    assert isinstance(experiment, Experiment)
    update = torch.zeros(experiment.sums.arrays[0].size)
    check_summable(experiment, [update], torch.empty(0))
    update[3] = 1e30
    with pytest.raises(Diverged, match=said):
        check_summable(experiment, [update], torch.empty(0))
