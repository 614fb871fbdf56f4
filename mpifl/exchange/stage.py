"""The base class of the stages of an exchange: what arrives of an array, and what it weighs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from mpifl.exchange.part import Part
from mpifl.job.section import Section


@dataclass(frozen=True)
class Shape:
    """The numbers that a stage is given.

    Attributes:
        count: How many.
        tensors: Where the tensors of the model lie in them, with their shapes. Empty where the
            numbers are not those of a model's tensors, or not in their places any more.
    """

    count: int
    tensors: tuple[tuple[slice, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Size:
    """What a stage makes of numbers, as far as it follows from their shape.

    Attributes:
        bytes: What it sends itself.
        left: The float32 numbers that it leaves to the next stage.
    """

    bytes: int
    left: Shape


@dataclass(frozen=True)
class Coded:
    """What a stage makes of an array.

    Attributes:
        left: The float32 numbers that are left to the next stage, (left,). After the last stage
            they are sent as they are.
        parts: What is sent besides.
    """

    left: np.ndarray
    parts: tuple[Part, ...] = ()


NONE_LEFT = np.empty(0, np.float32)


@dataclass(frozen=True)
class StageContext:
    """One array on its way, as a stage sees it. The receiver knows all of it but ``kept``.

    Attributes:
        shape: The numbers that the stage is given.
        number: What the server says to a stage that it steers; NaN to others.
        kept: What the client has kept for this stage, by name; empty the first time.
        make_generator: Return the stage's generator, keyed by (seed, round, client), at its
            beginning. All its draws have to be made before it is called again.
        make_round_generator: The same, keyed by (seed, round): alike for all clients.
    """

    shape: Shape
    number: float
    kept: Mapping[str, np.ndarray]
    make_generator: Callable[[], np.random.Generator]
    make_round_generator: Callable[[], np.random.Generator]


class Stage(Section):
    """Base of the stages (``exchange.up``, ``exchange.down``).

    A stage has to have ``size``, ``encode`` and ``decode``. An instance holds the stage's keys and
    never changes. What it returns may depend on its arguments only.

    Attributes:
        ends: Whether no float32 numbers are left after it, so that only lossless coding may follow.
        needs_shape: Whether it has to be given the same number of numbers each time.
        makes_up: Whether it is about what the stages behind it lose.
        divides: Whether it sends a share of the numbers, which participants may be told to divide
            further (``part``).
        shrinks: Whether what it leaves and what arrives are never longer (Euclidean norm) than what
            they were made from.
        library: A library that it needs besides those of mpifl, which may change its result.
    """

    ends: ClassVar[bool] = False
    """Whether no float32 numbers are left after it, so that only lossless coding may follow."""
    needs_shape: ClassVar[bool] = False
    """Whether it has to be given the same number of numbers each time, as what keeps state does."""
    makes_up: ClassVar[bool] = False
    """Whether it makes up for what the stages behind it lose, and is nothing without one."""
    divides: ClassVar[bool] = False
    """Whether it sends a share of the numbers, which participants may be told to divide further."""
    shrinks: ClassVar[bool] = False
    """Whether nothing becomes longer in it, so that a bound on the norm still holds after it."""
    library: ClassVar[str] = ""
    """A library that it needs besides those of mpifl. Ranks compare its version."""

    name: str

    def check(self, shape: Shape) -> None:
        """Check that the stage works with numbers of a shape.

        Args:
            shape: The numbers that it is given.

        Raises:
            InputError: It does not; the message says why.
        """

    def part(self, sent: float) -> Self:
        """Return the stage of a participant that is to send the share ``sent`` of its upload.

        Of a stage that ``divides`` it is one that sends this share of what it would send.
        """
        return self

    def size(self, shape: Shape) -> Size | None:
        """Return what the stage sends and leaves, or None where that depends on the values.

        None needs ``clock.costs: measured``.

        Args:
            shape: The numbers that it is given.
        """
        raise NotImplementedError

    def encode(self, values: np.ndarray, c: StageContext) -> Coded:
        """Return what is sent of an array, and what is left of it.

        Args:
            values: (count,) float32, finite. It may not be changed.
            c: The array on its way.
        """
        raise NotImplementedError

    def decode(self, coded: Coded, c: StageContext) -> np.ndarray:
        """Return what arrives of an array, (count,) float32.

        Args:
            coded: What was encoded; ``left`` is as it has arrived through the stages that follow.
            c: The array on its way; ``kept`` is empty.
        """
        raise NotImplementedError

    def kept(self, shape: Shape) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of what a client keeps for the stage, by name. By default nothing.

        Args:
            shape: The numbers that it is given.
        """
        return {}

    def keep(self, coded: Coded, arrived: np.ndarray, c: StageContext) -> Mapping[str, np.ndarray]:
        """Return what the client keeps until it takes part again: the arrays of ``kept``.

        Args:
            coded: What ``encode`` returned.
            arrived: What arrives, as ``decode`` returned it.
            c: The array on its way.
        """
        return {}


class Steered(Stage):
    """Base of the stages that the server steers by a number, from what clients tell it.

    The number travels with each model version. A steered stage stands in ``exchange.up``, one at
    most, with an algorithm that uploads one array.
    """

    def first(self) -> float:
        """Return the number before the first round."""
        raise NotImplementedError

    def tell(self, coded: Coded) -> float:
        """Return what a client tells the server: a number that its message has.

        Args:
            coded: What ``encode`` returned.
        """
        raise NotImplementedError

    def learn(self, number: float, told: np.ndarray) -> float:
        """Return the number for the next model version.

        Args:
            number: That of the version before.
            told: What the clients told whose updates count, (clients,) float64, by client.
        """
        raise NotImplementedError


class Coder(Stage):
    """Base of the stages that code a whole message without loss. They stand behind all others.

    A coder has to have ``compress``. What it saves depends on the values.
    """

    def size(self, shape: Shape) -> Size | None:
        """Return None."""
        return None

    def compress(self, message: bytes) -> bytes:
        """Return a message in fewer bytes.

        Args:
            message: All that the stages before send of an array, one part behind the other.
        """
        raise NotImplementedError
