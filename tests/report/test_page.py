"""The page and the files of a report, without a browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from plotly.graph_objects import Figure

from mpifl.errors import InputError
from mpifl.record.load import load_run
from mpifl.report.chart import Chart
from mpifl.report.charts import REGISTRY
from mpifl.report.comparison import compare
from mpifl.report.interactive import payload, rounded_to
from mpifl.report.page import SECTIONS, page
from mpifl.report.report import Report, make_report
from mpifl.report.static import STYLE, drawn, write_static
from tests.report.made import made_run, random_participants, random_rounds

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def made_report(folder: Path, **changes: Any) -> Report:
    rounds = random_rounds(30)
    run = made_run(folder, changes, rounds=rounds, participants=random_participants(rounds))
    return make_report([load_run(run)])


def unpacked(text: str, name: str) -> str:
    found = re.search(f'id="{name}">([^<]*)<', text)
    assert found
    return gzip.decompress(base64.b64decode(found[1])).decode()


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and all its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_whatever_stands_in_files_is_text_in_the_page(tmp_path: Path) -> None:
    text = page(made_report(tmp_path / "<img src=x onerror=alert(1)>", name=EVIL))
    tags = Tags(text)
    assert EVIL in tags.text
    assert "onerror" not in {name for _, attributes in tags.tags for name in attributes}
    assert [tag for tag, _ in tags.tags].count("script") == 3
    assert "img" not in {tag for tag, _ in tags.tags}


def test_the_page_names_no_address_and_lets_no_other_script_run(tmp_path: Path) -> None:
    tags = Tags(page(made_report(tmp_path / "a")))
    links = [
        attributes[key]
        for _, attributes in tags.tags
        for key in ("src", "href")
        if key in attributes
    ]
    assert [link for link in links if link and not link.startswith(("#", "data:"))] == []
    policy = next(a["content"] for tag, a in tags.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0]


def test_headings_go_down_by_one_and_every_section_has_one(tmp_path: Path) -> None:
    tags = [tag for tag, _ in Tags(page(made_report(tmp_path / "a"))).tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tags.count("section") == levels.count(2)


def test_the_same_run_gives_the_same_page_and_the_same_files(tmp_path: Path) -> None:
    made = [made_report(tmp_path / "a")]
    made.append(make_report([load_run(tmp_path / "a")]))
    assert page(made[0]) == page(made[1])
    files = [
        write_static(tmp_path / name, report.charts.values())
        for name, report in zip("xy", made, strict=True)
    ]
    assert {path.suffix for path in files[0]} == {".png", ".pdf", ".csv"}
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    assert all(path.stat().st_size for path in files[0])


@pytest.mark.parametrize(("count", "length"), [(2, 3), (5, 40), (3, 90)])
def test_nothing_is_beyond_the_paper_nor_on_another_panel(
    tmp_path: Path, count: int, length: int
) -> None:
    rounds = random_rounds(5)
    people = random_participants(rounds)
    runs = [
        made_run(tmp_path / str(k), {"model": f"{k}" * length}, rounds=rounds, participants=people)
        for k in range(count)
    ]
    charts = make_report([load_run(run) for run in runs]).charts
    for name in ("accuracy", "lorenz", "timeline"):
        chart = charts[name]
        assert isinstance(chart, Chart)
        with mpl.rc_context(STYLE):
            figure = drawn(chart)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            legend = figure.legends[0].get_window_extent()
            titles = [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
            boxes = [title.get_window_extent() for title in titles]
        assert legend.x0 >= 0, name
        assert legend.x1 <= figure.bbox.x1, name
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2)), name


def test_every_figure_is_one_that_plotly_knows(tmp_path: Path) -> None:
    report = made_report(tmp_path / "a")
    charts = [chart for chart in report.charts.values() if isinstance(chart, Chart)]
    packed = json.loads(payload(charts))

    def filled(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        if isinstance(value, dict):
            return (
                packed["arrays"][value["#"]]
                if "#" in value
                else {name: filled(item, name) for name, item in value.items()}
            )
        if isinstance(value, str) and value.startswith("@"):
            return [[0, "#ffffff"], [1, "#000000"]] if key == "colorscale" else "#123456"
        return value

    for chart in packed["charts"]:
        for panel in chart["panels"]:
            figure = Figure(
                filled(panel["traces"]), filled(panel["layout"])
            )  # raises for what it does not know
            assert len(figure.data) >= len(panel["marks"])


def test_a_run_under_way_is_said_to_be(tmp_path: Path) -> None:
    tags = Tags(page(made_report(tmp_path / "a", rounds=50)))
    assert "under way or stopped: 30 of 50 rounds" in tags.text
    assert "no run has ended" in tags.text  # why there is no wall time


@pytest.mark.parametrize("digits", [3, 7])
def test_numbers_are_rounded_as_python_formats_them_but_never_before_the_point(digits: int) -> None:
    random = np.random.default_rng(1)
    values = random.standard_normal(2000) * 10.0 ** random.integers(-20, 20, 2000)
    values = np.concatenate([values, [0, np.nan, np.inf, -np.inf, 1, 123456789]])
    large = abs(values) >= 10 ** (digits - 1)
    short = [float(f"{value:.{digits}g}") for value in values]
    expected = np.where(large, np.rint(values), short)
    assert rounded_to(values, digits) == pytest.approx(expected, rel=1e-14, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("job.yaml", "a: 1", r"job\.yaml: name: missing"),
        ("job.yaml", "- 1", r"job\.yaml"),
        ("job.yaml", "a: [", r"job\.yaml"),
        ("summary.json", "{}", r"summary\.json: final: missing"),
        ("summary.json", "[]", r"summary\.json: final: missing"),
        ("environment.json", "{}", r"environment\.json: content_sha256: missing"),
        ("run.h5", "no HDF5", r"run\.h5"),
        ("run.h5", None, r"run\.h5"),
    ],
)
def test_a_damaged_run_is_told_in_a_line(
    name: str, content: str | None, says: str, tmp_path: Path
) -> None:
    folder = made_run(tmp_path / "a", rounds=random_rounds(3))
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(InputError, match=says) as raised:
        make_report([load_run(folder)])
    first, *place = raised.value.lines
    assert first.startswith(str(folder))
    assert all(line.startswith(" ") for line in place)
    if name != "run.h5":
        with pytest.raises(InputError, match=says):
            compare([load_run(folder)], None, None)


def test_every_chart_has_its_place_on_the_page() -> None:
    placed = [name for _, names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(REGISTRY)
