"""Inputs as an adversary would send them, for long: ``python -m benchmarks.fuzz [MINUTES]`` (10).

Runs tests/fuzz over and over, each time with other examples and more of them, and prints what was tried of each kind of input,
what was accepted, what was refused with one line, and what hung or crashed inside HDF5. A defect is a test that failed: a
traceback, more than one line, or something accepted that is not what it says. Exit status 1 when there was one.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = 60  # of each property in a pass
MOST_BYTES = 16 << 30  # of memory that a pass may map
HUNG_SECONDS = 600

Tally = Counter[tuple[str, str]]


def one_pass(seed: int, tally: Tally) -> list[str]:
    """Run all properties once, adding to ``tally``; returns the names of those that failed."""
    options = [f"--hypothesis-seed={seed}", f"--timeout={HUNG_SECONDS}", "--timeout-method=thread"]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "tally.json"
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-n",
                "0",
                "-q",
                "-p",
                "no:cacheprovider",
                *options,
                "tests/fuzz",
            ],
            cwd=ROOT,
            env={**os.environ, "FUZZ_EXAMPLES": str(EXAMPLES), "FUZZ_TALLY": str(said)},
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES)),
        )
        if said.is_file():
            for kind, what, count in json.loads(said.read_text()):
                tally[kind, what] += count
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode and not failed:  # it was ended from outside, or a test hung
        failed = [f"pass with seed {seed} ended with status {done.returncode}"]
    if failed:
        print(done.stdout[-20_000:], done.stderr[-5000:], file=sys.stderr)
    return failed


def table(tally: Tally, failed: Counter[str]) -> str:
    """What was tried, as a table."""
    lines = [f"{'input':28} {'tried':>9} {'accepted':>9} {'refused':>9} {'HDF5 died':>9}"]
    for kind in sorted({kind for kind, _ in tally}):
        died = sum(
            count for (of, what), count in tally.items() if of == kind and what.startswith("HDF5")
        )
        counts = [*(tally[kind, what] for what in ("tried", "accepted", "refused")), died]
        lines.append(f"{kind:28} " + " ".join(f"{count:9,}" for count in counts))
    return "\n".join([*lines, f"defects: {len(failed)}", *failed])


def main() -> None:
    """Until the minutes are over; a pass that has begun goes on to its end."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    began, tally, failed, passes = time.monotonic(), Counter[tuple[str, str]](), Counter[str](), 0
    while not passes or time.monotonic() - began < minutes * 60:
        failed.update(one_pass(random.SystemRandom().randrange(2**32), tally))
        passes += 1
    print(
        f"{passes} passes in {(time.monotonic() - began) / 60:.0f} minutes\n{table(tally, failed)}"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
