"""Gets messages answered: from the log of replies, else by the executors, or by rank 0 alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mpifl.errors import Interrupted, RankLost
from mpifl.flower.clients import Clients
from mpifl.flower.replies import ReplyLog
from mpifl.flower.seeding import kept
from mpifl.flower.wire import Answer, Buffer, Task, pack_tasks, unpack_answers
from mpifl.mpi.parcels import Parts, hand_out
from mpifl.mpi.world import World

GROUPS_AN_EXECUTOR = 8
MOST_TASKS = 64
"""Of a parcel."""


@dataclass
class Dispatcher:
    """Answers tasks on rank 0.

    Attributes:
        world: The ranks.
        clients: The ClientApp, where rank 0 is alone.
        log: Where answers come from, and go to.
        stop: Whether a signal has asked the run to end.
    """

    world: World
    clients: Callable[[], Clients]
    log: ReplyLog
    stop: Callable[[], bool]
    _known: dict[int, set[int]] = field(default_factory=dict)

    def answers(
        self, tasks: Sequence[Task], contents: Mapping[int, Buffer], asked: Mapping[int, str]
    ) -> dict[int, Answer]:
        """Return the answer to each task, by the number of its message.

        Raises Interrupted when the run is to end; what was answered until then is logged.

        Args:
            tasks: What is to be answered. No two are of one node.
            contents: The contents of their messages by number, protobuf.
            asked: What the log tells each message by, by its number: see ``sending.py``.
        """
        found: dict[int, Answer] = {}
        left = []
        for task in tasks:
            answer = self.log.take(task.number, task.partition, asked[task.number])
            if answer is None:
                left.append(task)
            else:
                found[task.number] = answer

        by_number = {task.number: task for task in left}
        while left:
            try:
                for answer in self._answered(left, contents):
                    task = by_number[answer.number]
                    self.log.add(answer, task.partition, asked[task.number])
                    found[answer.number] = answer
            except RankLost:
                self.world.recover()
                self._known.clear()
            left = [task for task in left if task.number not in found]
            if left and self.stop():
                raise Interrupted("stopped by a signal")
        return found

    def _answered(self, tasks: Sequence[Task], contents: Mapping[int, Buffer]) -> Iterator[Answer]:
        """Yield answers to tasks as they come; none for those left when the run is to end."""
        size = min(MOST_TASKS, -(-len(tasks) // (GROUPS_AN_EXECUTOR * self.world.executors)))
        groups = [tasks[begin : begin + size] for begin in range(0, len(tasks), size)]

        if self.world.size == 1:
            with kept():
                for number in range(len(groups)):
                    if self.stop():
                        return
                    parcel = self._parcel(groups[number], contents, 0)
                    yield from unpack_answers(self.clients().answer(parcel))
            return

        def parcel_of(number: int, rank: int) -> Parts:
            return self._parcel(groups[number], contents, rank)

        for _, parts in hand_out(self.world, len(groups), parcel_of, self.stop):
            yield from unpack_answers(parts)

    def _parcel(self, group: Sequence[Task], contents: Mapping[int, Buffer], rank: int) -> Parts:
        """Return the parcel of a group, with the contents that a rank has not got yet."""
        oldest = min(contents)
        known = {number for number in self._known.get(rank, ()) if number >= oldest}
        new = {task.content for task in group} - known
        self._known[rank] = known | new
        tasks = [self._with_state(task) for task in group]
        return pack_tasks(tasks, {number: contents[number] for number in sorted(new)}, oldest)

    def _with_state(self, task: Task) -> Task:
        """Return the task with its node's state, which is read when it is sent."""
        state = self.log.state(task.partition)
        return Task(task.number, task.partition, task.content, task.message, state)
