"""Labels of a trace's rows: written, read, checked, and kept by importers."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.traces.client_availability import load_client_availability
from mpifl.traces.importers.ai_benchmark import AiBenchmark
from mpifl.traces.importers.csv_tables import Csv
from mpifl.traces.importers.fedscale import Fedscale
from mpifl.traces.importers.flash_states import FlashStates
from mpifl.traces.importers.importer import TraceImporter
from mpifl.traces.importers.parsed_trace import completed
from mpifl.traces.labels import LONGEST_LABEL_BYTES, Labels, decoded, encoded
from mpifl.traces.trace import Trace, open_trace, write_trace


def test_labels_are_read_as_they_were_written(
    tmp_path: Path, make_trace: Callable[..., Trace]
) -> None:
    labels = Labels({"model": encoded(["Käfer", "", "Käfer"])}, {"name": encoded(["a", "b", "c"])})
    write_trace(tmp_path / "x.h5", replace(make_trace([[(0, 1)]] * 3), labels=labels))
    found = open_trace(tmp_path / "x.h5").labels
    assert {name: decoded(column) for name, column in found.devices.items()} == {
        "model": ["Käfer", "", "Käfer"]
    }
    assert {name: decoded(column) for name, column in found.patterns.items()} == {
        "name": ["a", "b", "c"]
    }


def test_a_long_label_is_cut_between_characters() -> None:
    text = "x" + "ä" * 150
    assert decoded(encoded([text])) == ["x" + "ä" * ((LONGEST_LABEL_BYTES - 1) // 2)]


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ({"name": encoded(["a", "b", "a"])}, "name of devices: 'a' stands 2 times"),
        ({"name": encoded(["a", "", "b"])}, "name of devices: row 1 has none"),
        ({"model": encoded(["a", "b"])}, "model of devices: .*; expected a column of 3 texts"),
        ({"model": np.zeros(3)}, "model of devices: float64 .*; expected a column of 3 texts"),
        ({"brand": encoded(["a", "b", "c"])}, "brand of devices: not known; allowed: name, model"),
        ({"model": np.array([b"a", b"\xff", b"c"])}, "model of devices: row 1: .* is not UTF-8"),
    ],
)
def test_wrong_labels_are_refused(
    tmp_path: Path, make_trace: Callable[..., Trace], devices: dict[str, np.ndarray], message: str
) -> None:
    trace = replace(make_trace([[(0, 1)]] * 3), labels=Labels(devices))
    with pytest.raises(InputError, match=rf"x\.h5: {message}"):
        write_trace(tmp_path / "x.h5", trace)


def imported(importer: TraceImporter, base: Trace, *paths: Path) -> dict[str, list[str]]:
    trace, _ = completed("x", importer.read(paths), base)
    return {
        f"{kind} {column}": decoded(texts)
        for kind in ("devices", "patterns")
        for column, texts in getattr(trace.labels, kind).items()
    }


def test_importers_keep_what_sources_say(tmp_path: Path, make_trace: Callable[..., Trace]) -> None:
    base = replace(make_trace([[(0, 1)]] * 2), labels=Labels({"country": encoded(["FR", "DE"])}))

    capacity = {
        7: {"computation": 1.0, "communication": 2.0},
        9: {"computation": 1.0, "communication": 2.0},
    }
    slot = {"active": [0], "inactive": [5], "finish_time": 10}
    behave = {1: slot | {"model": "CPH1909"}, 2: slot}
    for name, content in (("capacity", capacity), ("behave", behave)):
        (tmp_path / name).write_bytes(pickle.dumps(content))
    assert imported(Fedscale(), base, tmp_path / "capacity", tmp_path / "behave") == {
        "devices name": ["7", "9"],
        "patterns name": ["1", "2"],
        "patterns model": ["CPH1909", ""],
    }

    (tmp_path / "scores.json").write_text(json.dumps({"Pixel 4": 33289, "Nexus S": 383}))
    assert imported(AiBenchmark(), base, tmp_path / "scores.json") == {
        "devices model": ["Pixel 4", "Nexus S"]
    }

    (tmp_path / "devices.csv").write_text("country,compute_ms_per_sample\nIN,5\nIN,6\nVN,7\n")
    (tmp_path / "slots.csv").write_text("pattern,start,end\nann,0,5\nbo,1,2\n")
    assert imported(Csv(), base, tmp_path / "devices.csv", tmp_path / "slots.csv") == {
        "devices country": ["IN", "IN", "VN"],
        "patterns name": ["ann", "bo"],
    }
    assert imported(Csv(), base, tmp_path / "slots.csv") == {
        "devices country": ["FR", "DE"],
        "patterns name": ["ann", "bo"],
    }

    messages = "2020-01-29 08:00:00\tbattery_charged_on\n2020-01-30 08:00:00\tbattery_charged_off"
    on = "\n2020-01-29 08:00:00\twifi\n2020-01-29 08:00:00\tscreen_lock"
    states = {"u1": {"messages": messages + on, "model": "SM-A207F"}, "u2": {"messages": messages}}
    (tmp_path / "states.json").write_text(json.dumps(states))
    assert imported(FlashStates(), base, tmp_path / "states.json")["patterns model"] == [
        "SM-A207F",
        "",
    ]

    trace = load_client_availability({"anna": [(0, 5)], 4: [(1, 2)]}, base=base)
    assert decoded(trace.labels.patterns["name"]) == ["anna", "4"]


def test_a_table_of_devices_needs_a_number(tmp_path: Path) -> None:
    (tmp_path / "devices.csv").write_text("name,model\na,x\n")
    with pytest.raises(
        InputError, match=r"devices\.csv: no column of numbers; needed: one or more"
    ):
        Csv().read([tmp_path / "devices.csv"])


def test_memory_comes_from_sources_that_know_it(
    tmp_path: Path, make_trace: Callable[..., Trace]
) -> None:
    (tmp_path / "devices.csv").write_text("memory_mb,compute_ms_per_sample\n512,5\n2e3,6\n")
    rows = [
        {"Model": "x", "AI_Score": "100", "RAM": "0.5GB"},
        {"Model": "y", "AI_Score": "200", "RAM": "6GB"},
    ]
    (tmp_path / "scores.json").write_text(json.dumps(rows))
    base = make_trace([[(0, 1)]] * 2)
    found = completed("x", Csv().read([tmp_path / "devices.csv"]), base)[0]
    assert found.memory_mb.tolist() == [512, 2000]
    base = found
    found = completed("x", AiBenchmark().read([tmp_path / "scores.json"]), base)[0]
    assert found.memory_mb.tolist() == [500, 6000]
    (tmp_path / "scores.json").write_text(json.dumps({"Pixel": 9, "Nexus": 8, "One": 7}))
    found, lines = completed("x", AiBenchmark().read([tmp_path / "scores.json"]), base)
    assert found.memory_mb.tolist() == [512, 2000, 512]
    assert any("memory_mb from the base" in line for line in lines)
