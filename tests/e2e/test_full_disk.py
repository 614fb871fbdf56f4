"""A disk that fills up ends a run on every rank with one line; with room again it goes on to the same bits and rows.

It fills up at one moment of the run (``tests/filled.py``): what fits until then depends on no size or speed of the day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mpifl.state.checkpoint import last_checkpoint
from tests.e2e.test_resume import assert_same, go_on
from tests.known import known
from tests.launching import Finished, mpifl, mpirun, run_job
from tests.logged import logged
from tests.small_disk import Disk, Mount, mounting, mounts

MIB = 1 << 20
SYNC = (
    "quickstart",
    "rounds=20",
    "checkpoint.every=7",
    "selection.participants=5",
    "model.hidden=[512]",
)
SCAFFOLD = (*SYNC, "algorithm=scaffold")
TIMING = (
    "reddit-timing",
    "rounds=60",
    "checkpoint.every=25",
    "selection.participants=200",
    "record.participants=all",
)
JOBS = {"sync": SYNC, "scaffold": SCAFFOLD, "timing": TIMING}
VECTOR_BYTES = 4 * (64 * 512 + 512 + 512 * 10 + 10)
"""Of a model of SYNC and SCAFFOLD. Half of it is room for the records of all rounds, and for no checkpoint and no client."""
RECORDS = r"run\.h5"  # which rank 0 may be writing at the very moment at which something else has taken what room was left
FILLED = str(Path(__file__).parents[1] / "filled.py")
LINE = re.compile(
    r"mpifl: rank \d.*: (?P<file>/[^ ]+): No space left on device: it needs (?P<needed>[\d,]+) bytes, (?P<free>[\d,]+) are free"
    r" on the disk; make room, then go on with --resume (?P<folder>\S+)"
)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    yield from mounts(tmp_path_factory.mktemp("disks"))


@pytest.fixture(scope="module")
def undisturbed(mount: Mount) -> Callable[[str], Finished]:
    """The run of a job on a disk with room, made once."""
    made: dict[str, Finished] = {}

    def run(name: str) -> Finished:
        if name not in made:
            made[name] = run_job(2, mount("tmpfs", 64 * MIB).folder, *JOBS[name])
            assert made[name].status == 0, made[name].stderr
        return made[name]

    return run


def start(
    ranks: int, disk: Disk, name: str, moment: str, pattern: str, times: int = 1, leave: int = 0
) -> Finished:
    """Run a job whose disk is full, but for ``leave`` bytes, from a moment on: see tests/filled.py."""
    out = disk.folder / "out"
    when = [FILLED, moment, pattern, str(times), str(leave)]
    done = mpirun(ranks, [*when, *JOBS[name], "--out", str(out)], disk.folder)
    return Finished(done.returncode, done.stdout, done.stderr, out)


def assert_no_room(run: Finished, file: str, lines: int = 1) -> None:
    """Every rank has ended, a line says why, and nothing is half-written."""
    assert run.status == 1, run.stderr
    assert "Traceback" not in run.stderr  # nor what HDF5 says of what it lets go of
    lines_of_ours = [line for line in run.stderr.splitlines() if line.startswith("mpifl: ")]
    said = [line for line in lines_of_ours if "the loss of a rank ends the run" not in line]
    assert 1 <= len(said) <= lines, run.stderr
    for line in said:
        found = LINE.fullmatch(line)
        assert found, line
        assert re.fullmatch(file, str(Path(found["file"]).relative_to(run.folder))), line
        assert (run.folder.parent / found["folder"]).resolve() == run.folder
        assert int(found["needed"].replace(",", "")) > 0
    assert not list(run.folder.rglob("*.part"))
    assert not (run.folder / "summary.json").exists()


def assert_goes_on(
    ranks: int, disk: Disk, run: Finished, wanted: Finished, rounds_done: int
) -> None:
    """The checkpoint of that round is there, and the rest of the run comes out as if nothing had happened."""
    with logged() as said:
        last = last_checkpoint(run.folder / "checkpoint")
    assert last is not None
    assert (last.rounds_done, said) == (rounds_done, [])
    disk.make_room()
    found = go_on(4 - ranks, run.folder)
    assert_same(found, wanted)
    assert found.summary["resumed_from"] == rounds_done


@pytest.mark.parametrize(("ranks", "kind"), [(1, "tmpfs"), (3, "ext4")])
@mounting
def test_a_checkpoint_that_does_not_fit(
    mount: Mount,
    undisturbed: Callable[[str], Finished],
    ranks: int,
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    wanted, disk = undisturbed("sync"), mount(kind, 16 * MIB)
    run = start(ranks, disk, "sync", "open", "checkpoint/.part", times=2, leave=VECTOR_BYTES // 2)
    assert_no_room(run, rf"checkpoint/round-00000014\.h5|{RECORDS}")
    found = LINE.search(run.stderr)
    if known(found)["file"].endswith("-00000014.h5"):
        whole = next(wanted.folder.glob("checkpoint/round-00000014-*.h5"))
        assert int(known(found)["needed"].replace(",", "")) == whole.stat().st_size
    again = go_on(ranks, run.folder)  # in vain: there is no more room than before
    assert_no_room(again, rf"checkpoint/round-00000014\.h5|environment\.json|{RECORDS}")
    assert_goes_on(ranks, disk, run, wanted, 7)


@pytest.mark.parametrize(("ranks", "kind"), [(1, "tmpfs"), (3, "ext4")])
@mounting
def test_records_that_cannot_grow(
    mount: Mount,
    undisturbed: Callable[[str], Finished],
    ranks: int,
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    wanted, disk = undisturbed("timing"), mount(kind, 16 * MIB)
    run = start(ranks, disk, "timing", "os.rename", "round-00000025-*.h5")
    assert_no_room(run, r"run\.h5")
    assert_goes_on(ranks, disk, run, wanted, 25)


@pytest.mark.parametrize("ranks", [1, 3])
@mounting
def test_a_final_model_that_does_not_fit(
    mount: Mount, undisturbed: Callable[[str], Finished], ranks: int, request: pytest.FixtureRequest
) -> None:
    wanted, disk = undisturbed("sync"), mount("tmpfs", 16 * MIB)
    run = start(ranks, disk, "sync", "open", ".model.safetensors.*.part", leave=VECTOR_BYTES // 2)
    # The last checkpoint is being written meanwhile, and may be what has no room.
    last = last_checkpoint(run.folder / "checkpoint")
    assert last is not None
    has_last = last.rounds_done == 20
    assert_no_room(run, r"model\.safetensors" if has_last else r"checkpoint/round-00000020\.h5")
    assert not (run.folder / "model.safetensors").exists()
    assert_goes_on(ranks, disk, run, wanted, 20 if has_last else 14)


@pytest.mark.parametrize("ranks", [1, 3])
@mounting
def test_a_summary_that_does_not_fit(
    mount: Mount, undisturbed: Callable[[str], Finished], ranks: int, request: pytest.FixtureRequest
) -> None:
    wanted, disk = undisturbed("sync"), mount("tmpfs", 16 * MIB)
    run = start(ranks, disk, "sync", "open", ".summary.json.*.part")
    assert_no_room(run, r"summary\.json")
    assert_goes_on(ranks, disk, run, wanted, 20)


@pytest.mark.parametrize("ranks", [1, 3])
@mounting
def test_what_clients_keep_does_not_fit(
    mount: Mount, undisturbed: Callable[[str], Finished], ranks: int, request: pytest.FixtureRequest
) -> None:
    """Each executor that meets the full disk says so."""
    wanted, disk = undisturbed("scaffold"), mount("tmpfs", 64 * MIB)
    run = start(ranks, disk, "scaffold", "open", "clients/*/.10.*.part", leave=VECTOR_BYTES // 2)
    assert_no_room(run, rf"checkpoint/clients/\w+/\d+/\d+|{RECORDS}", lines=ranks)
    assert_goes_on(ranks, disk, run, wanted, 7)


@mounting
def test_an_import_that_does_not_fit(
    mount: Mount, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    disk = mount("tmpfs", MIB)
    source = tmp_path / "sizes.csv"
    source.write_text(
        "client,size\n" + "".join(f"{number},{number % 7 + 1}\n" for number in range(50_000))
    )
    done = mpifl(disk.folder, "data", "import", "sizes", str(source), "-o", "x.h5")
    assert done.returncode == 1
    assert re.fullmatch(
        r"mpifl: x\.h5: No space left on device: .*are free on the disk; make room\n", done.stderr
    ), done.stderr
    assert list(disk.folder.iterdir()) == []
