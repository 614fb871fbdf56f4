"""The contract of plug-ins: what one computes for a client depends on its arguments only.

A plug-in that remembers something from client to client gives other results when clients are
trained in another order, on other ranks or after a resume. It is found by comparing its state
before and after: the globals of its module and of those beside it, the attributes of its classes,
objects, functions and layers, default arguments, and the global generators of Python and numpy.
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
from mpifl.rounds.experiment.experiment import Experiment

SAMPLED_BYTES = 1 << 16
"""Of a larger array that many bytes are compared, evenly spread."""

SAMPLED_ITEMS = 1000
"""Of a longer list or dict the first items are compared, and its length."""

MAX_DEPTH = 8
CHECK_EVERY = 64

PACKAGE = "mpifl_plug_in_"
"""Prefix of the packages whose modules are the files of a plug-in (mpifl/job/plug_in.py)."""

Marks = dict[str, object]
"""A mark for each place that is looked at; equal as long as nothing there has changed."""


def is_plug_in(part: object) -> bool:
    """Return whether the class of a part of a job does not come with mpifl."""
    return not type(part).__module__.startswith("mpifl.")


def called_parts(experiment: Experiment) -> dict[str, Section]:
    """Return the parts of a job that are called for single clients or rounds, by key."""
    job = experiment.job
    attacks = {f"attacks.{place}": attack for place, attack in enumerate(job.attacks)}
    return {
        **attacks,
        "aggregation": job.aggregation,
        "algorithm": job.algorithm,
        "clock": job.clock,
        "contribution": job.contribution,
        "model": job.model,
        "objective": experiment.objective,
        "privacy": job.privacy,
        "protocol": job.protocol,
        "secure_aggregation": job.secure_aggregation,
        "selection": job.selection,
        **{f"exchange.up.{place}": stage for place, stage in enumerate(job.exchange.up)},
        **{f"exchange.down.{place}": stage for place, stage in enumerate(job.exchange.down)},
        "training.optimizer": job.training.optimizer,
        "training.transform": job.training.transform,
    }


class Contract:
    """Checks the plug-ins among a job's parts against their state at construction.

    ``module`` is the model that is trained.
    """

    def __init__(self, parts: Mapping[str, Section], module: nn.Module) -> None:
        self._parts = {key: part for key, part in parts.items() if is_plug_in(part)}
        self._modules = {
            name: source
            for part in self._parts.values()
            for name, source in _modules_of(type(part)).items()
        }
        self._layers = {
            name: layer
            for name, layer in module.named_modules()
            if type(layer).__module__ in self._modules
        }
        self._before = self._marks() if self._parts else {}
        self._calls = 0

    def check(self) -> None:
        """Raise InputError when the plug-ins have changed something that they can see again.

        To be called after plug-ins were called. A comparison takes a third of a millisecond with a
        small module, so only the calls 1, 2, 4, 8, ... and every 64th make it. Without a plug-in it
        does nothing.
        """
        self._calls += 1
        is_power_of_two = self._calls & (self._calls - 1) == 0
        if not self._parts or not (is_power_of_two or self._calls % CHECK_EVERY == 0):
            return
        after = self._marks()
        if after == self._before:
            return

        places = (*after, *self._before)
        changed = next(place for place in places if after.get(place) != self._before.get(place))
        plug_ins = " or ".join(_named(key, part) for key, part in self._parts.items())
        raise InputError(
            f"{plug_ins} is not allowed: it carries state from one call to the next: {changed} has"
            " changed; its results may depend on its arguments only (the state of the client and of"
            " the server are among them)"
        )

    def _marks(self) -> Marks:
        marker = _Marker(self._modules)
        marks: Marks = {"the global generator of random": hash(random.getstate())}
        numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002  (a plug-in's)
        marks["the global generator of numpy"] = marker.mark(numpy_state)

        for name, source in self._modules.items():
            for key, value in vars(source).items():
                place = f"{key} of {os.path.basename(source.__file__ or name)}"
                if isinstance(value, type) and value.__module__ == name:
                    marks |= marker.mark_all(f"class {place}", vars(value))
                elif not key.startswith("__"):
                    marks[place] = marker.mark(value)

        for key, part in self._parts.items():
            attributes = vars(part) | (part.__pydantic_private__ or {})
            marks |= marker.mark_all(f"the {key}", attributes)

        # Buffers of layers are checked by FlatModel.check_trained.
        for name, layer in self._layers.items():
            owner = f"the model's layer {name}" if name else "the model's module"
            attributes = {
                key: value
                for key, value in vars(layer).items()
                if key not in TORCHS_OWN and not _is_transient(value)
            }
            marks |= marker.mark_all(owner, attributes)
        return marks


def _named(key: str, part: Section) -> str:
    """Return the key of a job that names a part, and the name."""
    last = "mode" if key == "clock" else "name"
    return f"{key}.{last}: {getattr(part, last, key)!r}"


def _modules_of(kind: type) -> dict[str, ModuleType]:
    """Return the modules that belong to a plug-in's class, by name.

    Its own module, those of its package of files, and those in the same folder that it has names
    from.
    """
    main = sys.modules[kind.__module__]
    folder = _folder(main)
    modules = {main.__name__: main}

    package = main.__name__.partition(".")[0] + "."
    if package.startswith(PACKAGE):
        modules |= {
            name: module for name, module in sys.modules.items() if name.startswith(package)
        }

    for value in vars(main).values():
        attribute = "__name__" if isinstance(value, ModuleType) else "__module__"
        name = getattr(value, attribute, None)
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is not None and folder is not None and _folder(module) == folder:
            modules[module.__name__] = module
    return modules


def _folder(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if file else None


def _is_transient(value: object) -> bool:
    """Return whether a layer's attribute is only of the batch that it has just seen.

    Such as ``self.attention = ...`` in ``forward``; None before the first batch.
    """
    return value is None or (
        isinstance(value, torch.Tensor) and (value.grad_fn is not None or value.is_inference())
    )


class _Marker:
    """Makes the marks of one comparison.

    An object that is no plain data is entered where its class is of one of ``modules``.
    """

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        self._modules = modules
        # With the objects, so that no id is given to another one meanwhile.
        self._seen: dict[int, object] = {}

    def mark_all(self, owner: str, attributes: Mapping[str, Any]) -> Marks:
        """Return the marks of an owner's attributes."""
        own = {
            key: value for key, value in attributes.items() if not key.startswith(("__", "_abc_"))
        }
        return {f"{key} of {owner}": self.mark(value) for key, value in own.items()}

    def mark(self, value: object, depth: int = 0) -> object:
        """Return something that is equal as long as the value is."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            return repr(value)  # since True is equal to 1, and NaN not to itself
        if isinstance(value, np.ndarray):
            return value.shape, value.dtype.str, _hash_of_array(value)
        if isinstance(value, torch.Tensor):
            return tuple(value.shape), str(value.dtype), _hash_of_tensor(value)

        if depth == MAX_DEPTH or id(value) in self._seen:
            return id(value)
        self._seen[id(value)] = value
        if isinstance(value, Mapping):
            items = [*value.keys(), *value.values()]
            return type(value), len(value), self._mark_each(items, depth)
        if isinstance(value, Set):
            return type(value), len(value), hash(frozenset(value))
        if isinstance(value, list | tuple | deque):
            return type(value), len(value), self._mark_each(value, depth)
        return id(value), self._mark_each(self._contents(value), depth)

    def _mark_each(self, values: Iterable[object], depth: int) -> tuple[object, ...]:
        return tuple(
            self.mark(value, depth + 1) for value in itertools.islice(values, SAMPLED_ITEMS)
        )

    def _contents(self, value: object) -> list[object]:
        """Return what may change inside an object that is no plain data."""
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
        if isinstance(value, FunctionType) and value.__module__ in self._modules:
            closure = _closure_contents(value)
            return [value.__defaults__, value.__kwdefaults__, value.__dict__, *closure]
        if isinstance(value, nn.Module):
            return [*value.parameters(), *value.buffers()]
        plug_ins = type(value).__module__ in self._modules or isinstance(value, SimpleNamespace)
        return [vars(value)] if plug_ins and hasattr(value, "__dict__") else []


def _closure_contents(function: FunctionType) -> list[object]:
    """Return the variables of enclosing functions that a function uses."""
    try:
        return [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # a cell that is still empty
        return []


def _hash_of_array(array: np.ndarray) -> int:
    if array.dtype.hasobject:
        return hash(repr(array))
    flat = array.reshape(-1)
    return zlib.crc32(flat[:: _stride(array.nbytes)].tobytes())


def _hash_of_tensor(tensor: torch.Tensor) -> int:
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.numel():
        return id(tensor)
    flat = tensor.detach().reshape(-1)[:: _stride(tensor.nbytes)]
    return zlib.crc32(flat.contiguous().view(torch.uint8).cpu().numpy().tobytes())


def _stride(size_bytes: int) -> int:
    return max(1, -(-size_bytes // SAMPLED_BYTES))
