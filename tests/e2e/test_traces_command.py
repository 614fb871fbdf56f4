"""``mpifl traces`` as a person uses it."""

from __future__ import annotations

import hashlib
import os
import pickle
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from mpifl.__main__ import app
from mpifl.traces.importers import REGISTRY
from mpifl.traces.trace import open_trace
from tests.launching import mpifl

SLOTS = "pattern,start,end\na,0,3600\nb,7200,86400\n"


def traces(*arguments: object) -> Result:
    """The command in this process: quicker than a new one."""
    return CliRunner().invoke(app, ["traces", *map(str, arguments)])


def refused(folder: Path, result: Result) -> str:
    """One line, status 2, and nothing new in the folder."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("mpifl: ")
    assert len(result.stderr.splitlines()) == 1
    assert not list(folder.glob("out*")) + list(folder.glob(".*"))
    return result.stderr


@pytest.fixture
def slots(tmp_path: Path) -> Path:
    path = tmp_path / "slots.csv"
    path.write_text(SLOTS)
    return path


# Import


def test_fedscale_s_files_become_a_trace_that_a_job_can_use(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "traces" / "fedscale"
    files = [str(folder / name) for name in ("client_device_capacity", "client_behave_trace")]
    done = mpifl(tmp_path, "traces", "import", "fedscale", *files, "-o", "f.h5")
    assert done.returncode == 0, done.stderr
    assert (
        "40,000 devices: compute_ms_per_sample, download_kbps, upload_kbps from the source"
        in done.stdout
    )
    assert "upload_joules_per_byte from the base phones" in done.stdout
    assert "50 availability patterns from the source" in done.stdout
    assert "written to f.h5" in done.stdout
    trace = open_trace(tmp_path / "f.h5")
    assert (trace.name, trace.devices, trace.patterns) == ("f", 40_000, 50)
    assert (
        "compute_watts, download_joules_per_byte, upload_joules_per_byte of phones" in trace.source
    )
    checked = mpifl(tmp_path, "check", "quickstart", "population.trace=f.h5")
    assert checked.returncode == 0, checked.stderr


def test_a_base_lends_what_is_missing(slots: Path, tmp_path: Path) -> None:
    assert traces("synth", "charging", "--phones", 7, "-o", tmp_path / "base.h5").exit_code == 0
    done = traces(
        "import",
        "csv",
        slots,
        "--base",
        tmp_path / "base.h5",
        "--name",
        "mine",
        "-o",
        tmp_path / "x.h5",
    )
    assert done.exit_code == 0, done.output
    trace = open_trace(tmp_path / "x.h5")
    assert (trace.name, trace.devices, trace.patterns) == ("mine", 7, 2)
    assert "of charging" in trace.source


def test_options_of_a_format_reach_it(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("1\n2\n3\n")
    done = traces(
        "import", "mahimahi", tmp_path / "t", "--bin-seconds", "0.001", "-o", tmp_path / "x.h5"
    )
    assert done.exit_code == 0, done.output
    assert open_trace(tmp_path / "x.h5").bandwidth.period.tolist() == [0.003]
    np.save(tmp_path / "m.npy", np.ones((10, 2)))
    done = traces(
        "import", "flash-matrix", tmp_path / "m.npy", "--step-minutes", "6", "-o", tmp_path / "y.h5"
    )
    assert done.exit_code == 0, done.output
    assert open_trace(tmp_path / "y.h5").period.tolist() == [3600, 3600]


def test_a_pickle_with_a_command_runs_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'trap'}",)

    (tmp_path / "capacity").write_bytes(pickle.dumps({1: Runs()}))
    done = mpifl(tmp_path, "traces", "import", "fedscale", "capacity", "-o", "out.h5")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "mpifl: capacity: not a pickle that can be read: it asks for posix.system"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["capacity"]


@pytest.mark.parametrize(
    ("form", "raw", "said"),
    [
        (
            "fedscale",
            pickle.dumps({1: {"computation": 5, "communication": 0}}),
            "in: client 1: communication 0; must be above 0",
        ),
        ("fedscale", pickle.dumps({1: {"computation": 5}})[:-4], "in: not a pickle"),
        ("csv", b"pattern,start,end\na,5,4\n", "in: client a: slot 0, [5, 4), runs backwards"),
        ("csv", b"download_kbps\n\xff\n", "in: line 2: not UTF-8"),
        ("mahimahi", b"", "in: no lines"),
        ("mahimahi", b"5 2.5\n", "in: line 1: '5 2.5'"),
        ("seconds-mbit", b"1\n2\n", "in: line 1: '1'"),
        ("flash-matrix", b"{}", "in: not an .npy array"),
        ("flash-states", b'{"7": {"messages": "x"}}', "in: user 7: message 'x'"),
        ("ai-benchmark", b"[]", "in: [] at its top"),
        ("oort", b"", "in: client sizes"),
        ("pyramidfl", b"", "in: client sizes"),
    ],
)
def test_bad_input_is_one_line_and_no_file(
    tmp_path: Path, form: str, raw: bytes, said: str
) -> None:
    (tmp_path / "in").write_bytes(raw)
    assert said in refused(
        tmp_path, traces("import", form, tmp_path / "in", "-o", tmp_path / "out.h5")
    )


@pytest.mark.parametrize("form", [form for form in REGISTRY if form not in ("oort", "pyramidfl")])
def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path, form: str) -> None:
    assert "none" in refused(
        tmp_path, traces("import", form, tmp_path / "none", "-o", tmp_path / "out.h5")
    )
    assert str(tmp_path) in refused(
        tmp_path, traces("import", form, tmp_path, "-o", tmp_path / "out.h5")
    )


def test_bad_command_lines_are_refused(slots: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out.h5")
    assert "'fedscal' is not known; allowed: ai-benchmark, csv" in refused(
        tmp_path, traces("import", "fedscal", slots, *out)
    )
    assert "nowhere: no such file" in refused(
        tmp_path, traces("import", "csv", slots, "--base", "nowhere", *out)
    )
    assert "--bin-seconds: 0.0" in refused(
        tmp_path, traces("import", "mahimahi", slots, "--bin-seconds", "0", *out)
    )
    assert "there is no folder" in refused(
        tmp_path, traces("import", "csv", slots, "-o", tmp_path / "none" / "out.h5")
    )
    assert "is a folder" in refused(tmp_path, traces("import", "csv", slots, "-o", tmp_path))
    assert traces("import", "csv", slots, "--bin-seconds", "1", *out).exit_code == 2
    assert traces("import", "csv", *out).exit_code == 2
    assert not (tmp_path / "out.h5").exists()


def test_a_file_that_stood_there_is_kept_when_the_import_fails(slots: Path, tmp_path: Path) -> None:
    assert traces("import", "csv", slots, "-o", tmp_path / "x.h5").exit_code == 0
    before = (tmp_path / "x.h5").read_bytes()
    slots.write_text(SLOTS.replace("86400", "90000x"))
    assert traces("import", "csv", slots, "-o", tmp_path / "x.h5").exit_code == 2
    assert (tmp_path / "x.h5").read_bytes() == before


def test_help_names_every_format_and_its_options() -> None:
    said = traces("import", "--help").stdout
    for form in REGISTRY:
        assert form in said
    assert "--idle" in traces("import", "flash-states", "--help").stdout
    assert "CAPACITY [BEHAVE]" in traces("import", "fedscale", "--help").stdout


# Synth


def test_the_same_recipe_and_seed_give_the_same_trace(tmp_path: Path) -> None:
    hashes = []
    for seed in (1, 1, 2):
        done = traces(
            "synth",
            "charging",
            "--phones",
            200,
            "--seed",
            seed,
            "-o",
            tmp_path / "x.h5",
            "--force",
        )
        assert done.exit_code == 0, done.output
        assert "200 phones" in done.stdout
        hashes.append(open_trace(tmp_path / "x.h5").content_sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_wrong_recipe_is_one_line_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: x\nphones: 0\n")
    assert "r.yaml: " in refused(
        tmp_path, traces("synth", tmp_path / "r.yaml", "-o", tmp_path / "out.h5")
    )
    said = refused(tmp_path, traces("synth", "fones", "-o", tmp_path / "out.h5"))
    assert "RECIPE: 'fones': no such file; allowed: charging, phones" in said
    assert traces("synth", "phones", "--phones", "0", "-o", tmp_path / "out.h5").exit_code == 2


# Show


def test_show_prints_counts_quantiles_and_hours(slots: Path, tmp_path: Path) -> None:
    assert traces("import", "csv", slots, "-o", tmp_path / "x.h5").exit_code == 0
    said = traces("show", tmp_path / "x.h5").stdout
    trace = open_trace(tmp_path / "x.h5")
    assert trace.content_sha256 in said
    assert "1,000" in said
    assert "2 with 2 slots; 0 never online, 0 always" in said
    assert "47.9% of the time" in said  # 23 of 48 hours
    rows = {line.split()[0]: line for line in said.splitlines() if line[:2].isdigit()}
    assert len(rows) == 24
    assert rows["00"].split()[1] == "50.0%"
    assert rows["01"].split()[1] == "0.0%"
    assert rows["23"].count("#") == 40
    table = next(line for line in said.splitlines() if line.startswith("stay online"))
    assert table.split()[2:4] == ["60", "min"]


def test_show_counts_labels(slots: Path, tmp_path: Path) -> None:
    models = ["Pixel", "Nexus", "Pixel", ""] + [f"model {k}" for k in range(9)]
    rows = [f"{model},{ms}" for ms, model in enumerate(models, 1)]
    (tmp_path / "devices.csv").write_text("\n".join(["model,compute_ms_per_sample", *rows]))
    assert (
        traces("import", "csv", slots, tmp_path / "devices.csv", "-o", tmp_path / "x.h5").exit_code
        == 0
    )
    said = " ".join(traces("show", tmp_path / "x.h5").stdout.split())
    assert "device model 12: Pixel 2, Nexus 1, unknown 1, model 0 1," in said
    assert "model 4 1, ... pattern name 2: each row has its own" in said


def test_recipes_can_be_shown_without_a_file() -> None:
    said = traces("show", "charging").stdout
    assert "290 never online" in said
    assert "8.2% of the time" in said


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_picture_is_one_and_changes_only_with_its_trace(tmp_path: Path, suffix: str) -> None:
    digests = []
    for name in ("a", "b"):
        done = traces("show", "charging", "--picture", tmp_path / f"{name}{suffix}")
        assert done.exit_code == 0, done.output
        digests.append(hashlib.sha256((tmp_path / f"{name}{suffix}").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    raw = (tmp_path / f"a{suffix}").read_bytes()
    if suffix == ".svg":
        assert ElementTree.fromstring(raw).tag.endswith("svg")
    assert raw.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])


def test_a_trace_with_curves_can_be_drawn_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("0 1\n10 0\n20 3\n")
    named = ("--name", r"a $\nosuch$ name", "-o", tmp_path / "x.h5")
    assert traces("import", "seconds-mbit", tmp_path / "t", *named).exit_code == 0
    done = traces("show", tmp_path / "x.h5", "--picture", tmp_path / "x.png")
    assert done.exit_code == 0, done.output
    assert "curve down" in done.stdout


def blue_and_orange(picture: Path) -> tuple[int, int]:
    """How many pixels of the panel of bandwidths, the middle one of the upper row, are more blue, or more red."""
    image = imread(picture)[:, :, :3]
    height, width = image.shape[:2]
    panel = image[int(0.08 * height) : height // 2, int(0.36 * width) : int(0.58 * width)]
    redness = panel[:, :, 0] - panel[:, :, 2]
    return int((redness < -0.1).sum()), int((redness > 0.1).sum())


@pytest.mark.parametrize("form", ["curves", "devices"])
def test_equal_bandwidths_both_ways_are_both_seen(tmp_path: Path, form: str) -> None:
    """The upload was drawn over the download, and hid it."""
    if form == "curves":
        (tmp_path / "t").write_text(
            "".join(f"{second} {1 + second % 7}\n" for second in range(0, 100, 5))
        )
        arguments: tuple[object, ...] = ("seconds-mbit", tmp_path / "t", "--symmetric")
    else:
        (tmp_path / "t").write_text(
            "download_kbps,upload_kbps\n" + "".join(f"{n},{n}\n" for n in range(1000, 2000, 50))
        )
        arguments = ("csv", tmp_path / "t")
    assert traces("import", *arguments, "-o", tmp_path / "x.h5").exit_code == 0
    assert traces("show", tmp_path / "x.h5", "--picture", tmp_path / "x.png").exit_code == 0
    blue, orange = blue_and_orange(tmp_path / "x.png")
    assert blue > 1000
    assert orange > 1000


def test_what_cannot_be_shown_is_named(slots: Path, tmp_path: Path) -> None:
    assert "slots.csv" in refused(tmp_path, traces("show", slots))
    assert "none: no such file" in refused(tmp_path, traces("show", "none"))
    assert "allowed: a name that ends in .png" in refused(
        tmp_path, traces("show", "charging", "--picture", tmp_path / "out.bmp")
    )
    assert traces("import", "csv", slots, "-o", tmp_path / "x.h5").exit_code == 0
    raw = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(raw[: len(raw) // 2])
    assert "x.h5" in refused(tmp_path, traces("show", tmp_path / "x.h5"))


@pytest.mark.parametrize("picture", ["none/out.png", "folder.png", "slots.csv/out.png"])
def test_a_picture_that_cannot_be_written_is_refused_before_the_table(
    slots: Path, tmp_path: Path, picture: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    done = traces("show", "charging", "--picture", tmp_path / picture)
    assert picture in refused(tmp_path, done)
    assert done.stdout == ""


def test_a_job_file_is_no_trace_and_no_recipe(tmp_path: Path) -> None:
    job = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"
    for command in (("show", job), ("synth", job, "-o", tmp_path / "out.h5")):
        said = refused(tmp_path, traces(*command))
        assert (
            said
            == f"mpifl: {job}: a job file (it has rounds), not the recipe of a trace; docs/traces.md has a recipe's keys\n"
        )
