"""What a plug-in promises: that what it computes for a client depends on its arguments only.

One that remembers something from client to client gives other results when clients are trained in
another order, on other ranks or after a resume. It is found by looking before and after: at the
globals of its module and of those beside it, at attributes of its classes, objects, functions and
layers, at default arguments, and at the global generators of Python and numpy.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Set
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from mpifl.errors import InputError
from mpifl.job.section import Section
from mpifl.models.fingerprint import TORCHS_OWN

LOOKED_AT_BYTES = 1 << 16  # of an array: of a larger one so many, evenly spread
LOOKED_AT_ITEMS = 1000  # of a list or a dict: of a longer one the first, and how many there are
DEEPEST = 8
PACKAGE = "mpifl_plug_in_"
"""What the packages are called whose modules are the files of a plug-in (mpifl/job/plug_in.py)."""
EVERY = 64
Marks = dict[str, object]
"""What was found, by the place where it is; equal while nothing there has changed."""


def is_plug_in(part: object) -> bool:
    """Whether a part of a job is of a class that does not come with mpifl."""
    return not type(part).__module__.startswith("mpifl.")


class Contract:
    """The plug-ins among a job's algorithm and model, as they are now; ``module`` is the model that is trained."""

    def __init__(self, algorithm: Section, model: Section, module: nn.Module) -> None:
        parts = {"algorithm": algorithm, "model": model}
        self._parts = {key: part for key, part in parts.items() if is_plug_in(part)}
        self._homes = {
            name: home for part in self._parts.values() for name, home in _homes(type(part)).items()
        }
        self._layers = {
            name: one for name, one in module.named_modules() if type(one).__module__ in self._homes
        }
        self._before = self._marks() if self._parts else {}
        self._calls = 0

    def check(self) -> None:
        """After plug-ins were at work: raise InputError when something has changed that they can see again.

        A look takes a third of a millisecond with a small module, so it looks at the first calls (1, 2, 4, 8, ...) and at
        every 64th. Where there is no plug-in it does nothing.
        """
        self._calls += 1
        first = self._calls & (self._calls - 1) == 0
        if (
            not self._parts
            or not (first or self._calls % EVERY == 0)
            or (after := self._marks()) == self._before
        ):
            return
        changed = next(
            place
            for place in (*after, *self._before)
            if after.get(place) != self._before.get(place)
        )
        named = " or ".join(
            f"{key}.name: {getattr(part, 'name', key)!r}" for key, part in self._parts.items()
        )
        raise InputError(
            f"{named} is not allowed as it is: it carries state from one call to the next: {changed} has changed;"
            " what it computes is to depend on its arguments only (what clients keep and the server's state are among them)"
        )

    def _marks(self) -> Marks:
        look = _Look(self._homes)
        marks: Marks = {"the global generator of random": hash(random.getstate())}
        marks["the global generator of numpy"] = look.at(np.random.get_state(legacy=False))  # noqa: NPY002  (a plug-in's)
        for name, home in self._homes.items():
            for key, value in vars(home).items():
                place = f"{key} of {os.path.basename(home.__file__ or name)}"
                if isinstance(value, type) and value.__module__ == name:
                    marks |= look.at_all(f"class {place}", vars(value))
                elif not key.startswith("__"):
                    marks[place] = look.at(value)
        for key, part in self._parts.items():
            marks |= look.at_all(f"the {key}", vars(part) | (part.__pydantic_private__ or {}))
        for (
            name,
            layer,
        ) in self._layers.items():  # their buffers are looked after by FlatModel.check_trained
            own = {
                key: value
                for key, value in vars(layer).items()
                if key not in TORCHS_OWN and not _passes(value)
            }
            marks |= look.at_all(f"the model's layer {name}" if name else "the model's module", own)
        return marks


def _homes(kind: type) -> dict[str, ModuleType]:
    """The module of a plug-in's class, those of its package of files, and those in the same folder that it has names from."""
    home = sys.modules[kind.__module__]
    folder, found = _folder(home), {home.__name__: home}
    package = home.__name__.partition(".")[0] + "."
    if package.startswith(PACKAGE):
        found |= {name: beside for name, beside in sys.modules.items() if name.startswith(package)}
    for value in vars(home).values():
        name = (
            value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        )
        beside = sys.modules.get(name) if isinstance(name, str) else None
        if beside is not None and folder is not None and _folder(beside) == folder:
            found[beside.__name__] = beside
    return found


def _folder(home: ModuleType) -> str | None:
    file = getattr(home, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if file else None


def _passes(value: object) -> bool:
    """Whether it is what a layer notes of the batch that it has just seen (``self.attention = ...``), or has not noted yet."""
    return value is None or (
        isinstance(value, torch.Tensor) and (value.grad_fn is not None or value.is_inference())
    )


class _Look:
    """One look at everything. What is no plain data is looked into where its class is of one of ``homes``."""

    def __init__(self, homes: Mapping[str, ModuleType]) -> None:
        self._homes = homes
        self._seen: dict[
            int, object
        ] = {}  # with what was seen, so that no number is given anew meanwhile

    def at_all(self, owner: str, attributes: Mapping[str, Any]) -> Marks:
        """The marks of somebody's attributes."""
        own = {
            key: value for key, value in attributes.items() if not key.startswith(("__", "_abc_"))
        }
        return {f"{key} of {owner}": self.at(value) for key, value in own.items()}

    def at(self, value: object, depth: int = 0) -> object:
        """Something that is equal as long as the value is."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            return repr(value)  # since True is equal to 1, and NaN not to itself
        if isinstance(value, np.ndarray):
            return value.shape, value.dtype.str, _of_array(value)
        if isinstance(value, torch.Tensor):
            return tuple(value.shape), str(value.dtype), _of_tensor(value)
        if depth == DEEPEST or id(value) in self._seen:
            return id(value)
        self._seen[id(value)] = value
        if isinstance(value, Mapping):
            return type(value), len(value), self._each([*value.keys(), *value.values()], depth)
        if isinstance(value, Set):
            return type(value), len(value), hash(frozenset(value))
        if isinstance(value, list | tuple | deque):
            return type(value), len(value), self._each(value, depth)
        return id(value), self._each(self._inside(value), depth)

    def _each(self, values: Iterable[object], depth: int) -> tuple[object, ...]:
        return tuple(
            self.at(value, depth + 1) for value in itertools.islice(values, LOOKED_AT_ITEMS)
        )

    def _inside(self, value: object) -> list[object]:
        """What may change in something that is no plain data."""
        if isinstance(value, np.random.Generator):
            return [value.bit_generator.state]
        if isinstance(value, np.random.RandomState):
            return [value.get_state(legacy=False)]
        if isinstance(value, random.Random):
            return [hash(value.getstate())]
        if isinstance(value, torch.Generator):
            return [value.get_state()]
        if isinstance(value, itertools.count | bytearray):
            return [repr(value)]
        if isinstance(value, staticmethod | classmethod):
            return [value.__func__]
        if isinstance(value, FunctionType) and value.__module__ in self._homes:
            return [value.__defaults__, value.__kwdefaults__, value.__dict__, *_enclosed(value)]
        if isinstance(value, nn.Module):
            return [*value.parameters(), *value.buffers()]
        ours = type(value).__module__ in self._homes or isinstance(value, SimpleNamespace)
        return [vars(value)] if ours and hasattr(value, "__dict__") else []


def _enclosed(function: FunctionType) -> list[object]:
    """What the function that made it has left to it."""
    try:
        return [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # a cell that is empty yet
        return []


def _of_array(array: np.ndarray) -> int:
    if array.dtype.hasobject:
        return hash(repr(array))
    flat = array.reshape(-1)
    return zlib.crc32(flat[:: _stride(array.nbytes)].tobytes())


def _of_tensor(tensor: torch.Tensor) -> int:
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.numel():
        return id(tensor)
    flat = tensor.detach().reshape(-1)[:: _stride(tensor.nbytes)]
    return zlib.crc32(flat.contiguous().view(torch.uint8).cpu().numpy().tobytes())


def _stride(size_bytes: int) -> int:
    return max(1, -(-size_bytes // LOOKED_AT_BYTES))
