"""When a round of a protocol is over: reports of models, and an end that never comes."""

from __future__ import annotations

from mpifl.errors import InputError, TrainingError, counted
from mpifl.messages.events import Events
from mpifl.protocols.protocol import Protocol

HANDLERS_WITHOUT_REPORT = 5_000
"""Of each actor: after so many without a report, no report is expected any more."""


def count_report(events: Events, protocol: Protocol, reporters: int, round_number: int) -> None:
    """Count a report; the last of a round ends it.

    Raises TrainingError for a round that is over before the one before it.
    """
    if protocol.asynchronous:
        round_number = events.rounds_done + 1
    events.reports[round_number] = events.reports.get(round_number, 0) + 1
    if events.reports[round_number] < reporters:
        return
    if round_number != events.rounds_done + 1:
        raise TrainingError(
            f"protocol.name: {protocol.name!r} has ended round {round_number} after round"
            f" {events.rounds_done}; every actor has to report its rounds in their order"
        )
    del events.reports[round_number]
    events.rounds_done = round_number


def take_reports(events: Events, protocol: Protocol, round_number: int) -> list[tuple[int, int]]:
    """Return actor and handler of the reports that count for a round that is over, in their order.

    They are taken out of ``events.reported``.
    """
    taken: list[tuple[int, int, int]] = []
    left: list[tuple[int, int, int]] = []
    for report in events.reported:
        counts = protocol.asynchronous or report[0] <= round_number
        (taken if counts else left).append(report)
    events.reported = left
    return [(actor, handler) for _, actor, handler in taken]


def stood_still(events: Events, protocol: Protocol, pauses: bool) -> InputError:
    """Return the error of a protocol in which nothing is under way and its rounds are not over.

    ``pauses`` says whether what a client does only pauses when it goes offline.
    """
    key, why = "clock.availability", "as clients went offline while they trained or transferred"
    allowed = "allowed with it: resume, or always without outages"
    if pauses and protocol.offline == "wait":
        why, allowed = "as clients never come back online", "allowed: always without outages"
    elif pauses:
        key, why = f"protocol.offline: {protocol.offline!r}", "whose receivers were offline"
        allowed = "allowed: wait"
    elif protocol.offline != "wait":
        allowed = "allowed with it: resume with protocol.offline wait, or always without outages"
    return InputError(
        f"{key}: {events.now:,.0f} s after its beginning the protocol"
        f" {protocol.name} stands still in round {events.rounds_done + 1}: nothing is under way and"
        f" somebody waits for what was lost, {why}; {allowed}"
    )


def check_progress(events: Events, protocol: Protocol, actors: int, handled: int) -> None:
    """Raise InputError when no end of a round is in sight.

    ``handled`` handlers have begun since the last report, or since the last end of a round. They
    are so many that nobody will report any more.
    """
    if handled <= HANDLERS_WITHOUT_REPORT * actors:
        return
    since = " since the last report" if events.reports else ""
    raise InputError(
        f"protocol.name: {protocol.name!r}: in round {events.rounds_done + 1}"
        f" {counted(handled, 'handler')} have run{since} and nobody has reported a model: a handler"
        " has to call me.report, of every actor that Protocol.reporters counts"
    )
