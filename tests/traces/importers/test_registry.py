"""Every importer that is registered is a class of its file, and the page of traces knows it with its options."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from mpifl.traces.importers import REGISTRY
from mpifl.traces.importers.importer import TraceImporter

PAGE = (Path(__file__).parents[3] / "docs" / "traces.md").read_text()


@pytest.mark.parametrize("form", REGISTRY)
def test_every_format_is_a_class_and_stands_on_the_page(form: str) -> None:
    module, _, name = REGISTRY[form].partition(":")
    importer = getattr(importlib.import_module(module), name)
    assert issubclass(importer, TraceImporter)
    assert name.lower() == form.replace("-", "")
    assert importer.files
    assert f"`{form}`" in PAGE
    for option in importer.model_fields:
        assert f"`--{option.replace('_', '-')}" in PAGE
