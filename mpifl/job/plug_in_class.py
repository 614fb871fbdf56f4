"""What is wrong with the class of a plug-in, told before a run begins."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator
from types import FunctionType

from pydantic.errors import PydanticUserError

from mpifl.job.plug_in import PlugIn
from mpifl.job.section import Section


def fault(kind: type[Section], base: type[Section]) -> str:
    """Return what is wrong with a plug-in's class and what to do; "" where nothing is found."""
    return (
        _constructor(kind, base)
        or _hidden_method(kind, base)
        or _missing_method(kind, base)
        or _parameters(kind, base)
    )


def load_error(error: Exception, plug_in: PlugIn) -> str:
    """Return in one line what an exception says that was raised while a plug-in was imported.

    It begins with the line of the plug-in's source that ran last.
    """
    names = {str(file.shown): file.name for file in plug_in.files}
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names
    ]
    if not frames:
        return _reason(error)
    name = names[frames[-1].filename]
    file = "" if plug_in.main_file and name == plug_in.main_file.name else f" of {name}"
    return f"line {frames[-1].lineno}{file}: {_reason(error)}"


def _reason(error: Exception) -> str:
    """Return what an exception says in one line, and for an option without a type what to do."""
    untyped = _UNTYPED.search(str(error)) if isinstance(error, PydanticUserError) else None
    if untyped is None:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    name = untyped[1].partition(" ")[0]
    return (
        f"{untyped[1]} has no type; an option has one, such as {name}: float, and a constant is"
        f" {name}: ClassVar"
    )


_UNTYPED = re.compile("non-annotated attribute was detected: `([^`]*)`")


def _constructor(kind: type[Section], base: type[Section]) -> str:
    """Options are fields: nobody calls a constructor with other parameters."""
    for one in _own(kind, base):
        own = vars(one).get("__init__")
        if own is not None and not _takes_options(own):
            return (
                "it has an __init__ of its own; leave it out, and write each option as a field:"
                " strength: float = 0.5"
            )
    return ""


def _takes_options(constructor: FunctionType) -> bool:
    parameters = inspect.signature(constructor).parameters.values()
    return any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)


def _hidden_method(kind: type[Section], base: type[Section]) -> str:
    """A field in the place of a method would be called by what the base class does."""
    for name in kind.model_fields:
        if inspect.isroutine(inspect.getattr_static(base, name, None)):
            return f"its option {name} hides the method {name} of {base.__name__}; rename it"
    return ""


def _missing_method(kind: type[Section], base: type[Section]) -> str:
    """A class that extends a part of mpifl is left alone: that part may need no method."""
    if any(one.__module__.startswith("mpifl.") for one in _between(kind, base)):
        return ""
    methods = base.left_to_plug_ins
    has_one = any(getattr(kind, name) is not getattr(base, name) for name in methods)
    return "" if has_one or not methods else f"it has no method {' or '.join(methods)}; write one"


def _parameters(kind: type[Section], base: type[Section]) -> str:
    """A method is called with what the method of the base class has to be called with."""
    for one in _own(kind, base):
        for name, own in vars(one).items():
            expected = getattr(base, name, None)
            if not (isinstance(own, FunctionType) and isinstance(expected, FunctionType)):
                continue
            given = [
                parameter
                for parameter in inspect.signature(expected).parameters.values()
                if parameter.default is parameter.empty and parameter.kind not in _VARIABLE
            ]
            try:
                inspect.signature(own).bind(*given)
            except TypeError:
                names = ", ".join(parameter.name for parameter in given)
                return f"its method {name} has other parameters; write def {name}({names})"
    return ""


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _between(kind: type[Section], base: type[Section]) -> tuple[type, ...]:
    return kind.__mro__[: kind.__mro__.index(base)]


def _own(kind: type[Section], base: type[Section]) -> Iterator[type]:
    """Yield the classes of the plug-in's own source."""
    return (one for one in _between(kind, base) if not one.__module__.startswith("mpifl."))
