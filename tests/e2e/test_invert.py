"""Updates that a run records, and ``mpifl invert``, which looks for samples in them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.inversion.named import inversion_of
from mpifl.inversion.observed import observe
from mpifl.inversion.scores import score
from mpifl.rounds.clients.recording import read_recorded, recorded_in
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.demands import demands
from tests.launching import Finished, mpifl, resume_runs, run_jobs

JOB = (
    "quickstart",
    "rounds=4",
    "evaluation.every=4",
    "data.partition={name: iid, clients: 12}",
    "model={name: mlp, hidden: [16]}",
    "training={batch_size: 1, local_steps: 1, lr: 0.1}",
    "checkpoint={every: 2, keep: 4}",
)
EVERYONE = {"clients": list(range(12)), "rounds": [1, 3, 4]}
RECORDED = (*JOB, f"record.updates={json.dumps(EVERYONE)}")


def files(run: Finished) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run.folder / "updates").iterdir()}


@pytest.mark.runs((1,), JOB)
@pytest.mark.runs((1, 2, 3), RECORDED)
@pytest.mark.runs((1,), (*RECORDED, "clock.costs=measured", "aggregation=median"))
def test_the_updates_that_count_are_recorded_alike_on_any_number_of_ranks(
    runs: list[Finished],
) -> None:
    plain, one, two, three, kept = runs
    for run in runs:
        assert run.status == 0, run.stderr
    assert plain.summary["model_sha256"] == one.summary["model_sha256"]
    assert not (plain.folder / "updates").exists()
    assert files(one) == files(two) == files(three)

    for run in (one, kept):
        rows = run.table("participants")
        done = rows[(rows["outcome"] == 0) & np.isin(rows["round"], [1, 3, 4])]
        names = {f"round-{row['round']}-client-{row['client']}.safetensors" for row in done}
        assert set(files(run)) == names
    assert all(one.facts.steps == 1 for one in recorded_in(kept.folder))


MET_AT_ONCE = ("evaluation.every=2", "stop={metric: loss, at: 100}")


@pytest.mark.runs((1, 3), (*RECORDED, *MET_AT_ONCE))
@pytest.mark.runs((1,), (*RECORDED, *MET_AT_ONCE, "clock={mode: buffered, concurrency: 6}"))
def test_nothing_is_recorded_of_a_round_that_was_trained_and_let_go(runs: list[Finished]) -> None:
    """The third: it is trained while the second is tested, whose loss ends the run."""
    for run in runs:
        assert run.status == 0, run.stderr
        assert run.summary["rounds"] == 2
        rows = run.table("participants")
        began = rows["round"] - np.where(rows["outcome"] == 0, rows["staleness"], 0)
        done = rows[(rows["outcome"] == 0) & (began == 1)]
        names = {f"round-1-client-{row['client']}.safetensors" for row in done}
        assert names
        assert set(files(run)) == names


@pytest.mark.runs((1,), RECORDED)
def test_a_run_that_goes_on_records_what_it_would_have(
    runs: list[Finished], tmp_path: Path
) -> None:
    (copy,) = run_jobs(1, [(tmp_path, RECORDED)])
    last = files(copy)
    for path in (copy.folder / "updates").glob("round-[34]-*"):
        path.unlink()
    (again,) = resume_runs(3, [copy])
    assert again.summary["resumed_from"] == 2
    assert files(again) == last == files(runs[0])


NOISY = "privacy={name: local_gaussian, norm: 0.5, noise_multiplier: 1}"


@pytest.mark.runs((1,), RECORDED)
@pytest.mark.runs((1,), (*RECORDED, NOISY), (*RECORDED, "exchange.up=sign"))
def test_a_sample_is_found_unless_the_update_is_noisy_or_compressed(runs: list[Finished]) -> None:
    attack = inversion_of("{name: idlg, iterations: 100, restarts: 2}")
    plain, *hidden = runs
    facts = recorded_in(plain.folder)[0].facts
    for run in runs:
        truth = observe(run.folder, facts.client, facts.round)
        scores = score(attack.run(truth.seen, truth.start), truth)
        if run is plain:
            assert scores.labels == 1.0
            assert scores.mse.max() < 1e-4
        else:
            assert scores.mse.min() > 0.05
    assert len(hidden) == 2


@pytest.mark.runs((1,), RECORDED)
def test_the_command_writes_a_table_and_a_picture(runs: list[Finished], tmp_path: Path) -> None:
    (run,) = runs
    facts = recorded_in(run.folder)[0].facts
    which = ("--client", str(facts.client), "--round", str(facts.round), "--attack")
    out = ("--out", str(tmp_path))
    attack = "{name: idlg, iterations: 100, restarts: 2}"
    done = mpifl(tmp_path, "invert", str(run.folder), *which, attack, *out)
    assert done.returncode == 0, done.stderr
    assert "labels: 100% right" in done.stdout
    stem = f"round-{facts.round}-client-{facts.client}-idlg"
    (row,) = csv.DictReader((tmp_path / f"{stem}.csv").read_text().splitlines())
    assert row["label"] == row["found_label"]
    assert float(row["mse"]) < 1e-4
    assert (tmp_path / f"{stem}.png").read_bytes()[:4] == b"\x89PNG"

    refused = mpifl(tmp_path, "invert", str(run.folder), *which, attack, *out)
    assert refused.returncode == 2
    assert "exists already; name another file, or say --force" in refused.stderr
    elsewhere = ("--out", str(tmp_path / f"{stem}.csv"))
    refused = mpifl(tmp_path, "invert", str(run.folder), *which, attack, *elsewhere)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"mpifl: --out: {elsewhere[1]}: File exists; name another")
    for client, said in ((None, "recorded updates of"), (99, "0 recorded updates of")):
        with pytest.raises(InputError, match=said):
            observe(run.folder, client, None)


REFUSED = {
    "record.updates.clients: 12 is not allowed; allowed: 0 to 11": (
        "record.updates={clients: [12], rounds: [1]}",
    ),
    "record.updates.rounds: 5 is not allowed; allowed: 1 to 4": (
        "record.updates={clients: [1], rounds: [5]}",
    ),
    "record.updates.clients: 'nobody' is no client of digits": (
        "record.updates={clients: [nobody], rounds: [1]}",
    ),
    "the server sees no single update, only their sum": (
        "record.updates={clients: [1], rounds: [1]}",
        "secure_aggregation=secagg",
    ),
    "not allowed with algorithm.name fedproto": (
        "record.updates={clients: [1], rounds: [1]}",
        "algorithm=fedproto",
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_updates_that_cannot_be_recorded_are_refused_in_a_line(said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_job(JOB[0], [*JOB[1:], *REFUSED[said]])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_check_says_what_recorded_updates_take() -> None:
    lines = demands(check_job(RECORDED[0], RECORDED[1:])[0])
    numbers = 64 * 16 + 16 + 16 * 10 + 10
    said = f"record.updates: {8 * numbers / 1000:.1f} kB in the run directory for each update"
    assert any(line.startswith(said) for line in lines), lines


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "round-1-client-2.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged: no recorded update"):
        read_recorded(path)
