"""Which keys of a clock do not go together."""

from __future__ import annotations

from collections.abc import Iterable

from mpifl.clock.participation import Participation
from mpifl.errors import InputError


def check_parts(policy: Participation) -> None:
    """Raise InputError for keys of a round policy that do not go together."""
    for key in ("server_down_kbps", "server_up_kbps"):
        kbps = getattr(policy.latency, key)
        if policy.availability == "fedscale" and kbps is not None:
            raise InputError(
                f"clock.latency.{key}: {kbps} is not allowed with clock.availability fedscale,"
                " which tests a participant at its end only; choose strict, resume or always,"
                " or leave the key out"
            )
    if policy.battery.counted:
        _check_battery(policy)
    retry = policy.latency.retry
    if retry.breaks and not retry.resume and policy.costs == "measured":
        raise InputError(
            "clock.latency.retry.resume: false is not allowed with clock.costs measured, whose"
            " uploads get their true size when they have been made; allowed: true"
        )
    if policy.latency.cells.shared:
        _check_cells(policy)


def _check_battery(policy: Participation) -> None:
    """Raise InputError for keys that do not go with batteries."""
    latency = policy.latency
    unknown = ", with which the end of a transfer, and what it drains, depends on others"
    refused = (
        (latency.shared, f"clock.latency.server_down_kbps or server_up_kbps{unknown}", "none"),
        (latency.cells.shared, f"clock.latency.cells{unknown}", "none"),
        (policy.availability == "fedscale", "clock.availability fedscale", "strict or resume"),
        (latency.radio.tail_seconds > 0, "clock.latency.radio.tail_seconds", "0"),
    )
    given = f"clock.battery.capacity_joules: {policy.battery.capacity_joules:g}"
    _refuse(given, refused)


def _check_cells(policy: Participation) -> None:
    """Raise InputError for keys that do not go with cells."""
    refused = (
        (policy.latency.shared, "clock.latency.server_down_kbps or server_up_kbps", "none"),
        (policy.availability == "fedscale", "clock.availability fedscale", "strict or resume"),
    )
    _refuse(f"clock.latency.cells.number: {policy.latency.cells.number}", refused)


def _refuse(given: str, refused: Iterable[tuple[bool, str, str]]) -> None:
    """Raise InputError for the first of ``refused`` (wrong, key, what to choose) that is wrong."""
    for wrong, key, instead in refused:
        if wrong:
            raise InputError(
                f"{given} is not allowed with {key}; choose {instead}, or leave it out"
            )
