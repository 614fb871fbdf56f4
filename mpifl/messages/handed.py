"""What handlers are handed, and what they leave behind: checked, as a protocol may be a plug-in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from mpifl.errors import InputError, TrainingError
from mpifl.protocols.actor import Actor, Message

Handed = tuple[str, torch.Tensor, int]
"""A tensor that a handler gets: what it is, and torch's count of writes to it."""


def handed_to(actor: Actor, messages: Sequence[Message]) -> Iterator[Handed]:
    """Yield the tensors that a handler gets, before it is called."""
    for message in messages:
        for name, values in message.arrays.items():
            yield f"arrays[{name!r}] of a message {message.kind!r}", values, values._version
    for name, values in actor.state.items():
        yield f"state[{name!r}]", values, values._version
    yield "initial", actor.initial, actor.initial._version


def check_handed(protocol: str, handed: Sequence[Handed]) -> None:
    """Raise InputError when handlers of a ``protocol`` have written into what they were handed.

    The tensor may be that of other actors too, of which some are on other ranks and have their own.
    """
    for what, values, writes in handed:
        if values._version != writes:
            raise InputError(
                f"protocol.name: {protocol!r} is not allowed: a handler changes {what} in place,"
                " which other actors get too; change a copy (clone)"
            )


def tensor_of(values: object, what: str) -> torch.Tensor:
    """Return a tensor that a handler leaves, float32. Raises TrainingError for another object."""
    if not isinstance(values, torch.Tensor):
        raise TrainingError(f"{what} is of type {type(values).__name__}; expected: a torch.Tensor")
    return values.detach().to(torch.float32).contiguous()


def model_of(values: object, size: int) -> torch.Tensor:
    """Return a model (size,) float32 that a handler reports. Raises TrainingError for another."""
    model = tensor_of(values, "the model that is reported")
    if model.shape != (size,):
        raise TrainingError(
            f"the model that is reported has the shape {tuple(model.shape)}; expected: ({size},)"
        )
    return model
