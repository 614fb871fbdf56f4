"""What a round takes on more ranks than there are here: the protocol of ``mpifl.rounds.protocol`` and ``mpifl.mpi.queue``, by message.

A round is rank 0's own work, the broadcasts of a batch, the tasks as executors take them from the queue, and the sum; each term
is a number of seconds, so that one sees which of them dominates.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from benchmarks.scaling.network import SMALL, Layout, Network, broadcast, reduce
from mpifl.mpi.communicator import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, PAUSE_GROWTH
from mpifl.mpi.queue import SERVER_PAUSE_GROWTH, TAIL_TICKETS, own_tickets
from mpifl.rounds.plan.plan import TASK
from mpifl.rounds.protocol import HEADER


@dataclass(frozen=True)
class Work:
    """One round of a job, as it was measured.

    ``parameters`` of the model; what is ``sent`` down and ``summed`` up, in models; ``task_seconds`` of training each
    group of the ``participants`` that is one ticket, largest first; ``shards`` of the test, of ``shard_seconds`` each. Rank 0's
    work between two batches takes ``root_seconds`` and ``root_seconds_a_participant`` for each, the next plan
    ``plan_seconds`` and ``plan_seconds_a_participant``; that is made while executors train.
    """

    participants: int
    parameters: int
    sent: float
    summed: float
    task_seconds: tuple[float, ...]
    shards: int
    shard_seconds: float
    root_seconds: float
    plan_seconds: float
    root_seconds_a_participant: float = 0.0
    plan_seconds_a_participant: float = 0.0

    def of(self, participants: int) -> Work:
        """The same with another number of participants, who are like these: their seconds are repeated in turn."""
        groups = max(1, round(participants * len(self.task_seconds) / self.participants))
        seconds = np.sort(np.resize(self.task_seconds, groups))[::-1]
        return replace(self, participants=participants, task_seconds=tuple(seconds.tolist()))

    def scaled(self, factor: float) -> Work:
        """The same with training and testing that take ``factor`` times as long."""
        seconds = tuple(factor * second for second in self.task_seconds)
        return replace(self, task_seconds=seconds, shard_seconds=factor * self.shard_seconds)


@dataclass(frozen=True)
class Terms:
    """Seconds of a round by what they go to.

    ``train``: the work, were it spread evenly. ``tail``: how much longer than that the last executor takes, the queue's cost
    included. ``poll``: what waiting ranks sleep on when a message has come.
    """

    root: float
    bcast: float
    train: float
    tail: float
    poll: float
    reduce: float

    @property
    def total(self) -> float:
        """Seconds of the round."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def dominant(self) -> str:
        """The name of the largest."""
        return max(asdict(self).items(), key=lambda item: item[1])[0]


def predict(work: Work, layout: Layout, network: Network, best: bool = False) -> Terms:
    """A round on ``layout``, two ranks or more; ``best`` as for ``network.broadcast``."""
    participants, executors = work.participants, layout.ranks - 1
    root = work.root_seconds + work.root_seconds_a_participant * participants
    messages = [
        HEADER.itemsize,
        TASK.itemsize * participants + SMALL,
        4 * work.parameters * work.sent,
    ]
    down = sum(network.seconds(broadcast(layout, size, best)) for size in messages)
    ended = makespan(work, executors, network)
    even = (sum(work.task_seconds) + work.shards * work.shard_seconds) / executors
    up = network.seconds(reduce(layout, 8 * (work.parameters * work.summed + 2 * participants)))
    depth = math.ceil(math.log2(layout.ranks))
    idle = max(0.0, ended - even)
    poll = depth * (half_pause(root) + half_pause(idle))
    return Terms(root, down, even, idle, poll, up)


def half_pause(waited_seconds: float, growth: float = PAUSE_GROWTH) -> float:
    """How long, on average, one who has waited so long in ``World.wait`` sleeps on when its message has come.

    Pauses grow by a factor, so the last is a share of the wait (geometric sum), between the first and the longest.
    """
    pause = FIRST_PAUSE_SECONDS + (1 - 1 / growth) * waited_seconds
    return min(LONGEST_PAUSE_SECONDS, pause) / 2


def makespan(work: Work, executors: int, network: Network) -> float:
    """Seconds from the first ticket until every executor knows that there are no more.

    Each has tasks of its own; then it takes the next one whenever it is done, largest first. Rank 0, once the next plan is
    made, hands out one after another, each for ``serve_seconds``. Only where few are left does an executor wait for the answer.
    """
    tasks = [*work.task_seconds, *[work.shard_seconds] * work.shards]
    ahead, answer = len(tasks) - TAIL_TICKETS * executors, answer_seconds(tasks, executors, network)
    owner, end = own_tickets(np.array([*work.task_seconds, *[0.0] * work.shards]), executors), 0.0
    free = np.bincount(owner[owner >= 0], np.array(tasks)[owner >= 0], executors).tolist()
    heapq.heapify(free)
    served = work.plan_seconds + work.plan_seconds_a_participant * work.participants
    left = [(number, tasks[number]) for number in np.flatnonzero(owner < 0).tolist()]
    for number, seconds in [*left, *[(len(tasks), 0.0)] * executors]:  # the last ones ask in vain
        served = max(heapq.heappop(free), served) + network.serve_seconds
        done = served + seconds + (answer if number >= ahead else 0.0)
        end = max(end, done)
        if number < len(tasks):
            heapq.heappush(free, done)
    return end


def answer_seconds(tasks: Sequence[float], executors: int, network: Network) -> float:
    """From asking to having where nobody asked ahead: the longer nobody has asked, the longer rank 0 sleeps."""
    return network.round_trip_seconds + half_pause(
        sum(tasks) / max(1, len(tasks)) / executors, SERVER_PAUSE_GROWTH
    )
