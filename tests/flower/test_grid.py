"""The Grid under the virtual clock, with a ClientApp in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="flwr is not installed (mpifl[flower]): docs/flower.md")

from mpifl.clock.timeline import Outcome
from mpifl.errors import TrainingError
from mpifl.flower.app import read_app
from mpifl.flower.clients import Clients, state_of
from mpifl.flower.clock import node_clock
from mpifl.flower.dispatch import Dispatcher
from mpifl.flower.flwr_api import (
    SUPERLINK_NODE_ID,
    ArrayRecord,
    ErrorCode,
    Message,
    RecordDict,
    empty_run,
    identify,
)
from mpifl.flower.grid import EmulatedGrid, Leaving
from mpifl.flower.nodes import Nodes
from mpifl.flower.record import message_record
from mpifl.flower.replies import ReplyLog
from mpifl.flower.sending import Sender
from mpifl.flower.settings import checked

APP = Path(__file__).parent / "apps/custom"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., EmulatedGrid]]:
    """Return a function that makes a Grid with settings."""
    opened = []

    def made(**options: object) -> EmulatedGrid:
        raw = {"supernodes": 8, "availability": "always", "examples": 1000, **options}
        settings = checked({**read_app(str(APP), []), **raw})
        folder = tmp_path / "checkpoint"
        folder.mkdir(exist_ok=True)
        record = message_record(tmp_path)
        opened.append(record)
        clients = Clients(settings)
        alone: Any = SimpleNamespace(size=1, executors=1)
        dispatcher = Dispatcher(alone, lambda: clients, ReplyLog(folder), lambda: False)
        nodes = Nodes(settings.seed, settings.supernodes)
        sender = Sender(settings, nodes, node_clock(settings), dispatcher)
        identify(7, SUPERLINK_NODE_ID)
        return EmulatedGrid(empty_run(7), sender, record.__enter__())

    yield made
    for record in opened:
        record.__exit__(None, None, None)


def messages(nodes: list[int], message_type: str = "train") -> list[Message]:
    from flwr.app import ConfigRecord

    content = RecordDict(
        {"arrays": ArrayRecord([np.zeros(5)]), "config": ConfigRecord({"lr": 0.01, "mu": 0.0})}
    )
    return [Message(content, node, message_type) for node in nodes]


def rows_of(grid: EmulatedGrid) -> np.ndarray:
    grid.record.write()
    rows: np.ndarray = grid.record.file["participants"][:]
    return rows


def stops(grid: EmulatedGrid) -> np.ndarray:
    return rows_of(grid)["stop_seconds"]


def outcomes(grid: EmulatedGrid) -> list[int]:
    return rows_of(grid)["outcome"].tolist()


def wait(grid: EmulatedGrid, calls: int) -> None:
    for _ in range(calls):
        grid.get_node_ids()


def test_replies_come_in_the_order_of_messages_and_the_clock_goes_to_the_last(
    make: Callable[..., EmulatedGrid],
) -> None:
    grid = make()
    nodes = grid.get_node_ids()[::-1]
    replies = grid.send_and_receive(messages(nodes))
    assert [reply.metadata.src_node_id for reply in replies] == nodes
    assert grid.now == stops(grid).max() > 0


def test_a_reply_after_the_timeout_is_left_out(make: Callable[..., EmulatedGrid]) -> None:
    times = np.sort(stops_of_all(make))
    grid = make()
    timeout = float(times[3:5].mean())
    replies = grid.send_and_receive(messages(grid.get_node_ids()), timeout=timeout)
    assert len(replies) == 4
    assert grid.now == timeout
    assert sorted(outcomes(grid)) == [Outcome.COMPLETED] * 4 + [Outcome.CUT] * 4


def stops_of_all(make: Callable[..., EmulatedGrid]) -> np.ndarray:
    grid = make()
    grid.send_and_receive(messages(grid.get_node_ids()))
    return stops(grid)


def test_pulling_waits_for_the_next_reply(make: Callable[..., EmulatedGrid]) -> None:
    grid = make()
    ids = grid.push_messages(messages(grid.get_node_ids()))
    assert grid.now == 0
    left = set(ids)
    for moment in np.sort(stops(grid)).tolist():
        (reply,) = grid.pull_messages(left)
        left.remove(reply.metadata.reply_to_message_id)
        assert grid.now == moment
    assert grid.pull_messages(ids) == []


def test_a_busy_node_begins_when_it_is_done_and_keeps_its_state(
    make: Callable[..., EmulatedGrid],
) -> None:
    grid = make()
    node = grid.get_node_ids()[2]
    grid.push_messages(messages([node, node]))
    rows = rows_of(grid)
    assert rows["start_seconds"].tolist() == [0.0, rows["stop_seconds"][0]]
    state = state_of(grid.sender.dispatcher.log.state(2))
    assert state["rounds"]["count"] == 2


def test_a_node_that_goes_offline_replies_with_an_error_and_keeps_its_old_state(
    make: Callable[..., EmulatedGrid],
) -> None:
    grid = make(availability="strict", examples=2**31 - 1, supernodes=300)
    nodes = grid.get_node_ids()
    assert 0 < len(nodes) < 300
    offline = next(node for node in grid.sender.nodes.ids if node not in nodes)
    replies = grid.send_and_receive(messages([nodes[0], offline]))
    assert [reply.error.code for reply in replies] == [ErrorCode.NODE_UNAVAILABLE] * 2
    assert "went offline" in replies[0].error.reason
    assert "was offline" in replies[1].error.reason
    assert outcomes(grid) == [Outcome.DROPPED] * 2
    assert stops(grid)[1] == 0 < stops(grid)[0] == grid.now
    partition = grid.sender.nodes.partition(nodes[0])
    assert grid.sender.dispatcher.log.state(partition) == b""


def test_who_asks_for_nodes_again_waits(make: Callable[..., EmulatedGrid]) -> None:
    grid = make()
    moments = []
    for _ in range(5):
        grid.get_node_ids()
        moments.append(grid.now)
    assert moments == [0, 1, 3, 7, 15]
    grid.send_and_receive(messages(grid.get_node_ids()[:1]))
    now = grid.now
    grid.get_node_ids()
    assert grid.now == now
    with pytest.raises(Leaving) as left:
        wait(grid, 40)
    assert isinstance(left.value.cause, TrainingError)


def test_an_unknown_node_is_the_apps_own_error(make: Callable[..., EmulatedGrid]) -> None:
    with pytest.raises(ValueError, match="no node with the id 5"):
        make().push_messages(messages([5]))


def test_a_logged_reply_is_not_that_of_another_type_of_message(
    make: Callable[..., EmulatedGrid],
) -> None:
    """The contents are equal: a node that trains has another reply than one that evaluates."""
    first = make()
    nodes = first.get_node_ids()[:1]
    first.send_and_receive(messages(nodes, "train"))

    replayed = make().send_and_receive(messages(nodes, "train"))
    assert replayed[0].metadata.message_type == "train"
    with pytest.raises(Leaving) as left:
        make().send_and_receive(messages(nodes, "evaluate"))
    assert "message 0 has another type or content" in str(left.value.cause)
