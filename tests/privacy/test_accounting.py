"""Epsilon against dp-accounting's own accountants, published values, and formulas by hand."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from scipy.stats import norm

from mpifl.errors import InputError
from mpifl.privacy.accounting import (
    concentrated_epsilon,
    gaussian_epsilon,
    least_multiplier,
    library,
    poisson_epsilon,
    pure_epsilon,
    sampled_epsilon,
)

REPLACE = dp_accounting.NeighboringRelation.REPLACE_ONE


@pytest.mark.parametrize(("multiplier", "epsilon"), [(1.0, 4.3766), (0.5, 10.4), (2.0, 2.0)])
def test_a_gaussian_release_has_the_delta_of_balle_and_wang(
    multiplier: float, epsilon: float
) -> None:
    # Theorem 8 of arXiv 1805.06530.
    found = gaussian_epsilon(multiplier, 1e-5)
    first = norm.cdf(0.5 / multiplier - found * multiplier)
    second = math.exp(found) * norm.cdf(-0.5 / multiplier - found * multiplier)
    assert first - second == pytest.approx(1e-5, rel=1e-6)
    pld = PLDAccountant().compose(dp_accounting.GaussianDpEvent(multiplier))
    assert found == pytest.approx(pld.get_epsilon(1e-5), rel=1e-3)
    assert found == pytest.approx(epsilon, rel=0.2)


def test_a_sample_of_fixed_size_costs_what_the_rdp_accountant_says() -> None:
    event = dp_accounting.SampledWithoutReplacementDpEvent(
        1000, 10, dp_accounting.GaussianDpEvent(2.0)
    )
    accountant = RdpAccountant(neighboring_relation=REPLACE)
    accountant.compose(dp_accounting.SelfComposedDpEvent(event, 200))
    found = sampled_epsilon(1000, 10, 4.0, 200, 1e-5)
    assert found == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-12)
    assert found < gaussian_epsilon(4.0 / math.sqrt(200), 1e-5)


POISSON = [(100, 4, 1.5, 2250, 1e-5), (1000, 10, 0.8, 300, 1e-6), (50, 50, 2.0, 20, 1e-5)]


@pytest.mark.parametrize(("clients", "sample", "multiplier", "rounds", "delta"), POISSON)
def test_a_poisson_sample_costs_what_the_rdp_accountant_says_and_no_less_than_its_loss(
    clients: int, sample: int, multiplier: float, rounds: int, delta: float
) -> None:
    gauss = dp_accounting.GaussianDpEvent(multiplier)
    event = dp_accounting.PoissonSampledDpEvent(sample / clients, gauss)
    run = dp_accounting.SelfComposedDpEvent(event, rounds)
    found = poisson_epsilon(clients, sample, multiplier, rounds, delta)
    assert found == pytest.approx(RdpAccountant().compose(run).get_epsilon(delta), rel=1e-12)
    loss = PLDAccountant(value_discretization_interval=1e-3).compose(run).get_epsilon(delta)
    assert 0.75 * found < loss < found


def test_a_poisson_sample_costs_what_opacus_publishes() -> None:
    # opacus/tests/accountants_test.py: sample rate 0.04, delta 1e-5.
    assert poisson_epsilon(100, 4, 1.5, 2250, 1e-5) == pytest.approx(7.32911117143, rel=1e-4)
    for rounds, multiplier in ((2250, 1.416), (2000, 1.3562)):

        def epsilon(multiplier: float, rounds: int = rounds) -> float:
            return poisson_epsilon(100, 4, multiplier, rounds, 1e-5)

        found = least_multiplier(epsilon, 8)
        assert found == pytest.approx(multiplier, abs=2e-4)


def test_a_poisson_sample_costs_less_than_one_of_fixed_size() -> None:
    poisson = poisson_epsilon(1000, 10, 1.0, 200, 1e-5)
    assert poisson < 0.6 * sampled_epsilon(1000, 10, 1.0, 200, 1e-5)


@pytest.mark.parametrize("epsilon", [sampled_epsilon, poisson_epsilon])
def test_no_round_costs_nothing_and_one_without_noise_everything(
    epsilon: Callable[[int, int, float, int, float], float],
) -> None:
    assert epsilon(1000, 10, 1.0, 0, 1e-5) == 0
    assert epsilon(1000, 10, 0.0, 0, 1e-5) == 0
    assert epsilon(1000, 10, 0.0, 1, 1e-5) == math.inf


def test_discrete_noise_costs_no_less_than_the_zcdp_bound_by_hand() -> None:
    # rho-zCDP is (rho + 2 sqrt(rho ln(1 / delta)), delta)-DP (Bun and Steinke 2016, 1.3); the conversion of
    # Canonne, Kamath and Steinke is tighter, and no tighter than what is exact for continuous noise.
    rho = 1 / (2 * 1.5**2)
    simple = rho + 2 * math.sqrt(rho * math.log(1e5))
    assert gaussian_epsilon(1.5, 1e-5) < concentrated_epsilon(1.5, 1e-5) < simple


def test_pure_releases_add_up_or_better() -> None:
    assert pure_epsilon(0.5, 1, 1e-9) == pytest.approx(0.5, rel=1e-3)
    assert pure_epsilon(2.0, 3, 1e-300) == pytest.approx(6.0, rel=1e-3)
    # k-fold randomised response, delta by the binomial sum (Kairouz, Oh, Viswanath 2015, theorem 3.3).
    epsilon, count = 0.1, 100
    found = pure_epsilon(epsilon, count, 1e-5)
    chance = math.exp(epsilon) / (1 + math.exp(epsilon))
    ones = np.arange(count + 1)
    ways = np.array([math.comb(count, one) for one in ones], float)
    likely = ways * chance**ones * (1 - chance) ** (count - ones)
    unlikely = ways * (1 - chance) ** ones * chance ** (count - ones)
    delta = np.maximum(likely - math.exp(found) * unlikely, 0).sum()
    assert delta == pytest.approx(1e-5, rel=0.05)
    assert found < 0.5 * epsilon * count


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_noise_from_epsilon_is_the_inverse(epsilon: float) -> None:
    found = least_multiplier(lambda z: gaussian_epsilon(z, 1e-6), epsilon)
    assert found == pytest.approx(dp_accounting.get_sigma_gaussian(epsilon, 1e-6), rel=4e-6)
    assert gaussian_epsilon(found, 1e-6) <= epsilon


def test_a_missing_library_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(InputError, match="its library is missing; pip install dp-accounting"):
        library()


def test_an_epsilon_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(InputError, match="no noise is enough"):
        least_multiplier(lambda _: 1.0, 0.5)
