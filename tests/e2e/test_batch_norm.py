"""The promise of the same bits for networks with buffers and frozen weights, and for sums in units of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.launching import run_job
from tests.normed import HERE

CLOCKS = {
    "sync": (),
    "buffered": ("clock={mode: buffered, concurrency: 30}",),
    "semisync": ("clock={mode: semisync, concurrency: 13, window_seconds: 6}",),
    "async": ("clock={mode: async, concurrency: 15}", "selection.participants=1", "rounds=40", "evaluation.every=10"),
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_network_with_batch_norm_is_the_same_at_1_2_and_3_ranks(tmp_path: Path, clock: str) -> None:
    """With an algorithm that works in place and sums squares (tests/normed.py): issue 12, points 3 and 8."""
    job = [f"model.name={HERE}:Normed", "model.frozen=true", "rounds=8", f"algorithm={{name: '{HERE}:Squares'}}"]
    job += ["data.partition={name: iid, clients: 40}", *CLOCKS[clock]]
    done = [run_job(ranks, tmp_path, "quickstart", *job) for ranks in (1, 2, 3)]
    assert [run.status for run in done] == [0, 0, 0], done[0].stderr
    assert len({run.summary["model_sha256"] for run in done}) == 1
    assert all(run.table("rounds").tobytes() == done[0].table("rounds").tobytes() for run in done)
    written = load_file(done[2].folder / "model.safetensors")
    assert (written["3.running_var"] > 0).all()
    assert written["1.mask"].shape == (64,)
    assert done[0].summary["final"]["accuracy"] > 0.5
