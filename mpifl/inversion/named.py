"""An attack as the command line names it."""

from __future__ import annotations

import importlib
from typing import Any

from pydantic import ValidationError

from mpifl.errors import InputError, nearest
from mpifl.inversion import REGISTRY
from mpifl.inversion.inversion import Inversion
from mpifl.job.problems import explain
from mpifl.job.yaml_text import load_value


def inversion_of(text: str) -> Inversion:
    """Return the attack for a name, or for a YAML section such as ``{name: dlg, restarts: 4}``.

    Raises InputError with a line for each problem.
    """
    try:
        given = load_value(text)
    except InputError as error:
        raise error.within("--attack") from error
    section: dict[Any, Any] = given if isinstance(given, dict) else {"name": given}
    name = str(section.get("name"))
    if name not in REGISTRY:
        hint = nearest(name, REGISTRY)
        raise InputError(f"--attack: {name!r} is not known; {hint}allowed: {', '.join(REGISTRY)}")

    module, _, kind = REGISTRY[name].partition(":")
    found: type[Inversion] = getattr(importlib.import_module(module), kind)
    try:
        return found.model_validate(section)
    except ValidationError as error:
        raise InputError(*explain(found, error)).within("--attack") from error
