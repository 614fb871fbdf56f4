"""The events of a run that are to come, and everything else that the rest of it depends on."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from mpifl.messages.ledger import Ledger
from mpifl.messages.letter import Effects, Handling, Json, Letter
from mpifl.messages.links import NO_SPAN, Span
from mpifl.messages.shared_link import SharedLink
from mpifl.protocols.actor import Event

START, SENT, ARRIVED, LATER, ENDED, BROKEN, JOINS, SHARING, HANDLED = range(9)
"""What an event is: an actor begins, a message has left its sender or reached its receiver, a call
is due (a timer, a refused message), a handler has ended or was broken off; a message begins on a
link that others share, something happens on such a link, a server has handled a message."""

Lines = dict[int, deque[Letter]]
"""Messages by the actor whose link they wait for."""


@dataclass
class Call:
    """A handler that is to be called: for what, with which messages; ``to`` as in Handling."""

    event: Event
    letters: tuple[Letter, ...] = ()
    to: int = -1


@dataclass
class Occurrence:
    """What an event on the heap is about; the fields that its kind needs.

    ``actor`` is a shared link's number for SHARING. ``number`` is a handler's, for JOINS the
    direction, and for SHARING how many such events the link had before.
    """

    kind: int
    actor: int
    letter: Letter | None = None
    call: Call | None = None
    number: int = -1
    span: Span = NO_SPAN


@dataclass
class Events:
    """Everything that the rest of a run depends on, but for the actors' arrays.

    Attributes:
        now: The virtual second.
        heap: (second, actor that caused it, its count, occurrence) of what is to come.
        caused: How many events each actor has caused.
        inbox: The calls that wait for each actor.
        busy: Actors that are in a handler.
        gathered: The messages so far, by actor, kind and round.
        early: Calls whose round their actor has not come to, by actor.
        waiting: The messages of each actor's download, and upload, the one under way first.
        shared: The links that transfers share, by number.
        handled_until: When each server is free to handle the next message.
        begun: Handlers that have begun and have not run yet.
        effects: What handlers have done that have not ended yet, by number.
        handlings: How many handlers have begun.
        requests: The round of each actor's last handler, and its requests in that round so far.
        reports: How many reports there were, by round.
        reported: Round, actor and handler of each report that no mean has taken yet.
        rounds_done: How many rounds are over.
        dropped: Messages that nobody will get, whose arrays can go.
        ledger: What happened since the last end of a round.
    """

    now: float = 0.0
    heap: list[tuple[float, int, int, Occurrence]] = field(default_factory=list)
    caused: dict[int, int] = field(default_factory=dict)
    inbox: dict[int, deque[Call]] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)
    gathered: dict[tuple[int, str, int], list[Letter]] = field(default_factory=dict)
    early: dict[int, list[Call]] = field(default_factory=dict)
    waiting: tuple[Lines, Lines] = field(default_factory=lambda: ({}, {}))
    shared: dict[int, SharedLink] = field(default_factory=dict)
    handled_until: dict[int, float] = field(default_factory=dict)
    begun: list[Handling] = field(default_factory=list)
    effects: dict[int, Effects] = field(default_factory=dict)
    handlings: int = 0
    requests: dict[int, tuple[int, int]] = field(default_factory=dict)
    reports: dict[int, int] = field(default_factory=dict)
    reported: list[tuple[int, int, int]] = field(default_factory=list)
    rounds_done: int = 0
    dropped: list[Letter] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def taken(self) -> int:
        """How many events were taken: those that were caused and are not to come."""
        return sum(self.caused.values()) - len(self.heap)

    def push(self, second: float, source: int, occurrence: Occurrence) -> None:
        """Let something happen at a virtual second; ``source`` is the actor that causes it."""
        count = self.caused.get(source, 0)
        self.caused[source] = count + 1
        heapq.heappush(self.heap, (second, source, count, occurrence))


def events_json(events: Events) -> dict[str, Any]:
    """Return events for JSON, which keeps every float as it is."""
    return {
        "now": events.now,
        "heap": [[*place, _occurrence_json(what)] for *place, what in events.heap],
        "caused": [*events.caused.items()],
        "inbox": [
            [actor, [_call_json(call) for call in calls]] for actor, calls in events.inbox.items()
        ],
        "busy": sorted(events.busy),
        "gathered": [
            [*key, [letter.json() for letter in letters]]
            for key, letters in events.gathered.items()
        ],
        "early": [
            [actor, [_call_json(call) for call in calls]] for actor, calls in events.early.items()
        ],
        "waiting": [
            [[actor, [letter.json() for letter in line]] for actor, line in lines.items()]
            for lines in events.waiting
        ],
        "shared": [[number, link.json()] for number, link in events.shared.items()],
        "handled_until": [*events.handled_until.items()],
        "begun": [handling.json() for handling in events.begun],
        "effects": [effects.json() for effects in events.effects.values()],
        "handlings": events.handlings,
        "requests": [*events.requests.items()],
        "reports": [*events.reports.items()],
        "reported": events.reported,
        "rounds_done": events.rounds_done,
        "dropped": [letter.json() for letter in events.dropped],
        "ledger": events.ledger.json(),
    }


def events_of(json: dict[str, Any]) -> Events:
    """Return the events that ``events_json`` was given."""
    effects = [Effects.of(one) for one in json["effects"]]
    return Events(
        now=json["now"],
        heap=[
            (second, source, count, _occurrence_of(what))
            for second, source, count, what in json["heap"]
        ],
        caused=dict(json["caused"]),
        inbox={actor: deque(_call_of(call) for call in calls) for actor, calls in json["inbox"]},
        busy=set(json["busy"]),
        gathered={
            (actor, kind, round_number): [Letter.of(letter) for letter in letters]
            for actor, kind, round_number, letters in json["gathered"]
        },
        early={actor: [_call_of(call) for call in calls] for actor, calls in json["early"]},
        waiting=(_lines_of(json["waiting"][0]), _lines_of(json["waiting"][1])),
        shared={number: SharedLink.of(link) for number, link in json["shared"]},
        handled_until=dict(json["handled_until"]),
        begun=[Handling.of(handling) for handling in json["begun"]],
        effects={one.number: one for one in effects},
        handlings=json["handlings"],
        requests={actor: tuple(made) for actor, made in json["requests"]},
        reports=dict(json["reports"]),
        reported=[(number, actor, handler) for number, actor, handler in json["reported"]],
        rounds_done=json["rounds_done"],
        dropped=[Letter.of(letter) for letter in json["dropped"]],
        ledger=Ledger.of(json["ledger"]),
    )


def _lines_of(json: Json) -> Lines:
    return {actor: deque(Letter.of(letter) for letter in line) for actor, line in json}


def _occurrence_json(what: Occurrence) -> Json:
    letter = what.letter.json() if what.letter else None
    call = _call_json(what.call) if what.call else None
    return [what.kind, what.actor, letter, call, what.number, list(what.span)]


def _occurrence_of(json: Json) -> Occurrence:
    kind, actor, letter, call, number, span = json
    return Occurrence(
        kind,
        actor,
        Letter.of(letter) if letter else None,
        _call_of(call) if call else None,
        number,
        Span(*span),
    )


def _call_json(call: Call) -> Json:
    return [list(vars(call.event).values()), [letter.json() for letter in call.letters], call.to]


def _call_of(json: Json) -> Call:
    event, letters, to = json
    return Call(Event(*event), tuple(Letter.of(letter) for letter in letters), to)
