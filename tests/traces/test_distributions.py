"""Distributions of recipes against scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.stats import kstest, lognorm

from mpifl.job.quantiles import Quantiles
from mpifl.traces.distributions import Distribution, LogNormal, Mixture, Rising

UNIFORM = np.random.default_rng(1).random(20_000)
LEAST_P = 1e-3


def made(value: Any) -> Any:
    return TypeAdapter(Distribution).validate_python(value)


def test_a_log_normal_is_scipys() -> None:
    found = made({"median": 50, "sigma": 0.7})
    assert isinstance(found, LogNormal)
    at = np.array([0.01, 0.3, 0.5, 0.99])
    assert found.at(at) == pytest.approx(lognorm(0.7, scale=50).ppf(at))
    assert np.isfinite(found.at(np.array([0.0]))).all()
    assert (made({"median": 3, "sigma": 0}).at(UNIFORM) == 3).all()


def test_a_mixture_has_the_distribution_of_its_parts() -> None:
    parts = [
        {"share": 0.3, "median": 20, "sigma": 0.2},
        {"share": 0.7, "median": 150, "sigma": 0.5},
    ]
    found = made({"mixture": parts})
    assert isinstance(found, Mixture)

    def cdf(x: np.ndarray) -> np.ndarray:
        return 0.3 * lognorm(0.2, scale=20).cdf(x) + 0.7 * lognorm(0.5, scale=150).cdf(x)

    assert kstest(found.at(UNIFORM), cdf).pvalue > LEAST_P
    assert np.isfinite(found.at(np.array([0.0, 0.3, 1 - 2**-53]))).all()


def test_quantiles_are_still_quantiles() -> None:
    assert isinstance(made({"quantiles": {0: 1, 100: 2}}), Quantiles)
    again = made(made({"quantiles": {0: 1, 100: 2}}).model_dump())
    assert isinstance(again, Quantiles)


@pytest.mark.parametrize(
    "value",
    [
        {"median": 0, "sigma": 1},
        {"median": -1, "sigma": 1},
        {"median": 1, "sigma": -1},
        {"median": 1},
        {"median": float("nan"), "sigma": 1},
        {"median": 1, "sigma": 1, "more": 1},
        {"mixture": []},
        {"mixture": [{"share": 0.5, "median": 1, "sigma": 1}]},
        {
            "mixture": [
                {"share": 0.0, "median": 1, "sigma": 1},
                {"share": 1, "median": 1, "sigma": 1},
            ]
        },
        {"quantiles": {0: 1}},
        5,
    ],
    ids=str,
)
def test_wrong_distributions_are_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        made(value)


def test_a_copula_takes_no_mixture() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Rising).validate_python({"mixture": [{"share": 1, "median": 1, "sigma": 1}]})
