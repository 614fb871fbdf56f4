"""``mpifl report`` of real runs, in a real browser."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpifl.report.charts import REGISTRY
from tests.launching import mpifl, run_jobs
from tests.report.chromium import Opened, browser
from tests.report.made import made_run, random_rounds

ROUNDS = 12
PERSONAL = ("evaluation.personal=true", "data.split.by=samples", "data.split.test=0.2")
JOBS = [(name, seed) for name in ("fedavg", "fedprox") for seed in (1, 2)]
GOSSIP = (
    "selection.participants=null",
    "clock={mode: all, availability: resume}",
    "protocol=gossip",
)
EVIL = "<img src=x onerror=alert(1)>"
MARKS = ".scatterlayer .js-line, .scatterlayer .point, .barlayer .point path, .heatmaplayer image"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of two experiments, as ``out-*``; and the reports on one run and on all of them."""
    made = tmp_path_factory.mktemp("runs")
    asked = [
        (made, ["quickstart", f"rounds={ROUNDS}", f"algorithm={name}", f"seed={seed}", *PERSONAL])
        for name, seed in JOBS
    ]
    asked += [(made, ["quickstart", "rounds=2", "training.engine=loop", *GOSSIP])]
    for number, run in enumerate(run_jobs(1, asked)):
        assert run.status == 0, run.stderr
        run.folder.rename(made / f"run-{number}")
    evil = Path(shutil.copytree(made / "run-0", made / EVIL))
    job = (evil / "job.yaml").read_text().replace("rounds: 12", f"rounds: 12\nnote: {EVIL!r}")
    (evil / "job.yaml").write_text(job)
    (evil / "summary.json").unlink()
    (made / "run-4").rename(made / "gossip")
    every = [f"run-{number}" for number in range(len(JOBS))]
    for line in (
        ["gossip", "-o", "gossip.html"],
        ["run-0", "-o", "one.html", "--static", "charts"],
        [*every, "-o", "all.html"],
        ["run-0", EVIL, "-o", "evil.html"],
    ):
        done = mpifl(made, "report", *line)
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def one(folder: Path, chromium: Any) -> Opened:
    return Opened(chromium, folder / "one.html")


@pytest.fixture(scope="module")
def several(folder: Path, chromium: Any) -> Opened:
    return Opened(chromium, folder / "all.html")


def table(folder: Path, name: str, run: int = 0) -> np.ndarray:
    with h5py.File(folder / f"run-{run}" / "run.h5") as file:
        return file[name][:]


@pytest.mark.parametrize("report", ["one", "several"])
def test_a_report_opens_without_errors_or_requests_and_all_its_charts_have_marks(
    report: str, request: pytest.FixtureRequest
) -> None:
    opened = request.getfixturevalue(report)
    assert opened.problems == []
    assert [url[:5] for url in opened.requests] == ["file:"]
    names = opened.charts()
    assert set(names) == set(REGISTRY) - {"time_to_target", "messages"}  # a table, and a protocol's
    for name in names:
        assert opened.plot(name, f"plot.querySelectorAll('{MARKS}').length") > 0, name


def test_the_report_of_a_protocol_shows_its_messages(folder: Path, chromium: Any) -> None:
    opened = Opened(chromium, folder / "gossip.html")
    assert opened.problems == []
    assert opened.plot("messages", f"plot.querySelectorAll('{MARKS}').length") > 0


def test_the_timeline_zooms_by_dragging_and_by_keys(one: Opened) -> None:
    whole = one.x_range("timeline")
    area = one.page.locator("#chart-timeline .nsewdrag")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    middle = box["y"] + box["height"] / 2
    one.page.mouse.move(box["x"] + 0.25 * box["width"], middle)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=4)
    one.page.mouse.up()
    dragged = one.x_range("timeline")
    width = whole[1] - whole[0]
    assert dragged == pytest.approx([whole[0] + width / 4, whole[0] + width / 2], abs=0.02 * width)

    one.page.focus("#chart-timeline .plot")
    one.page.keyboard.press("+")
    nearer = one.x_range("timeline")
    assert nearer[1] - nearer[0] == pytest.approx(0.8 * (dragged[1] - dragged[0]))
    one.page.keyboard.press("0")
    assert one.x_range("timeline") == pytest.approx(whole)


def test_another_round_is_another_timeline(one: Opened, folder: Path) -> None:
    rows = table(folder, "participants")
    ends = table(folder, "rounds")["end_seconds"]
    for number in (ROUNDS, 3):
        one.page.select_option("#chart-timeline select", label=str(number))
        own = rows[rows["round"] == number]
        begin = ends[number - 2]
        shown = one.plot("timeline", "plot.data.find(trace => trace.name === 'compute')")
        order = np.argsort(own["stop_seconds"], kind="stable")
        started = own["start_seconds"] + own["download_seconds"]
        length = np.minimum(own["compute_seconds"], own["stop_seconds"] - started)
        assert shown["base"] == pytest.approx((started - begin)[order], rel=1e-5, abs=1e-5)
        assert shown["x"] == pytest.approx(length[order], rel=1e-5, abs=1e-5)
        assert [cell[0] for cell in shown["customdata"]] == own["client"][order].tolist()


def test_two_experiments_are_compared_as_means_over_seeds_with_their_range(
    several: Opened, folder: Path
) -> None:
    rows = several.downloaded("accuracy")
    for name, runs in (("fedavg", (0, 1)), ("fedprox", (2, 3))):
        tables = [table(folder, "rounds", run) for run in runs]
        scores = np.stack([rounds["accuracy"] for rounds in tables])
        series = f"algorithm={name}"
        mean = [row for row in rows if (row["panel"], row["series"]) == ("rounds", series)]
        assert [float(row["y: accuracy"]) for row in mean] == pytest.approx(
            scores.mean(axis=0), rel=1e-6
        )
        band = [
            row for row in rows if (row["panel"], row["series"]) == ("rounds", f"{series}: range")
        ]
        assert [float(row["low: accuracy"]) for row in band] == pytest.approx(
            scores.min(axis=0), rel=1e-6
        )
        assert [float(row["high: accuracy"]) for row in band] == pytest.approx(
            scores.max(axis=0), rel=1e-6
        )
    assert several.page.locator("#job mark", has_text="name: fedprox").count() == 2


def test_the_page_becomes_dark_with_its_charts(one: Opened) -> None:
    ink = one.plot("accuracy", "plot._fullLayout.font.color")
    one.page.click("#theme")
    assert one.page.get_attribute("html", "data-theme") == "dark"
    assert one.plot("accuracy", "plot._fullLayout.font.color") != ink
    one.page.click("#theme")
    assert one.plot("accuracy", "plot._fullLayout.font.color") == ink


def test_a_phone_shows_the_page_without_scrolling_sideways(folder: Path, chromium: Any) -> None:
    opened = Opened(chromium, folder / "all.html", viewport={"width": 390, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    long = "[...document.querySelector('select').options].forEach((one) => { one.text = 'long '.repeat(40); })"
    opened.page.evaluate(long)  # the names of runs
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    opened.page.close()


def test_a_chart_gives_the_same_numbers_in_the_page_and_as_a_file(
    one: Opened, folder: Path
) -> None:
    for name in one.charts():
        shown = one.csv(name)
        with (folder / "charts" / f"{name}.csv").open(newline="") as file:
            written = list(csv.DictReader(file))
        assert len(shown) == len(written) > 0
        for column in written[0]:
            pairs = [
                (left[column], right[column]) for left, right in zip(shown, written, strict=True)
            ]
            differ = [pair for pair in pairs if pair[0] != pair[1]]
            numbers = np.array([[float(cell) for cell in pair] for pair in differ]).reshape(-1, 2)
            assert numbers[:, 0] == pytest.approx(numbers[:, 1], rel=1e-6, nan_ok=True), (
                name,
                column,
            )


def test_markup_in_names_and_values_is_shown_and_never_run(folder: Path, chromium: Any) -> None:
    opened = Opened(chromium, folder / "evil.html")
    assert opened.problems == []
    assert [url[:5] for url in opened.requests] == ["file:"]
    assert opened.page.locator("img").count() == 0
    assert EVIL in opened.page.inner_text("#runs")
    assert "under way or stopped" in opened.page.inner_text("#runs")
    assert EVIL in opened.page.text_content("#chart-accuracy .legend")
    opened.page.close()


def test_a_report_is_a_page(folder: Path) -> None:
    done = mpifl(folder, "report", "run-1", "-o", "new.pdf")
    assert done.returncode == 2
    assert "-o: new.pdf: a report is a page in HTML; name it new.html" in done.stderr
    assert not (folder / "new.pdf").exists()


def test_a_page_is_kept_unless_it_may_be_replaced(folder: Path) -> None:
    before = (folder / "one.html").read_bytes()
    done = mpifl(folder, "report", "run-1", "-o", "one.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert "one.html: exists already" in done.stderr
    done = mpifl(folder, "report", "run-1", "-o", "new.html", "--static", "charts")
    assert done.returncode == 2
    assert "--static: charts: not empty" in done.stderr
    assert not (folder / "new.html").exists()
    assert (folder / "one.html").read_bytes() == before


def test_the_names_of_many_experiments_have_room(
    folder: Path, tmp_path: Path, chromium: Any
) -> None:
    rounds = random_rounds(3)
    summary = json.loads((folder / "run-0" / "summary.json").read_text())
    for number in range(8):
        name = f"0{number}_algorithm-name-fedprox-mu-0.1_selection-name-uniform-participants-{number}_seed-1"
        changes = {
            "algorithm": {"name": f"./algorithms/own-{number}.py:Mine"},
            "selection": {"name": "./rules/of_our_own.py:Rule"},
            "clock": {"mode": "sync", "latency": {"server_seconds": number / 8}},
        }
        run = made_run(tmp_path / "sweeps" / "clinics" / name, changes, rounds=rounds)
        (run / "summary.json").write_text(json.dumps({**summary, "ranks": 1}))
    done = mpifl(tmp_path, "report", "sweeps/clinics", "-o", "many.html")
    assert done.returncode == 0, done.stderr
    opened = Opened(chromium, tmp_path / "many.html")
    boxes = opened.plot(
        "wall_time",
        "[...plot.querySelectorAll('.ytick text')].map(text => text.getBoundingClientRect())"
        ".map(box => [box.top, box.bottom])",
    )
    assert len(boxes) == 8
    for above, below in pairwise(sorted(boxes)):
        assert above[1] <= below[0] + 1
    heights = opened.page.eval_on_selector_all(
        "#runs tbody tr", "rows => rows.map(row => row.getBoundingClientRect().height)"
    )
    assert max(heights) < 120  # the folder's name in a few lines, not in ten
    for width in (1300, 700):
        opened.page.set_viewport_size({"width": width, "height": 900})
        wide = "document.documentElement.scrollWidth"
        assert opened.page.evaluate(wide) == width  # neither a table nor a list is beyond the page
    opened.page.set_viewport_size({"width": 1300, "height": 900})
    box = opened.page.eval_on_selector("#runs .wide", "box => [box.scrollWidth, box.clientWidth]")
    assert box[0] == box[1]
