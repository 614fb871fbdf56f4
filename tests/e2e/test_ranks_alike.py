"""Ranks that do not compute alike, or build other models, are found at the start; what draws at random draws alike."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from mpifl.mpi.launch import command
from tests.launching import LIMIT_SECONDS, run_job

MODEL = """
import math, os, random
import numpy as np, torch
from torch import nn
from torch.nn import functional
from mpifl.models.model import Model

class Net(nn.Module):
    def __init__(self, data, name):
        super().__init__()
        self.layer = nn.Linear(math.prod(data.sample), data.outputs)
        self.shift = random.random()
        rank = os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ["PMI_RANK"]  # MPICH's
        picked = np.random.permutation(math.prod(data.sample)) if name == "drawing" else rank
        self.register_buffer("order", torch.tensor(np.asarray(picked, dtype=int)))

    def forward(self, x):
        x = x.flatten(1)[:, self.order]
        return self.layer(functional.dropout(x + self.shift, 0.5, training=True))

class Drawing(Model):
    name: str = "drawing"
    def build(self, data):
        return Net(data, "drawing")

class OfItsRank(Model):
    name: str = "of its rank"
    def build(self, data):
        return Net(data, "rank")
"""


def model(folder: Path, name: str) -> tuple[str, ...]:
    (folder / "model.py").write_text(MODEL)
    return (
        "rounds=4",
        f"model={{name: '{folder / 'model.py'}:{name}'}}",
        "evaluation.batch_size=64",
    )


def test_a_model_that_draws_when_built_and_when_tested_is_the_same_at_1_and_3_ranks(
    tmp_path: Path,
) -> None:
    """From torch's, numpy's and random's global generators; its buffer of integers and its attribute are not broadcast."""
    one, three = (
        run_job(ranks, tmp_path, "quickstart", *model(tmp_path, "Drawing")) for ranks in (1, 3)
    )
    assert (one.status, three.status) == (0, 0), one.stderr + three.stderr
    assert one.summary["model_sha256"] == three.summary["model_sha256"]
    assert one.table("rounds").tobytes() == three.table("rounds").tobytes()


def test_a_model_that_ranks_build_differently_is_refused(tmp_path: Path) -> None:
    done = run_job(2, tmp_path, "quickstart", *model(tmp_path, "OfItsRank"))
    assert done.status == 2
    assert "rank 1 (host " in done.stderr
    assert "has built another model than rank 0: it differs in buffers" in done.stderr
    assert "Traceback" not in done.stderr


def as_rank_1(folder: Path, change: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a job on 3 ranks, of which rank 1 has another environment or working directory."""
    wrapper = folder / "wrapper"
    wrapper.write_text(
        f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK$PMI_RANK" = 1 ] && {change}\nexec "$@"\n'
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    line = command(3, ["quickstart", "rounds=2", *arguments], os.environ)
    line.insert(line.index(sys.executable), str(wrapper))
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )


def test_ranks_with_other_processors_are_named_once_or_refused(tmp_path: Path) -> None:
    change = "export ATEN_CPU_CAPABILITY=default"
    done = as_rank_1(tmp_path, change, "--out", "told")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "do not compute alike" in line]
    assert "rank 1 (host " in line
    assert "CPU capability DEFAULT (rank 0: " in line
    refused = as_rank_1(
        tmp_path, change, "runtime.require_same_processors=true", "--out", "refused"
    )
    assert refused.returncode == 2
    assert "runtime.require_same_processors: ranks do not compute alike: rank 1" in refused.stderr
