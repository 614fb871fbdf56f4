"""Sweeps of Flower apps: the changes of a run are options of ``mpifl flower run``.

``supernodes=100`` stands for ``--supernodes=100``, and ``run-config.lr=0.1`` for
``--run-config=lr=0.1``.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpifl.errors import InputError
from mpifl.flower.arguments import OPTIONS
from mpifl.flower.begin import check

PROGRAM = "mpifl.flower.run"
CONFIG = "run-config."


def app_words(app: str, overrides: Sequence[str]) -> list[str]:
    """Return the arguments of mpifl.flower.run for a run of a sweep. Raises InputError."""
    return [app, *(_option(override) for override in overrides)]


def check_app(app: str, overrides: Sequence[str]) -> str:
    """Return the name of a run of an app. Raises InputError where it could not begin."""
    return check(app_words(app, overrides)).name


def _option(override: str) -> str:
    key, _, value = override.partition("=")
    if key.startswith(CONFIG):
        return f"--run-config={key.removeprefix(CONFIG)}={value}"
    if key not in OPTIONS:
        raise InputError(
            f"{key}: not allowed in a sweep of a Flower app; allowed: {CONFIG}KEY and"
            f" {', '.join(OPTIONS)}"
        )
    return f"--{override}"
