"""Checkpoints: what is written is what is read, whole or not at all."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.algorithms.algorithm import FOUND
from mpifl.clock.kernels.flow import FLOW
from mpifl.clock.timeline import CHARGE, GROUP, PARTICIPANT, SECURED, ClockState, Timeline
from mpifl.errors import InputError
from mpifl.io.files import DiskFull
from mpifl.privacy.participations import PARTICIPATIONS
from mpifl.privacy.privacy import PrivateRound
from mpifl.rounds.plan.held import HELD
from mpifl.rounds.plan.plan import TASK, Plan
from mpifl.rounds.plan.round_result import MESSAGES, METRIC, PERSONAL, Judged
from mpifl.rounds.plan.snapshot import STATE_ROUND, Snapshot, Waiting, round_of
from mpifl.state.checkpoint import (
    SCHEMA_VERSION,
    Checkpoints,
    last_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from tests.logged import logged
from tests.small_disk import Mount, mounting, mounts


def participants(count: int) -> np.ndarray:
    rows = np.zeros(count, PARTICIPANT)
    for name in PARTICIPANT.names or ():
        rows[name] = np.arange(count) * 3 + 1
    return rows


def snapshot(rounds_done: int = 7) -> Snapshot:
    timeline = Timeline(0.1, 2.5, 0.0, participants(3))
    plan = Plan(rounds_done, np.empty(0, TASK), timeline, ClockState(), 12.0)
    metrics = np.array(
        [
            (rounds_done, 4, 3, 0.5, 0.3, 0.2, 7.5, 2, 0, 1, 77, -0.25, 1),
            (rounds_done, 9, 0, *4 * [np.nan], 0, 1, 0, 0, np.nan, 0),
        ],
        METRIC,
    )
    return Snapshot(
        rounds_done=rounds_done,
        version=6,
        state={"model": np.arange(5, dtype=np.float32), "velocity": np.full(5, np.pi, np.float32)},
        versions={
            6: {"model": np.arange(5, dtype=np.float32)},
            4: {"model": np.zeros(5, np.float32)},
        },
        clock=ClockState(1e9 + 1 / 3, 6, 11, participants(2)),
        learned={"client": np.arange(3), "utility": np.array([0.1, np.nan, 3.0])},
        untested=(
            Waiting(plan, metrics, 6, privacy=PrivateRound(1.5, 0.5, 0.1)),
            Waiting(plan, metrics[:0], None, stopped=True, judged=Judged(0.5, 0.75, 12.0)),
            Waiting(plan, metrics[:0], None, found=np.array([(b"count", 3.0, 7.0)], FOUND)),
        ),
        participations=np.array([(3, 4, 1, 2), (9, 0, 2, 7)], PARTICIPATIONS),
        state_rounds=np.array([(3, 6), (2**40, 1)], STATE_ROUND),
        rows={"rounds": 6, "participants": 70},
    )


def same(one: Any, other: Any) -> bool:
    """Equal in every bit, also of arrays within."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return (
            type(one) is type(other)
            and one.keys() == other.keys()
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


class Records:
    """run.h5 that notes when it was asked for."""

    def __init__(self) -> None:
        self.synced = 0

    def rows(self) -> dict[str, int]:
        return {"rounds": 1}

    def to_disk(self) -> None:
        self.synced += 1


def filled(kind: np.dtype[Any], count: int = 2) -> np.ndarray:
    """Rows whose every column has other numbers than 0."""
    rows = np.zeros(count, kind)
    for place, name in enumerate(kind.names or ()):
        rows[name] = 1 + place % 2 + np.arange(count)
    return rows


def test_no_field_is_forgotten(tmp_path: Path) -> None:
    """Everything is written that is not as it would be by default: a field that is new has to be added here."""
    clock = ClockState(
        now=2.5,
        version=6,
        draws=11,
        flights=filled(PARTICIPANT),
        flows=filled(FLOW),
        charges=filled(CHARGE),
        groups=filled(GROUP),
    )
    timeline = Timeline(
        start_seconds=0.1,
        end_seconds=2.5,
        waited_seconds=0.25,
        participants=filled(PARTICIPANT),
        secured=filled(SECURED),
        secure_seconds=1.5,
        void=True,
        joules_left=np.array([0.5, 2.5]),
    )
    waiting = Waiting(
        Plan(7, np.empty(0, TASK), timeline, ClockState(), 12.5),
        metrics=filled(METRIC),
        version=6,
        personal=filled(PERSONAL),
        stopped=True,
        privacy=PrivateRound(1.5, 0.5, 0.1),
        judged=Judged(0.5, 0.75, 12.0),
        found=np.array([(b"count", 3.0, 7.0)], FOUND),
        messages=filled(MESSAGES),
    )
    whole = Snapshot(
        rounds_done=7,
        version=6,
        state={"model": np.arange(5, dtype=np.float32)},
        versions={6: {"model": np.zeros(5, np.float32)}},
        clock=clock,
        learned={"utility": np.array([0.1, np.nan])},
        untested=(waiting,),
        state_rounds=filled(STATE_ROUND),
        participations=filled(PARTICIPATIONS),
        held=filled(HELD),
        messages='{"events": ["\u00e9"]}',
        events=5,
        rows={"rounds": 6},
    )
    defaults = Timeline(0.0, 0.0, 0.0, filled(PARTICIPANT, 0))
    before = Waiting(
        Plan(0, np.empty(0, TASK), defaults, ClockState(), 0.0), waiting.metrics[:0], None
    )
    for one, other in (
        (whole, Snapshot()),
        (clock, ClockState()),
        (timeline, defaults),
        (waiting, before),
    ):
        for field in fields(one):
            assert not same(getattr(one, field.name), getattr(other, field.name)), field.name
    assert same(read_checkpoint(write_checkpoint(tmp_path, whole)), whole)


def test_names_of_files_are_in_the_order_of_the_moments() -> None:
    moments = [(0, 0), (0, 7), (0, 11), (1, 0), (1, 2), (9, 10**11), (10, 0), (10, 1), (99999, 0)]
    names = [f"{Snapshot(rounds_done=r, events=e).moment}-0f.h5" for r, e in moments]
    assert sorted(names) == names
    assert len(set(names)) == len(names)
    assert [round_of(name) for name in names] == [r for r, _ in moments]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, snapshot())
    assert re.fullmatch(r"round-00000007-[0-9a-f]{16}\.h5", path.name)
    assert same(read_checkpoint(path), snapshot())
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_run_that_trains_nothing_has_only_its_clock(tmp_path: Path) -> None:
    clock = ClockState(5.5, 2, 3)
    found = read_checkpoint(
        write_checkpoint(tmp_path, Snapshot(rounds_done=2, clock=clock, rows={"rounds": 2}))
    )
    assert found.state is None
    assert same(found.clock, clock)


def test_the_newest_whole_one_counts_and_the_damaged_are_named(tmp_path: Path) -> None:
    _, middle, last = (
        write_checkpoint(tmp_path, snapshot(rounds_done)) for rounds_done in (10, 20, 30)
    )
    last.write_bytes(last.read_bytes()[:-100])
    raw = bytearray(middle.read_bytes())
    place = raw.index(np.full(5, np.pi, np.float32).tobytes())
    raw[place] ^= 1
    middle.write_bytes(raw)
    with logged() as said:
        found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.rounds_done == 10
    assert [line.startswith("checkpoint skipped: ") for line in said] == [True, True]
    assert [
        str(path) in line and "damaged" in line
        for path, line in zip((last, middle), said, strict=True)
    ] == [True, True]


def test_one_of_another_version_is_no_reason_to_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, snapshot(10))
    monkeypatch.setattr("mpifl.state.checkpoint.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    newest = write_checkpoint(tmp_path, snapshot(20))
    monkeypatch.undo()
    with pytest.raises(InputError, match=rf"^--resume: {newest}: .*go on with the version"):
        last_checkpoint(tmp_path)
    newest.write_bytes(b"damaged")
    with logged():
        found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.rounds_done == 10


@pytest.mark.parametrize("begun_at", [0, 70])
def test_damaged_ones_of_later_rounds_make_room_for_what_is_saved(
    tmp_path: Path, begun_at: int
) -> None:
    """A run that goes on from before them is saved, and client state is kept from there on."""
    for rounds_done in (90, 100):
        write_checkpoint(tmp_path, snapshot(rounds_done)).write_bytes(b"damaged")
    if begun_at:
        write_checkpoint(tmp_path, snapshot(begun_at))
    checkpoints = Checkpoints(tmp_path, every=10, keep=2, records=Records(), resumed_from=begun_at)
    assert checkpoints.oldest == begun_at
    saved = [begun_at + 10, begun_at + 20, begun_at + 40]
    for rounds_done in saved:
        checkpoints.save(snapshot(rounds_done))
        checkpoints.wait()
        found = last_checkpoint(tmp_path)
        assert found is not None
        assert found.rounds_done == rounds_done
    checkpoints.close()
    kept = [read_checkpoint(path).rounds_done for path in sorted(tmp_path.iterdir())]
    assert kept == saved[-2:]
    assert checkpoints.oldest == saved[-2]


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "nowhere") is None


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    path = write_checkpoint(folder, snapshot())
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= 1 << bit
    path.write_bytes(raw)
    with logged() as said:
        assert last_checkpoint(folder) is None
    assert str(path) in said[0]


def test_as_often_as_asked_and_no_more_kept(tmp_path: Path) -> None:
    records = Records()
    checkpoints = Checkpoints(tmp_path, every=10, keep=2, records=records)
    assert checkpoints.oldest == 0
    done = []
    for rounds_done in (1, 9, 10, 11, 19, 25, 29, 30, 31):  # in batches, rounds may be jumped over
        if checkpoints.due(rounds_done):
            checkpoints.save(snapshot(rounds_done))
            done.append(rounds_done)
    checkpoints.close()
    assert done == [10, 25, 30]
    assert [path.name[12:14] for path in sorted(tmp_path.iterdir())] == ["25", "30"]
    assert checkpoints.oldest == 25
    assert records.synced == 3
    assert read_checkpoint(max(tmp_path.iterdir())).rows == {"rounds": 1}


def test_a_run_that_goes_on_does_not_save_again_at_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, every=10, keep=2, records=Records(), resumed_from=20)
    assert [checkpoints.due(rounds_done) for rounds_done in (21, 29, 30)] == [False, False, True]
    assert not checkpoints.due(20, last=True)
    checkpoints.close()


def test_the_last_round_is_saved_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, every=10, keep=2, records=Records())
    assert checkpoints.due(7, last=True)
    checkpoints.save(snapshot(7))
    assert not checkpoints.due(7, last=True)
    checkpoints.close()


def test_it_is_written_while_the_run_goes_on(tmp_path: Path) -> None:
    go_on = threading.Event()

    class Slow(Records):
        def to_disk(self) -> None:
            assert go_on.wait(30)

    checkpoints = Checkpoints(tmp_path, every=1, keep=1, records=Slow())
    checkpoints.save(snapshot(1))  # would wait for ever if it were written here
    assert list(tmp_path.iterdir()) == []
    go_on.set()
    checkpoints.close()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    yield from mounts(tmp_path)


@mounting
def test_a_disk_that_is_full_is_told_with_what_is_needed_and_the_last_one_stays(
    mount: Mount, request: pytest.FixtureRequest
) -> None:
    disk = mount("tmpfs", 4 << 20)
    folder = disk.folder / "run" / "checkpoint"
    checkpoints = Checkpoints(folder, every=1, keep=1, records=Records())
    checkpoints.save(snapshot(1))
    checkpoints.wait()
    disk.leave(1 << 20)
    checkpoints.save(replace(snapshot(2), state={"model": np.zeros(10**6, np.float32)}))
    with pytest.raises(DiskFull) as caught:
        checkpoints.close()
    assert str(caught.value).startswith(
        f"{folder}/round-00000002.h5: No space left on device: it needs 4,0"
    )
    assert str(caught.value).endswith(
        "make room, then go on with --resume " + os.path.relpath(disk.folder / "run")
    )
    assert [path.name[:14] for path in folder.iterdir()] == ["round-00000001"]
    last = last_checkpoint(folder)
    assert last is not None
    assert same(replace(last, rows=None), replace(snapshot(1), rows=None))
