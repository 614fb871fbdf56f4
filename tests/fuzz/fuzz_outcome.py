"""What became of each input that was tried: accepted, or refused with a line an error. All else is a defect.

``python -m benchmarks.fuzz`` runs these tests with more and other examples: by FUZZ_EXAMPLES in the environment, and a tally of
all that was tried in the file that FUZZ_TALLY names.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from typer.testing import CliRunner

from mpifl.__main__ import app
from mpifl.errors import InputError

T = TypeVar("T")
TALLY: Counter[tuple[str, str]] = Counter()
LONG = "FUZZ_EXAMPLES" in os.environ
LONGEST_LINE = 1500  # characters that a person can still read


def examples(few: int, shrink: bool = True) -> settings:
    """Always the same ``few`` examples in the suite; in a long run as many as it asks for, and others every time.

    Without ``shrink`` what fails is not tried again in search of a smaller example: where that may hang each time.
    """
    slow = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)
    count = int(os.environ.get("FUZZ_EXAMPLES", few))
    phases = (Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else []))
    return settings(
        max_examples=count,
        derandomize=not LONG,
        deadline=None,
        database=None,
        suppress_health_check=slow,
        phases=phases,
    )


def tried(kind: str, act: Callable[[], T]) -> T | None:
    """What ``act`` returns, or None when it refuses its input with a line an error."""
    TALLY[kind, "tried"] += 1
    try:
        result = act()
    except InputError as error:
        for line in error.lines:
            check_line(line)
        TALLY[kind, "refused"] += 1
        return None
    TALLY[kind, "accepted"] += 1
    return result


def command(kind: str, *arguments: str) -> bool:
    """Whether ``mpifl ARGUMENTS`` accepts its input (status 0); else it has to refuse it: status 2 and a line an error."""
    TALLY[kind, "tried"] += 1
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if done.exit_code == 0:
        TALLY[kind, "accepted"] += 1
        return True
    assert done.exit_code == 2, done.output
    if not any(
        sign in done.output for sign in ("Usage: ", "─ Error ─")
    ):  # what typer itself finds, it says in a box
        lines = done.stderr.splitlines()
        assert lines, done.output
        for line in lines:
            assert line.startswith(("mpifl: ", "    ")), done.output
            check_line(line)
    TALLY[kind, "refused"] += 1
    return False


def check_line(line: str) -> None:
    """One line for a person: not empty, not endless, and nothing in it that a terminal would take for a command."""
    assert line.strip()
    assert line.isprintable()
    assert len(line) <= LONGEST_LINE


def write_tally() -> None:
    """Add what was tried to the file that a long run asks for."""
    if "FUZZ_TALLY" in os.environ:
        found = [[kind, what, count] for (kind, what), count in sorted(TALLY.items())]
        Path(os.environ["FUZZ_TALLY"]).write_text(json.dumps(found))
