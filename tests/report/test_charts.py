"""Each chart's numbers, from tables chosen for it, against numpy by hand."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.datasets.skew import gini
from mpifl.errors import InputError
from mpifl.record.load import load_run
from mpifl.report.chart import COLOURS, DASHES, Chart, Mark, NoData, Table, look
from mpifl.report.charts import REGISTRY
from mpifl.report.curves import Curve, band, thinned
from mpifl.report.interactive import layout
from mpifl.report.material import MOST_IN_ROUND, Material, material
from mpifl.report.participants import read_participants
from mpifl.report.report import make_report
from mpifl.report.target import Target
from tests.report.made import made_run, random_participants, random_rounds, rows


def of(*folders: Path) -> Material:
    return material([load_run(folder) for folder in folders])


def chart(name: str, made_of: Material) -> Chart:
    made = import_module(REGISTRY[name]).chart(made_of)
    assert isinstance(made, Chart)
    assert made.name == name
    return made


def marks(made: Chart, panel: int = 0) -> dict[str, Mark]:
    return {mark.name: mark for mark in made.panels[panel].marks}


def test_the_score_is_drawn_against_rounds_seconds_bytes_and_joules(tmp_path: Path) -> None:
    rounds = random_rounds(50)
    rounds["accuracy"][::3] = np.nan
    made = chart("accuracy", of(made_run(tmp_path / "a", rounds=rounds)))
    tested = ~np.isnan(rounds["accuracy"])
    expected = {
        "rounds": rounds["round"],
        "virtual time, min": rounds["end_seconds"] / 60,
        "bytes down and up, kB": np.cumsum(rounds["bytes_down"] + rounds["bytes_up"]) / 1e3,
        "energy, J": np.cumsum(rounds["joules"]),
    }
    assert [panel.label for panel in made.panels] == list(expected)
    for number, x in enumerate(expected.values()):
        (line,) = made.panels[number].marks
        assert line.columns["x"] == pytest.approx(x[tested])
        assert line.columns["y"].tolist() == rounds["accuracy"][tested].tolist()


def test_seeds_are_a_mean_and_a_range_that_holds_the_last_value_of_each() -> None:
    curves = [
        Curve(np.array([1.0, 4.0, 6.0]), np.array([0.0, 0.4, 0.6])),
        Curve(np.array([2.0, 5.0]), np.array([0.2, 0.8])),
    ]
    over = band(curves)
    assert over.x.tolist() == [2, 4, 5]
    assert over.low == pytest.approx([0.0, 0.2, 0.4])
    assert over.high == pytest.approx([0.2, 0.4, 0.8])
    assert over.mean == pytest.approx([0.1, 0.3, 0.6])


def test_a_long_curve_keeps_its_ends() -> None:
    x = np.arange(10_000.0)
    short = thinned(Curve(x, -x), 100)
    assert len(short.x) == 100
    assert (short.x[0], short.x[-1]) == (0, 9999)
    assert (short.y == -short.x).all()


def test_targets_are_reached_by_the_run_that_came_first(tmp_path: Path) -> None:
    rounds = [random_rounds(30, seed) for seed in (1, 2)]
    folders = [
        made_run(tmp_path / str(seed), {"seed": seed}, rounds=own)
        for seed, own in enumerate(rounds)
    ]
    made = import_module(REGISTRY["time_to_target"]).chart(of(*folders))
    assert isinstance(made, Table)
    for row in made.rows:
        at = float(str(row[0]).split()[-1])
        first = [np.flatnonzero(own["accuracy"] >= at)[:1] + 1 for own in rounds]
        numbers = np.concatenate(first)
        assert row[2] == f"{len(numbers)} of 2"
        assert float(str(row[3]).split(" ")[0]) == pytest.approx(numbers.mean(), rel=1e-3)
    assert len(made.rows) >= 4
    assert str(made.rows[0][2]).startswith("2")


def test_a_target_that_was_asked_for_is_the_only_one(tmp_path: Path) -> None:
    rounds = random_rounds(30)
    run = load_run(made_run(tmp_path / "a", rounds=rounds))
    (row,) = make_report([run], Target("loss", 0.5)).charts["time_to_target"].rows  # type: ignore[union-attr]
    first = np.flatnonzero(rounds["loss"] <= 0.5)[:1] + 1
    assert row[0] == "loss at most 0.5"
    assert row[2:4] == (f"{len(first)} of 1", f"{first[0]}" if len(first) else "-")
    with pytest.raises(InputError, match="--target: rmse: no run was tested for it"):
        make_report([run], Target("rmse", 0.5))


def test_the_score_that_was_asked_for_is_drawn_and_has_targets(tmp_path: Path) -> None:
    plain = random_rounds(20)
    rounds = np.zeros(20, [*plain.dtype.descr, ("word_errors", "<f8")])
    for name in plain.dtype.names or ():
        rounds[name] = plain[name]
    rounds["word_errors"] = np.linspace(9, 1, 20)
    runs = [load_run(made_run(tmp_path / "a", rounds=rounds))]

    charts = make_report(runs, metric="word_errors").charts
    drawn = charts["accuracy"]
    assert isinstance(drawn, Chart)
    assert drawn.title == "Word errors of the global model"
    assert drawn.panels[0].marks[0].columns["y"].tolist() == rounds["word_errors"].tolist()
    table = charts["time_to_target"]
    assert isinstance(table, Table)
    assert all(str(row[0]).startswith("word_errors at most ") for row in table.rows)
    with pytest.raises(InputError, match="--metric: rmse: no run was tested for it"):
        make_report(runs, metric="rmse")


@pytest.mark.parametrize(("rounds", "step"), [(4, 1), (50, None)])
def test_no_fraction_of_a_round_is_labelled(tmp_path: Path, rounds: int, step: int | None) -> None:
    made = chart("accuracy", of(made_run(tmp_path / "a", rounds=random_rounds(rounds))))
    assert layout(made.panels[0])["xaxis"].get("dtick") == step
    assert "dtick" not in layout(made.panels[1])["xaxis"]


def test_a_round_was_bounded_by_the_longest_phase_of_who_completed_last(tmp_path: Path) -> None:
    seconds = {
        "download": [1, 1, 9, 1, 1, 1],
        "compute": [9, 2, 1, 2, 1, 1],
        "upload": [2, 9, 2, 1, 1, 1],
    }
    participants = rows(
        "participants",
        round=[1, 1, 2, 3, 4, 5],
        client=[0, 1, 2, 3, 4, 5],
        outcome=[0, 0, 0, 0, 2, 0],
        start_seconds=[0, 0.5, 12.5, 24.5, 44.5, 154.5],
        stop_seconds=[12, 12.5, 24.5, 28.5, 54.5, 157.5],
        **{f"{phase}_seconds": values for phase, values in seconds.items()},
    )
    rounds = rows(
        "rounds",
        round=[1, 2, 3, 4, 5],
        end_seconds=[12.5, 24.5, 44.5, 54.5, 157.5],
        start_seconds=[0, 12.5, 24.5, 44.5, 154.5],
        waited_seconds=[0, 0, 0, 0, 100],
        asked=[2, 1, 1, 1, 1],
    )
    made = chart(
        "durations", of(made_run(tmp_path / "a", rounds=rounds, participants=participants))
    )
    found = {
        name: (mark.columns["x"].tolist(), mark.columns["y"]) for name, mark in marks(made).items()
    }
    assert {name: x for name, (x, _) in found.items()} == {
        "upload": [1],
        "download": [2],
        "the deadline": [3, 4],
        "nobody online": [5],
    }
    assert found["the deadline"][1] == pytest.approx([20, 10])


def test_a_picture_has_the_durations_of_one_run_of_each_group(tmp_path: Path) -> None:
    folders = [
        made_run(
            tmp_path / f"{seed}-{count}", {"seed": seed, "rounds": count}, rounds=random_rounds(3)
        )
        for count in (3, 4)
        for seed in (1, 2)
    ]
    made = chart("durations", of(*folders))
    assert len(made.panels) == 4
    assert made.on_paper == (0, 2)


def test_bars_of_many_rounds_are_means_that_add_up(tmp_path: Path) -> None:
    rounds = random_rounds(1000)
    participants = random_participants(rounds)
    made = chart(
        "durations", of(made_run(tmp_path / "a", rounds=rounds, participants=participants))
    )
    bars = marks(made).values()
    assert max(len(bar.columns["x"]) for bar in bars) <= 120
    heights: Counter[float] = Counter()
    for bar in bars:
        heights.update(dict(zip(bar.columns["x"].tolist(), bar.columns["y"].tolist(), strict=True)))
    spent = np.diff(rounds["end_seconds"], prepend=0)
    means = [spent[start : start + 9].mean() for start in range(0, 1000, 9)]
    assert [heights[x] for x in sorted(heights)] == pytest.approx(means)


def test_a_timeline_has_the_phases_and_ends_of_its_round(tmp_path: Path) -> None:
    rounds = random_rounds(8)
    participants = random_participants(rounds)
    made = chart("timeline", of(made_run(tmp_path / "a", rounds=rounds, participants=participants)))
    assert [panel.label for panel in made.panels] == [str(number) for number in range(1, 9)]
    for number in (1, 5):
        own = participants[participants["round"] == number]
        own = own[np.argsort(own["stop_seconds"], kind="stable")]
        begin = rounds["start_seconds"][number - 1]
        at = own["start_seconds"]
        drawn = marks(made, number - 1)
        for phase in ("download", "compute", "upload"):
            until = np.minimum(at + own[f"{phase}_seconds"], own["stop_seconds"])
            if phase in drawn:
                assert drawn[phase].columns["start"] == pytest.approx(at - begin)
                assert drawn[phase].columns["length"] == pytest.approx(until - at)
                assert drawn[phase].columns["client"].tolist() == own["client"].tolist()
            else:
                assert (until == at).all()
            at = until
        for outcome, name in ((0, "completed"), (2, "cut")):
            stopped = own["stop_seconds"][own["outcome"] == outcome] - begin
            assert list(drawn[name].columns["x"] if name in drawn else []) == pytest.approx(stopped)
        # No fraction of a participant is labelled.
        step = layout(made.panels[number - 1])["yaxis"].get("dtick")
        assert step == (1 if len(own) < 10 else None)


def test_a_large_run_is_held_in_few_rows_with_the_last_to_complete(tmp_path: Path) -> None:
    rounds = random_rounds(200)
    rounds["asked"] = 1000
    participants = random_participants(rounds, 5000)
    made_of = of(made_run(tmp_path / "a", rounds=rounds, participants=participants))
    made = chart("timeline", made_of)
    assert sum(len(panel.marks[0].columns["row"]) for panel in made.panels) <= 21_000
    assert f"{len(made.panels)} of 200 rounds" in made.text
    for number, held in made_of.all[0].participants.shown.items():
        done = participants[(participants["round"] == number) & (participants["outcome"] == 0)]
        assert len(held) <= MOST_IN_ROUND + 1
        if len(done):
            assert done["client"][np.argmax(done["stop_seconds"])] in held["client"]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_one_pass_in_blocks_is_the_whole_table(size: int) -> None:
    rounds = random_rounds(40)
    table = random_participants(rounds)
    table["outcome"][::11] = 6
    blocks = [table[start : start + size] for start in range(0, len(table), size)]
    read = read_participants(blocks, 40, {3: 1, 17: 2})
    took = table[table["outcome"] != 6]
    clients, asked = np.unique(took["client"], return_counts=True)
    assert read.rows == len(took)
    assert read.clients.tolist() == clients.tolist()
    assert read.asked.tolist() == asked.tolist()
    done = took[took["outcome"] == 0]
    assert read.completed.tolist() == [int((done["client"] == client).sum()) for client in clients]
    for number in range(1, 41):
        stops = done["stop_seconds"][done["round"] == number]
        assert read.last["round"][number] == (number if len(stops) else 0)
        if len(stops):
            assert read.last["stop_seconds"][number] == stops.max()
    assert set(read.shown) == {3, 17}
    in_three = table[table["round"] == 3]
    assert read.shown[3].tobytes() == in_three.tobytes()
    thin = table[table["round"] == 17][::2]
    assert read.shown[17][: len(thin)].tobytes() == thin.tobytes()


def test_participation_counts_clients_and_those_who_never_took_part(tmp_path: Path) -> None:
    rounds = random_rounds(20)
    participants = random_participants(rounds, 8)
    made_of = of(made_run(tmp_path / "a", rounds=rounds, participants=participants))
    counts = np.bincount(participants["client"], minlength=10)
    (mark,) = chart("participation", made_of).panels[0].marks
    assert mark.columns["y"].tolist() == np.bincount(counts).tolist()
    assert mark.columns["start"].tolist() == (np.arange(counts.max() + 1) - 0.5).tolist()

    line = chart("lorenz", made_of).panels[0].marks[0]
    assert line.columns["y"] == pytest.approx(
        100 * np.append(0, np.cumsum(np.sort(counts)) / counts.sum())
    )
    differences = np.abs(counts[:, None] - counts[None, :]).sum()
    assert gini(np.sort(counts)) == pytest.approx(
        differences / (2 * len(counts) ** 2 * counts.mean())
    )


def test_availability_is_the_mean_share_online_of_an_hours_rounds(tmp_path: Path) -> None:
    rounds = random_rounds(60)
    rounds["start_seconds"] = np.linspace(0, 50 * 3600, 60)
    made = chart("availability", of(made_run(tmp_path / "a", rounds=rounds)))
    (line,) = made.panels[0].marks  # the hashes of this run name no trace
    hour = (rounds["start_seconds"] // 3600 % 24).astype(int)
    shares = [100 * np.mean(rounds["online"][hour == h] / 10) for h in np.unique(hour)]
    assert line.columns["x"].tolist() == (np.unique(hour) + 0.5).tolist()
    assert line.columns["y"] == pytest.approx(shares)


def test_clients_are_a_distribution_after_their_last_test(tmp_path: Path) -> None:
    rounds = random_rounds(6)
    for column in ("client_accuracy", "client_loss", "worst_decile_accuracy"):
        rounds[column][[2, 4]] = 0.5
    random = np.random.default_rng(1)
    clients = rows(
        "clients",
        round=np.repeat([3, 5], 40),
        client=np.tile(np.arange(40), 2),
        device=-1 - np.zeros(80),
        accuracy=random.uniform(size=80),
    )
    made_of = of(made_run(tmp_path / "a", rounds=rounds, clients=clients))
    (steps,) = chart("client_accuracy", made_of).panels[0].marks
    counts = np.histogram(clients["accuracy"][40:], np.linspace(0, 1, 26))[0]
    assert steps.columns["y"] == pytest.approx(100 * counts / 40)
    with pytest.raises(NoData, match=r"evaluation\.personal"):
        chart("device_accuracy", made_of)


@pytest.mark.parametrize("name", REGISTRY)
def test_a_run_that_has_nothing_yet_has_no_charts_and_each_says_why(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(NoData, match=r"\w"):
        chart(name, of(made_run(tmp_path / "a")))


def test_messages_are_drawn_of_protocols_only(tmp_path: Path) -> None:
    rounds = random_rounds(3)
    sent = rows("messages", round=[1, 2, 3], bytes=[2e6, 1e6, 3e6], distance=[0.5, 0.25, 0.125])
    folders = [made_run(tmp_path / "a", rounds=rounds, messages=sent)]
    folders += [made_run(tmp_path / "b", {"seed": 2}, rounds=rounds)]
    drawn = chart("messages", material([load_run(folder) for folder in folders]))
    marks: list[Any] = [panel.marks for panel in drawn.panels]
    distance, delivered = marks
    assert [len(distance), len(delivered)] == [1, 1]
    assert distance[0].y.tolist() == [0.5, 0.25, 0.125]
    assert delivered[0].y.tolist() == [2, 1, 3]
    with pytest.raises(NoData, match="no clients exchanged messages"):
        chart("messages", material([load_run(folders[1])]))


def test_no_two_series_look_alike_before_all_pairs_of_colour_and_dash_are_used() -> None:
    pairs = len(COLOURS) * len(DASHES)
    assert len({look(number) for number in range(pairs)}) == pairs
    for number in range(pairs):  # neighbours in a legend differ in both
        one, other = look(number), look(number + 1)
        assert one.colour != other.colour
        assert one.dash != other.dash
