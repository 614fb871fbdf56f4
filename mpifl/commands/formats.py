"""A command for each format of a registry, its options the fields of the format's class."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from typer.core import TyperGroup

from mpifl.commands.exits import end
from mpifl.errors import WRONG_INPUT, InputError
from mpifl.job.section import Section

Parameter = tuple[Any, Any]
"""The type of a command's parameter, with what typer is to know of it, and its default."""

REQUIRED = inspect.Parameter.empty


def group_of(registry: Mapping[str, str], command: Callable[[Any], Callable[..., None]]) -> type[TyperGroup]:
    """The group of the commands of all formats; the class of each is loaded when it is asked for, and given to ``command``."""

    class Formats(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(registry)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            if cmd_name not in registry:
                end(f"FORMAT: {cmd_name!r} is not known; allowed: {', '.join(registry)}", WRONG_INPUT)
            module, _, name = registry[cmd_name].partition(":")
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(name=cmd_name)(command(getattr(importlib.import_module(module), name)))
            return typer.main.get_command(app)

    return Formats


def with_options(command: Callable[..., None], form: type[Section], common: Mapping[str, Parameter]) -> Callable[..., None]:
    """``command`` as typer is to see it: with the ``common`` parameters, one for each field of ``form``, and its docstring."""
    every = dict(common)
    for name, field in form.model_fields.items():
        option = typer.Option(f"--{name.replace('_', '-')}", help=escape(field.description or ""))
        default = REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        every[name] = (Annotated[field.annotation, option], default)
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, kind, default=default, annotation=hint) for name, (hint, default) in every.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {name: hint for name, (hint, _) in every.items()}
    command.__doc__ = _help(inspect.getdoc(form) or "")
    return command


def made(form: type[Section], options: Mapping[str, Any]) -> Any:
    """The format with its options. Raises InputError naming the first that is wrong."""
    try:
        return form(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "".join(f"--{part}" for part in first["loc"]).replace("_", "-")
        raise InputError(f"{option or 'options'}: {first['input']!r}: {first['msg']}") from error


def _help(doc: str) -> str:
    """A docstring as help: paragraphs as one line each, and nothing of what it raises."""
    text = escape(re.sub(r"``(.+?)``", r"\1", re.split(r"Raises\s+InputError", doc)[0].strip()))  # [i] is no italic
    return re.sub(r"(?<!\n)\n(?![\n-]) *", " ", text)
