"""What participants kept, as the programs of others read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.errors import InputError
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.others import Others, last_participants
from mpifl.rounds.plan.snapshot import STATE_ROUND
from mpifl.training.device import CPU
from tests.algorithms.plug_ins import NEIGHBOURS
from tests.algorithms.reference import Run, assert_close

KEPT = {3: 2.0, 5: 4.0, 8: 6.0}
"""Clients, and what each kept after round 2."""


def rows(*clients: int, round_number: int = 2) -> np.ndarray:
    return np.array([(client, round_number) for client in clients], STATE_ROUND)


@pytest.fixture
def others(tmp_path: Path) -> Others:
    store = ClientStore(tmp_path / "clients", {"model": (2,), "not_ours": (1,)})
    for client, value in KEPT.items():
        arrays = {"model": np.full(2, value, np.float32), "not_ours": np.zeros(1, np.float32)}
        store.write(client, 2, arrays, oldest=0)
        store.write(client, 1, {name: -array for name, array in arrays.items()}, oldest=0)
    found = Others(store, ("model",), CPU)
    found.begin_round(rows(*KEPT))
    return found


def test_a_client_sees_what_all_but_itself_kept_in_the_order_of_their_numbers(
    others: Others,
) -> None:
    seen = others.without(5)
    assert list(seen) == [3, 8]
    assert {client: kept["model"].tolist() for client, kept in seen.items()} == {
        3: [2.0, 2.0],
        8: [6.0, 6.0],
    }
    assert [*seen[3]] == ["model"]
    assert list(others.without(4)) == [3, 5, 8]
    assert 5 not in seen
    assert len(seen) == 2
    assert len(others.without(4)) == len(others.without(None)) == 3


def test_a_servers_step_reads_what_the_participants_of_its_own_round_keep(tmp_path: Path) -> None:
    run = Run(tmp_path, NEIGHBOURS, "rounds=3")
    seen = run.server.read_others()
    *_, (_, participants) = run.rounds()
    assert list(seen) == [client for client, _, _ in participants]
    for client, kept in seen.items():
        assert torch.equal(kept["model"], run.kept(client)["model"])
    assert not Run(tmp_path / "fedavg", "rounds=1").server.read_others()


def test_each_is_read_once_and_only_when_it_is_looked_at(others: Others) -> None:
    assert len(others.without(3)) == 2
    assert not others.loaded
    first = others.without(3)[8]
    assert list(others.loaded) == [8]
    assert others.without(5)[8] is first
    others.begin_round(rows(*KEPT))
    assert others.without(5)[8] is first


def test_other_participants_are_read_anew(others: Others) -> None:
    assert others.without(3)[8]["model"][0] == 6.0
    others.begin_round(rows(5, 8, round_number=1))
    assert list(others.without(3)) == [5, 8]
    assert others.without(3)[8]["model"][0] == -6.0


def test_a_write_into_what_another_kept_is_noticed(others: Others) -> None:
    kept = others.without(3)[8]["model"]
    assert others.changed is None
    kept.add_(1)
    assert others.changed == "others[8]['model']"


def test_the_last_participants_are_those_that_kept_state_in_the_newest_round() -> None:
    table = np.array([(1, 4), (2, 5), (7, 3), (9, 5)], STATE_ROUND)
    assert last_participants(table)["client"].tolist() == [2, 9]
    assert last_participants(table[:0]).tolist() == []


def test_a_plug_in_trains_from_what_the_last_participants_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, NEIGHBOURS)
    models: dict[int, torch.Tensor] = {}
    last: list[int] = []
    for number, participants in run.rounds():
        after = {}
        for client, _, steps in participants:
            start = models.get(client, run.initial)
            if others := [models[other] for other in last if other != client]:
                start = (start + torch.stack(others).mean(0)) / 2
            after[client] = run.sgd(start, number, client, steps)
        models |= after
        last = sorted(after)
    for client, expected in models.items():
        assert_close(run.kept(client)["model"], expected)


def test_a_plug_in_that_writes_into_what_another_kept_is_refused(tmp_path: Path) -> None:
    keys = NEIGHBOURS.replace("algorithm=", "algorithm={name: ") + ", writes: true}"
    said = r"it changes others\[\d+\]\['model'\] in place, which other clients get too"
    with pytest.raises(InputError, match=said):
        Run(tmp_path, keys)
