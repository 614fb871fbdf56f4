"""Hashes of a model: equal for models built alike, and different in the kind in which they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mpifl.models.fingerprint import fingerprint


class Module(nn.Module):
    def __init__(self, **changes: Any) -> None:
        super().__init__()
        torch.manual_seed(changes.get("seed", 0))
        self.layer = nn.Linear(3, changes.get("width", 2))
        self.frozen = nn.Parameter(
            torch.full((2,), changes.get("frozen", 1.0)), requires_grad=False
        )
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("mask", torch.tensor([changes.get("mask", float("inf")), 0.0]))
        self._offset = changes.get("offset", 0)
        self.scale = changes.get("scale", 0.5)
        self.table = {"a": np.arange(changes.get("rows", 3)), "b": [None, (True, torch.ones(2))]}
        self.hook = changes.get("hook", print)
        self.handle = object()


def test_models_built_alike_are_equal_whatever_their_trained_weights() -> None:
    first = fingerprint(Module())
    assert fingerprint(Module()) == fingerprint(Module(seed=1)) == first
    assert fingerprint(Module().eval()) == first
    assert set(first) == {"layers", "fixed weights", "buffers", "attributes"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"width": 4}, "layers"),
        ({"frozen": 2.0}, "fixed weights"),
        ({"mask": 1.0}, "buffers"),
        ({"scale": 0.25}, "attributes"),
        ({"offset": 1}, "attributes"),
        ({"rows": 4}, "attributes"),
        ({"hook": len}, "attributes"),
    ],
)
def test_a_difference_is_found_in_its_kind(change: dict[str, Any], kind: str) -> None:
    one, other = fingerprint(Module()), fingerprint(Module(**change))
    different = {name for name in one if one[name] != other[name]}
    assert kind in different
    if kind != "layers":
        assert different == {kind}
