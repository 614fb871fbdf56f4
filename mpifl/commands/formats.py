"""Commands built from a registry: one for each format, with the fields of its class as options."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from mpifl.commands.exits import end
from mpifl.errors import WRONG_INPUT, InputError, quoted

if TYPE_CHECKING:
    from mpifl.job.section import Section

Parameter = tuple[Any, Any]
"""The annotated type of a command's parameter, as typer reads it, and its default."""

REQUIRED = inspect.Parameter.empty


def command_group(
    registry: Mapping[str, str], command: Callable[[Any], Callable[..., None]]
) -> type[TyperGroup]:
    """Return the class of a command group with one command for each format of a registry.

    ``registry`` maps a format to "module:class". ``command`` makes the command from the class,
    which is imported only when its command is used.
    """

    class Formats(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(registry)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            if cmd_name not in registry:
                end(
                    f"FORMAT: {cmd_name!r} is not known; allowed: {', '.join(registry)}",
                    WRONG_INPUT,
                )

            module, _, name = registry[cmd_name].partition(":")
            form = getattr(importlib.import_module(module), name)
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(name=cmd_name)(command(form))
            return typer.main.get_command(app)

    return Formats


def with_options(
    command: Callable[..., None], form: type[Section], common: Mapping[str, Parameter]
) -> Callable[..., None]:
    """Return ``command`` with the signature and docstring that typer reads.

    Its parameters are the ``common`` ones and one for each field of ``form``; its docstring is that
    of ``form``.
    """
    all_parameters = dict(common)
    for name, field in form.model_fields.items():
        option = typer.Option(f"--{name.replace('_', '-')}", help=escape(field.description or ""))
        default = REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        all_parameters[name] = (Annotated[field.annotation, option], default)

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in all_parameters.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {name: hint for name, (hint, _) in all_parameters.items()}
    command.__doc__ = _help(inspect.getdoc(form) or "")
    return command


def made(form: type[Section], options: Mapping[str, Any]) -> Any:
    """Return the format with its options. Raises InputError naming the first wrong option."""
    from pydantic import ValidationError

    try:
        return form(**options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        option = "".join(f"--{part}" for part in first["loc"]).replace("_", "-")
        raise InputError(f"{option or 'options'}: {quoted(first['input'])}: {message}") from error


def _help(doc: str) -> str:
    """Return a docstring as help: each paragraph as one line, without what the class raises."""
    text = re.split(r"Raises\s+InputError", doc)[0].strip()
    text = re.sub(r"``(.+?)``", r"\1", text)
    text = escape(text)  # [i] would be italic
    return re.sub(r"(?<!\n)\n(?![\n-]) *", " ", text)
