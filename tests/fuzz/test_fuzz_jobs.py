"""Jobs and overrides that nobody meant: each is refused with one line, or is a job that runs."""

from __future__ import annotations

import copy
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mpifl.algorithms import REGISTRY
from mpifl.clock.timeline import ClockState
from mpifl.errors import InputError
from mpifl.job import dump_job, load_yaml, parse_job, read_job
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import make_plan
from tests.fuzz.fuzz_outcome import check_line, examples, tried
from tests.fuzz.fuzz_values import Mapping, changed

ROOT = Path(__file__).parents[2]
SIZES: Mapping = {
    "data": {
        "name": "sizes",
        "samples_per_client": {"quantiles": {0: 1, 50: 20, 100: 60}, "scale": "log"},
    },
    "model": {"name": "sized", "parameters": 1000, "training_flops": 1e6},
    "training": {"engine": "none", "batch_size": 5, "local_steps": 4},
    "population": {"clients": 200},
}
CLOCKS: tuple[Mapping, ...] = (
    {
        "mode": "sync",
        "latency": {"server_down_kbps": 1000.0, "server_up_kbps": 500.0, "model_bytes": 4000},
    },
    {"mode": "all", "availability": "resume", "latency": {"compute": "flops"}},
    {"mode": "deadline", "seconds": 100.0},
    {"mode": "deadline", "quantile": 0.5},
    {"mode": "semisync", "window_seconds": 100.0, "concurrency": 10},
    {
        "mode": "buffered",
        "concurrency": 10,
        "availability": "always",
        "latency": {"server_up_kbps": 900.0},
    },
    {"mode": "async", "concurrency": 10, "staleness": {"name": "hinge"}},
    {"mode": "compass", "concurrency": 10, "least_steps": 2, "most_steps": 9},
    {"preset": "fedscale"},
)
PARTITIONS: tuple[Mapping, ...] = (
    *(
        {"name": name, "clients": 10}
        for name in ("iid", "shards", "classes", "mixed", "power_law", "quantity_skew")
    ),
    {"name": "dirichlet", "clients": 10, "balance": True},
    {"name": "dirichlet", "clients": 10, "by": "client"},
    {"name": "vertical", "clients": 3, "features_per_client": [20, 20, 24]},
)
ALGORITHMS = tuple(sorted(set(REGISTRY) - {"dqn"}))  # it needs other data


def written_out(raw: Mapping) -> Mapping:
    """A job with all of its keys: where something else may stand."""
    whole: Mapping = yaml.safe_load(dump_job(parse_job(copy.deepcopy(raw))))
    return whole


def jobs(trace: Path) -> list[Mapping]:
    """Jobs in which every section and every component stands in some place."""
    basis: dict[str, Any] = {
        "name": "q",
        "rounds": 3,
        "selection": {"name": "uniform", "participants": 2},
        "population": {"trace": str(trace)},
    }
    timed: list[dict[str, Any]] = [
        {
            **basis,
            **SIZES,
            "population": {**SIZES["population"], **basis["population"]},
            "clock": clock,
        }
        for clock in CLOCKS
    ]
    timed[6]["selection"] = {"name": "uniform", "participants": 1}
    trained: list[dict[str, Any]] = [
        {
            **basis,
            "data": {"name": "digits", "partition": partition},
            "model": {"name": "mlp", "hidden": [4]},
        }
        | {"algorithm": {"name": ALGORITHMS[k % len(ALGORITHMS)]}}
        for k, partition in enumerate(PARTITIONS)
    ]
    trained[0]["data"]["split"] = {"by": "samples", "test": 0.2, "validation": 0.1}
    trained[0]["evaluation"] = {"per_client": True}
    return [written_out(raw) for raw in (*timed, *trained)]


def check_runs(timed: TimingExperiment) -> None:
    """A few rounds of an accepted job: its plans are such as can be carried out. Some jobs are too large to try."""
    job, state = timed.job, ClockState()
    assert parse_job(load_yaml(dump_job(job))) == job
    most = job.clock.at_once(job.clock.updates(job.selection.participants))
    if min(most, timed.population.clients) > 5000:
        return
    for number in range(1, 4):
        try:
            plan = make_plan(job, timed.population, timed.workload, number, state)
        except InputError as error:  # such as: nobody can ever finish
            check_line(str(error))
            return
        timeline, state = plan.timeline, plan.after
        assert math.isfinite(timeline.end_seconds)
        assert timeline.end_seconds >= timeline.start_seconds
        for name in ("bytes_down", "bytes_up", "joules", "steps", "samples", "download_seconds"):
            assert (timeline.participants[name] >= 0).all(), name
        assert np.isfinite(plan.tasks["weight"]).all()
        assert (plan.tasks["weight"] >= 0).all()
        assert plan.tasks["weight"].sum() <= 1 + 1e-9
        assert (plan.tasks["steps"] > 0).all()


def attempt(kind: str, job: Path, overrides: list[str]) -> None:
    timed = tried(kind, lambda: check_job(str(job), overrides)[0])
    if timed is not None:
        check_runs(timed)


@pytest.fixture(scope="module")
def whole(trace: Path) -> list[Mapping]:
    found = jobs(trace)
    for raw in found:
        check_runs(_checked(raw, trace))
    return found


def _checked(raw: Mapping, trace: Path) -> TimingExperiment:
    path = trace.parent / "valid.yaml"
    path.write_text(yaml.dump(raw))
    return check_job(str(path), [])[0]


@examples(100)
@given(data=st.data())
def test_a_job_with_values_that_nobody_meant(
    data: st.DataObject, whole: list[Mapping], tmp_path: Path
) -> None:
    raw = data.draw(changed(data.draw(st.sampled_from(whole))))
    path = tmp_path / "job.yaml"
    path.write_bytes(yaml.dump(raw, allow_unicode=True).encode("utf-8", "replace"))
    attempt("jobs by their schema", path, [])


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "jobs").glob("*.yaml")))
@examples(5)
@given(data=st.data())
def test_a_shipped_job_changed_in_one_place(
    name: str, data: st.DataObject, trace: Path, tmp_path: Path
) -> None:
    raw = yaml.safe_load((ROOT / "jobs" / f"{name}.yaml").read_text())
    raw["population"]["trace"] = str(trace)
    raw["population"]["clients"] = min(10_000, raw["population"].get("clients", 100))
    path = tmp_path / "job.yaml"
    path.write_bytes(
        yaml.dump(data.draw(changed(raw)), allow_unicode=True).encode("utf-8", "replace")
    )
    attempt("shipped jobs, changed", path, [])


@examples(80)
@given(
    content=st.binary(max_size=200)
    | st.text(alphabet="{}[]&*!|>-?:,# \n\tabc019.'\"%@`<~", max_size=120).map(str.encode)
)
def test_a_file_of_anything(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(content)
    tried("job files of anything", lambda: read_job(str(path)))


@examples(50)
@given(
    key=st.sampled_from(
        (
            "rounds",
            "seed",
            "training.lr",
            "clock.overcommitment",
            "clock.mode",
            "model.hidden",
            "algorithm",
        )
    )
    | st.lists(
        st.sampled_from(("clock", "data", "partition", "lr", "training", "name", "", "x")),
        max_size=4,
    ).map(".".join),
    text=st.text(max_size=20)
    | st.sampled_from(
        (
            "3",
            "0.5",
            "[5, 3]",
            "fedprox",
            "all",
            "{",
            "&a [*a]",
            "!!python/name:os.system",
            "*x",
            "<<",
            "1e999",
        )
    )
    | st.sampled_from(
        (
            "0x" + "f" * 5000,
            "{name: fedyogi, tau: 1e-300}",
            "null",
            "nan",
            "[1, 1, 1]",
            "1_0",
            "1:30",
        )
    ),
)
def test_overrides_of_anything(key: str, text: str, trace: Path) -> None:
    override = key + (text if text == "{" else f"={text}")  # a few have no =
    given_too = [
        f"population.trace={trace}",
        "rounds=2",
        "data.partition={name: iid, clients: 20}",
        override,
    ]
    attempt("overrides", Path("quickstart"), given_too)


def bomb(levels: int, first: str, more: str) -> str:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{k}: &a{k} " + more.replace("*", f"*a{k - 1}") for k in range(1, levels)]
    return "\n".join(lines) + "\n"


BOMBS = {
    "lists of aliases": bomb(30, "[x, x]", "[*, *, *, *, *, *, *, *, *]"),
    "mappings of aliases": bomb(30, "{x: 1}", "{b: *, c: *, d: *, e: *}"),
    "merged mappings": bomb(30, "{x: 1}", "{<<: [*, *, *, *, *, *]}"),
    "a list inside itself": "name: &a [*a]\n",
    "a mapping inside itself": "data: &a {partition: *a}\n",
    "a mapping merged with itself": "data: &a\n  <<: *a\n",
    "deep lists": "name: " + "[" * 20_000,
    "deep mappings": "name: " + "{a: " * 20_000,
    "deep blocks": "".join(f"{' ' * k}a:\n" for k in range(2000)),
    "a number of many digits": "seed: " + "9" * 100_000,
    "a hexadecimal number": "seed: 0x" + "f" * 100_000,
    "a number to base 60": "seed: " + "1:" * 100_000 + "1",
    "a long name": "name: " + "a" * 3_000_000,
    "a large file": "# " + "a" * 10_000_000,
    "two of a key": "rounds: 1\nrounds: 2\n",
    "a merge of no mapping": "<<: 3\n",
    "a list for a key": "? [a, b]\n: 1\n",
    "nul": "name: a\0b\n",
    "several documents": "rounds: 1\n---\nrounds: 2\n",
    **{
        f"python {tag}": f"name: !!python/{tag}\n"
        for tag in (
            "object/apply:os.system [exit 9]",
            "name:os.system",
            "module:os",
            "object:mpifl.errors.InputError {}",
            "tuple [1]",
        )
    },
}


@pytest.mark.parametrize("name", BOMBS)
def test_yaml_that_would_take_all_memory_or_run_something(name: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(BOMBS[name])
    began = time.process_time()
    assert tried("yaml bombs", lambda: read_job(str(path))) is None
    assert time.process_time() - began < 20


def test_aliases_that_stand_for_little_are_as_good_as_what_they_stand_for(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "rounds: &n 3\nmodel: {name: mlp, hidden: &h [8]}\ntraining: {batch_size: *n}\n"
        "selection: &s {name: uniform, participants: *n}\n"
    )
    job = read_job(str(path))
    assert (job.rounds, job.training.batch_size, job.selection.participants) == (3, 3, 3)


BILLIONS = "population.clients=1000000000000"
HUGE = (
    [BILLIONS],
    ["population.clients=10000000000000"],
    [BILLIONS, "selection.participants=500000000000"],
    [BILLIONS, "selection.participants=2147483647"],
    [BILLIONS, "selection.participants=100000", "clock.overcommitment=1000000"],
    [BILLIONS, "clock={mode: buffered, concurrency: 100000000000}"],
    ["model.hidden=[1000000,1000000]"],
    ["model.hidden=[1000000000000]"],
    ["model.hidden=[9223372036854775808]"],
    ["data.partition.clients=1000000000000"],
    ["data.partition={name: shards, shards_per_client: 1000000000000}"],
    ["training.batch_size=2147483647", "training.epochs=2147483647"],
)
LIMIT_BYTES = 8 << 30
CHECK_EACH = """
import json, sys
from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
for overrides in json.load(sys.stdin):
    try:
        check_job("quickstart", overrides)
        print(json.dumps("accepted"), flush=True)
    except InputError as error:
        print(json.dumps(str(error)), flush=True)
"""


def test_jobs_of_huge_numbers_are_refused_or_fit(trace: Path) -> None:
    """In a process of its own that may not have more memory than a laptop."""
    cases = [
        [f"population.trace={trace}", "clock.availability=always", *overrides] for overrides in HUGE
    ]
    done = subprocess.run(
        [sys.executable, "-c", CHECK_EACH],
        input=json.dumps(cases),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES)),
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(HUGE), (HUGE[len(said)], done.stderr)
    accepted = [
        overrides for overrides, answer in zip(HUGE, said, strict=True) if answer == "accepted"
    ]
    assert accepted == [HUGE[0], HUGE[-1]], said
    for line in said:
        check_line(line)
