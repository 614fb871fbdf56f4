"""The named arrays of algorithms: shapes, units and bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpifl.aggregation.exact_sum import FRACTION_BITS
from mpifl.algorithms.arrays import MODEL, SCALAR, Array, bytes_of
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.models.layout import Layout

LAYOUT = Layout(trained=5, averaged=2)


def test_an_array_that_says_nothing_has_the_common_unit() -> None:
    assert MODEL.bits == SCALAR.bits == Array((3,)).bits == FRACTION_BITS
    assert Array((3,), bits=80).bits == 80


def test_only_the_last_dimension_is_that_of_a_model() -> None:
    assert MODEL.sized(7) == (7,)
    assert Array((3, 2, "model")).sized(7) == (3, 2, 7)
    assert [array.of_model for array in (MODEL, SCALAR, Array((3,)), Array((3, "model")))] == [
        True,
        False,
        False,
        True,
    ]
    with pytest.raises(ValueError, match="only the last dimension may be 'model'"):
        Array(("model", 3))


def test_a_number_is_four_bytes_and_a_model_may_count_others() -> None:
    arrays = {"models": Array((3, "model")), "loss": SCALAR, "labels": Array((10,))}
    assert bytes_of(arrays, LAYOUT, None) == 4 * (3 * 7 + 1 + 10)
    assert bytes_of(arrays, LAYOUT, 1000) == 3 * 1000 + 4 * 11
    assert bytes_of({}, LAYOUT, 1000) == 0


@pytest.mark.parametrize("bits", [2000, -66, 0.5, True])
def test_units_that_cannot_be_are_refused_when_a_plug_in_is_read(
    tmp_path: Path, bits: object
) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from mpifl.algorithms.arrays import Array\n"
        "from mpifl.algorithms.fedavg import FedAvg\n"
        "class Wrong(FedAvg):\n"
        f"    uploaded = {{'update': Array(('model',), bits={bits!r})}}\n"
        "    name: str = 'wrong'\n"
    )
    job = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 2}}
    with pytest.raises(InputError) as error:
        parse_job({**job, "algorithm": f"{file}:Wrong"})
    assert str(file) in str(error.value)
    assert str(error.value).endswith(f"bits: {bits!r} is not allowed; allowed: integers -65 to 188")
