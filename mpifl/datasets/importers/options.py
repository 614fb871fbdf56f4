"""Options that only some of a format's kinds take."""

from __future__ import annotations

from collections.abc import Mapping, Set

from mpifl.datasets.importers.importer import Importer
from mpifl.errors import InputError


def refuse_others(importer: Importer, taken: Mapping[str, Set[str]], kind: str, what: str) -> None:
    """Raise InputError where an option is given that another kind takes and this one does not.

    ``taken`` names by kind the options that not every kind takes; ``what`` says in the message what ``kind`` is.
    """
    for option in sorted(set().union(*taken.values()) - taken[kind]):
        value = getattr(importer, option)
        if value != type(importer).model_fields[option].default:
            takers = ", ".join(name for name, options in taken.items() if option in options)
            raise InputError(f"--{option.replace('_', '-')}: {value!r}: goes with {takers}; {what} {kind}")
