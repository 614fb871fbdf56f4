"""The options of all importers together: one thing has one name."""

from __future__ import annotations

import importlib

import pytest

from mpifl.datasets.importers import REGISTRY
from mpifl.datasets.importers.importer import Importer


def importer(name: str) -> type[Importer]:
    module, _, found = REGISTRY[name].partition(":")
    form: type[Importer] = getattr(importlib.import_module(module), found)
    return form


WITH_SAMPLES = [name for name in REGISTRY if "x" in importer(name).model_fields]


@pytest.mark.parametrize("name", WITH_SAMPLES)
def test_what_has_samples_by_name_has_labels_by_name(name: str) -> None:
    assert "label" in importer(name).model_fields


@pytest.mark.parametrize("name", REGISTRY)
def test_labels_are_never_called_y(name: str) -> None:
    assert "y" not in importer(name).model_fields
