"""Checks of a job with secure aggregation: what goes with it, and how many numbers are masked."""

from __future__ import annotations

from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.attacks.attack import collude
from mpifl.clock.policy import RoundPolicy
from mpifl.errors import InputError
from mpifl.exchange.way import Way
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.rounds.experiment.experiment import sum_layout


def check_secure_aggregation(job: Job) -> None:
    """Raise InputError for what does not go with the job's protocol of secure aggregation."""
    protocol = job.secure_aggregation
    if not protocol.active:
        return
    allowed = f"not allowed with secure_aggregation.name {protocol.name}"
    if job.protocol.has_actors:
        raise InputError(
            f"protocol.name: {job.protocol.name!r} is {allowed}, in which a server adds up updates;"
            " allowed: rounds"
        )
    if job.aggregation.needs_updates:
        raise InputError(
            f"aggregation.name: {job.aggregation.name!r} is {allowed}: the rule needs all updates,"
            " and the server learns their sum alone; allowed: mean"
        )
    if job.algorithm.needs_products or job.algorithm.kinds > 1:
        why = "needs all updates" if job.algorithm.needs_products else "has updates of many sizes"
        raise InputError(
            f"algorithm.name: {job.algorithm.name!r} is {allowed}: it {why}, and masks are for the"
            " sum of updates that are alike; allowed: algorithms such as fedavg"
        )
    if collude(job.attacks):
        raise InputError(
            f"attacks: attackers that collude are {allowed}: they make up what they send when all"
            " updates have come, which are masked then"
        )
    if job.clock.asynchronous or type(job.clock).settle is RoundPolicy.settle:
        raise InputError(
            f"clock.mode: {job.clock.mode!r} is {allowed}, whose clients begin a round together;"
            " allowed: sync, deadline, all"
        )
    if job.clock.battery.counted:
        raise InputError(
            f"clock.battery.capacity_joules is {allowed}, whose steps would take energy before and"
            " after training; leave it out"
        )
    if job.clock.latency.retry.breaks:
        raise InputError(
            f"clock.latency.retry.broken_share: {job.clock.latency.retry.broken_share:g} is"
            f" {allowed}, whose steps are sent once; allowed: 0"
        )
    if job.selection.probes:
        raise InputError(
            f"selection.name: {job.selection.name!r} is {allowed}: single clients would tell the"
            " server their losses"
        )
    if job.selection.norms or job.selection.orders_uploads:
        why = "sees the norms of single updates"
        if job.selection.orders_uploads:
            why = "has participants send shares of their updates"
        raise InputError(
            f"selection.name: {job.selection.name!r} is {allowed}: it {why}; allowed: such as oort"
        )
    for key in ("on_client_error", "on_divergence"):
        value = getattr(job.runtime, key)
        if value != "abort":
            raise InputError(
                f"runtime.{key}: {value!r} is {allowed}: the masks of an update that is left out"
                " stay in the sum; allowed: abort"
            )
    _check_participants(job)


def _check_participants(job: Job) -> None:
    """Raise InputError for rounds that cannot aggregate securely, whoever takes part."""
    most = job.clock.updates(job.selection.participants)
    if job.clock.may_exceed:
        most = job.clock.at_once(most)
    if most < 2:
        raise InputError(
            f"selection.participants: {job.selection.participants} is not allowed with"
            f" secure_aggregation.name {job.secure_aggregation.name}: the sum of one update is the"
            " update; allowed: 2 and more"
        )


def check_masked_upload(job: Job, up: Way | None, plain_bytes: int) -> None:
    """Raise InputError for stages of ``exchange.up`` whose bytes masked updates would not have."""
    if job.secure_aggregation.active and up is not None and up.bytes != plain_bytes:
        raise InputError(
            "exchange.up: stages that change the bytes of an upload are not allowed with"
            f" secure_aggregation.name {job.secure_aggregation.name}: masked updates have a number"
            " for every entry, whatever it was; allowed: stages such as clip"
        )


def masked_entries(job: Job, layout: Layout, plain_bytes: int) -> int:
    """Return how many numbers secure aggregation masks in an upload; 0 without.

    Those of all sums of a round, whichever the client adds to, and its weight in each. A model
    whose bytes the job gives (``clock.latency.model_bytes``) has as many as they are.
    """
    if not job.secure_aggregation.active:
        return 0
    sums = sum_layout(job.algorithm, layout)
    latency = job.clock.latency
    if latency.model_bytes is None and latency.model_bytes_up is None:
        return sums.size + sums.slots
    return sums.slots * (-(-plain_bytes // BYTES_PER_NUMBER) + 1)
