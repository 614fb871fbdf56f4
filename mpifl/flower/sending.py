"""Sends messages to nodes: gets them answered, and computes when each reply arrives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpifl.clock.timeline import Outcome
from mpifl.flower.clients import error_reply
from mpifl.flower.clock import COURSE, NodeClock, inferences_of
from mpifl.flower.dispatch import Dispatcher
from mpifl.flower.flwr_api import (
    ErrorCode,
    MessageProto,
    RecordDict,
    message_from_proto,
    message_to_proto,
    recorddict_to_proto,
)
from mpifl.flower.nodes import Nodes
from mpifl.flower.settings import FlowerSettings
from mpifl.flower.wire import Task
from mpifl.seeds import Purpose, number

NUM_EXAMPLES = ("num-examples", "num_examples")


@dataclass(frozen=True)
class Call:
    """Messages that were sent together, and what came of them.

    Attributes:
        sent: The moment, a virtual second.
        online: How many nodes are online then; an estimate of many.
        ids: The messages' ids.
        types: Their types, such as ``train``.
        courses: Their courses (n,), structured COURSE.
        replies: Their replies, flwr's Message.
    """

    sent: float
    online: float
    ids: list[str]
    types: list[str]
    courses: np.ndarray
    replies: list[Any]


@dataclass(frozen=True)
class Contents:
    """The contents of messages. Those that share one, as in a broadcast, share its number.

    Attributes:
        of_message: The number of each message's content.
        protos: The contents by number, protobuf.
        digests: The SHA-256 of each.
    """

    of_message: list[int]
    protos: dict[int, bytes]
    digests: dict[int, bytes]


@dataclass
class Sender:
    """Sends messages, numbered in the order in which they are sent.

    Attributes:
        settings: Of the run.
        nodes: Its nodes.
        clock: When they are done.
        dispatcher: Gets messages answered.
    """

    settings: FlowerSettings
    nodes: Nodes
    clock: NodeClock
    dispatcher: Dispatcher
    _messages: int = 0
    _contents: int = 0
    _free_at: dict[int, float] = field(default_factory=dict)

    def send(self, messages: Sequence[Any], now: float) -> Call:
        """Send messages at a moment, and return what came of them.

        A node that is busy begins when it is done with what it got before.
        """
        partitions = [self.nodes.partition(one.metadata.dst_node_id) for one in messages]
        contents = self._read_contents(messages)
        tasks = []
        for message, partition, content in zip(
            messages, partitions, contents.of_message, strict=True
        ):
            message.metadata.__dict__["_message_id"] = f"{self._messages:032x}"
            tasks.append(Task(self._messages, partition, content, _head(message), b""))
            self._messages += 1

        courses = np.zeros(len(messages), COURSE)
        courses["node"] = partitions
        replies: list[Any] = [None] * len(messages)
        for wave in _waves(partitions):
            rows = courses[wave]
            rows["start"] = [max(now, self._free_at.get(node, 0.0)) for node in rows["node"]]
            own = [messages[index] for index in wave]
            answered = self._wave(rows, own, [tasks[index] for index in wave], contents)
            courses[wave] = rows
            for index, reply in zip(wave, answered, strict=True):
                replies[index] = reply
            self._free_at |= dict(zip(rows["node"].tolist(), rows["stop"].tolist(), strict=True))

        ids = [one.metadata.message_id for one in messages]
        types = [one.metadata.message_type for one in messages]
        key = number(self.settings.seed, Purpose.ONLINE, self._messages)
        online = self.clock.count_online(len(self.nodes.ids), key, now)
        return Call(now, online, ids, types, courses, replies)

    def _wave(
        self, rows: np.ndarray, messages: Sequence[Any], tasks: Sequence[Task], contents: Contents
    ) -> list[Any]:
        """Get messages to different nodes answered; set their courses, return their replies."""
        log = self.dispatcher.log
        begins = self._begins(rows)
        going = [task for task, begun in zip(tasks, begins, strict=True) if begun]
        states = {task.partition: log.place(task.partition) for task in going}
        asked = {
            task.number: _asked(message.metadata.message_type, contents.digests[task.content])
            for task, message in zip(tasks, messages, strict=True)
        }
        answers = self.dispatcher.answers(going, contents.protos, asked)

        replies = []
        failed = np.zeros(len(tasks), np.bool_)
        for row, task in enumerate(tasks):
            rows["load_down"][row] = len(task.message) + len(contents.protos[task.content])
            answer = answers.get(task.number)
            reply = None
            if answer is not None:
                reply = message_from_proto(MessageProto.FromString(bytes(answer.reply)))
                failed[row] = answer.failed
                rows["load_up"][row] = len(answer.reply)
                rows["examples"][row] = self._examples(reply)
            replies.append(reply)

        epochs = self.settings.epochs
        costs = [inferences_of(message.metadata.message_type, epochs) for message in messages]
        self.clock.settle(rows, np.array(costs))
        rows["outcome"][failed & (rows["outcome"] == Outcome.COMPLETED)] = Outcome.FAILED

        for row in np.flatnonzero(rows["outcome"] == Outcome.DROPPED).tolist():
            # What it has done is lost with it.
            text = "the node was offline" if replies[row] is None else "the node went offline"
            replies[row] = _unavailable(messages[row], text)
            if tasks[row].partition in states:
                log.restore(tasks[row].partition, states[tasks[row].partition])
        return replies

    def _begins(self, rows: np.ndarray) -> np.ndarray:
        """Return which nodes (n,) bool do not drop out at once, being offline."""
        begins = np.ones(len(rows), np.bool_)
        if self.settings.availability != "strict":
            return begins
        for start in np.unique(rows["start"]):
            among = rows["start"] == start
            begins[among] = self.clock.online(np.ascontiguousarray(rows["node"][among]), start)
        return begins

    def _read_contents(self, messages: Sequence[Any]) -> Contents:
        numbers: dict[int, int] = {}
        protos: dict[int, bytes] = {}
        for message in messages:
            if id(message.content) not in numbers:
                numbers[id(message.content)] = self._contents
                protos[self._contents] = recorddict_to_proto(message.content).SerializeToString()
                self._contents += 1
        digests = {number: hashlib.sha256(proto).digest() for number, proto in protos.items()}
        return Contents([numbers[id(one.content)] for one in messages], protos, digests)

    def _examples(self, reply: Any) -> int:
        """Return how many examples a node has gone through for its reply."""
        if self.settings.examples is not None:
            return self.settings.examples
        return examples_of(reply)


def examples_of(reply: Any) -> int:
    """Return the num-examples of a reply, as Flower's strategies weight it; 0 without one."""
    if not reply.has_content():
        return 0
    for record in reply.content.metric_records.values():
        for name in NUM_EXAMPLES:
            value = record.get(name)
            if isinstance(value, int | float) and value > 0:
                return int(value)
    return 0


def _waves(partitions: Sequence[int]) -> list[list[int]]:
    """Return the messages in waves with at most one message to a node, each in its order."""
    count: dict[int, int] = {}
    waves: list[list[int]] = []
    for index, partition in enumerate(partitions):
        wave = count.get(partition, 0)
        count[partition] = wave + 1
        if wave == len(waves):
            waves.append([])
        waves[wave].append(index)
    return waves


def _asked(message_type: str, content: bytes) -> str:
    """Return what the log tells a message by: a digest of its type and of its content's digest."""
    return hashlib.sha256(content + message_type.encode()).hexdigest()[:16]


def _head(message: Any) -> bytes:
    """Return a message without its content, protobuf."""
    content = message.content
    message.content = RecordDict()
    head: bytes = message_to_proto(message).SerializeToString()
    message.content = content
    return head


def _unavailable(message: Any, reason: str) -> Any:
    """Return the reply to a message whose node does not answer."""
    proto = error_reply(message, ErrorCode.NODE_UNAVAILABLE, reason)
    return message_from_proto(MessageProto.FromString(proto))
