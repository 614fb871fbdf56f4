"""Carries messages: over the link of their sender, then over that of their receiver.

A link carries one message after the other, in the order in which they were sent or came. Where
transfers share a bandwidth (``shared_link.py``), they do so from the moment at which a client's own
link is free for them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from mpifl.clock.kernels.transfer import DOWN, UP, Load
from mpifl.messages.events import (
    ARRIVED,
    HANDLED,
    JOINS,
    LATER,
    SENT,
    SHARING,
    Call,
    Events,
    Occurrence,
)
from mpifl.messages.letter import Letter
from mpifl.messages.links import Links, Span, carrier_of
from mpifl.messages.shared_link import SharedLink, Transfer, open_shared
from mpifl.protocols.actor import Event

ENDS = (ARRIVED, SENT)
"""What has happened at the end of a download, and of an upload."""


class Transport:
    """Carries messages; ``deliver`` is called with each that its receiver gets."""

    def __init__(self, events: Events, links: Links, deliver: Callable[[Letter], None]) -> None:
        self._events = events
        self._links = links
        self._deliver = deliver
        self._take = {
            SENT: self._sent,
            ARRIVED: self._arrived,
            JOINS: self._joins,
            SHARING: self._shared,
            HANDLED: self._handled,
        }

    def send(self, letter: Letter) -> None:
        """Let a message begin to leave its sender as soon as the link is free."""
        self._events.ledger.counts.sent += 1
        self._wait(letter, UP)

    def take(self, occurrence: Occurrence) -> None:
        """Take an event of a message."""
        self._take[occurrence.kind](occurrence)

    def lose(self, letter: Letter) -> None:
        """Count a message that nobody gets."""
        self._events.ledger.counts.lost += 1
        self._events.dropped.append(letter)

    # The line of an actor's link

    def _wait(self, letter: Letter, direction: int) -> None:
        """Let a message wait for a link; it begins if nothing else does."""
        actor = carrier_of(letter, direction)
        line = self._events.waiting[direction].setdefault(actor, deque())
        line.append(letter)
        if len(line) == 1:
            self._begin_next(actor, direction)

    def _begin_next(self, actor: int, direction: int) -> None:
        """Let the message begin that has waited longest, if any has, now that the link is free."""
        line = self._events.waiting[direction][actor]
        while line and not self._begins(line[0], direction):
            line.popleft()
        if not line:
            del self._events.waiting[direction][actor]

    def _begins(self, letter: Letter, direction: int) -> bool:
        """Let a transfer begin, as soon as its client is online; return whether it ever does."""
        events, links = self._events, self._links
        if not links.is_client(carrier_of(letter, direction)):
            self._end(
                Transfer(letter, direction, links.server_transfer(letter, direction, events.now))
            )
            return True

        load = links.load(letter, direction, events.now)
        span = links.transfer(letter, direction, load, events.now)
        offline = span.begin > events.now
        rule = links.protocol.offline
        if span.end == math.inf or (direction == DOWN and offline and rule == "lose"):
            self.lose(letter)
            return False
        if direction == DOWN and offline and rule == "refuse":
            self._refuse(letter)
            return False

        if letter.size == 0 or links.shared(letter, direction) is None:
            self._end(Transfer(letter, direction, span))
        elif offline:
            joins = Occurrence(JOINS, carrier_of(letter, direction), letter, number=int(direction))
            events.push(span.begin, letter.sender, joins)
        else:
            self._join(Transfer(letter, direction, span), load)
        return True

    def _end(self, transfer: Transfer) -> None:
        """Let a transfer end when its span does."""
        events, letter = self._events, transfer.letter
        actor = carrier_of(letter, transfer.direction)
        ended = Occurrence(ENDS[transfer.direction], actor, letter, span=transfer.span)
        events.push(max(transfer.span.end, events.now), letter.sender, ended)

    def _ended(self, occurrence: Occurrence, direction: int) -> bool:
        """Note what a transfer has carried, and free the link; return whether it is done."""
        letter, span = occurrence.letter, occurrence.span
        assert letter is not None
        if self._links.is_client(occurrence.actor):
            self._note(letter, occurrence.actor, direction, span)
        self._events.waiting[direction][occurrence.actor].popleft()
        self._begin_next(occurrence.actor, direction)
        if not span.done:
            self.lose(letter)
        return span.done

    def _note(self, letter: Letter, client: int, direction: int, span: Span) -> None:
        """Add what a client has carried to its row."""
        events = self._events
        number = self._links.record_round(letter.round, events.rounds_done)
        row = events.ledger.row(number, client, span.begin, span.end)
        if direction == DOWN:
            row.down_seconds += span.end - span.begin
            row.bytes_down += span.carried
        else:
            row.up_seconds += span.end - span.begin
            row.bytes_up += span.carried

    def _refuse(self, letter: Letter) -> None:
        """Tell the sender of a message that its receiver is offline."""
        events = self._events
        events.ledger.counts.refused += 1
        events.dropped.append(letter)
        refused = Call(Event("refused", letter.kind, letter.round), to=letter.to)
        events.push(events.now, letter.sender, Occurrence(LATER, letter.sender, call=refused))

    # Events

    def _sent(self, occurrence: Occurrence) -> None:
        """A message has left its sender, or was broken off: let its receiver take it."""
        if self._ended(occurrence, UP):
            assert occurrence.letter is not None
            self._wait(occurrence.letter, DOWN)

    def _arrived(self, occurrence: Occurrence) -> None:
        """A message has reached its receiver, or was broken off."""
        if not self._ended(occurrence, DOWN):
            return
        letter = occurrence.letter
        assert letter is not None
        events = self._events
        events.ledger.counts.delivered += 1
        events.ledger.counts.bytes += letter.size
        seconds = self._links.handling_seconds(letter)
        if not seconds:
            self._deliver(letter)
            return
        until = max(events.now, events.handled_until.get(letter.to, 0.0)) + seconds
        events.handled_until[letter.to] = until
        events.push(until, letter.sender, Occurrence(HANDLED, letter.to, letter))

    def _handled(self, occurrence: Occurrence) -> None:
        """A server has handled a message, one after the other."""
        assert occurrence.letter is not None
        self._deliver(occurrence.letter)

    # Links that transfers share

    def _joins(self, occurrence: Occurrence) -> None:
        """A client that has a transfer to begin is online."""
        letter, direction = occurrence.letter, occurrence.number
        assert letter is not None
        load = self._links.load(letter, direction, self._events.now)
        span = self._links.transfer(letter, direction, load, self._events.now)
        self._join(Transfer(letter, direction, span), load)

    def _join(self, transfer: Transfer, load: Load) -> None:
        """Let a transfer begin on the link that it shares."""
        number = self._links.shared(transfer.letter, transfer.direction)
        assert number is not None
        shared = self._events.shared.get(number)
        if shared is None:
            shared = open_shared(*self._links.shared_kbps, self._events.now)
            self._events.shared[number] = shared
        ended = shared.begin(self._links, transfer, load, self._events.now)
        self._went_on(number, shared, ended)

    def _shared(self, occurrence: Occurrence) -> None:
        """Something happens on a link that transfers share, unless others have begun since."""
        shared = self._events.shared.get(occurrence.actor)
        if shared is not None and shared.due == occurrence.number:
            ended = shared.go_on(self._links, self._events.now)
            self._went_on(occurrence.actor, shared, ended)

    def _went_on(self, number: int, shared: SharedLink, ended: list[Transfer]) -> None:
        """End transfers of a shared link, and let its next event come."""
        events = self._events
        for transfer in ended:
            self._end(transfer)
        if not shared.going:
            del events.shared[number]
            return
        moment = shared.next_moment
        source = -1 - number  # before what any actor causes at that moment
        shared.due = events.caused.get(source, 0)
        if moment < math.inf:
            due = Occurrence(SHARING, number, number=shared.due)
            events.push(max(moment, events.now), source, due)
