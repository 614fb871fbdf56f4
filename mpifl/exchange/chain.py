"""The stages of one way, up or down, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.errors import TrainingError
from mpifl.exchange.part import floats, pack
from mpifl.exchange.stage import Coded, Coder, Shape, Stage, StageContext, Steered

MakeGenerator = Callable[[int, bool], np.random.Generator]
"""(place of a stage, alike for all clients of the round) -> its generator, at its beginning."""

Kept = dict[tuple[int, str], np.ndarray]
"""What a client keeps of one array, by the place of the stage and the name there."""


@dataclass(frozen=True)
class Arrived:
    """What arrives of an array.

    Attributes:
        values: The numbers, (count,) float32.
        bytes: What was sent.
        kept: What the client keeps.
        told: What it tells the server for the stage that the server steers; 0 without one.
    """

    values: np.ndarray
    bytes: int
    kept: Kept
    told: float


def send(
    stages: Sequence[Stage],
    values: np.ndarray,
    shape: Shape,
    make_generator: MakeGenerator,
    kept: Mapping[tuple[int, str], np.ndarray],
    number: float = math.nan,
) -> Arrived:
    """Return what arrives of an array through a chain of stages.

    Where a stage has left no numbers those behind it are not called.

    Args:
        stages: The chain; coders stand at its end.
        values: The array, (count,) float32, finite.
        shape: Its shape.
        make_generator: Makes the generators of the stages.
        kept: What the client has kept of this array; empty the first time.
        number: What the server says to the stage that it steers.
    """
    done: list[tuple[int, Stage, StageContext, Coded]] = []
    left = values
    for place, stage in enumerate(stages):
        if isinstance(stage, Coder) or not len(left):
            break
        own = {name: array for (at, name), array in kept.items() if at == place}
        context = StageContext(
            shape=shape,
            number=number,
            kept=own,
            make_generator=partial(make_generator, place, False),
            make_round_generator=partial(make_generator, place, True),
        )
        coded = stage.encode(left, context)
        size = stage.size(shape)
        if ":" in stage.name:
            _check_coded(stage.name, coded)
        shape = Shape(len(coded.left)) if size is None else size.left
        left = coded.left
        done.append((place, stage, context, coded))

    told = [stage.tell(coded) for _, stage, _, coded in done if isinstance(stage, Steered)]
    weight = _bytes(stages, [coded for *_, coded in done], left)
    keep: Kept = {}
    for place, stage, context, coded in reversed(done):
        left = stage.decode(replace(coded, left=left), replace(context, kept={}))
        if np.shape(left) != (context.shape.count,):
            raise TrainingError(
                f"exchange: {stage.name!r}: decode returned an array of shape {np.shape(left)};"
                f" expected ({context.shape.count},), as encode was given"
            )
        keep |= {(place, name): array for name, array in stage.keep(coded, left, context).items()}
    return Arrived(left, weight, keep, told[0] if told else 0.0)


def _check_coded(name: str, coded: Any) -> None:
    """Raise TrainingError for what a plug-in's ``encode`` may not return."""
    if not isinstance(coded, Coded):
        raise TrainingError(
            f"exchange: {name!r}: encode returned {type(coded).__name__}; expected Coded"
        )
    for part in coded.parts:
        numbers = part.numbers
        whole = np.issubdtype(numbers.dtype, np.integer)
        if not whole or (len(numbers) and (numbers.min() < 0 or int(numbers.max()) >> part.bits)):
            raise TrainingError(
                f"exchange: {name!r}: encode returned a part whose numbers are not all whole and"
                f" from 0 to {2**part.bits - 1}, the largest of {part.bits} bits"
            )


def _bytes(stages: Sequence[Stage], done: Sequence[Coded], left: np.ndarray) -> int:
    """Return the bytes of a message: the parts of the stages and the numbers that are ``left``."""
    parts = [*(part for coded in done for part in coded.parts), floats(left)]
    coders = [stage for stage in stages if isinstance(stage, Coder)]
    if not coders:
        return sum(part.bytes for part in parts)

    message = b"".join(pack(part) for part in parts)
    for coder in coders:
        message = coder.compress(message)
    return len(message)


def shapes_of_chain(
    stages: Sequence[Stage], shape: Shape
) -> Iterator[tuple[int, Stage, Shape | None]]:
    """Yield each stage with its place, and the shape of what it is given.

    None behind a stage whose size depends on the values.
    """
    given: Shape | None = shape
    for place, stage in enumerate(stages):
        yield place, stage, given
        size = None if given is None else stage.size(given)
        given = None if size is None else size.left


def bytes_of_chain(stages: Sequence[Stage], shape: Shape) -> int | None:
    """Return what an array of a shape weighs; None where that depends on the values."""
    total = 0
    left = shape
    for stage in stages:
        size = stage.size(left)
        if size is None:
            return None
        total += size.bytes
        left = size.left
    return total + BYTES_PER_NUMBER * left.count


def kept_shapes(stages: Sequence[Stage], shape: Shape) -> dict[tuple[int, str], tuple[int, ...]]:
    """Return the shapes of what a client keeps of an array of a shape."""
    return {
        (place, name): size
        for place, stage, given in shapes_of_chain(stages, shape)
        if given is not None
        for name, size in stage.kept(given).items()
    }
