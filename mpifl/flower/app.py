"""A Flower app's folder: what its pyproject.toml says, and the objects that it names."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import tomllib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpifl.errors import InputError
from mpifl.flower.settings import RunConfig
from mpifl.io.files import is_file

PROJECT = "pyproject.toml"
UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
COMPONENTS = "tool.flwr.app.components"
CONFIG = "tool.flwr.app.config"
NO_FLWR = "flwr is not installed: pip install 'mpifl[flower]'"


def is_app(folder: str) -> bool:
    """Return whether a folder is that of a Flower app, by its pyproject.toml."""
    return is_file(Path(folder) / PROJECT)


def read_app(folder: str, changes: Sequence[str]) -> dict[str, Any]:
    """Return ``name``, ``app``, ``serverapp``, ``clientapp`` and ``run_config`` of an app.

    ``changes`` are those of --run-config, texts of ``key=value`` with values of TOML, or one name
    of a TOML file. Raises InputError.
    """
    path = Path(folder) / PROJECT
    if not is_file(path):
        raise InputError(
            f"APP_DIR: {folder}: no {PROJECT} there; name the folder of a Flower app, as"
            " `flwr new` makes it"
        )
    project = _toml(path.read_bytes(), str(path))

    components = {
        name: _at(project, f"{COMPONENTS}.{name}", path) for name in ("serverapp", "clientapp")
    }
    for name, reference in components.items():
        module, colon, attribute = str(reference).partition(":")
        if not (module and colon and attribute):
            raise InputError(
                f"{path}: {COMPONENTS}.{name}: {reference!r} is not allowed; allowed:"
                " module:attribute, such as app.client:app"
            )

    section = project.get("tool", {}).get("flwr", {}).get("app", {}).get("config", {})
    config = _flat(section, f"{path}: {CONFIG}")
    config = _changed(config, changes, path)
    # It names the run directory, in which it must not be a path.
    name = UNUSUAL.sub("-", str(_at(project, "project.name", path))).strip("-._") or "app"
    return {"name": name, "app": str(Path(folder).resolve()), **components, "run_config": config}


def source_sha256(folder: str) -> str:
    """Return the hash of an app's source: its .py and .toml files with their paths."""
    digest = hashlib.sha256()
    base = Path(folder)
    found = [path for pattern in ("*.py", "*.toml") for path in base.rglob(pattern)]
    for path in sorted(path for path in found if is_file(path)):
        relative = path.relative_to(base)
        if not any(part.startswith((".", "__pycache__")) for part in relative.parts):
            content = path.read_bytes()
            digest.update(f"{relative}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def load(folder: str, name: str, reference: str, kind: type) -> Any:
    """Return the object that ``reference`` (module:attribute) names in an app's folder.

    The folder becomes the first place of imports. ``name`` is the key of the reference, such as
    ``serverapp``. Raises InputError when it cannot be loaded, or is no ``kind``.
    """
    if folder not in sys.path:
        sys.path.insert(0, folder)
    place = f"{folder}/{PROJECT}: {COMPONENTS}.{name}: {reference!r}"
    module, _, attributes = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except Exception as error:
        raise InputError(f"{place} cannot be loaded: {error_text(error, folder)}") from error

    if not isinstance(found, kind):
        raise InputError(f"{place} is a {type(found).__name__}; allowed: a {kind.__name__}")
    return found


def error_text(error: BaseException, folder: str) -> str:
    """Return an exception in one line, with the place in the app's folder that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    place = f" ({Path(own[-1].filename).relative_to(folder)}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def _toml(content: bytes, name: str) -> dict[str, Any]:
    """Return the mapping of a TOML text. Raises InputError."""
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not valid TOML: {error}") from error


def _at(project: dict[str, Any], key: str, path: Path) -> Any:
    """Return the value at a dotted key. Raises InputError when it is missing."""
    value: Any = project
    for word in key.split("."):
        value = value.get(word) if isinstance(value, dict) else None
        if value is None:
            raise InputError(f"{path}: {key}: missing; a Flower app has to have it")
    return value


def _flat(section: Any, place: str, prefix: str = "") -> RunConfig:
    """Return a config with nested keys joined by dots, as Flower has it. Raises InputError."""
    flat: RunConfig = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat |= _flat(value, place, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str):
            flat[f"{prefix}{key}"] = value
        else:
            raise InputError(
                f"{place}.{prefix}{key}: {value!r} is not allowed; allowed: a number, true, false,"
                " a text, or a section of those"
            )
    return flat


def _changed(config: RunConfig, changes: Sequence[str], path: Path) -> RunConfig:
    """Return the config with the changes of --run-config. Raises InputError."""
    config = dict(config)
    for change in changes:
        if change.endswith(".toml") and is_file(Path(change)):
            given = _toml(Path(change).read_bytes(), f"--run-config: {change}")
        else:
            given = _assignment(change)
        for key, value in _flat(given, "--run-config").items():
            if key not in config:
                allowed = ", ".join(config) or "none: the app has no config"
                raise InputError(
                    f"--run-config: {key}: not a key of {CONFIG} in {path}; allowed: {allowed}"
                )
            config[key] = value
    return config


def _assignment(change: str) -> dict[str, Any]:
    """Return what a text of ``key=value`` pairs sets. Raises InputError."""
    wrong = InputError(
        f"--run-config: {change!r} is not allowed; allowed: key=value with a value of TOML, such"
        " as lr=0.1 or name='\"text\"', or a .toml file"
    )
    key, equals, value = change.partition("=")
    if not equals:
        raise wrong
    try:
        return tomllib.loads(f"{key} = {value}")
    except ValueError:
        try:  # several pairs in one text, as `flwr run --run-config "a=1 b=2"` takes them
            return tomllib.loads("\n".join(change.split()))
        except ValueError:
            raise wrong from None
