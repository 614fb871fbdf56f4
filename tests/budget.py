"""How many examples a property is tried on."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

NIGHTLY_TIMES = 20


def examples(count: int, **rest: Any) -> settings:
    """Settings of Hypothesis: ``count`` examples; with ``--hypothesis-profile nightly`` 20 times as many, others each time."""
    if settings.get_current_profile_name() == "nightly":
        return settings(**{**rest, "max_examples": NIGHTLY_TIMES * count, "derandomize": False})
    return settings(**rest, max_examples=count)
