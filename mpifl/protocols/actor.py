"""What an actor of a protocol sees, and what its handlers do."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mpifl.algorithms.context import ClientContext
from mpifl.algorithms.requests import Request
from mpifl.errors import TrainingError
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    import torch

Numbers = Mapping[str, float]
Steps = Generator[Request, Any, None]
"""A handler that yields requests (``algorithms/requests.py``) and receives their results."""

Handler = Steps | None
"""What a handler returns: a generator; or nothing, where it has done all that it does."""


@dataclass(frozen=True)
class Event:
    """What a handler is called for.

    Attributes:
        what: The start of the run, a message, several messages that were gathered, a timer, a
            message of the actor's own that was refused, or a handler of its own that was broken off
            when it went offline.
        name: The kind of the message, or the name of the timer; of a handler that was broken off,
            that of its event. Empty at the start.
        round: The round of the message or timer, 0 at the start.
        sender: Who has sent the message; -1 for anything else.
    """

    what: Literal["start", "message", "gathered", "timer", "refused", "broken"]
    name: str = ""
    round: int = 0
    sender: int = -1


@dataclass(frozen=True)
class Message:
    """A message, as the actor that gets it sees it.

    Attributes:
        kind: What it is, in the protocol's words.
        round: The round that it belongs to.
        sender: The number of the actor that sent it.
        arrays: What it carries, float32 by name. Read-only: others may get the same tensors.
        numbers: Single numbers by name.
    """

    kind: str
    round: int
    sender: int
    arrays: Mapping[str, torch.Tensor]
    numbers: Numbers


@dataclass(frozen=True)
class Sending:
    """A message that a handler sends."""

    to: int
    kind: str
    round: int
    arrays: Mapping[str, torch.Tensor]
    numbers: Numbers


@dataclass(frozen=True)
class Timer:
    """A timer that a handler sets, in virtual seconds from the handler's end."""

    seconds: float
    name: str
    round: int


@dataclass(frozen=True)
class Report:
    """A model that an actor reports for a round."""

    round: int
    model: torch.Tensor


@dataclass
class Actor:
    """An actor, as its handlers see it: one call of one handler.

    What a handler sends leaves when the handler ends, at the virtual time that the clock gives it.

    Attributes:
        number: Its number: clients come first, from 0 on, then the servers.
        clients: How many clients there are.
        actors: How many actors there are, servers included.
        round: The round of the event.
        now: The virtual second at which the handler begins.
        setting: What ``Protocol.setting`` has returned.
        state: Its own arrays, float32 by name, empty at the start. What a handler puts in stays.
            Tensors are replaced, never changed in place: others may hold them.
        context: What a client program sees of a client; None for a server. ``received`` and
            ``kept`` are empty.
        initial: The model before the first round, (size,) float32.
        layout: Where the model's tensors lie in its vector.
        make_generator: Return the actor's generator, keyed by (seed, round, actor).
        own_steps: What ``trained`` was told; 0 without it.
        own_loss: See ``own_steps``.
    """

    number: int
    clients: int
    actors: int
    round: int
    now: float
    setting: Any
    state: dict[str, torch.Tensor]
    context: ClientContext | None
    initial: torch.Tensor
    layout: Layout
    make_generator: Callable[[], np.random.Generator]
    own_steps: int = 0
    own_loss: float = math.nan
    sent: list[Sending] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def send(
        self,
        to: int,
        kind: str,
        numbers: Numbers | None = None,
        round: int | None = None,
        **arrays: torch.Tensor,
    ) -> None:
        """Send a message to an actor.

        Args:
            to: Its number.
            kind: What the message is.
            numbers: Single numbers by name, eight bytes each.
            round: The round that it belongs to; by default that of the event.
            arrays: What it carries, float32.

        Raises TrainingError when there is no such actor.
        """
        try:
            recipient = operator.index(to)
        except TypeError:
            recipient = -1
        if not 0 <= recipient < self.actors:
            raise TrainingError(
                f"actor {self.number} sends {kind!r} to {to!r}, and there is no such actor;"
                f" allowed: 0 to {self.actors - 1}"
            )
        plain = {name: _number(value) for name, value in (numbers or {}).items()}
        self.sent.append(Sending(recipient, kind, self._round(round), arrays, plain))

    def after(self, seconds: float, name: str, round: int | None = None) -> None:
        """Set a timer: ``on_timer`` is called with its name so many virtual seconds later.

        Raises TrainingError for a time that is past, or never comes.
        """
        if not 0 <= _number(seconds) < math.inf:
            raise TrainingError(
                f"actor {self.number} sets the timer {name!r} in {seconds} s; allowed: 0 or more"
            )
        self.timers.append(Timer(_number(seconds), name, self._round(round)))

    def report(self, model: torch.Tensor, round: int | None = None) -> None:
        """Report the actor's model (size,) for a round, by default that of the event.

        A round is over when all who report (``Protocol.reporters``) have done so; of an
        asynchronous protocol, when there were as many reports. Its model is the mean of those that
        each has reported last.
        """
        self.reports.append(Report(self._round(round), model))

    def trained(self, steps: int, loss: float) -> None:
        """Note that a client has now made so many local steps, and their mean loss.

        For the record, and for a handler that makes them itself; those of ``Train`` are known.
        """
        self.own_steps = operator.index(steps)
        self.own_loss = _number(loss)

    def _round(self, given: int | None) -> int:
        """Return the round that a handler gives, of any kind of whole number; else the event's."""
        return self.round if given is None else operator.index(given)


def _number(value: Any) -> float:
    """Return a number of torch or numpy as Python's: rank 0 gets it as JSON."""
    return value if isinstance(value, int | float) else float(value)
