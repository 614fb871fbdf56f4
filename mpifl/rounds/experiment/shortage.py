"""Words for rounds that have too few clients or updates, and the keys that change it."""

from __future__ import annotations

from mpifl.clock.policy import RoundPolicy
from mpifl.job import Job

MORE_ONLINE = (
    "a larger population.clients has more of them; clock.availability=always ignores availability"
)
"""The keys that change how many clients are online."""

LIMITS = ("timeout_seconds", "seconds", "quantile")
"""Keys of round policies that end a round before participants are done."""


def asked(job: Job) -> int:
    """Return how many clients a round asks, or keeps under way: with fewer online it is short."""
    at_once = job.clock.at_once(job.clock.updates(job.selection.participants))
    target: int | None = getattr(job.clock, "target", None)
    return at_once if target is None else min(at_once, target)


def asked_text(job: Job) -> str:
    """Return that number in words."""
    does = "to be under way" if job.clock.asynchronous else "that a round asks"
    return f"the {asked(job):,} {does}"


def more_updates(clock: RoundPolicy, dropped: float, cut: float) -> str:
    """Return the keys of a clock that bring more updates a round, in words.

    ``dropped`` and ``cut`` are how many participants dropped out and were cut; the keys are those
    that change the larger of the two.
    """
    limits = [key for key in LIMITS if getattr(clock, key, None) is not None]
    if cut > dropped and limits:
        keys = [f"a larger clock.{limits[0]} gives them more time"]
    elif clock.availability in ("strict", "fedscale"):
        keys = ["clock.availability=resume lets them pause and go on"]
    else:
        keys = []

    if hasattr(clock, "overcommitment"):
        keys.append("a larger clock.overcommitment asks more clients")
    else:
        keys.append("clock.mode=sync asks more clients than it waits for (clock.overcommitment)")
    return ", ".join(keys)
