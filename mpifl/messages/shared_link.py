"""A bandwidth that transfers of messages share: that of a server's link, or of a cell of clients.

At every moment a transfer has the rate min(its phone's speed, L), with the level L of
``clock/kernels/fair_share.py``. So when one ends depends on all that begin until then.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mpifl.clock.kernels.fair_share import Link, open_link
from mpifl.clock.kernels.flow import DONE, flow_progress
from mpifl.clock.kernels.server_link import happen, join, next_event
from mpifl.clock.kernels.transfer import Load, Loads
from mpifl.messages.letter import Json, Letter
from mpifl.messages.links import Links, Span, carrier_of

ROOM = 16
"""Of a link at first, in transfers; it is doubled when more are under way."""


class Transfer(NamedTuple):
    """A message on its way over one link of a client.

    Attributes:
        letter: The message.
        direction: Down or up.
        span: From when to when it would take if nobody else were there.
    """

    letter: Letter
    direction: int
    span: Span


@dataclass
class SharedLink:
    """The transfers that share a bandwidth.

    Attributes:
        link: How far they are.
        going: The transfers by their number on the link.
        free: The numbers that no transfer has.
        due: The number of the event that is to come next on it; -1 for none.
    """

    link: Link
    going: dict[int, Transfer] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    due: int = -1

    @property
    def next_moment(self) -> float:
        """When something next happens on it; infinity for never."""
        return next_event(self.link)

    def begin(self, links: Links, transfer: Transfer, load: Load, now: float) -> list[Transfer]:
        """Let a transfer begin; return those that have ended by then.

        Nothing may have happened on the link between its moment and ``now``.
        """
        ended = self.go_on(links, now)
        if not self.free:
            self._enlarge()
        number = self.free.pop()
        self.going[number] = transfer

        numbers = np.array([number])
        clients = np.array([carrier_of(transfer.letter, transfer.direction)])
        alone = transfer.span.end if transfer.span.done else np.inf
        start, compute, ends = np.array([now]), np.zeros(1), np.array([alone])
        loads = Loads(*(np.array([value]) for value in load))
        phones = links.population.phones
        join(self.link, phones, links.rates, numbers, clients, loads, start, compute, ends)
        while self.next_moment <= now:
            ended += self.go_on(links, now)
        return ended

    def go_on(self, links: Links, moment: float) -> list[Transfer]:
        """Let time pass until ``moment``; return the transfers that have ended, as they went."""
        link = self.link
        happen(link, links.population.phones, links.rule, links.rates, moment)
        ended = []
        for number in link.stopped[: link.stops[0]].tolist():
            transfer = self.going.pop(number)
            self.free.append(number)
            flow = link.flows[number : number + 1]
            stop = float(flow["stop"][0])
            done = bool(flow["stage"][0] == DONE)
            sent, _ = flow_progress(flow, links.rates, np.array([stop]))
            begin = transfer.span.begin
            carried = int(sent[transfer.direction, 0])
            span = Span(begin, stop, stop - begin, done, carried)
            ended.append(Transfer(transfer.letter, transfer.direction, span))
        return ended

    def _enlarge(self) -> None:
        """Make room for twice as many transfers, and change nothing else."""
        before = self.link
        room = len(before.flows)
        larger = _opened(2 * room)
        for old, new in zip(_arrays(before), _arrays(larger), strict=True):
            new[tuple(slice(length) for length in old.shape)] = old
        self.link = larger
        self.free = list(range(2 * room - 1, room - 1, -1))

    def json(self) -> Json:
        """Return it for JSON."""
        going = [
            [number, one.letter.json(), int(one.direction), list(one.span)]
            for number, one in self.going.items()
        ]
        arrays = [_text(array) for array in _arrays(self.link)]
        return [len(self.link.flows), arrays, going, self.free, self.due]

    @staticmethod
    def of(json: Json) -> SharedLink:
        """Return what ``json`` has made."""
        room, arrays, going, free, due = json
        link = _opened(room)
        for array, text in zip(_arrays(link), arrays, strict=True):
            raw = zlib.decompress(base64.b64decode(text))
            array[...] = np.frombuffer(raw, array.dtype).reshape(array.shape)
        transfers = {
            number: Transfer(Letter.of(letter), direction, Span(*span))
            for number, letter, direction, span in going
        }
        return SharedLink(link, transfers, free, due)


def open_shared(down_kbps: float | None, up_kbps: float | None, now: float) -> SharedLink:
    """Return a link that nobody uses; None means no limit."""
    link = _opened(ROOM)
    link.now[0] = now
    link.server_kbps[:] = [np.inf if kbps is None else kbps for kbps in (down_kbps, up_kbps)]
    return SharedLink(link, free=list(range(ROOM - 1, -1, -1)))


def _opened(room: int) -> Link:
    """Return a link without limits; all of its memory is set, so that it can be saved."""
    link = open_link(None, None, room, 0.0)
    link.heaps.keys[:] = 0.0
    link.heaps.items[:] = 0
    link.stopped[:] = 0
    return link


def _arrays(link: Link) -> Iterator[np.ndarray]:
    for value in link:
        yield from value if isinstance(value, tuple) else (value,)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 1)).decode()
