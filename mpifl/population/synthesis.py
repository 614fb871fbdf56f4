"""Phones from a recipe: a seeded trace whose quantiles follow the recipe's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt, ValidationError
from scipy.special import ndtr

from mpifl.errors import InputError
from mpifl.job.quantiles import Quantiles
from mpifl.job.read import load_yaml
from mpifl.job.section import Section
from mpifl.population.trace import DEVICE_COLUMNS, Trace
from mpifl.seeds import Purpose, generator

DAY_SECONDS = 86_400.0


class Availability(Section):
    """Slots and gaps take turns from a random moment until a whole number of days is full."""

    slot_seconds: Quantiles
    gap_seconds: Quantiles
    period_days: list[PositiveInt] = Field(min_length=1)


class Recipe(Section):
    """A file of traces/: what a synthetic trace is drawn from."""

    name: str
    source: str
    licence: str
    seed: int = Field(0, ge=0)
    phones: int = Field(1000, ge=1)
    compute_ms_per_sample: Quantiles
    download_kbps: Quantiles
    upload_kbps: Quantiles
    compute_watts: Quantiles
    download_joules_per_byte: Quantiles
    upload_joules_per_byte: Quantiles
    bandwidth_rank_correlation: float = Field(0.0, gt=-1, lt=1)
    availability: Availability


def read_recipe(path: Path) -> Recipe:
    """A checked recipe. Raises InputError naming file, key and value."""
    try:
        return Recipe.model_validate(load_yaml(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {key}: {first['input']!r}: {first['msg']}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def synthesize(recipe: Recipe) -> Trace:
    """The trace of a recipe: the same recipe gives the same bits."""
    random = generator(recipe.seed, Purpose.TRACE)
    phones = recipe.phones
    compute = recipe.compute_ms_per_sample.at(random.random(phones))
    # A Gaussian copula ties a phone's upload to its download and leaves both distributions as they are.
    # Normal variables of Pearson correlation rho have the rank correlation 6 / pi asin(rho / 2).
    rho = 2 * np.sin(np.pi / 6 * recipe.bandwidth_rank_correlation)
    first, second = random.standard_normal((2, phones))
    down = recipe.download_kbps.at(ndtr(first))
    up = recipe.upload_kbps.at(ndtr(rho * first + np.sqrt(1 - rho * rho) * second))
    patterns = [_pattern(recipe.availability, random) for _ in range(phones)]
    energy = {name: getattr(recipe, name).at(random.random(phones)) for name in DEVICE_COLUMNS[3:]}
    sizes = [len(start) for start, _, _ in patterns]
    return Trace(
        name=recipe.name,
        source=recipe.source,
        licence=recipe.licence,
        compute_ms_per_sample=compute,
        download_kbps=down,
        upload_kbps=up,
        **energy,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        start=np.concatenate([start for start, _, _ in patterns]),
        end=np.concatenate([end for _, end, _ in patterns]),
        period=np.array([period for _, _, period in patterns]),
    )


def _pattern(availability: Availability, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """One phone's slots (start, end) in whole seconds, and its period."""
    period = DAY_SECONDS * availability.period_days[int(random.integers(len(availability.period_days)))]
    starts, ends = [], []
    # Begin inside an earlier turn, so that second 0 is a moment like any other.
    now = -float(random.random()) * period
    while now < period:
        slot = np.ceil(availability.slot_seconds.at(random.random(1))[0])
        gap = np.ceil(availability.gap_seconds.at(random.random(1))[0])
        start, end = max(0.0, np.ceil(now)), min(period, np.ceil(now) + slot)
        if end > start:
            starts.append(start)
            ends.append(end)
        now = np.ceil(now) + slot + max(1.0, gap)
    return np.array(starts), np.array(ends), period
