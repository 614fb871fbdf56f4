"""Clients over a data set and a trace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.population.dataset import Dataset
from mpifl.population.permutation import permuted
from mpifl.population.population import Population, check_participants
from mpifl.population.trace import Trace


@pytest.fixture
def make(
    make_dataset: Callable[..., Dataset], make_trace: Callable[..., Trace], make_population: Callable[..., Population]
) -> Callable[..., Population]:
    """Population of so many clients over three data clients and the given slots."""

    def build(clients: int | None, slots: list[list[tuple[float, float]]]) -> Population:
        return make_population(make_dataset([5, 7, 3]), make_trace(slots), clients)

    return build


def test_data_clients_take_turns(make: Callable[..., Population]) -> None:
    population = make(8, [[(0, 10)]])
    assert [population.data_client(client) for client in range(8)] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert population.samples(np.arange(8)).tolist() == [5, 7, 3, 5, 7, 3, 5, 7]
    assert population.samples(np.array([], int)).tolist() == []


@pytest.mark.parametrize("clients", [2, 5, 9])
def test_no_two_clients_share_a_phone_while_there_are_phones_left(make: Callable[..., Population], clients: int) -> None:
    population = make(clients, [[(0, 10)]] * 5)
    phones = population.phones
    dealt = [permuted(client, phones.size, phones.key) for client in range(clients)]
    assert len(set(dealt)) == clients
    devices = np.bincount([phone % population.trace.devices for phone in dealt], minlength=5)
    assert devices.max() - devices.min() <= 1


def test_a_client_is_named_by_number_and_by_its_name_in_the_data(make: Callable[..., Population]) -> None:
    assert make(None, [[(0, 10)]]).client_name(2) == "2"
    assert make(8, [[(0, 10)]]).client_name(4) == "4 (1)"


def test_more_participants_than_clients_are_refused(make: Callable[..., Population]) -> None:
    check_participants(make(8, [[(0, 10)]]), 8)
    with pytest.raises(InputError, match=r"selection\.participants: 9 .* 8 clients"):
        check_participants(make(8, [[(0, 10)]]), 9)


def test_phones_that_are_never_online_are_no_participants(make: Callable[..., Population]) -> None:
    with pytest.raises(InputError, match=r"population\.trace: only 0 of 2"):
        check_participants(make(8, [[], []]), 1)
    with pytest.raises(InputError, match=r"population\.trace: only 1 of 4"):
        check_participants(make(8, [[], [(0, 1)], [], []]), 3)
    check_participants(make(8, [[], [(0, 1)], [], []]), 2)
