"""The errors that a user meets.

Any other exception is a defect of mpifl and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator

# Exit statuses.
DONE = 0
FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 75
"""EX_TEMPFAIL: stopped by a signal after a checkpoint; ``--resume`` goes on from it."""

LONGEST_LINE = 1000


class InputError(Exception):
    """The job or an input is wrong. Exit status 2.

    One line an error, with key or file, value, and what is allowed. A line that begins with a blank
    belongs to the one before it, and shows the place in a file.

    Names and values may come from a foreign file. Characters that are not printable are escaped,
    and a line of more than LONGEST_LINE characters loses its middle.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*map(printable, lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """The errors, line by line."""
        return self.args

    def __str__(self) -> str:
        return "\n".join(self.args)

    def within(self, place: str) -> InputError:
        """Return the same errors, each line with a place, such as a file, before it."""
        return InputError(
            *(line if line.startswith(" ") else f"{place}: {line}" for line in self.args)
        )


def printable(line: str) -> str:
    """Return a line that is safe to print on a terminal, and not too long."""
    line = " ".join(line.replace("\r\n", "\n").split("\n"))
    if not line.isprintable():
        line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE * 2 // 3]} ... {line[-LONGEST_LINE // 4 :]}"
    return line


class TrainingError(Exception):
    """A run cannot go on, for example because an update is not finite. Exit status 1.

    The message is one line that names the cause.
    """


class Diverged(TrainingError):  # noqa: N818  (what has happened)
    """Training gave numbers that are not finite, or too large to be summed.

    With ``runtime.on_divergence: record`` the run goes on without them.
    """


class RankLost(Exception):  # noqa: N818  (the run survives it)
    """A rank has died. ``recovered``: the ranks that are left have a new communicator already."""

    def __init__(self, recovered: bool = False) -> None:
        super().__init__("a rank has died")
        self.recovered = recovered


class RankTimeout(Exception):  # noqa: N818
    """Ranks have stopped answering, but have not died."""

    def __init__(self, ranks: list[int], seconds: float) -> None:
        names = ", ".join(map(str, ranks))
        super().__init__(
            f"runtime.round_timeout: nothing has come from rank {names} for {seconds:g} s"
        )
        self.ranks = ranks


class Interrupted(Exception):  # noqa: N818  (no error)
    """A signal asked the run to end, and its checkpoint is written. Exit status 75.

    ``after`` is the last round that is over, which may wait for its test; None if there are none.
    """

    def __init__(self, message: str, after: int | None = None) -> None:
        super().__init__(message)
        self.after = after


@contextlib.contextmanager
def at(place: str | Callable[[], str]) -> Iterator[None]:
    """Add a note to any error in the block that says where it happened.

    A place is a text such as ``round 7`` or ``client 41``, or a function that returns it if that
    takes time. Of nested blocks the outermost adds its note last.
    """
    try:
        yield
    except Exception as error:
        error.add_note(place if isinstance(place, str) else place())
        raise


@contextlib.contextmanager
def keys_at(key: str, place: str) -> Iterator[None]:
    """Let the lines of an InputError in the block that begin with ``key`` begin with ``place``.

    As for a part in a list, which does not know where it stands: ``attacks`` becomes ``attacks.1``.
    """
    try:
        yield
    except InputError as error:
        raise InputError(
            *(
                place + line.removeprefix(key) if line.startswith((f"{key}.", f"{key}:")) else line
                for line in error.lines
            )
        ) from error


def where(error: BaseException) -> str:
    """Return the places that ``at`` noted, outermost first."""
    return ", ".join(reversed(getattr(error, "__notes__", [])))


def quoted(value: object) -> str:
    """Return a value as ``repr`` does, but with the backslashes of a text as they were written.

    A regular expression is one that the user can copy.
    """
    return repr(value).replace("\\\\", "\\")


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "did you mean X? " with the known name that is most like a word; "" if none is.

    ``cutoff`` is how alike they have to be, from 0 to 1 (``difflib``).
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}? " if near else ""


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 round``, ``1,000 rounds``, ``2 classes``."""
    if count == 1:
        return f"{count:,} {noun}"
    if noun.endswith(("s", "x")):
        return f"{count:,} {noun}es"
    if noun.endswith("try"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}s"
