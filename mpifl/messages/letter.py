"""What rank 0 knows of messages and handlers. All of it goes over the wire as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpifl.protocols.actor import Event

Json = list[Any]

Key = tuple[int, int]
"""A message: the number of its sender, and how many that one had sent before."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message without its arrays.

    Attributes:
        sender: Who sends it.
        number: How many messages the sender had sent before.
        to: Who gets it.
        kind: What it is, in the protocol's words.
        round: The round that it belongs to.
        size: Bytes on the air.
        numbers: Its single numbers.
        shapes: The shapes of its arrays, by name.
    """

    sender: int
    number: int
    to: int
    kind: str
    round: int
    size: int
    numbers: Mapping[str, float]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def key(self) -> Key:
        """What its arrays are found by."""
        return self.sender, self.number

    def json(self) -> Json:
        """Return it for JSON."""
        return [
            self.sender,
            self.number,
            self.to,
            self.kind,
            self.round,
            self.size,
            dict(self.numbers),
            {name: list(shape) for name, shape in self.shapes.items()},
        ]

    @staticmethod
    def of(json: Json) -> Letter:
        """Return what ``json`` has made."""
        sender, number, to, kind, round_number, size, numbers, shapes = json
        arrays = {name: tuple(shape) for name, shape in shapes.items()}
        return Letter(sender, number, to, kind, round_number, size, numbers, arrays)


@dataclass(frozen=True, slots=True)
class Handling:
    """A handler that has begun: the inputs of it are known, and it can run on any rank.

    Attributes:
        number: Counts handlers.
        actor: Whose it is.
        event: What it is called for.
        letters: The messages that it takes.
        now: The virtual second at which it begins.
        part: How many requests the actor has made in the same round before.
        to: Of a refused message, who refused it; else -1.
    """

    number: int
    actor: int
    event: Event
    letters: tuple[Letter, ...]
    now: float
    part: int
    to: int = -1

    def json(self) -> Json:
        """Return it for JSON."""
        letters = [letter.json() for letter in self.letters]
        return [
            self.number,
            self.actor,
            list(vars(self.event).values()),
            letters,
            self.now,
            self.part,
            self.to,
        ]

    @staticmethod
    def of(json: Json) -> Handling:
        """Return what ``json`` has made."""
        number, actor, event, letters, *rest = json
        return Handling(
            number, actor, Event(*event), tuple(Letter.of(letter) for letter in letters), *rest
        )


@dataclass(frozen=True, slots=True)
class Effects:
    """What a handler has done.

    Attributes:
        number: The handler's number.
        letters: The messages that it sends.
        timers: Seconds, name and round of the timers that it sets.
        reports: The rounds for which it reports a model.
        requests: How many requests it has made.
        steps: The local steps that it has made; 0 where it trains nothing.
        loss: The mean loss of its training; NaN where it trains nothing.
    """

    number: int
    letters: tuple[Letter, ...]
    timers: tuple[tuple[float, str, int], ...]
    reports: tuple[int, ...]
    requests: int
    steps: int
    loss: float

    def json(self) -> Json:
        """Return it for JSON."""
        letters = [letter.json() for letter in self.letters]
        return [
            self.number,
            letters,
            self.timers,
            self.reports,
            self.requests,
            self.steps,
            self.loss,
        ]

    @staticmethod
    def of(json: Json) -> Effects:
        """Return what ``json`` has made."""
        number, letters, timers, reports, *rest = json
        return Effects(
            number,
            tuple(Letter.of(letter) for letter in letters),
            tuple((seconds, name, round_number) for seconds, name, round_number in timers),
            tuple(reports),
            *rest,
        )
