"""Pairwise masks that cancel in the sum, with a mask of each client's own: SecAgg and SecAgg+.

K. Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017,
figure 4; J. Bell et al., Secure Single-Server Aggregation with (Poly)Logarithmic Overhead, CCS
2020, algorithm 2. A client u adds PRG(b_u) and, for each neighbour v, plus or minus PRG(s_uv),
where s_uv is what their keys agree on. b_u and u's private key are shared with its neighbours. Of
who has uploaded the server asks shares of b_u, of who has left before that shares of the key.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.secure_aggregation import shamir
from mpifl.secure_aggregation.keys import add_streams, agreed
from mpifl.secure_aggregation.masks import Masks
from mpifl.secure_aggregation.neighbourhood import Neighbourhood
from mpifl.secure_aggregation.secure_aggregation import SecureAggregation, came, with_phase
from mpifl.secure_aggregation.step import (
    NUMBER_BYTES,
    PUBLIC_KEY_BYTES,
    TAG_BYTES,
    Cohort,
    Phase,
    Step,
    Steps,
)
from mpifl.shares import ceil_share

SHARED_SECRETS = 2
"""Of each client: the seed of its own mask, and its private key."""

CIPHERTEXT_BYTES = SHARED_SECRETS * shamir.SHARE_BYTES + TAG_BYTES
"""The encrypted shares that a client sends one neighbour."""


class Pairwise(SecureAggregation):
    """Base of the protocols with pairwise masks: who is whose neighbour, and the threshold."""

    holds_own: ClassVar[bool]
    """Whether a client keeps a share of its own secrets, beside those of its neighbours."""

    threshold: float = Field(
        0.67,
        gt=0.5,
        le=1,
        description="share of those with shares of a client's secrets that has to answer",
    )

    def neighbourhood(self, cohort: Cohort) -> Neighbourhood:
        """Return who is whose neighbour."""
        raise NotImplementedError

    def least(self, cohort: Cohort) -> int:
        """Return how many shares give a secret."""
        held = self.neighbourhood(cohort).degree + self.holds_own
        return max(2, ceil_share(self.threshold, held))

    def holders(self, cohort: Cohort, there: np.ndarray) -> np.ndarray:
        """Return how many of those ``there`` (n,) bool have shares of each client, (n,) int64.

        It is also of how many of those there a client has shares.
        """
        return self.neighbourhood(cohort).count(there) + (there & self.holds_own)

    def prepare(self, cohort: Cohort) -> Steps:
        phases = np.zeros(cohort.size, np.uint8)
        joined = yield Step(np.arange(cohort.size), up=2 * PUBLIC_KEY_BYTES)
        there = np.flatnonzero(joined)

        degrees = self.neighbourhood(cohort).count(joined)[there]
        dealt = self.holders(cohort, joined)[there]
        products = SHARED_SECRETS * shamir.DIGITS * dealt * (self.least(cohort) - 1)
        shared = yield Step(
            there,
            down=2 * PUBLIC_KEY_BYTES * degrees,
            up=CIPHERTEXT_BYTES * degrees,
            seconds=self.agreement_seconds(2 * degrees) + self.product_seconds(products),
        )
        return with_phase(phases, there[shared], Phase.SHARED)

    def upload(self, cohort: Cohort, phases: np.ndarray) -> Step:
        there = came(phases, Phase.SHARED)
        degrees = self.neighbourhood(cohort).count(phases >= Phase.SHARED)[there]
        return Step(
            there,
            down=CIPHERTEXT_BYTES * degrees,
            up=NUMBER_BYTES * cohort.entries,
            seconds=self.mask_seconds((1 + degrees) * cohort.entries),
        )

    def recover(self, cohort: Cohort, phases: np.ndarray) -> Steps:
        there = came(phases, Phase.UPLOADED)
        # One share of each client that shared: of its seed, or of its key.
        shares = self.holders(cohort, phases >= Phase.SHARED)[there]
        bits = self.neighbourhood(cohort).degree  # which of its neighbours have uploaded
        answered = yield Step(there, down=-(-bits // 8), up=shamir.SHARE_BYTES * shares)
        return with_phase(phases, there[answered], Phase.ANSWERED)

    def failure(self, cohort: Cohort, phases: np.ndarray) -> bool:
        uploaded = phases >= Phase.UPLOADED
        left = (phases == Phase.SHARED) & (self.neighbourhood(cohort).count(uploaded) > 0)
        shares = self.holders(cohort, phases >= Phase.ANSWERED)
        too_few = (uploaded | left) & (shares < self.least(cohort))
        # The sum of one update would be the update.
        return bool(uploaded.sum() < 2 or too_few.any())

    def make_masks(self, cohort: Cohort, phases: np.ndarray) -> PairwiseMasks:
        return PairwiseMasks(self, cohort, phases)


class PairwiseMasks(Masks):
    """The masks of a round with a protocol of this kind."""

    def __init__(self, protocol: Pairwise, cohort: Cohort, phases: np.ndarray) -> None:
        super().__init__(cohort, phases)
        self._neighbourhood = protocol.neighbourhood(cohort)
        self._holds_own = protocol.holds_own
        self._least = protocol.least(cohort)

    def mask(self, client: int, update: np.ndarray, total: np.ndarray) -> None:
        own = self.place(client)
        others = self._neighbours(own, Phase.SHARED).tolist()
        common = self._common(self.secrets.private(client), others)
        signs = [_sign(own, other) for other in others]
        total[0] += update
        add_streams(total[0], [self.secret(own, "own mask"), *common], [1, *signs])

    def unmask(self, total: np.ndarray) -> np.ndarray:
        found = total[0].copy()
        own = [self._recovered(place, "own mask") for place in self.came(Phase.UPLOADED).tolist()]
        add_streams(found, own, [-1] * len(own))

        for left in np.flatnonzero(self.phases == Phase.SHARED).tolist():
            others = self._neighbours(left, Phase.UPLOADED).tolist()
            if not others:
                continue
            keys = self._common(self._recovered(left, "mask key"), others)
            add_streams(found, keys, [-_sign(other, left) for other in others])
        return found

    def _neighbours(self, place: int, phase: Phase) -> np.ndarray:
        """Return the places of a client's neighbours who have come at least to a phase."""
        neighbours = self._neighbourhood.of(place)
        return neighbours[self.phases[neighbours] >= phase]

    def _common(self, private: bytes, others: list[int]) -> list[bytes]:
        """Return the keys of the masks that the owner of a private key has with other clients."""
        return agreed(
            private, [self.secrets.public(c) for c in self.cohort.clients[others].tolist()]
        )

    def _recovered(self, place: int, label: str) -> bytes:
        """Return a client's secret from the shares of as many who have answered as it takes."""
        answered = self._neighbours(place, Phase.ANSWERED)
        if self._holds_own and self.phases[place] >= Phase.ANSWERED:
            answered = np.append(answered, place)
        return self.recovered(place, label, answered, self._least)


def _sign(own: int, other: int) -> int:
    """Return the sign with which a client adds the mask that it has in common with another."""
    return 1 if own < other else -1
