"""mpifl.load_run: what a run left, as numpy arrays and plain dicts."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import h5py
import pytest

import mpifl
from mpifl.errors import InputError
from tests.known import known
from tests.launching import Finished, run_job


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    done = run_job(1, tmp_path_factory.mktemp("run"), "quickstart", "rounds=2", "training.lr=0.1")
    assert done.status == 0, done.stderr
    return done


def test_a_run_is_read_whole(finished: Finished) -> None:
    run = mpifl.load_run(finished.folder)
    assert run.complete
    assert run.summary == finished.summary
    assert run.job["training"]["lr"] == 0.1
    assert run.environment["mpifl"] == mpifl.__version__
    assert run.rounds["round"].tolist() == [1, 2]
    assert run.rounds.tobytes() == finished.table("rounds").tobytes()
    assert run.participants["joules"].sum() == pytest.approx(run.summary["joules"])
    assert len(run.clients) == len(run.table("losses")) == 0
    assert run.units("participants")["joules"] == "J of computing and of the radio by then"
    in_order = b"".join(
        run.model[name].tobytes() for name in ("1.weight", "1.bias", "3.weight", "3.bias")
    )
    assert hashlib.sha256(in_order).hexdigest() == run.summary["model_sha256"]


def test_what_is_no_run_or_no_table_is_said(finished: Finished) -> None:
    runs = finished.folder.parent
    with pytest.raises(InputError, match=rf"{runs}: not a run.*; it has 1 run, such as"):
        mpifl.load_run(runs)
    for read in (mpifl.load_run(finished.folder).table, mpifl.load_run(finished.folder).units):
        with pytest.raises(InputError, match=r"table 'round' is not known; allowed: rounds, "):
            read("round")


def test_a_table_that_is_damaged_or_missing_is_said_with_its_file(
    finished: Finished, tmp_path: Path
) -> None:
    run = mpifl.load_run(shutil.copytree(finished.folder, tmp_path / "run"))
    path = run.folder / "run.h5"
    with h5py.File(path, "r+") as file:
        del file["losses"]
        chunk = file["participants"].id.get_chunk_info(0)
    with open(path, "rb+") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(bytes([255]) * chunk.size)

    for read in (
        lambda: run.participants,
        lambda: list(run.blocks("participants")),
        lambda: run.table("losses"),
        lambda: run.units("losses"),
    ):
        with pytest.raises(InputError, match=rf"^{path}: not readable, or not whole"):
            read()
    assert run.rounds.tobytes() == finished.table("rounds").tobytes()


def test_a_run_has_its_clients(finished: Finished, tmp_path: Path) -> None:
    run = mpifl.load_run(finished.folder)
    rows = run.participants
    trace = run.population.trace
    seconds = (
        3
        * rows["samples"]
        * known(trace).compute_ms_per_sample[run.population.devices(rows["client"])]
        / 1000
    )
    assert rows["compute_seconds"] == pytest.approx(seconds)
    assert run.population.labels(rows["client"]) == {}

    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    text = (folder / "environment.json").read_text()
    (folder / "environment.json").write_text(text.replace(known(trace).content_sha256, "0" * 64))
    with pytest.raises(InputError, match=r"population\.trace has changed"):
        _ = mpifl.load_run(folder).population


def test_a_table_becomes_a_data_frame(finished: Finished) -> None:
    pandas = pytest.importorskip("pandas")
    frame = mpifl.load_run(str(finished.folder)).frame("participants")
    assert isinstance(frame, pandas.DataFrame)
    assert frame["client"].tolist() == finished.table("participants")["client"].tolist()


def test_a_run_that_has_not_ended_has_rows_and_no_summary(
    finished: Finished, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    (folder / "summary.json").unlink()
    (folder / "model.safetensors").unlink()
    run = mpifl.load_run(folder)
    assert not run.complete
    assert run.rounds.tobytes() == finished.table("rounds").tobytes()
    with pytest.raises(InputError, match=r"summary\.json"):
        _ = run.summary
    with pytest.raises(InputError, match=r"model\.safetensors"):
        _ = run.model


def test_what_is_no_run_is_said(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run directory: it has no job\.yaml"):
        mpifl.load_run(tmp_path)
    with pytest.raises(
        InputError, match="table 'round' is not known; allowed: rounds, participants"
    ):
        mpifl.load_run(finished.folder).table("round")
    with pytest.raises(AttributeError, match="has no attribute 'lode_run'"):
        _ = mpifl.lode_run
