"""The two kinds of failure that a user meets; everything else is a defect of ours and keeps its traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 75
"""Exit statuses. 75 (EX_TEMPFAIL): stopped by a signal after a checkpoint; started again with --resume it goes on."""


LONGEST_LINE = 1000


class InputError(Exception):
    """The job or an input is wrong: one line an error, with key or file, value, what is allowed. Exit status 2.

    A line that begins with a blank belongs to the one before it: it shows the place in a file. Names and values are those of a
    file that anybody may have made: what no terminal should get is escaped, and of a line of more than LONGEST_LINE characters
    the middle is left out.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*map(_printable, lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """What is wrong, line by line."""
        return self.args

    def __str__(self) -> str:
        return "\n".join(self.args)

    def within(self, place: str) -> InputError:
        """The same errors, said to be in a place such as a file."""
        return InputError(
            *(line if line.startswith(" ") else f"{place}: {line}" for line in self.args)
        )


def _printable(line: str) -> str:
    line = " ".join(line.replace("\r\n", "\n").split("\n"))
    if not line.isprintable():
        line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE * 2 // 3]} ... {line[-LONGEST_LINE // 4 :]}"
    return line


class TrainingError(Exception):
    """A run that cannot go on (an update that is not finite, say): one line naming the cause. Exit status 1."""


class RankLost(Exception):  # noqa: N818  (the run survives it)
    """A rank has died. Those that are left find each other again and go on (``World.recovered``)."""


class RankTimeout(Exception):  # noqa: N818
    """Ranks that do not answer any more, nor die."""

    def __init__(self, ranks: list[int], seconds: float) -> None:
        super().__init__(
            f"runtime.round_timeout: nothing has come from rank {', '.join(map(str, ranks))} for {seconds:g} s"
        )
        self.ranks = ranks


class Interrupted(Exception):  # noqa: N818  (no error)
    """A signal asked the run to end; its checkpoint is written. Exit status 75."""


@contextlib.contextmanager
def at(place: str | Callable[[], str]) -> Iterator[None]:
    """Note on any error that leaves the block where it happened (``round 7``, ``client 41``), outermost last.

    A place that takes time to tell is given as a function.
    """
    try:
        yield
    except Exception as error:
        error.add_note(place if isinstance(place, str) else place())
        raise


def where(error: BaseException) -> str:
    """The places that ``at`` noted, outermost first."""
    return ", ".join(reversed(getattr(error, "__notes__", [])))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 round``, ``1,000 rounds``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
