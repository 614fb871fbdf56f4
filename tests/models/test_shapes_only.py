"""Models built without values have the shapes of those with values, and load nothing for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mpifl.datasets.dataset import DataShape
from mpifl.models.lstm import Lstm
from mpifl.models.model import Model
from mpifl.models.shapes_only import shapes_only
from mpifl.models.transformer import Transformer

TOKENS = DataShape("language", (12,), 50, vocabulary=50)

OF_ONE = """
import sys
from mpifl.datasets.dataset import DataShape
from mpifl.models.{file} import {kind}
from mpifl.models.shapes_only import shapes_only
with shapes_only():
    {kind}().build(DataShape("language", (12,), 50, vocabulary=50))
assert "torch._dynamo" not in sys.modules
"""


@pytest.mark.parametrize("model", [Lstm(), Transformer()])
def test_shapes_and_dtypes_are_those_of_the_model(model: Model) -> None:
    filled = model.build(TOKENS).state_dict()
    before = torch.get_rng_state()
    with shapes_only():
        bare = model.build(TOKENS).state_dict()

    assert torch.equal(torch.get_rng_state(), before)
    assert {name: (x.shape, x.dtype) for name, x in bare.items()} == {
        name: (x.shape, x.dtype) for name, x in filled.items()
    }
    assert all(x.is_meta for x in bare.values())


@pytest.mark.parametrize(("file", "kind"), [("lstm", "Lstm"), ("transformer", "Transformer")])
def test_the_compiler_of_torch_is_not_loaded_for_it(file: str, kind: str) -> None:
    subprocess.run([sys.executable, "-c", OF_ONE.format(file=file, kind=kind)], check=True)
