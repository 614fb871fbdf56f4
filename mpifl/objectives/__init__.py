"""Loss and scores, one task per file. A data set's ``task`` says which one applies."""

from mpifl.objectives.classification import Classification
from mpifl.objectives.language import Language
from mpifl.objectives.objective import Objective
from mpifl.objectives.regression import Regression

REGISTRY: dict[str, type[Objective]] = {
    "classification": Classification,
    "regression": Regression,
    "language": Language,
}
