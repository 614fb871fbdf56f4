"""From job files to experiments: what a timing-only job loads, what a participant costs, what is refused and how."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpifl.clock.policies.sync import Sync
from mpifl.clock.timeline import ClockState
from mpifl.datasets.dataset import Dataset, write_dataset
from mpifl.errors import InputError
from mpifl.job import dump_job, load_yaml, parse_job
from mpifl.population.population import ever_online
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.rounds.plan.plan import make_plan
from mpifl.traces.trace import Trace, write_trace
from tests.small_data import small_data

ROOT = Path(__file__).parents[3]
SIZES = {"name": "sizes", "samples_per_client": {"quantiles": {0: 10, 100: 100}}}
DIGITS = {"name": "digits", "partition": {"name": "iid", "clients": 10}}


def sections(**changed: object) -> dict[str, Any]:
    """A small job that only times, with sections replaced; None leaves one out."""
    job = {
        "rounds": 2,
        "data": SIZES,
        "population": {"clients": 50},
        "model": {"name": "sized", "parameters": 1000},
        "training": {"engine": "none"},
        "selection": {"name": "uniform", "participants": 5},
        **changed,
    }
    return {key: value for key, value in job.items() if value is not None}


Checked = Callable[..., TimingExperiment]


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """checked(model=..., ...): the experiment of ``sections``."""

    def make(**changed: object) -> TimingExperiment:
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(sections(**changed)))
        return check_job(str(path), [])[0]

    return make


TIMING = """
import sys, tempfile
from pathlib import Path
from types import SimpleNamespace
from mpifl.state.checkpoint import Checkpoints
from mpifl.rounds.plan.snapshot import Snapshot
from mpifl.rounds.callbacks import RunCallbacks
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.stopwatch import UNWATCHED
from mpifl.rounds.timing_only import run_timing
experiment, data = check_job({job!r}, {overrides!r})
rows = []
records = SimpleNamespace(rows=dict, to_disk=lambda: None)
checkpoints = Checkpoints(Path(tempfile.mkdtemp()), 10, 1, records)
run_timing(experiment, RunCallbacks(Snapshot(), rows.append, checkpoints, lambda: False), UNWATCHED)
assert data is None and len(rows) == 2, rows
assert rows[1].plan.timeline.start_seconds == rows[0].plan.timeline.end_seconds > 0
print(*sorted({{name.split(".")[0] for name in sys.modules}}))
"""


def test_a_job_that_only_times_needs_no_torch_and_no_mpi() -> None:
    code = TIMING.format(job="reddit-timing", overrides=["rounds=2", "selection.participants=100"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "mpifl" in loaded
    assert not loaded & {"torch", "mpi4py", "sklearn"}


def test_the_program_of_a_rank_needs_no_torch_for_it_either(tmp_path: Path) -> None:
    code = f"""
import runpy, sys
sys.argv = ["mpifl.run", "reddit-timing", "rounds=2", "selection.participants=100", "--out", {str(tmp_path / "out")!r}]
try:
    runpy.run_module("mpifl.run", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
assert "mpi4py" in sys.modules
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "False"
    assert (tmp_path / "out" / "run.h5").is_file()


def test_a_job_that_trains_is_an_experiment_with_a_model(checked: Checked) -> None:
    experiment = checked(data=DIGITS, population=None, model={"name": "logreg"}, training=None)
    assert isinstance(experiment, Experiment)
    assert experiment.initial.shape == (650,)
    assert experiment.workload.bytes_down == 4 * 650


def test_a_real_model_without_training_is_timed_and_counted(checked: Checked) -> None:
    experiment = checked(
        data=DIGITS,
        population=None,
        model={"name": "logreg"},
        clock={"mode": "sync", "latency": {"compute": "flops"}},
    )
    assert not isinstance(experiment, Experiment)
    assert experiment.workload.bytes_down == 4 * 650
    assert experiment.workload.inferences_per_sample == 4 * 64 * 10 / 6e8


@pytest.mark.parametrize(
    ("algorithm", "latency", "down", "up"),
    [
        ("fedavg", {}, 4000, 4000),
        ("scaffold", {}, 8000, 8000),  # the model and the control variate
        ("fedavg", {"model_bytes": 123}, 123, 123),
        ("scaffold", {"model_bytes": 123}, 246, 246),
        ("scaffold", {"model_bytes": 123, "model_bytes_up": 10}, 246, 20),
        ("fedavg", {"model_bytes_up": 10}, 4000, 10),
    ],
)
def test_bytes_are_4_a_weight_or_as_given_times_the_vectors_sent(
    checked: Checked, algorithm: str, latency: dict[str, Any], down: int, up: int
) -> None:
    work = checked(
        algorithm={"name": algorithm}, clock={"mode": "sync", "latency": latency}
    ).workload
    assert (work.bytes_down, work.bytes_up) == (down, up)


def test_flops_are_counted_in_inferences_of_the_reference(checked: Checked) -> None:
    model = {"name": "sized", "parameters": 1000, "training_flops": 6e6}
    work = checked(
        model=model, clock={"mode": "sync", "latency": {"compute": "flops", "reference_flops": 3e6}}
    ).workload
    assert work.inferences_per_sample == 2
    assert (
        checked(model=model).workload.inferences_per_sample == 3
    )  # not asked for: forward and backward


def test_the_preset_is_what_it_says_it_is() -> None:
    clock = parse_job(sections(clock={"preset": "fedscale"})).clock
    assert isinstance(clock, Sync)
    assert (clock.mode, clock.overcommitment, clock.availability) == ("sync", 1.3, "fedscale")
    assert (clock.latency.compute, clock.latency.kbit) == ("batches", 1024)


def test_the_preset_reaches_the_workload(checked: Checked) -> None:
    work = checked(clock={"preset": "fedscale"}).workload
    assert (work.full_batches, work.bits_per_kbit, work.inferences_per_sample) == (True, 1024, 3)
    work = checked(clock={"mode": "sync"}).workload
    assert (work.full_batches, work.bits_per_kbit) == (False, 1000)


def test_keys_beside_the_preset_override_it() -> None:
    clock = parse_job(
        sections(clock={"preset": "fedscale", "overcommitment": 2.0, "availability": "strict"})
    ).clock
    assert isinstance(clock, Sync)
    assert (clock.mode, clock.overcommitment, clock.availability) == ("sync", 2.0, "strict")
    assert clock.latency.compute == "batches"


def test_a_key_inside_a_section_of_the_preset_overrides_that_key_alone() -> None:
    latency = parse_job(
        sections(clock={"preset": "fedscale", "latency": {"model_bytes": 1000}})
    ).clock.latency
    assert (latency.model_bytes, latency.compute, latency.kbit) == (1000, "batches", 1024)


def test_a_model_of_which_no_operation_is_counted_is_named_and_no_key_that_it_lacks() -> None:
    changes = [
        f"data={{name: {small_data('ratings')}, partition: natural}}",
        "selection.participants=6",
        "model=matrix_factorisation",
        "clock.latency.compute=flops",
    ]
    with pytest.raises(InputError, match=r"^clock\.latency\.compute: 'flops' is not allowed with"):
        check_job("quickstart", changes)


ORDERING = f"{ROOT / 'tests' / 'ordering.py'}:Ordering"
COMPASS = "clock={mode: compass, concurrency: 10, least_steps: 2, most_steps: 9}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [f"selection={{name: '{ORDERING}', participants: 4, steps: 7, sent: 1}}"],
            "clock.mode: 'compass' is not allowed with selection.name",
        ),
        (
            [
                "exchange.up=[{name: clip, norm: 1}]",
                "privacy={name: gaussian, noise_multiplier: 1, weights: capped, cap: 9}",
            ],
            "clock.mode: 'compass' is not allowed with privacy.name gaussian: the weight",
        ),
        (["algorithm=scaffold"], "clock.mode: 'compass' is not allowed with algorithm.name"),
        (["training.early_stop=0.1"], "training.early_stop: 0.1 is not allowed with clock.costs"),
    ],
)
def test_what_does_not_go_with_groups_that_arrive_together_is_refused(
    changes: list[str], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_job("quickstart", [COMPASS, *changes])
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


ASYNC = {"mode": "async", "concurrency": 4}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"data": {"name": "sizes"}}, "data.samples_per_client: missing"),
        ({"population": None}, "population.clients: missing"),
        ({"training": {"engine": "loop"}}, "training.engine: 'loop'"),
        ({"training": None}, "training.engine: 'auto'"),  # the default
        ({"model": {"name": "logreg"}}, "model.name: 'logreg'"),
        ({"data": DIGITS, "population": None, "training": None}, "model.name: sized"),
        ({"clock": {"mode": "sync", "latency": {"compute": "flops"}}}, "model.training_flops: 0"),
        (
            {"clock": ASYNC, "selection": {"name": "uniform", "participants": 2}},
            "selection.participants: 2",
        ),
        ({"selection": {"name": "uniform", "participants": 51}}, "selection.participants: 51"),
        ({"population": {"clients": 50, "trace": "no-such"}}, "population.trace: 'no-such'"),
        ({"data": {"name": "no-such.h5"}, "training": None}, "data.name: 'no-such.h5'"),
        (
            {
                "clock": {**ASYNC},
                "selection": {"name": "uniform", "participants": 1},
                "algorithm": "scaffold",
            },
            "clock.mode: 'async'",
        ),
    ],
)
def test_what_is_refused_names_its_key_first_in_one_line(
    checked: Checked, changed: dict[str, Any], key: str
) -> None:
    with pytest.raises(InputError) as caught:
        checked(**changed)
    assert str(caught.value).startswith(key)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("clock", "key"),
    [
        ({"preset": "fedscal"}, "clock.preset: 'fedscal' is not known; allowed: fedscale"),
        ({"preset": 3}, "clock.preset: 3"),
        ({"preset": "fedscale", "latency": {"kbit": 1001}}, "clock.latency.kbit: 1001"),
        ({"preset": "fedscale", "overcommitment": 0.5}, "clock.overcommitment: 0.5"),
    ],
)
def test_a_wrong_key_of_the_file_names_the_file_and_the_key(
    checked: Checked, tmp_path: Path, clock: dict[str, Any], key: str
) -> None:
    with pytest.raises(InputError) as caught:
        checked(clock=clock)
    assert str(caught.value).startswith(f"{tmp_path / 'job.yaml'}: {key}")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        parse_job(sections(clock=clock))
    assert str(caught.value).startswith(key)


def test_presets_are_of_the_clock_alone() -> None:
    with pytest.raises(InputError, match=r"^model\.preset: 'x' is not known; allowed: none$"):
        parse_job(sections(model={"preset": "x"}))


def test_async_of_one_is_allowed(checked: Checked) -> None:
    assert (
        checked(clock=ASYNC, selection={"name": "uniform", "participants": 1}).job.clock.mode
        == "async"
    )


SCORED = {
    "population": None,
    "model": {"name": "logreg"},
    "training": None,
    "evaluation": {"per_client": True},
}


@pytest.mark.parametrize(
    "partition",
    [
        {"name": "iid", "clients": 10},
        {"name": "dirichlet", "clients": 3},
        {"name": "vertical", "clients": 2},
    ],
)
def test_clients_are_not_scored_one_by_one_in_a_pooled_part(
    checked: Checked, partition: dict[str, Any]
) -> None:
    """The whole test part was reported as one client, and the worst decile was the accuracy."""
    selection = {"name": "uniform", "participants": 2}
    with pytest.raises(InputError) as caught:
        checked(**SCORED, data={"name": "digits", "partition": partition}, selection=selection)
    assert str(caught.value) == (
        "evaluation.per_client: true is not allowed: the test part of digits is one pool of 359 samples that belong to none of"
        f" its {partition['clients']} clients; leave it out, or give clients a part of their own:"
        " data.split.by=samples (or clients) data.split.test=0.1"
    )


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ({"by": "samples", "test": 0.2}, "test"),
        ({"by": "clients", "test": 0.3}, "test"),
        ({"by": "clients", "test": 0.1}, "test"),  # one of ten clients: a client all the same
        ({"by": "samples", "validation": 0.2}, "validation"),
    ],
)
def test_clients_are_scored_one_by_one_in_a_part_of_their_own(
    checked: Checked, split: dict[str, Any], part: str
) -> None:
    evaluation = {"per_client": True, "part": part}
    assert checked(**{**SCORED, "evaluation": evaluation}, data={**DIGITS, "split": split})


def test_a_split_of_another_part_leaves_the_pool_a_pool(checked: Checked) -> None:
    split = {"by": "samples", "validation": 0.2}
    with pytest.raises(
        InputError, match=r"^evaluation\.per_client: true is not allowed: the test part"
    ):
        checked(**SCORED, data={**DIGITS, "split": split})


def test_published_clients_and_a_single_client_are_scored(
    checked: Checked, tmp_path: Path, make_dataset: Callable[..., Dataset]
) -> None:
    data = make_dataset([20, 30])
    for name, changed in (("one", make_dataset([50])), ("two", replace(data, test=data.train))):
        write_dataset(tmp_path / f"{name}.h5", changed)
        selection = {"name": "uniform", "participants": 1}
        assert checked(**SCORED, data={"name": str(tmp_path / f"{name}.h5")}, selection=selection)
    write_dataset(tmp_path / "pool.h5", data)
    with pytest.raises(
        InputError, match="one pool of 10 samples that belong to none of its 2 clients"
    ):
        checked(**SCORED, data={"name": str(tmp_path / "pool.h5")}, selection=selection)


WINDOWS = {"mode": "semisync", "concurrency": 4, "window_seconds": 60.0}


@pytest.mark.parametrize(
    ("clock", "participants"),
    [(WINDOWS, None), (WINDOWS, 1), (WINDOWS, 51), (WINDOWS, 10**9), (ASYNC, None), (ASYNC, 1)],
)
def test_updates_that_a_clock_does_not_wait_for_need_not_be_said(
    checked: Checked, clock: dict[str, Any], participants: int | None
) -> None:
    selection = {"name": "uniform", **({"participants": participants} if participants else {})}
    timed = checked(clock=clock, selection=selection)
    assert timed.job.selection.participants == participants
    assert parse_job(load_yaml(dump_job(timed.job))) == timed.job
    plan = make_plan(timed.job, timed.population, timed.workload, 1, ClockState())
    assert len(plan.timeline.participants) + len(plan.after.flights) >= 4


@pytest.mark.parametrize(
    "clock",
    [
        {"mode": "sync"},
        {"mode": "all"},
        {"mode": "deadline", "seconds": 5},
        {**ASYNC, "mode": "buffered"},
    ],
)
def test_updates_that_a_clock_waits_for_have_to_be_said(
    checked: Checked, clock: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"^selection\.participants: missing; a value is required"):
        checked(clock=clock, selection={"name": "uniform"})


def test_a_clock_waits_for_no_more_clients_than_are_ever_online(
    checked: Checked, tmp_path: Path, make_trace: Callable[..., Trace]
) -> None:
    """7 clients on 2 patterns, one of which is never online."""
    write_trace(tmp_path / "trace.h5", make_trace([[(0, 100)], []]))
    changed = {"population": {"clients": 7, "trace": str(tmp_path / "trace.h5")}}
    allowed = ever_online(
        checked(**changed, clock=WINDOWS, selection="uniform").population.phones, 7
    )
    assert allowed in (3, 4)
    for clock in ({"mode": "all"}, {**ASYNC, "mode": "buffered", "concurrency": 7}):
        checked(**changed, clock=clock, selection={"name": "uniform", "participants": allowed})
        with pytest.raises(
            InputError,
            match=rf"^selection\.participants: {allowed + 1} .* only {allowed} are ever online",
        ):
            checked(
                **changed, clock=clock, selection={"name": "uniform", "participants": allowed + 1}
            )
    write_trace(tmp_path / "trace.h5", make_trace([[], []]))
    with pytest.raises(InputError, match="only 0 are ever online"):
        checked(**changed, clock=WINDOWS, selection="uniform")
    always = {**WINDOWS, "availability": "always"}
    assert checked(**changed, clock=always, selection="uniform").population.always_online


def test_too_many_at_a_time_name_the_key_that_says_so(checked: Checked) -> None:
    population = {"clients": 10**12}
    with pytest.raises(InputError, match=r"^clock\.concurrency: 900000000000 is not allowed"):
        checked(
            population=population, clock={**WINDOWS, "concurrency": 9 * 10**11}, selection="uniform"
        )
    with pytest.raises(InputError, match=r"^selection\.participants: 900000000000 is not allowed"):
        checked(
            population=population,
            clock="all",
            selection={"name": "uniform", "participants": 9 * 10**11},
        )
