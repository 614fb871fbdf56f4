"""Foreign pickles, read without running their code.

They may hold plain containers, text, bytes, numbers, and numpy arrays of numbers or text.

A pickle is a program that names functions and calls them. Here it may only name those in
``_ALLOWED``; they are replaced by functions of ours, or by Python types that hold data. numpy's own
functions are not among them: a forged dtype makes numpy take raw bytes for pointers. The whole file
is scanned before any of it is loaded.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mpifl.errors import InputError
from mpifl.io.compressed import read_bytes


def read_pickle(path: Path, python2: Literal["ASCII", "bytes"] = "ASCII") -> Any:
    """Return what a pickle holds (``.xz`` and ``.gz`` are unpacked first).

    ``python2`` says what strings of Python 2, which were text and bytes in one, become: ASCII text,
    or bytes. Dictionaries of every kind become ``dict``. numpy arrays hold booleans, numbers or
    text (``b i u f c S U``). Raises InputError with the file, and the name that is not allowed if
    there is one.
    """
    raw = read_bytes(path)
    try:
        _scan(raw)
        return _Unpickler(io.BytesIO(raw), encoding=python2).load()
    except Exception as error:  # every opcode of a wrong pickle raises errors of its own
        raise InputError(
            f"{path}: not a pickle that can be read: {error or type(error).__name__}"
        ) from error


def _scan(raw: bytes) -> None:
    """Check the opcodes of a pickle, without loading it.

    Raises ValueError when it is cut off, goes on behind its end, or would take memory that its size
    does not justify.
    """
    at = 0
    while at < len(raw):
        fixed = _FIXED_BYTES[raw[at]]
        at = at + fixed if fixed else _next_opcode(raw, at)
        if at == len(raw) and raw[-1:] == pickle.STOP:
            return
    raise ValueError("it is cut off")


def _next_opcode(raw: bytes, begin: int) -> int:
    """Return the place behind the opcode at ``begin`` and its argument.

    For opcodes whose argument has no fixed size, or has to be checked.
    """
    code = raw[begin : begin + 1]
    at = begin + 1
    size = _ARGUMENT_BYTES.get(code)
    if size is None:
        raise ValueError(f"byte {begin}: no opcode")
    if code == pickle.STOP and at != len(raw):
        raise ValueError(f"it ends at byte {at}, the file has {len(raw)}")

    if code == pickle.LONG_BINPUT:
        _check_memo(int.from_bytes(raw[at : at + size], "little"), begin)
    elif size in _LENGTH_BYTES:
        width = _LENGTH_BYTES[size]
        size = width + int.from_bytes(raw[at : at + width], "little")
    elif size == pickletools.UP_TO_NEWLINE:
        size = 0
        for _ in range(2 if code in (pickle.GLOBAL, pickle.INST) else 1):
            size = raw.find(b"\n", at + size) + 1 - at
            if size <= 0:
                raise ValueError("it is cut off")
        if code == pickle.PUT:
            _check_memo(int(raw[at : at + size]), begin)
    return at + size


def _check_memo(number: int, at: int) -> None:
    # The loader makes its table of memos as large as the largest number that a file names.
    if number > at:
        raise ValueError(f"byte {at}: memo {number}, more than there are bytes before it")


_ARGUMENT_BYTES = {
    code.code.encode("latin-1"): code.arg.n if code.arg else 0 for code in pickletools.opcodes
}
"""By opcode: bytes of its argument; negative where the argument itself says how many."""

_LENGTH_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
"""Bytes of the length that precedes such an argument."""


def _fixed_bytes(code: int) -> int:
    """Return the bytes of an opcode with its argument; 0 where ``_next_opcode`` has to look."""
    opcode = bytes([code])
    size = _ARGUMENT_BYTES.get(opcode, -1)
    if size < 0 or opcode in (pickle.LONG_BINPUT, pickle.STOP):
        return 0
    return 1 + size


_FIXED_BYTES = [_fixed_bytes(code) for code in range(256)]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise ValueError(
                f"it asks for {module}.{name}; allowed are plain containers, text, bytes, numbers"
                " and numpy arrays of them"
            )
        return allowed


class _Callable:
    """A function that a pickle cannot change: it has no attributes that could be set."""

    __slots__ = ()


class _DtypeState:
    """A numpy dtype of booleans, numbers or text.

    Nothing that a pickle says of it afterwards can make it one of another kind.
    """

    __slots__ = ("dtype",)

    def __init__(self, code: object) -> None:
        code = _text(code)
        self.dtype = np.dtype(code) if isinstance(code, str) else np.dtype(object)
        if self.dtype.kind not in "biufcSU" or self.dtype.subdtype is not None:
            raise ValueError(f"a numpy array of {code!r}; allowed are booleans, numbers and text")

    def __setstate__(self, state: tuple[object, ...]) -> None:
        # (version, byte order, subarray, names, fields, item size, alignment, flags, ...).
        # The code has given the sizes already.
        order = _text(state[1])
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise ValueError(f"a numpy dtype with {state[1:5]!r}")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


def _text(value: object) -> object:
    """Return a string of Python 2 as text, anything else as it is."""
    return value.decode("ascii") if isinstance(value, bytes) else value


class _Array(np.ndarray):
    """An array whose state is checked before numpy sees it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        array = _from_bytes(data, dtype, shape)
        checked: Any = (1, array.shape, array.dtype, bool(fortran), array.tobytes())
        super().__setstate__(checked)


def _from_bytes(data: object, dtype: object, shape: object) -> np.ndarray:
    """Return the bytes as an array in C order. Raises ValueError when they do not fill it."""
    if not isinstance(dtype, _DtypeState) or not isinstance(data, bytes | bytearray):
        raise ValueError("a numpy array without a plain dtype or without its bytes")
    if not isinstance(shape, tuple) or not all(
        type(length) is int and length >= 0 for length in shape
    ):
        raise ValueError(f"a numpy array of shape {shape!r}")
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f"a numpy array of {shape} {dtype.dtype} in {len(data)} bytes")

    if not len(data):
        return np.empty(shape, dtype.dtype)
    return np.frombuffer(data, dtype.dtype).reshape(shape)


class _Dtype(_Callable):
    __slots__ = ()

    def __call__(self, code: object, *_: object) -> _DtypeState:
        return _DtypeState(code)


class _Empty(_Callable):
    """numpy's ``_reconstruct``: an empty array that takes its state next."""

    __slots__ = ()

    def __call__(self, *_: object) -> np.ndarray:
        return np.empty(0, np.uint8).view(_Array)


class _FromBuffer(_Callable):
    """numpy's ``_frombuffer``, which protocol 5 uses."""

    __slots__ = ()

    def __call__(
        self, data: object, dtype: object, shape: object, order: object = "C", *_: object
    ) -> np.ndarray:
        array = _from_bytes(data, dtype, shape)
        in_order = array.reshape(-1).reshape(array.shape, order="F" if order == "F" else "C")
        return in_order.copy(order="K")


class _Scalar(_Callable):
    __slots__ = ()

    def __call__(self, dtype: object, data: object) -> Any:
        return _from_bytes(data, dtype, ())[()]


class _Encode(_Callable):
    """``_codecs.encode``: how protocols up to 2 write bytes."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise ValueError(f"bytes in the encoding {encoding!r}")
        return text.encode("latin-1")


class _NoBytes(_Callable):
    """``bytes()``: how protocols up to 2 write empty bytes."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


class _Dict(_Callable):
    """``defaultdict``: its factory is not needed to read it."""

    __slots__ = ()

    def __call__(self, *_: object) -> dict[object, object]:
        return {}


_PLAIN: dict[str, object] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, list, tuple, dict, set, frozenset)
}
_NUMPY: dict[tuple[str, str], object] = {
    ("multiarray", "_reconstruct"): _Empty(),
    ("multiarray", "scalar"): _Scalar(),
    ("numeric", "_frombuffer"): _FromBuffer(),
}
_ALLOWED: dict[tuple[str, str], object] = {
    **{
        (module, name): kind
        for module in ("builtins", "__builtin__")
        for name, kind in _PLAIN.items()
    },
    ("builtins", "bytes"): _NoBytes(),
    ("__builtin__", "bytes"): _NoBytes(),
    ("collections", "OrderedDict"): dict,
    ("collections", "defaultdict"): _Dict(),
    ("_codecs", "encode"): _Encode(),
    ("numpy", "dtype"): _Dtype(),
    ("numpy", "ndarray"): _Callable(),
    **{
        (f"numpy.{core}.{module}", name): kind
        for core in ("core", "_core")
        for (module, name), kind in _NUMPY.items()
    },
}
