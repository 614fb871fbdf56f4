"""Bandwidth over time: every mode against the event simulation, small rounds by hand, and real curves second by second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.clock.policies.all import All
from mpifl.clock.policies.buffered import Buffered
from mpifl.clock.policies.deadline import Deadline
from mpifl.clock.policies.sync import Sync
from mpifl.clock.policy import RoundPolicy
from mpifl.clock.timeline import ClockState, Timeline
from mpifl.clock.workload import Workload
from mpifl.errors import InputError
from mpifl.kernels.permutation import permuted
from mpifl.traces.bandwidth import Bandwidth, check_bandwidth
from tests.clock.cases import Case, numbered_cases, rule_of
from tests.clock.events import COMPLETED, CUT, DROPPED
from tests.clock.link_cases import (
    MODES,
    advance,
    by_hand,
    check_by_hand,
    linked,
    policy_of,
    with_curves,
)
from tests.known import known
from tests.makers import PopulationOf, RoundOf


@pytest.mark.parametrize("tidy", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_rounds_are_those_of_an_event_simulation(
    case_of: Callable[..., Case], mode: str, tidy: bool
) -> None:
    """Tidy ones, in which all moments are short binary fractions, to the last bit."""
    tally: Counter[str] = Counter()

    def compare(raw: tuple[Any, ...]) -> None:
        rule = rule_of(raw)
        case = linked(case_of(raw, rule), tally)
        case = replace(case, participants=1 if mode == "async" else case.participants)
        case = with_curves(case)
        advance(case, policy_of(case, mode, rule))

    numbered_cases(compare, 30, tidy=tidy, busy=mode in ("buffered", "async"))
    assert tally["compared"] >= 30
    assert (
        tally["compared"]
        >= (0.9 if mode in ("sync", "all", "deadline") else 0.6) * tally["simulated"]
    )
    assert min(tally["COMPLETED"], tally["DROPPED"]) >= 8
    assert tally["CUT"] >= 8 or mode not in ("sync", "deadline")


# By hand: 8 kbit each way, 10 samples in 3 s; at constant speeds of 8 kbit/s 1 + 3 + 1 s.
WORK = Workload(bytes_down=1000, bytes_up=1000, batch_size=10, epochs=1, local_steps=None)
STEADY = ([0], [8], [8])


def _own(timeline: Timeline, row: int = 0) -> tuple[float, ...]:
    """Seconds of download, training and upload of one participant."""
    return tuple(
        timeline.participants[row][f"{part}_seconds"] for part in ("download", "compute", "upload")
    )


def test_the_speed_changes_under_way(population_of: PopulationOf) -> None:
    # 4 kbit by 0.5 s, 4 more by 1.5 s. Trains to 4.5 s. 1 kbit by 5 s, 7 more at 14 kbit/s.
    curve = ([0, 0.5, 2, 5], [8, 4, 1, 1], [1, 1, 2, 14])
    case = by_hand(population_of([{}]), WORK, 1, curves=[curve])
    (timeline,) = check_by_hand(case, All(), [(0, COMPLETED, 5.5, 1000, 1000)])
    assert _own(timeline) == (1.5, 3, 1)


def test_nothing_is_carried_in_an_outage_and_the_curve_repeats(population_of: PopulationOf) -> None:
    # 4 kbit by 1 s, nothing till 10 s, the rest by 11 s. Trains to 14 s; 2 kbit/s for 4 s.
    case = by_hand(population_of([{}]), WORK, 1, curves=[([0, 1], [4, 0], [0, 2])], period=10.0)
    (timeline,) = check_by_hand(case, All(), [(0, COMPLETED, 18, 1000, 1000)])
    assert _own(timeline) == (11, 3, 4)


NEVER = ([0, 50], [8, 8], [0, 8])
"""Uploads from 50 s on only; with ``ONLINE`` nothing."""
ONLINE = {"slots": [(0, 50)]}


@pytest.mark.parametrize("kind", [All, partial(Deadline, quantile=0.9), Sync], ids=str)
def test_a_round_does_not_wait_for_who_never_stops(
    population_of: PopulationOf, round_of: RoundOf, kind: Callable[..., RoundPolicy]
) -> None:
    """Of two the second can upload nothing while it is online. The round ends with the last of the others."""
    policy = kind(availability="resume")
    case = by_hand(population_of([{}, ONLINE]), WORK, 2, curves=[STEADY, NEVER])
    timeline, after = round_of(policy, case.population, 2, workload=WORK)
    assert (timeline.end_seconds, after.version) == (5, 1)
    assert timeline.participants["outcome"].tolist() == [COMPLETED, CUT]
    assert timeline.participants["stop_seconds"].tolist() == [5, 5]

    case = by_hand(population_of([ONLINE]), WORK, 1, curves=[NEVER])
    with pytest.raises(InputError, match="can ever finish"):
        round_of(policy, case.population, 1, workload=WORK)


def test_who_has_all_as_an_outage_begins_is_done_then(population_of: PopulationOf) -> None:
    # 4 kbit by 1 s, and not 10 s; trains to 4 s; 4 kbit at 2 kbit/s to 6 s.
    case = by_hand(
        population_of([{}]),
        replace(WORK, bytes_down=500, bytes_up=500),
        1,
        curves=[([0, 1], [4, 0], [0, 2])],
    )
    (timeline,) = check_by_hand(case, All(), [(0, COMPLETED, 6, 500, 500)])
    assert _own(timeline) == (1, 3, 2)


def test_no_bytes_take_no_time_in_an_outage(population_of: PopulationOf) -> None:
    case = by_hand(
        population_of([{}]),
        replace(WORK, bytes_down=0, bytes_up=0),
        1,
        curves=[([0, 50], [0, 1], [0, 1])],
    )
    (timeline,) = check_by_hand(case, All(), [(0, COMPLETED, 3, 0, 0)])
    assert _own(timeline) == (0, 3, 0)


def test_a_transfer_goes_on_over_many_periods(population_of: PopulationOf) -> None:
    # 14 kbit a period of 8 s. 8,000 are 571 periods and 6 kbit: 4 in the first second, 2 more by 4 s. Trains to 7 s, 1 s up.
    curve = ([0, 1, 3], [4, 0, 2], [8, 8, 8])
    case = by_hand(
        population_of([{}]), replace(WORK, bytes_down=10**6), 1, curves=[curve], period=8.0
    )
    (timeline,) = check_by_hand(case, All(), [(0, COMPLETED, 571 * 8 + 8, 10**6, 1000)])
    assert _own(timeline) == (571 * 8 + 4, 3, 1)


def test_half_a_billion_periods_are_arithmetic_and_not_a_loop(
    population_of: PopulationOf, round_of: RoundOf
) -> None:
    # 8 * 10**9 kbit are 571,428,571 periods of 14 kbit, and 6 kbit as above.
    case = by_hand(
        population_of([{}]), WORK, 1, curves=[([0, 1, 3], [4, 0, 2], [8, 8, 8])], period=8.0
    )
    timeline, _ = round_of(All(), case.population, 1, 0.0, replace(WORK, bytes_down=10**12))
    assert _own(timeline) == (571_428_571 * 8 + 4, 3, 1)
    assert timeline.end_seconds == 571_428_571 * 8 + 8


def test_who_drops_out_has_what_the_curve_carried_by_then(population_of: PopulationOf) -> None:
    # 2 kbit by 2 s and 4 more by 2.5 s; the other goes offline as it has sent everything: 2.75 + 3 + 1 s.
    curve = ([0, 2], [1, 8], [8, 8])
    population = population_of([{"slots": [(0, 2.5)]}, {"slots": [(0, 6.75)]}])
    case = by_hand(population, WORK, 2, curves=[curve, curve])
    check_by_hand(case, All(), [(0, DROPPED, 2.5, 750, 0), (1, COMPLETED, 6.75, 1000, 1000)])


def test_the_curve_goes_on_while_a_phone_pauses(population_of: PopulationOf) -> None:
    # 2 kbit by 1 s, offline till 3 s while the best of the curve passes, 4 kbit by 3.5 s, 2 by 4 s. Trains to 7 s.
    curve = ([0, 1, 3, 3.5], [2, 64, 8, 4], [8, 8, 8, 8])
    case = by_hand(
        population_of([{"slots": [(0, 1), (3, 100)]}]), WORK, 1, curves=[curve], rule="resume"
    )
    (timeline,) = check_by_hand(case, All(availability="resume"), [(0, COMPLETED, 8, 1000, 1000)])
    assert _own(timeline) == (2, 3, 1)


def test_who_is_online_in_outages_only_never_finishes(population_of: PopulationOf) -> None:
    population = population_of([{"slots": [(0, 5)]}, {"slots": [(0, 5)]}], period=10.0)
    case = by_hand(
        population, WORK, 1, curves=[([0, 5], [0, 8], [8, 8]), STEADY], period=10.0, rule="resume"
    )
    timeline, _ = Sync(overcommitment=2.0, availability="resume").advance(ClockState(), case.call)
    assert timeline.participants["outcome"].tolist() == [CUT, COMPLETED]
    assert timeline.participants["bytes_down"].tolist() == [0, 1000]
    assert timeline.end_seconds == 5
    with pytest.raises(InputError, match=r"^population"):  # and All would wait for it
        All(availability="resume").advance(ClockState(), case.call)


def test_who_is_cut_has_what_the_curve_carried_by_then(population_of: PopulationOf) -> None:
    # The first is done at 5 s. The second has 8 kbit by 1.5 s (4 at 8, 4 at 4), trains to 4.5 s, and sends 1 kbit by 5 s.
    case = by_hand(
        population_of([{}, {}]), WORK, 1, curves=[STEADY, ([0, 0.5, 4], [8, 4, 4], [8, 8, 2])]
    )
    check_by_hand(
        case, Sync(overcommitment=2.0), [(0, COMPLETED, 5, 1000, 1000), (1, CUT, 5, 1000, 125)]
    )


@pytest.mark.parametrize(
    ("seconds", "steps", "stop"), [(3.5, 2, 3), (6.875, 2, 3), (7, 3, 7), (11, 4, 11)]
)
def test_partial_work_is_what_the_curve_leaves_time_for(
    population_of: PopulationOf, seconds: float, steps: int, stop: float
) -> None:
    # Steps of 0.5 s after 1 s of download; up 8 kbit/s until 3 s, then 1. Two steps send from 2 to 3 s; three send 4 kbit
    # from 2.5 to 3 s and 4 more to 7 s; four send from 3 to 11 s.
    work = Workload(1000, 1000, 5, 1, None, inferences_per_sample=1.0)
    case = by_hand(population_of([{}], held=20), work, 1, curves=[([0, 3], [8, 8], [8, 1])])
    (timeline,) = check_by_hand(case, Deadline(seconds=seconds), [(0, COMPLETED, stop, 1000, 1000)])
    assert timeline.participants["steps"].tolist() == [steps]


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("rule", ["strict", "resume", "always"])
def test_who_sets_the_deadline_by_quantile_does_all_its_work(
    population_of: PopulationOf, rule: str, partial: bool
) -> None:
    """However its seconds are rounded; alone, and online all the time."""
    work = Workload(1234, 2345, 3, 2, None)
    policy = Deadline(quantile=0.5, availability=rule, partial=partial)
    for ms in range(20, 300, 7):
        for now in (0.1, 5.3, 33.3, 2e7 + 0.1):
            case = by_hand(
                population_of([{"ms": ms}]),
                work,
                1,
                curves=[([0, 7], [3, 11], [13, 7])],
                period=40.0,
                rule=rule,
            )
            (row,) = policy.advance(ClockState(now), case.call)[0].participants
            assert (row["steps"], row["outcome"]) == (8, COMPLETED), (ms, now)


def test_rounds_go_on_along_the_curve(population_of: PopulationOf) -> None:
    # 0: 1 s down, 3 s, then 2 kbit/s from 4 to 8 s. 1: at constant speeds done at 5 s, and again at 10 s.
    # 0 is begun anew at 8 s: down by 9 s, trained by 12 s, 2 kbit/s from 12 to 16 s.
    case = by_hand(population_of([{}, {}]), WORK, 1, curves=[([0, 4], [8, 8], [8, 2]), STEADY])
    done = (
        [(1, COMPLETED, 5, 1000, 1000)],
        [(0, COMPLETED, 8, 1000, 1000)],
        [(1, COMPLETED, 10, 1000, 1000)],
    )
    check_by_hand(case, Buffered(concurrency=2), *done)


# Real curves


Network = tuple[np.ndarray, np.ndarray, np.ndarray, float]
"""(starts, down, up, period) of its curve."""


def _packets(path: Path) -> np.ndarray:
    """kbit/s of each second, from a stamp in milliseconds for each packet of 1,500 bytes."""
    stamps = np.array(path.read_text().split(), np.int64)
    return np.bincount(stamps // 1000) * 1500 * 8 / 1000


def _mahimahi(folder: Path) -> Iterator[Network]:
    """(starts, down, up, period) of each network with both directions."""
    for down in sorted(folder.glob("*.down")):
        if (up := down.with_suffix(".up")).exists():
            kbps = _packets(down), _packets(up)
            seconds = min(map(len, kbps))
            yield (
                np.arange(seconds, dtype=float),
                kbps[0][:seconds],
                kbps[1][:seconds],
                float(seconds),
            )


def _norway(folder: Path) -> Iterator[Network]:
    """Lines of seconds and Mbit/s; the last speed stays for a second. There is no upload: half the download."""
    for path in sorted(folder.glob("norway_*"))[::7]:
        stamps, megabits = np.loadtxt(path, unpack=True)
        yield stamps, 1000 * megabits, 500 * megabits, stamps[-1] + 1


def _walked(
    begin: float, size: float, starts: np.ndarray, speeds: np.ndarray, period: float
) -> float:
    """Seconds until ``size`` kbit are over, by plain Python from point to point."""
    seconds, phase, left = 0.0, begin % period, size
    while True:
        for start, end, speed in zip(starts, [*starts[1:], period], speeds, strict=True):
            there = end - max(phase, start)
            if there > 0:
                if speed * there >= left:
                    return seconds + left / speed
                seconds, left = seconds + there, left - speed * there
        phase = 0.0


@pytest.mark.parametrize("kind", ["mahimahi", "norway"])
@pytest.mark.parametrize("size", [100_000, 5_000_000, 200_000_000])
def test_real_curves_carry_what_a_walk_over_their_seconds_does(
    shared: Path, population_of: PopulationOf, round_of: RoundOf, kind: str, size: int
) -> None:
    folder = shared / "data/traces/cellular" / kind
    if not folder.is_dir():
        pytest.skip(f"no real curves at {folder}")
    curves = list({"mahimahi": _mahimahi, "norway": _norway}[kind](folder))
    starts, down, up, periods = zip(*curves, strict=True)
    offsets = np.cumsum([0, *map(len, starts)])
    columns = np.concatenate(starts), np.concatenate(down), np.concatenate(up)
    bandwidth = Bandwidth(offsets, columns[0], columns[1], columns[2], np.array(periods))
    check_bandwidth(folder, bandwidth)
    plain = population_of([{}] * len(curves))
    population = replace(
        plain, trace=replace(known(plain.trace), bandwidth=bandwidth), always_online=True
    )
    work = Workload(size, size, 10, 1, None)
    for now in (0.0, 12_345.678, 1e7 + 0.1):
        timeline, _ = round_of(
            All(availability="always"), population, len(curves), ClockState(now), work
        )
        for row in timeline.participants:
            number = permuted(int(row["client"]), len(curves), population.phone_key)
            points = starts[number].tolist()
            downloading = _walked(
                now, size * 8 / 1000, points, down[number].tolist(), periods[number]
            )
            trained = now + downloading + 3.0
            uploading = _walked(
                trained, size * 8 / 1000, points, up[number].tolist(), periods[number]
            )
            assert row["download_seconds"] == pytest.approx(downloading, rel=1e-9, abs=1e-6)
            assert row["upload_seconds"] == pytest.approx(uploading, rel=1e-9, abs=1e-6)
            assert row["stop_seconds"] - now == pytest.approx(
                downloading + 3 + uploading, rel=1e-9, abs=1e-6
            )
