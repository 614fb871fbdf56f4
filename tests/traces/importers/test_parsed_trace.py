"""What a source lacks comes from a base, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpifl.errors import InputError
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.importers.parsed_trace import ParsedTrace, completed, read_trace
from mpifl.traces.slots import of_counts
from mpifl.traces.trace import DEVICE_COLUMNS, Trace, check_trace, write_trace

CURVE = Bandwidth(
    np.array([0, 1]), np.array([0.0]), np.array([5.0]), np.array([6.0]), np.array([60.0])
)


@pytest.fixture
def base(make_trace: Callable[..., Trace]) -> Trace:
    return make_trace(
        [[(0, 1)], [(2, 3)]],
        compute_ms_per_sample=[1, 2, 3],
        download_kbps=[4, 5, 6],
        upload_kbps=[7, 8, 9],
    )


def test_devices_of_the_source_take_turns_with_those_of_the_base(base: Trace) -> None:
    found = ParsedTrace("src", "lic", devices={"compute_ms_per_sample": np.arange(1.0, 8)})
    trace, origins = completed("x", found, base)
    check_trace("x", trace)
    assert trace.compute_ms_per_sample.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert trace.download_kbps.tolist() == [4, 5, 6, 4, 5, 6, 4]
    assert np.array_equal(trace.start, base.start)
    assert origins[0] == "7 devices: compute_ms_per_sample from the source"
    assert origins[1].startswith("7 devices: download_kbps, upload_kbps, compute_watts")
    assert origins[1].endswith("from the base test")
    assert trace.source == "src; " + ", ".join(DEVICE_COLUMNS[1:]) + ", availability of test (test)"
    assert trace.licence == "lic; test: none"


def test_patterns_of_the_source_leave_the_devices_as_they_are(base: Trace) -> None:
    slots = of_counts(np.array([1]), np.array([0.0]), np.array([9.0]), np.array([10.0]))
    trace, origins = completed(
        "x", ParsedTrace("src", "lic", slots=slots), replace(base, bandwidth=CURVE)
    )
    assert (trace.devices, trace.patterns) == (3, 1)
    assert "1 availability pattern from the source" in origins
    assert origins[-1].startswith("1 bandwidth curve from the base test")
    assert trace.source.endswith("upload_joules_per_byte, bandwidth of test (test)")
    assert "availability of" not in trace.source


def test_curves_of_the_source_come_on_top(base: Trace) -> None:
    trace, origins = completed("x", ParsedTrace("src", "lic", bandwidth=CURVE), base)
    assert trace.bandwidth is CURVE
    assert origins[-1].startswith("1 bandwidth curve from the source, in place of")


def test_curves_of_the_base_do_not_replace_speeds_of_the_source(base: Trace) -> None:
    own = ParsedTrace("s", "l", {"download_kbps": np.array([5.0, 6.0])})
    found, lines = completed("x", own, replace(base, bandwidth=CURVE))
    assert found.bandwidth.curves == 0
    assert found.download_kbps.tolist() == [5, 6]
    assert not any("curve" in line for line in lines)

    other = ParsedTrace("s", "l", {"compute_ms_per_sample": np.array([5.0, 6.0])})
    assert completed("x", other, replace(base, bandwidth=CURVE))[0].bandwidth.curves == 1


def test_a_source_with_everything_needs_no_base(base: Trace) -> None:
    slots = of_counts(np.array([1]), np.array([0.0]), np.array([9.0]), np.array([10.0]))
    found = ParsedTrace(
        "src", "lic", devices={column: np.ones(2) for column in DEVICE_COLUMNS}, slots=slots
    )
    trace, _ = completed("x", found, base)
    assert (trace.source, trace.licence) == ("src", "lic")


def test_a_base_is_a_file_a_recipe_or_a_name(base: Trace, tmp_path: Path) -> None:
    write_trace(tmp_path / "b.h5", base)
    assert read_trace(str(tmp_path / "b.h5")).devices == 3
    assert read_trace("charging").name == "charging"
    recipe = Path(__file__).parents[3] / "traces" / "phones.yaml"
    assert read_trace(str(recipe)).name == "phones"
    with pytest.raises(InputError, match=r"nowhere: no such file; allowed: .*charging, phones"):
        read_trace("nowhere")
