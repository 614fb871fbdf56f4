"""What clients keep: two slots, of which a round that is taken up again reads the older."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpifl.client_state import ClientStore
from mpifl.errors import TrainingError

LENGTH = 3


def vector(value: float) -> np.ndarray:
    return np.full(LENGTH, value, np.float32)


def held(store: ClientStore, client: int, round_number: int) -> float | None:
    """The value that a client's vector is full of, None where there is none."""
    found = store.read(client, round_number)
    if found is None:
        return None
    assert found.shape == (LENGTH,)
    assert found.dtype == np.float32
    assert (found == found[0]).all()
    return float(found[0])


@pytest.fixture
def store(tmp_path: Path) -> ClientStore:
    return ClientStore(tmp_path / "clients", LENGTH)


def test_who_never_took_part_has_nothing(store: ClientStore) -> None:
    assert store.read(5, 1) is None
    assert store.read(5, 100) is None
    assert not store.folder.exists()


def test_a_round_reads_what_the_round_before_wrote(store: ClientStore) -> None:
    store.write(5, 1, vector(1.5))
    assert held(store, 5, 2) == 1.5
    assert held(store, 5, 50) == 1.5
    store.write(5, 2, vector(2.5))
    assert held(store, 5, 3) == 2.5


def test_a_round_taken_up_again_reads_the_older_slot(store: ClientStore) -> None:
    store.write(5, 1, vector(1))
    store.write(5, 4, vector(4))
    assert held(store, 5, 4) == 1
    store.write(5, 4, vector(4.5))  # taken up again, it writes again
    assert held(store, 5, 4) == 1
    assert held(store, 5, 5) == 4.5


def test_a_first_round_taken_up_again_reads_nothing(store: ClientStore) -> None:
    store.write(5, 1, vector(1))
    assert store.read(5, 1) is None
    store.write(5, 1, vector(1.5))
    assert store.read(5, 1) is None
    assert held(store, 5, 2) == 1.5


def test_bits_come_back_as_they_were(store: ClientStore) -> None:
    given_bits = np.array([np.float32(0.1), np.nan, -0.0], np.float32)
    store.write(5, 1, given_bits)
    found = store.read(5, 2)
    assert found is not None
    assert found.tobytes() == given_bits.tobytes()
    found[:] = 7  # what is read is the reader's own
    again = store.read(5, 2)
    assert again is not None
    assert again.tobytes() == given_bits.tobytes()


def test_clients_do_not_meet(store: ClientStore) -> None:
    clients = [0, 1, 255, 256, 257, 511, 512, 10**8 + 1]
    for client in clients:
        store.write(client, 1, vector(client % 1000))
    assert [held(store, client, 2) for client in clients] == [client % 1000 for client in clients]
    assert store.read(2, 2) is None


def test_another_store_over_the_same_folder_sees_it_all(store: ClientStore) -> None:
    store.write(5, 1, vector(1))
    assert held(ClientStore(store.folder, LENGTH), 5, 2) == 1


def test_a_client_costs_two_vectors_however_often_it_takes_part(store: ClientStore) -> None:
    for round_number in range(1, 20):
        store.write(5, round_number, vector(round_number))
    (path,) = [path for path in store.folder.rglob("*") if path.is_file()]
    assert path.stat().st_size == 2 * 8 + 2 * LENGTH * 4


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(-9, 9, width=32)), max_size=25))
@settings(max_examples=100, deadline=None)
def test_any_sequence_of_rounds_against_a_dict(events: list[tuple[int, int, float]]) -> None:
    """Each event: a client takes part, in the round last begun (taken up again) or some rounds later."""
    with tempfile.TemporaryDirectory() as folder:
        store = ClientStore(Path(folder), LENGTH)
        model: dict[int, dict[int, float]] = {}
        now = 1
        for client, later, value in events:
            now += later
            earlier = {number: kept for number, kept in model.get(client, {}).items() if number < now}
            expected = earlier[max(earlier)] if earlier else None
            assert held(store, client, now) == expected
            store.write(client, now, vector(value))
            model.setdefault(client, {})[now] = value
            assert held(store, client, now) == expected
            assert held(store, client, now + 1) == np.float32(value)


def file_of(store: ClientStore) -> Path:
    (path,) = [path for path in store.folder.rglob("*") if path.is_file()]
    return path


@pytest.mark.parametrize("values", [0, 1, 2])
def test_a_truncated_vector_is_an_error_that_names_the_file(store: ClientStore, values: int) -> None:
    store.write(5, 1, vector(1))
    store.write(5, 2, vector(2))
    path = file_of(store)
    path.write_bytes(path.read_bytes()[: 2 * 8 + values * 4])
    for round_number in (2, 3):
        with pytest.raises(TrainingError) as caught:
            store.read(5, round_number)
        assert str(caught.value).startswith(f"{path}: ")
        assert f"of {LENGTH} values" in str(caught.value)


def test_every_truncation_is_a_training_error_or_leaves_the_vector_whole(store: ClientStore) -> None:
    store.write(5, 1, vector(1))
    store.write(5, 2, vector(2))
    path = file_of(store)
    raw = path.read_bytes()
    for size in range(2 * 8, len(raw)):
        path.write_bytes(raw[:size])
        for round_number, whole in ((2, 1), (3, 2)):
            try:
                assert held(store, 5, round_number) == whole
            except TrainingError as error:
                message = str(error)
                assert str(path) in message


@pytest.mark.parametrize("size", [0, 1, 8, 15])
def test_a_file_without_its_header_is_a_client_that_never_took_part(store: ClientStore, size: int) -> None:
    """A rank may be killed when it has made the file and written no more; the round is then taken up again."""
    store.write(5, 1, vector(1))
    file_of(store).write_bytes(file_of(store).read_bytes()[:size])
    assert store.read(5, 1) is None
    store.write(5, 1, vector(1.5))
    assert held(store, 5, 2) == 1.5


def test_a_round_that_is_too_far_back_is_an_error(store: ClientStore) -> None:
    """After rounds 3, 5 and 7 nothing is left of 3: round 5 cannot be taken up again with the same bits."""
    for round_number in (3, 5, 7):
        store.write(5, round_number, vector(round_number))
    with pytest.raises(TrainingError):
        store.read(5, 5)
