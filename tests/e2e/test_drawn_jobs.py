"""Jobs drawn at random keep the promise that no other test makes of them: ``python -m benchmarks.combinations`` tries many more."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.drawn_jobs import drawn_job
from tests.killing import HERE, KILLED
from tests.launching import Finished, mpirun, recovers, resume_runs
from tests.same_runs import differences

SEEDS = range(8)
drawn = functools.cache(drawn_job)


def job(seed: int) -> list[str]:
    return drawn(seed)


def of_seed(seed: int) -> Callable[..., list[str]]:
    """Return what makes the job of a seed, whatever the test's parameters."""
    return lambda **_: job(seed)


ALL = [of_seed(seed) for seed in SEEDS]


def test_the_same_seed_draws_the_same_job_and_others_other_ones() -> None:
    assert [drawn_job(seed) for seed in SEEDS] == [job(seed) for seed in SEEDS]
    assert len({tuple(job(seed)) for seed in SEEDS}) == len(SEEDS)


def test_what_is_drawn_has_many_parts() -> None:
    keys = {override.partition("=")[0] for seed in SEEDS for override in job(seed)[1:]}
    assert len(keys) > 20


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.runs((1, 3), job)
def test_a_drawn_job_has_the_same_model_and_tables_at_1_and_3_ranks(
    runs: list[Finished], seed: int
) -> None:
    one, three = runs
    assert "Traceback" not in one.stderr + three.stderr
    assert one.status == three.status
    assert one.status or differences(one, three) == []


@pytest.mark.runs((1, 3), *ALL)
def test_drawn_jobs_go_on_from_a_checkpoint_on_other_ranks(
    runs: list[Finished], tmp_path: Path
) -> None:
    pairs = []
    for number in range(0, len(runs), 2):
        one, three = runs[number : number + 2]
        checkpoints = [*(three.folder / "checkpoint").glob("round-*.h5")]
        if not one.status and len(checkpoints) > 1:
            folder = shutil.copytree(three.folder, tmp_path / f"run-{number}")
            pairs.append((one, replace(three, folder=folder)))
    assert len(pairs) > len(SEEDS) / 2
    resumed = resume_runs(2, [three for _, three in pairs])
    for (one, _), again in zip(pairs, resumed, strict=True):
        assert again.status == 0, again.stderr
        assert differences(one, again) == []


@pytest.mark.skipif(not recovers(), reason="this MPI was built without ULFM")
@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.runs((1,), *ALL)
def test_a_drawn_job_ends_alike_when_a_rank_is_lost(
    runs: list[Finished], tmp_path: Path, rank: int
) -> None:
    ended = [(seed, run) for seed, run in zip(SEEDS, runs, strict=True) if not run.status]
    seed, one = ended[rank]
    logger = json.dumps([{"name": f"{HERE}:Killing", "after": 2, "rank": rank}])
    line = [*job(seed), f"record.loggers={logger}", "--out", "lost"]
    done = mpirun(3, ["mpifl.run", *line], tmp_path, preloaded=False)
    assert done.returncode == 0, done.stderr
    lost = Finished(done.returncode, done.stdout, done.stderr, tmp_path / "lost")
    assert (lost.folder / KILLED).exists()
    assert lost.summary["ranks_lost"] == 1
    assert differences(one, lost) == []


@pytest.mark.runs((1,), *ALL)
def test_runs_of_different_jobs_differ_in_model_and_tables(runs: list[Finished]) -> None:
    first, second, *_ = (run for run in runs if not run.status)
    found = "\n".join(differences(first, second))
    assert "model_sha256" in found
    assert "/rounds" in found
    assert "/participants" in found
