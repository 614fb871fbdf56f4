"""How far a run is: what rank 0 tells while it goes on, as status.json and as lines for a launcher.

``mpifl run`` and ``mpifl watch`` read it (commands/status_view.py draws it). Imports nothing large.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydantic import TypeAdapter

STATUS = "status.json"
MARK = "\x1e"
"""The ASCII record separator: begins a line that is a status, as in RFC 7464."""

State = Literal["starting", "running", "ended", "stopped", "failed"]
FINAL: tuple[State, ...] = ("ended", "stopped", "failed")


@dataclass(frozen=True)
class Score:
    """The main score of the task in the last test, and the best so far with its first round."""

    name: str
    value: float
    best: float
    best_round: int


@dataclass(frozen=True)
class Status:
    """How far a run is. What is not known yet, or does not apply, is None.

    Attributes:
        name: Of the run.
        folder: The run directory, absolute.
        state: "stopped": by a signal, with a checkpoint; "failed": by an error that rank 0 knows.
        round: The last round that has ended and is tested, 0 before the first.
        rounds: Rounds of the job.
        score: The main score.
        loss: The test loss of the last test.
        virtual_seconds: The virtual time at which that round ended.
        clients: The clients of the population.
        online_share: The share of them that was online at the round's start; an estimate where
            there are more than 4,096.
        last: Participants of that round: those asked, and how they ended (wording.ENDS).
        total: The same of all rounds.
        bytes_down: Bytes to participants, of all rounds.
        bytes_up: Bytes from participants.
        joules: What participants used.
        joules_wasted: The part of it of those whose update did not count.
        executors_busy: The share of the last half minute in which executors worked on assignments,
            in the mean over them: from when rank 0 began to serve an assignment until an executor
            had done its last ticket. The rest they wait: for others, for plans, broadcasts and
            sums. Rounds longer than half a minute: since the round before the last.
        rounds_per_second: Of the same time.
        seconds_left: Wall seconds that the rounds that are left take at that rate; 0 where a round
            takes longer than it should.
        wall_seconds: Since this part of the run began; a resume begins another.
        ranks: Ranks of the run now, rank 0 included.
        host: Of rank 0.
        pid: Of rank 0's process.
        ended_by: The key of the job that ended the run before its last round, such as ``stop.at``.
        stopped_after: Of a run that a signal has stopped, the last round that is over. It may wait
            for its test, and then comes behind ``round``.
        written: When this was written, seconds since 1970 by the clock of ``host``.
    """

    name: str
    folder: str
    state: State
    round: int
    rounds: int
    score: Score | None
    loss: float | None
    virtual_seconds: float
    clients: int
    online_share: float | None
    last: dict[str, int]
    total: dict[str, int]
    bytes_down: int
    bytes_up: int
    joules: float
    joules_wasted: float
    executors_busy: float | None
    rounds_per_second: float | None
    seconds_left: float | None
    wall_seconds: float
    ranks: int
    host: str
    pid: int
    written: float
    ended_by: str | None = None
    stopped_after: int | None = None

    __pydantic_config__ = {"allow_inf_nan": False}  # noqa: RUF012

    def json(self) -> str:
        """Return it as one line of JSON, without the line's end."""
        return json.dumps(asdict(self))


def parse_status(text: str | bytes) -> Status | None:
    """Return the status in a JSON text; None when it is damaged, or not one."""
    try:
        return _adapter().validate_json(text, strict=True)
    except ValueError:
        return None


def read_status(folder: Path) -> Status | None:
    """Return the status of a run directory; None when there is none, or none that can be read.

    The file is opened anew each time: a shared file system then asks its server for the newest.
    """
    try:
        return parse_status((folder / STATUS).read_bytes())
    except OSError:
        return None


@cache
def _adapter() -> TypeAdapter[Status]:
    from pydantic import TypeAdapter  # here, as ranks only write

    return TypeAdapter(Status)
