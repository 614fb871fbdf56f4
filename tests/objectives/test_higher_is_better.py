"""Which way an objective's own measures are better is checked when a job is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpifl.errors import InputError
from mpifl.job import read_job
from mpifl.job.component import find_part
from mpifl.job.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER, MAIN
from mpifl.objectives import REGISTRY
from mpifl.objectives.make import COMPONENT
from mpifl.objectives.objective import Objective
from mpifl.record.tables import CLIENT_SCORES, SCORES
from tests.mean_recall import HERE

SOURCE = """from mpifl.objectives.classification import Classification


class Mine(Classification):
    measures = {measures}
    higher_is_better = {higher}
"""


@pytest.mark.parametrize(
    ("measures", "higher", "said"),
    [
        (
            {"recall": "x", "wer": "y"},
            ("recal",),
            "'recal' is not in its measures; allowed: recall, wer",
        ),
        ({}, ("auc",), "'auc' is not in its measures; allowed: none, as it has no measures"),
        ({"recall": "x"}, "recall", "'recall' is a text; write (\"recall\",)"),
        (
            {"wer": "x"},
            ("wer",),
            "'wer' is a metric of which the lower value is the better one everywhere in mpifl; give"
            " the measure another name",
        ),
    ],
    ids=["misspelt", "none", "text", "known"],
)
def test_a_name_that_cannot_be_meant_is_refused_in_a_line_that_names_the_class(
    measures: dict[str, str], higher: object, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(measures=measures, higher=repr(higher)))
    with pytest.raises(InputError) as refused:
        read_job("quickstart", [f"objective.name={file}:Mine"])
    (line,) = refused.value.lines
    assert line.endswith(f"objective: Mine.higher_is_better: {said}")


def test_an_objective_of_which_more_and_one_of_which_less_is_better_are_read() -> None:
    for name, higher in (("Recall", ("mean_recall",)), ("Silent", ())):
        job = read_job("quickstart", [f"objective.name={HERE}:{name}"])
        assert job.objective.higher_is_better == higher


def test_of_every_metric_of_mpifl_it_is_known_once_which_way_is_better() -> None:
    kinds = [find_part(COMPONENT, name)[0] for name in REGISTRY]
    own = {name for kind in kinds if issubclass(kind, Objective) for name in kind.measures}
    known = [*HIGHER_IS_BETTER, *LOWER_IS_BETTER]
    assert sorted(known) == sorted({*own, *MAIN, *SCORES, *CLIENT_SCORES})
