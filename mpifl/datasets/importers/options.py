"""Options that only some kinds of a format take."""

from __future__ import annotations

from collections.abc import Mapping, Set

from mpifl.datasets.importers.importer import Importer
from mpifl.errors import InputError


def refuse_others(importer: Importer, taken: Mapping[str, Set[str]], kind: str, what: str) -> None:
    """Raise InputError if an option is given that other kinds take and ``kind`` does not.

    ``taken`` holds, by kind, the options that not every kind takes. ``what`` stands before ``kind``
    in the message.
    """
    for option in sorted(set().union(*taken.values()) - taken[kind]):
        value = getattr(importer, option)
        if value != type(importer).model_fields[option].default:
            takers = ", ".join(name for name, options in taken.items() if option in options)
            name = option.replace("_", "-")
            raise InputError(f"--{name}: {value!r}: goes with {takers}; {what} {kind}")
