"""The events of a protocol in virtual time, on rank 0.

An actor does one thing at a time; what comes meanwhile waits in its inbox. A handler takes the time
that its protocol declares, and its effects count when it ends. Its inputs are known when it begins,
because nobody else changes an actor's state. So handlers that have begun run together, on all
ranks, when the first of them ends. Events are taken in the order of (second, actor that caused
them, how many that one had caused): bits do not depend on the ranks.

``transport.py`` carries the messages.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence

from mpifl.clock.kernels.latency import RESUME
from mpifl.messages.events import (
    BROKEN,
    ENDED,
    LATER,
    START,
    Call,
    Events,
    Occurrence,
)
from mpifl.messages.letter import Effects, Handling, Letter
from mpifl.messages.links import Links
from mpifl.messages.reports import check_progress, count_report, stood_still
from mpifl.messages.transport import Transport
from mpifl.protocols.actor import Event

Execute = Callable[[Sequence[Handling], Sequence[Letter]], list[Effects]]
"""(handlers that have begun, messages that nobody will get) -> what they have done."""


class Driver:
    """Takes events one by one; ``execute`` runs handlers."""

    def __init__(
        self,
        links: Links,
        actors: int,
        reporters: int,
        execute: Execute,
        events: Events | None = None,
    ) -> None:
        self.events = events or Events()
        self._transport = Transport(self.events, links, self._delivered)
        self._links = links
        self._protocol = links.protocol
        self._actors = actors
        self._reporters = reporters
        self._execute = execute

    def start(self) -> None:
        """Let every actor begin."""
        for actor in range(self._actors):
            self.events.push(0.0, actor, Occurrence(START, actor))

    def next_round(self, stop: Callable[[], bool]) -> None:
        """Take events until a round is over, or ``stop`` says so.

        Raises:
            InputError: No event is left: everybody waits.
            TrainingError: The protocol ends its rounds in another order.
        """
        events = self.events
        rounds = events.rounds_done
        begun = events.handlings
        reports = len(events.reported)
        while events.rounds_done == rounds and not stop():
            if not events.heap:
                raise stood_still(self.events, self._protocol, self._links.rule == RESUME)
            self.take_next()
            if len(events.reported) > reports:
                begun = events.handlings
                reports = len(events.reported)
            check_progress(events, self._protocol, self._actors, events.handlings - begun)

    def take_next(self) -> None:
        """Take the next event."""
        self.events.now, _, _, occurrence = heapq.heappop(self.events.heap)
        self._take(occurrence)

    def _take(self, occurrence: Occurrence) -> None:
        kind = occurrence.kind
        if kind == START:
            self._call(occurrence.actor, Call(Event("start")))
        elif kind == LATER:
            assert occurrence.call is not None
            self._call(occurrence.actor, occurrence.call)
        elif kind == ENDED:
            self._ended(occurrence)
        elif kind == BROKEN:
            self._broken(occurrence)
        else:
            self._transport.take(occurrence)

    def _delivered(self, letter: Letter) -> None:
        """An actor gets a message: call it, or wait for all that it gathers."""
        events = self.events
        setting = self._links.setting
        awaited = self._protocol.awaited(letter.to, letter.kind, letter.round, setting)
        if not awaited:
            event = Event("message", letter.kind, letter.round, letter.sender)
            self._call(letter.to, Call(event, (letter,)))
            return

        key = (letter.to, letter.kind, letter.round)
        gathered = events.gathered.setdefault(key, [])
        gathered.append(letter)
        if len(gathered) == awaited:
            del events.gathered[key]
            letters = tuple(sorted(gathered, key=lambda one: one.key))
            call = Call(Event("gathered", letter.kind, letter.round), letters)
            if self._protocol.in_order and events.requests.get(letter.to, (0, 0))[0] < letter.round:
                events.early.setdefault(letter.to, []).append(call)
            else:
                self._call(letter.to, call)

    # Handlers

    def _call(self, actor: int, call: Call) -> None:
        """Call a handler of an actor now, or when it is free."""
        if actor in self.events.busy:
            self.events.inbox.setdefault(actor, deque()).append(call)
        else:
            self._begin(actor, call)

    def _begin(self, actor: int, call: Call) -> None:
        """Let a handler begin, as soon as the actor is online."""
        events = self.events
        span = self._links.work(actor, call.event, events.now)
        if span.end == math.inf:  # it never comes back
            for letter in call.letters:
                self._transport.lose(letter)
            return

        events.busy.add(actor)
        if not span.done:
            broken = Occurrence(BROKEN, actor, call=call, span=span)
            self.events.push(span.end, actor, broken)
            return

        round_number, made = events.requests.get(actor, (0, 0))
        part = made if round_number == call.event.round else 0
        handling = Handling(
            events.handlings, actor, call.event, call.letters, span.begin, part, call.to
        )
        events.handlings += 1
        events.begun.append(handling)
        ended = Occurrence(ENDED, actor, call=call, number=handling.number, span=span)
        self.events.push(span.end, actor, ended)

    def _ended(self, occurrence: Occurrence) -> None:
        """A handler has ended: its effects count now. If it has not run yet, all that began do."""
        events = self.events
        if occurrence.number not in events.effects:
            done = self._execute(events.begun, events.dropped)
            events.effects.update({effects.number: effects for effects in done})
            events.begun = []
            events.dropped = []
        effects = events.effects.pop(occurrence.number)
        call = occurrence.call
        assert call is not None

        actor = occurrence.actor
        self._note_work(occurrence, call, effects)
        round_number, made = events.requests.get(actor, (0, 0))
        before = made if round_number == call.event.round else 0
        events.requests[actor] = (call.event.round, before + effects.requests)

        for letter in effects.letters:
            self._transport.send(letter)
        at_once = []
        for seconds, name, timer_round in effects.timers:
            timer = Call(Event("timer", name, timer_round))
            if seconds == 0:
                at_once.append(timer)
            else:
                self.events.push(events.now + seconds, actor, Occurrence(LATER, actor, call=timer))
        due = [one for one in events.early.get(actor, ()) if one.event.round <= call.event.round]
        if at_once or due:
            inbox = events.inbox.setdefault(actor, deque())
            inbox.extendleft(reversed(at_once))
            inbox.extend(due)
        if due:
            left = [one for one in events.early.pop(actor) if one not in due]
            events.early |= {actor: left} if left else {}
        self._free(actor)
        for reported in effects.reports:
            events.reported.append((reported, actor, effects.number))
            count_report(events, self._protocol, self._reporters, reported)

    def _broken(self, occurrence: Occurrence) -> None:
        """A handler was broken off, since its client went offline: it has done nothing.

        The client is told of it, before anything else, when it is online again.
        """
        call = occurrence.call
        assert call is not None
        span = occurrence.span
        round_number = self._links.record_round(call.event.round, self.events.rounds_done)
        row = self.events.ledger.row(round_number, occurrence.actor, span.begin, span.end)
        row.compute_seconds += span.end - span.begin
        row.broken += 1
        for letter in call.letters:
            self._transport.lose(letter)
        told = Call(Event("broken", call.event.name, call.event.round))
        self.events.inbox.setdefault(occurrence.actor, deque()).appendleft(told)
        self._free(occurrence.actor)

    def _free(self, actor: int) -> None:
        """An actor is free: begin what has waited longest, if anything has."""
        self.events.busy.discard(actor)
        inbox = self.events.inbox.get(actor)
        while inbox and actor not in self.events.busy:
            self._begin(actor, inbox.popleft())
        if inbox is not None and not inbox:
            del self.events.inbox[actor]

    def _note_work(self, occurrence: Occurrence, call: Call, effects: Effects) -> None:
        """Add what a client has computed to its row."""
        span = occurrence.span
        if not self._links.is_client(occurrence.actor) or not (span.seconds or effects.steps):
            return
        round_number = self._links.record_round(call.event.round, self.events.rounds_done)
        row = self.events.ledger.row(round_number, occurrence.actor, span.begin, span.end)
        row.compute_seconds += span.seconds
        if effects.steps:
            row.trained += 1
            row.steps += effects.steps
            row.samples += self._links.samples(occurrence.actor, effects.steps)
            row.loss = effects.loss
