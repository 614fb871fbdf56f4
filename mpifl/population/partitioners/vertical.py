"""Features, not samples, are dealt: clients are parties that know different things of the same people."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from mpifl.errors import InputError
from mpifl.population.partitioners.partitioner import Partitioner, Samples


class Vertical(Partitioner):
    """Every party (client) holds all samples, and of each of them only its own features.

    What a sample is to party k: its features ``features_of(...)[k]`` as they are, every other feature 0 after
    x * feature_scale + feature_shift (so a model's weights for them stay out of it), its label as it is.
    """

    name: str = "vertical"
    clients: int = Field(2, ge=1, description="number of parties that the features are dealt to")
    shuffle: bool = Field(False, description="deal out the features at random, not in contiguous blocks")
    features_per_client: list[int] | None = Field(
        None, min_length=1, description="number of features of each party; default: equal numbers"
    )

    @model_validator(mode="after")
    def _one_number_a_party(self) -> Vertical:
        numbers = self.features_per_client
        if numbers is not None and (len(numbers) != self.clients or min(numbers) < 1):
            raise ValueError(f"features_per_client: {numbers} for {self.clients} clients; allowed: one number above 0 for each")
        return self

    def features_of(self, features: int, random: np.random.Generator) -> list[np.ndarray]:
        """The features of each party: ``clients`` arrays of int64, ascending, which hold each of 0 to features - 1 once.

        ``features`` is the number of features in a sample, an image's in C order. Blocks follow one another, and the first are
        the larger ones by one at most; ``random`` is used when ``shuffle`` says so. Raises InputError when there are too few
        features, or features_per_client is not for so many.
        """
        if features < self.clients:
            raise InputError(
                f"data.partition.clients: {self.clients} clients of one or more features need {self.clients} features;"
                f" a sample has {features}"
            )
        numbers = self.features_per_client
        if numbers is not None and sum(numbers) != features:
            raise InputError(
                f"data.partition.features_per_client: {numbers} are {sum(numbers)} features; a sample has {features}"
            )
        order = random.permutation(features) if self.shuffle else np.arange(features)
        cuts = self.clients if numbers is None else np.cumsum(numbers)[:-1]
        return [np.sort(block) for block in np.array_split(order, cuts)]

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """Not possible: see ``features_of``."""
        raise NotImplementedError
