"""Jobs with adapters: their bytes alone are sent, and the bits are those of any number of ranks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from mpifl import load_run
from tests.launching import Finished
from tests.models.library import library
from tests.small_data import small_data

GPT2 = Path(__file__).parents[1] / "models" / "gpt2" / "config.json"
ADAPTED = f"model={{name: hf, config: {GPT2}, weights: random, lora: {{rank: 2}}}}"
ENTRIES = 2 * (16 + 48)
"""Of A and B of the one layer, which makes queries, keys and values."""


def job(kind: str, *options: str) -> list[str]:
    data = ["rounds=4", f"data={{name: {small_data(kind)}, partition: natural}}"]
    work = ["selection.participants=6", "training={batch_size: 4, epochs: 2, lr: 0.5}"]
    return ["quickstart", *data, *work, "clock.availability=always", *options]


BASE = job("text", ADAPTED, "checkpoint.every=1")
OWN = job(
    "images", "training.lr=0.02", "model={name: mlp, hidden: [16], lora: {rank: 2, freeze_a: true}}"
)
ANSWERS = job("answers", ADAPTED, "evaluation.batch_size=7")
RANKS = job("text", ADAPTED, "algorithm={name: heterofl, widths: [1.0, 0.5], masked: false}")
FOUR, EIGHT = (job("text", ADAPTED, f"model.lora.base_bits={bits}") for bits in (4, 8))
KEPT = job("text", ADAPTED, "algorithm=ditto")


@pytest.fixture(autouse=True)
def _peft() -> None:
    library("transformers")
    library("peft")


@pytest.mark.runs((1, 2, 3), BASE)
def test_only_adapters_are_sent_kept_and_written(runs: list[Finished]) -> None:
    assert [run.status for run in runs] == [0, 0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    assert len({run.table("rounds").tobytes() for run in runs}) == 1
    rounds, participants = runs[0].table("rounds"), runs[0].table("participants")
    assert rounds["loss"][-1] < rounds["loss"][0]
    completed = participants[participants["bytes_up"] > 0]
    assert set(participants["bytes_down"].tolist()) == {4 * ENTRIES}
    assert set(completed["bytes_up"].tolist()) == {4 * ENTRIES}

    folder = runs[0].folder
    tensors = load_file(folder / "model.safetensors")
    assert sum(tensor.size for tensor in tensors.values()) == ENTRIES
    for checkpoint in (folder / "checkpoint").glob("round-*.h5"):
        with h5py.File(checkpoint) as file:
            assert file["state/model"].shape == (ENTRIES,)
    files = [(run.folder / "adapter" / "adapter_model.safetensors").read_bytes() for run in runs]
    assert len(set(files)) == 1
    written = load_file(folder / "adapter" / "adapter_model.safetensors").values()
    for ours, theirs in zip(tensors.values(), written, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.runs((1, 3), OWN, KEPT, ANSWERS)
def test_own_models_client_state_and_prompts_have_the_same_bits(runs: list[Finished]) -> None:
    assert [run.status for run in runs] == [0] * 6, runs[0].stderr
    for one, three in (runs[:2], runs[2:4], runs[4:]):
        assert one.summary["model_sha256"] == three.summary["model_sha256"]
        assert one.table("rounds").tobytes() == three.table("rounds").tobytes()
        losses = one.table("rounds")["loss"]
        assert losses[-1] < losses[0]


@pytest.mark.runs((3,), BASE)
def test_a_killed_run_goes_on_to_the_same_adapters(runs: list[Finished], tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mpifl.run"]
    with subprocess.Popen(
        [*line, *BASE, "--out", str(tmp_path / "x")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith("round 2/"):
                process.kill()
    assert not (tmp_path / "x" / "adapter").exists()
    resumed = [*line, "--resume", str(tmp_path / "x")]
    subprocess.run(resumed, check=True, capture_output=True, timeout=300)
    again = load_run(tmp_path / "x")
    assert again.summary["resumed_from"]
    assert again.summary["model_sha256"] == runs[0].summary["model_sha256"]
    assert again.rounds.tobytes() == runs[0].table("rounds").tobytes()


@pytest.mark.runs((1, 3), RANKS)
def test_clients_of_a_lower_rank_send_less(runs: list[Finished]) -> None:
    assert [run.status for run in runs] == [0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    assert len({run.table("participants").tobytes() for run in runs}) == 1
    rounds, participants = runs[0].table("rounds"), runs[0].table("participants")
    assert rounds["loss"][-1] < rounds["loss"][0]
    assert set(participants["bytes_down"].tolist()) == {4 * ENTRIES, 2 * ENTRIES}
    assert set(participants["bytes_up"].tolist()) - {0} == {4 * ENTRIES, 2 * ENTRIES}


@pytest.mark.runs((1, 3), FOUR, EIGHT)
def test_a_base_of_fewer_bits_has_the_same_bits_on_any_number_of_ranks(
    runs: list[Finished],
) -> None:
    library("bitsandbytes")
    assert [run.status for run in runs] == [0] * 4, runs[0].stderr
    for one, three in (runs[:2], runs[2:]):
        assert one.summary["model_sha256"] == three.summary["model_sha256"]
        assert one.table("rounds").tobytes() == three.table("rounds").tobytes()
        losses = one.table("rounds")["loss"]
        assert losses[-1] < losses[0]
    assert runs[0].summary["model_sha256"] != runs[2].summary["model_sha256"]
