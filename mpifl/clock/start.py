"""The moment of the trace at which a run begins (``clock.start``)."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_DAY_AND_HOUR = re.compile(r"(?:(\d{1,5}) +)?(\d{1,2}):(\d\d)")


def _seconds(given: Any) -> Any:
    """Return seconds for a text such as "2 18:30": day (from 0; default 0), hour and minute."""
    if not isinstance(given, str):
        return given
    match = _DAY_AND_HOUR.fullmatch(given.strip())
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise ValueError(
            'expected seconds, or day (from 0), hour and minute of the trace, such as "2 18:30"'
        )
    hours = 24 * int(match[1] or 0) + int(match[2])
    return 60.0 * (60 * hours + int(match[3]))


Start = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=1e9)]
"""Seconds from the beginning of the trace, float; also given as a day and an hour."""
