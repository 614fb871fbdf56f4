"""What clients keep: a round that is taken up again reads what it read the first time."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.errors import InputError, TrainingError
from mpifl.io.files import DiskFull
from mpifl.rounds.clients.client_state import ClientStore
from tests.budget import examples
from tests.small_disk import Mount, mounting, mounts

SHAPES = {"control": (3,), "heads": (2, 4), "count": ()}


def arrays(value: float) -> dict[str, np.ndarray]:
    return {name: np.full(shape, value, np.float32) for name, shape in SHAPES.items()}


def held(store: ClientStore, client: int, round_number: int) -> float:
    """The value that a client's arrays are full of."""
    found = store.read(client, round_number)
    value = float(found["count"])
    assert list(found) == list(SHAPES)
    for name, shape in SHAPES.items():
        assert found[name].shape == shape
        assert found[name].dtype == np.float32
        assert (found[name] == value).all()
    return value


def files(store: ClientStore, client: int) -> list[int]:
    return sorted(int(path.name) for path in store.folder.glob(f"*/{client}/*"))


@pytest.fixture
def store(tmp_path: Path) -> ClientStore:
    return ClientStore(tmp_path / "clients", SHAPES)


def test_exactly_the_round_that_is_asked_for_is_read(store: ClientStore) -> None:
    store.write(5, 1, arrays(1.5), 0)
    store.write(5, 2, arrays(2.5), 0)
    assert (held(store, 5, 1), held(store, 5, 2)) == (1.5, 2.5)


def test_missing_state_is_an_error_that_says_where(store: ClientStore) -> None:
    """It used to read as "never took part", which trained on to other bits."""
    store.write(5, 1, arrays(1.5), 0)
    for client, round_number in ((5, 2), (6, 1)):
        place = rf"{store.folder}/0{client}/{client}/{round_number}: missing on host {socket.gethostname()}"
        with pytest.raises(
            InputError,
            match=f"{place}: .* client {client} kept after round {round_number}; .*--out",
        ):
            store.read(client, round_number)


def test_a_round_taken_up_again_writes_again(store: ClientStore) -> None:
    store.write(5, 1, arrays(1), 0)
    store.write(5, 4, arrays(4), 0)
    store.write(5, 4, arrays(4.5), 0)
    assert (held(store, 5, 1), held(store, 5, 4)) == (1, 4.5)


def test_what_no_checkpoint_needs_goes(store: ClientStore) -> None:
    for round_number in (1, 3, 5):
        store.write(5, round_number, arrays(round_number), 0)
    assert files(store, 5) == [1, 3, 5]
    store.write(
        5, 9, arrays(9), 4
    )  # a run taken up after round 4 needs what the client had then: that of round 3
    assert files(store, 5) == [3, 5, 9]
    store.write(5, 12, arrays(12), 12)
    assert files(store, 5) == [12]


@examples(50)
@given(
    takes_part=st.lists(st.booleans(), min_size=30, max_size=30),
    every=st.integers(1, 6),
    keep=st.integers(1, 3),
    falls=st.lists(st.integers(1, 29), max_size=5),
)
def test_whatever_checkpoint_a_run_is_taken_up_from_its_clients_are_as_they_were(
    takes_part: list[bool], every: int, keep: int, falls: list[int]
) -> None:
    """The run falls once in each round of ``falls`` and goes on from any checkpoint that is kept, here the oldest."""
    with tempfile.TemporaryDirectory() as folder:
        store = ClientStore(Path(folder), SHAPES)
        last = {
            number: max([0, *(n for n in range(1, number) if takes_part[n - 1])])
            for number in range(1, 31)
        }
        kept: list[int] = []
        number, left = 1, list(falls)
        while number <= 30:
            oldest = kept[0] if kept else 0
            if takes_part[number - 1]:
                assert not last[number] or held(store, 7, last[number]) == last[number]
                store.write(7, number, arrays(number), oldest)
            if number in left:
                left.remove(number)
                number = oldest + 1
                continue
            if number % every == 0:
                kept = sorted({*kept, number})[-keep:]
            number += 1


def test_clients_do_not_see_each_other(store: ClientStore) -> None:
    for client in (1, 257, 2**40):
        store.write(client, 3, arrays(client % 1000), 0)
    assert [held(store, client, 3) for client in (1, 257, 2**40)] == [1, 257, 2**40 % 1000]


def test_a_writer_that_was_killed_leaves_no_half_file(store: ClientStore) -> None:
    store.write(5, 1, arrays(1), 0)
    partial = next(store.folder.glob("*/5")) / ".2.99.part"
    partial.write_bytes(b"\x00")
    assert held(store, 5, 1) == 1
    with pytest.raises(InputError, match="missing"):
        store.read(5, 2)


def test_a_damaged_file_is_named(store: ClientStore) -> None:
    """Any one byte less, or other."""
    store.write(5, 1, arrays(1), 0)
    path = next(store.folder.glob("*/5/1"))
    whole = path.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for damaged in (whole[:-4], whole[:-1], b"", *flipped):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"/05/5/1: damaged"):
            store.read(5, 1)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"/05/5/1: Is a directory on host"):
        store.read(5, 1)


def test_arrays_come_back_each_under_its_name_in_its_shape(store: ClientStore) -> None:
    random = np.random.default_rng(0)
    given = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in reversed(SHAPES.items())
    }
    store.write(5, 1, given, 0)
    found = store.read(5, 1)
    for name, values in given.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].shape == values.shape
    found["heads"][:] = 0  # the caller's own
    np.testing.assert_array_equal(store.read(5, 1)["heads"], given["heads"])


@pytest.mark.parametrize("shape", [(4,), (2,), (8,), ()])
def test_an_array_of_another_shape_is_refused(store: ClientStore, shape: tuple[int, ...]) -> None:
    said = (
        rf"'heads' has the shape {re.escape(str(shape))}; the algorithm declares \(2, 4\) in kept"
    )
    with pytest.raises(TrainingError, match=said):
        store.write(5, 1, arrays(1) | {"heads": np.zeros(shape, np.float32)}, 0)
    assert files(store, 5) == []


def test_a_file_of_other_shapes_is_damaged(store: ClientStore) -> None:
    store.write(5, 1, arrays(1), 0)
    with pytest.raises(InputError, match=r"/05/5/1: damaged"):
        ClientStore(store.folder, {"control": (3,)}).read(5, 1)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    yield from mounts(tmp_path)


@mounting
def test_on_a_full_disk_what_was_kept_stays(mount: Mount, request: pytest.FixtureRequest) -> None:
    disk = mount("tmpfs", 1 << 20)
    store = ClientStore(disk.folder / "run" / "checkpoint" / "clients", {"own": (10_000,)})
    store.write(5, 1, {"own": np.full(10_000, 1, np.float32)}, 0)
    disk.leave(20_000)
    with pytest.raises(
        DiskFull, match=r"/clients/05/5/2: No space .* needs 40,016 bytes, .*--resume \S+/run$"
    ):
        store.write(5, 2, {"own": np.full(10_000, 2, np.float32)}, 0)
    assert [path.name for path in store.folder.glob("*/5/*")] == ["1"]
    disk.make_room()
    store.write(5, 2, {"own": np.full(10_000, 2, np.float32)}, 0)
    assert (store.read(5, 2)["own"] == 2).all()
