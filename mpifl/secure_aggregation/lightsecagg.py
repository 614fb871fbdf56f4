"""LightSecAgg: each client codes its mask; coded masks are added up before they are sent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from mpifl.secure_aggregation import lagrange_coding
from mpifl.secure_aggregation.field_masks import FieldMasks
from mpifl.secure_aggregation.keys import Stream
from mpifl.secure_aggregation.residues import PRIMES
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
from mpifl.shares import ceil_share, floor_share


class LightSecAgg(SecureAggregation):
    """A protocol: masks in coded pieces (So et al., MLSys 2022, arXiv 2109.14236).

    A client's mask is as long as its update. Its U - T pieces and T random ones are coded into one
    for each client (Lagrange coded computing). U clients that send the sum of the coded pieces of
    all who have uploaded give the sum of the masks, however many have left; T together learn
    nothing.
    """

    width: ClassVar[int] = len(PRIMES)

    name: str = "lightsecagg"
    threshold: float = Field(
        0.7, gt=0, le=1, description="share U of the clients asked that has to answer"
    )
    privacy: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="share T of them that together learn nothing; below threshold",
    )

    @model_validator(mode="after")
    def _in_order(self) -> LightSecAgg:
        if self.privacy >= self.threshold:
            raise ValueError("privacy has to be below threshold")
        return self

    def numbers(self, cohort: Cohort) -> tuple[int, int, int]:
        """Return U, T and the entries of a piece."""
        least = max(2, ceil_share(self.threshold, cohort.size))
        private = floor_share(self.privacy, cohort.size)
        return least, private, -(-cohort.entries // (least - private))

    def prepare(self, cohort: Cohort) -> Steps:
        joined = yield Step(np.arange(cohort.size), up=PUBLIC_KEY_BYTES)
        there = np.flatnonzero(joined)

        others = max(len(there) - 1, 0)
        least, private, piece = self.numbers(cohort)
        products = len(PRIMES) * (others + 1) * least * piece
        made = cohort.entries + private * piece
        seconds = self.agreement_seconds(others) + self.mask_seconds(made)
        shared = yield Step(
            there,
            down=PUBLIC_KEY_BYTES * others,
            up=others * (NUMBER_BYTES * piece + TAG_BYTES),
            seconds=seconds + self.product_seconds(products),
        )
        phases = np.zeros(cohort.size, np.uint8)
        return with_phase(phases, there[shared], Phase.SHARED)

    def upload(self, cohort: Cohort, phases: np.ndarray) -> Step:
        there = came(phases, Phase.SHARED)
        piece = self.numbers(cohort)[2]
        return Step(
            there,
            down=(len(there) - 1) * (NUMBER_BYTES * piece + TAG_BYTES),
            up=NUMBER_BYTES * cohort.entries,
        )

    def recover(self, cohort: Cohort, phases: np.ndarray) -> Steps:
        there = came(phases, Phase.UPLOADED)
        piece = self.numbers(cohort)[2]
        bits = cohort.size - 1  # which of the others have uploaded
        answered = yield Step(there, down=-(-bits // 8), up=NUMBER_BYTES * piece)
        return with_phase(phases, there[answered], Phase.ANSWERED)

    def failure(self, cohort: Cohort, phases: np.ndarray) -> bool:
        # The sum of one update would be the update; U is at least 2.
        return len(came(phases, Phase.ANSWERED)) < self.numbers(cohort)[0]

    def make_masks(self, cohort: Cohort, phases: np.ndarray) -> CodedMasks:
        return CodedMasks(self, cohort, phases)


class CodedMasks(FieldMasks):
    """The masks of a round with LightSecAgg."""

    def __init__(self, protocol: LightSecAgg, cohort: Cohort, phases: np.ndarray) -> None:
        super().__init__(cohort, phases)
        self._least, self._private, _ = protocol.numbers(cohort)

    def key(self, place: int, prime: int) -> bytes:
        return self.secret(place, f"mask {prime}")

    def sum_of_masks(self, size: int, prime: int) -> np.ndarray:
        """Return the sum of the masks, from what U clients send.

        The sum of a client's coded pieces is the code of the sums of the pieces (the code is
        linear), so each client's pieces need not be in memory.
        """
        pieces = self._least - self._private
        length = -(-size // pieces)
        sums = np.zeros((self._least, length), np.uint64)
        for place in self.came(Phase.UPLOADED).tolist():
            own = np.zeros(pieces * length, np.uint64)
            own[:size] = Stream(self.key(place, prime)).elements(size, prime)
            randoms = Stream(self.secret(place, f"random pieces {prime}"))
            sums[:pieces] += own.reshape(pieces, length)
            sums[pieces:] += randoms.elements(self._private * length, prime).reshape(-1, length)
        sums %= np.uint64(prime)

        points = lagrange_coding.party_points(self.cohort.size, self._least)
        answering = points[self.came(Phase.ANSWERED)[: self._least]]
        coded = lagrange_coding.encode(sums, answering, prime)
        return lagrange_coding.decode(coded, answering, pieces, prime).reshape(-1)[:size]
