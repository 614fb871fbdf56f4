"""The arrays of an algorithm on their way up or down: which are coded, and what they weigh."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from mpifl.algorithms.arrays import BYTES_PER_NUMBER, Array, Arrays, bytes_of
from mpifl.errors import InputError, TrainingError
from mpifl.exchange.chain import bytes_of_chain, kept_shapes, send, shapes_of_chain
from mpifl.exchange.stage import Coder, Shape, Stage, Steered
from mpifl.models.layout import Layout
from mpifl.seeds import KeyedGenerator

MOST_STAGES = 1 << 16
"""Keeps the generators of a stage apart for the arrays that go through it."""

ALL_CLIENTS = (1 << 64) - 1
"""In the place of a client: the generator is alike for all of them."""


@dataclass(frozen=True)
class Sent:
    """Arrays that were sent.

    Attributes:
        arrived: What arrives of those that went through the stages, by name.
        bytes: The bytes on the air of all that was sent.
        kept: What the client keeps for the stages, by name.
        told: What it tells the server for the stage that the server steers; 0 without one.
    """

    arrived: Arrays
    bytes: int
    kept: Arrays
    told: float


@dataclass(frozen=True)
class Way:
    """One way, up or down.

    Attributes:
        key: The key of its stages, ``exchange.up`` or ``exchange.down``.
        stages: The stages, the first one first.
        shapes: The arrays that go through them, by name.
        beside: The bytes of what is sent as it is.
    """

    key: str
    stages: tuple[Stage, ...]
    shapes: Mapping[str, Shape]
    beside: int

    @cached_property
    def bytes(self) -> int | None:
        """What all of it weighs on the air; None where that depends on the values."""
        total = self.beside
        for shape in self.shapes.values():
            weight = bytes_of_chain(self.stages, shape)
            if weight is None:
                return None
            total += weight
        return total

    @cached_property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what a client keeps for the stages, by name."""
        return {
            kept_name(array, place, name): size
            for array, shape in self.shapes.items()
            for (place, name), size in kept_shapes(self.stages, shape).items()
        }

    @property
    def steered(self) -> Steered | None:
        """The stage that the server steers, if there is one."""
        return next((stage for stage in self.stages if isinstance(stage, Steered)), None)

    @property
    def divides(self) -> bool:
        """Whether participants may be told to send a share of what would be sent."""
        return any(stage.divides for stage in self.stages)

    def part(self, sent: float) -> Way:
        """Return the way of a participant that is to send the share ``sent`` of its upload.

        The first stage that can divides it.
        """
        if sent == 1:
            return self
        place = next(number for number, stage in enumerate(self.stages) if stage.divides)
        stages = (*self.stages[:place], self.stages[place].part(sent), *self.stages[place + 1 :])
        return replace(self, stages=stages)

    def send(
        self,
        arrays: Mapping[str, np.ndarray],
        generator: KeyedGenerator,
        first: int,
        second: int,
        kept: Mapping[str, np.ndarray],
        number: float = math.nan,
    ) -> Sent:
        """Send the arrays of ``shapes``, (count,) float32 each, through the stages.

        Args:
            arrays: By name.
            generator: Makes the generators of the stages.
            first: The round, or the model version.
            second: The client.
            kept: What it has kept for the stages, by name; empty the first time.
            number: What the server says to the stage that it steers.

        Raises:
            TrainingError: The stages send another number of bytes than they declare.
        """
        arrived: Arrays = {}
        keep: Arrays = {}
        weight = self.beside
        told = 0.0
        for index, (name, shape) in enumerate(self.shapes.items()):
            make = partial(_generator, generator, first, second, index)
            own = {at: kept[kept_name(name, *at)] for at in kept_shapes(self.stages, shape) if kept}
            sent = send(self.stages, arrays[name], shape, make, own, number)
            arrived[name] = sent.values
            weight += sent.bytes
            told = sent.told
            keep |= {kept_name(name, *at): values for at, values in sent.kept.items()}

        if self.bytes is not None and weight != self.bytes:
            raise TrainingError(
                f"{self.key}: the stages send {weight:,} bytes; by their sizes it is {self.bytes:,}"
            )
        return Sent(arrived, weight, keep, told)

    def check(self) -> None:
        """Raise InputError for stages in an order, or at arrays, that do not work."""
        for place in range(1, len(self.stages)):
            before = self.stages[place - 1]
            stage = self.stages[place]
            where = f"{self.key}.{place}.name: {stage.name!r} is not allowed behind {before.name!r}"
            if isinstance(stage, Coder):
                continue
            if isinstance(before, Coder):
                raise InputError(f"{where}, which codes bytes; put it before")
            if before.ends:
                raise InputError(f"{where}, which leaves no float32 numbers; put it before")
        self._check_steered()
        for shape in self.shapes.values():
            for place, stage, given in shapes_of_chain(self.stages, shape):
                self._check_stage(place, stage, given)
        self._check_last()

    def _check_last(self) -> None:
        """Raise InputError for a stage that has nothing behind it to make up for."""
        place = max(
            (number for number, stage in enumerate(self.stages) if not isinstance(stage, Coder)),
            default=None,
        )
        if place is not None and self.stages[place].makes_up:
            raise InputError(
                f"{self.key}.{place}.name: {self.stages[place].name!r} is not allowed at the end:"
                " it makes up for what the stages behind it lose; put one there, such as top_k"
            )

    def _check_steered(self) -> None:
        """Raise InputError for stages that the server cannot steer."""
        places = [place for place, stage in enumerate(self.stages) if isinstance(stage, Steered)]
        if not places:
            return
        where = f"{self.key}.{places[-1]}.name: {self.stages[places[-1]].name!r} is not allowed"
        if self.key == "exchange.down":
            raise InputError(f"{where}: it follows what clients tell; allowed: in exchange.up")
        if len(places) > 1:
            raise InputError(f"{where}: {places[0]} is such a stage already; allowed: one")
        if len(self.shapes) > 1:
            raise InputError(
                f"{where}: it follows one array, and the algorithm uploads"
                f" {', '.join(self.shapes)}; allowed: algorithms that upload one"
            )

    def _check_stage(self, place: int, stage: Stage, given: Shape | None) -> None:
        """Raise InputError for a stage that does not work with what it is given."""
        where = f"{self.key}.{place}.name: {stage.name!r} is not allowed"
        if stage.library and importlib.util.find_spec(stage.library) is None:
            raise InputError(
                f"{where}: its library is missing; pip install {stage.library}, on every host"
            )
        if given is None:
            if stage.needs_shape:
                raise InputError(
                    f"{where} behind {self.stages[place - 1].name!r}, which does not always leave"
                    " as many numbers; put it before"
                )
            return
        try:
            stage.check(given)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if self.key == "exchange.down" and stage.kept(given):
            raise InputError(
                f"{where}: it keeps something from round to round, as clients can and the server"
                " does not; allowed: stages that keep nothing"
            )


def _generator(
    generator: KeyedGenerator, first: int, second: int, index: int, place: int, alike: bool
) -> np.random.Generator:
    """Return the generator of a stage for an array, each counted from 0."""
    return generator(first, ALL_CLIENTS if alike else second, index * MOST_STAGES + place)


def kept_name(array: str, place: int, name: str) -> str:
    """Return the name under which a client keeps ``name`` of a stage for an array."""
    return f"exchange.up.{place}.{name} of {array}"


def way_of(
    key: str,
    stages: tuple[Stage, ...],
    arrays: Mapping[str, Array],
    layout: Layout,
    averages: int = 0,
) -> Way | None:
    """Return the way of some arrays; None where there are no stages.

    Arrays of more than one number that may be coded go through them. Of a model-sized array the
    trained segment does; the averaged buffers behind it are sent as they are.

    Args:
        key: ``exchange.up`` or ``exchange.down``.
        stages: Its stages.
        arrays: What is sent, by name.
        layout: The model.
        averages: Bytes of an averaged segment that is sent beside the arrays.
    """
    if not stages:
        return None
    shapes = {
        name: shape
        for name, array in arrays.items()
        if array.coded and (shape := _shape(array, layout)).count > 1
    }
    coded = BYTES_PER_NUMBER * sum(shape.count for shape in shapes.values())
    return Way(key, stages, shapes, bytes_of(arrays, layout, None) + averages - coded)


def _shape(array: Array, layout: Layout) -> Shape:
    """Return the shape of the numbers of an array that go through the stages."""
    count = math.prod(array.sized(layout.trained))
    if not array.of_model or len(array.shape) > 1:
        return Shape(count)
    tensors = tuple((layout.slices[name], layout.shapes[name]) for name in layout.parameters)
    return Shape(count, tensors)
