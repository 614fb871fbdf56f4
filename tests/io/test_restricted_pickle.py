"""Pickles: what is data comes back as it was, and what is not runs nothing."""

from __future__ import annotations

import collections
import contextlib
import gzip
import lzma
import os
import pickle
import struct
from datetime import datetime
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpifl.errors import InputError
from mpifl.io.restricted_pickle import read_pickle
from tests.budget import examples

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def written(folder: Path, raw: bytes, name: str = "x.pkl") -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_pickle(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# What is data

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    | st.tuples(inner, inner) | st.frozensets(st.integers(), max_size=3) | st.sets(st.text(max_size=3), max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(value=plain, protocol=st.sampled_from(list(PROTOCOLS)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_plain_values_come_back(tmp_path: Path, value: Any, protocol: int) -> None:
    assert read_pickle(written(tmp_path, pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dictionaries_of_every_kind_are_plain_ones(tmp_path: Path, protocol: int) -> None:
    ordered, counted = (
        collections.OrderedDict(b=1, a=[2]),
        collections.defaultdict(list, {"x": [1]}),
    )
    found = read_pickle(written(tmp_path, pickle.dumps([ordered, counted], protocol)))
    assert found == [{"b": 1, "a": [2]}, {"x": [1]}]
    assert [type(part) for part in found] == [dict, dict]


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(10, dtype=np.int16)[::3],
    np.arange(5, dtype=">i4"),
    np.array([True, False]),
    np.array(["a", "bcd"]),
    np.array([b"xy", b"z"]),
    np.array(1 + 2j),
    np.zeros((0, 3)),
    np.float32(1.5),
    np.int64(-7),
    np.bool_(True),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_of_numbers_and_text_come_back_as_numpy_would_load_them(
    tmp_path: Path, array: np.ndarray, protocol: int
) -> None:
    raw = pickle.dumps({"one": array, "two": [array, array]}, protocol)
    found, numpys = read_pickle(written(tmp_path, raw)), pickle.loads(raw)
    for mine, theirs in (
        (found["one"], numpys["one"]),
        *zip(found["two"], numpys["two"], strict=True),
    ):
        assert np.array_equal(mine, theirs)
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_packed_files_are_unpacked(tmp_path: Path, suffix: str, pack: Any) -> None:
    path = written(tmp_path, pack(pickle.dumps([1, 2])), f"x{suffix}")
    assert read_pickle(path) == [1, 2]
    path.write_bytes(path.read_bytes()[:-3])
    refusal(path)


@pytest.mark.parametrize(
    "name", ["oort_openimg_size.pkl", "oort_speech_size.pkl", "speech_commands_clientDataMap.xz"]
)
def test_real_files_are_read(shared: Path, name: str) -> None:
    path = shared / "data" / "traces" / "fedscale" / name
    raw = path.read_bytes()
    mine, theirs = (
        read_pickle(path),
        pickle.loads(lzma.decompress(raw) if path.suffix == ".xz" else raw),
    )
    assert len(mine) == len(theirs) > 1000
    assert np.array_equal(mine, theirs) if "openimg" in name else mine == theirs


# What would run something


class Runs:
    """A pickle of this runs a command when it is loaded by pickle."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __repr__(self) -> str:
        return f"Runs({self.call[0].__name__})"

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_would_run_a_command_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    raw = pickle.dumps({1: Runs(os.system, f"touch {trap}")}, protocol)
    assert "it asks for posix.system" in refusal(written(tmp_path, raw))
    assert not trap.exists()
    pickle.loads(raw)  # the pickle is a live one
    assert trap.exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Runs(eval, "1"), "builtins.eval"),
        (Runs(getattr, 1, "real"), "builtins.getattr"),
        (Runs(open, "x"), "io.open"),
        (Runs(__import__, "os"), "builtins.__import__"),
        (Runs(collections.namedtuple, "P", "x"), "collections.namedtuple"),
        (Runs(np.load, "x"), "numpy.load"),
        (Runs(pickle.loads, b"."), "_pickle.loads"),
        (datetime(2020, 1, 1), "datetime.datetime"),
        (Path("x"), f"{PosixPath.__module__}.PosixPath"),  # of pathlib, or its part in 3.13
        (Runs, "Runs"),
    ],
    ids=str,
)
def test_every_other_name_is_refused(tmp_path: Path, value: Any, name: str) -> None:
    assert name in refusal(written(tmp_path, pickle.dumps(value)))


@pytest.mark.parametrize("raw", [b"\x80\x04P1\n.", b"\x80\x02\x82\x01.", b"(iposix\nsystem\n."])
def test_other_ways_to_name_things_are_refused(tmp_path: Path, raw: bytes) -> None:
    refusal(written(tmp_path, raw))


@pytest.mark.parametrize(
    "array",
    [np.array([{}, 1], object), np.zeros(2, "i4,f8"), np.zeros(2, "M8[s]"), np.zeros(2, "V3")],
    ids=str,
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_anything_else_are_refused(
    tmp_path: Path, array: np.ndarray, protocol: int
) -> None:
    refusal(written(tmp_path, pickle.dumps(array, protocol)))


class Forged:
    """A dtype whose pickle says what its own code does not: numpy would take the bytes behind it for pointers."""

    def __init__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return np.dtype, ("V8", False, True), self.state


@pytest.mark.parametrize(
    "state",
    [
        (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0),
        (3, "|", (np.dtype("O"), (1,)), None, None, 8, 1, 0),
        (3, "x", None, None, None, 8, 1, 63),
    ],
)
def test_a_forged_dtype_is_refused(tmp_path: Path, state: tuple[Any, ...]) -> None:
    raw = pickle.dumps(Runs(np._core.multiarray.scalar, Forged(state), b"\x41" * 8))  # type: ignore[attr-defined]
    assert "numpy" in refusal(written(tmp_path, raw))


def test_what_the_reader_itself_calls_cannot_be_changed_by_a_pickle(tmp_path: Path) -> None:
    # BUILD with (None, {name: value}) sets attributes of whatever is on top of the stack.
    for module, name in (
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
        ("numpy", "ndarray"),
    ):
        raw = b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"N}X\x01\x00\x00\x00aK\x01s\x86b."
        refusal(written(tmp_path, raw))
    assert read_pickle(written(tmp_path, pickle.dumps(np.arange(3), 2))).tolist() == [0, 1, 2]


# What is damaged


def test_a_pickle_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    for protocol in PROTOCOLS:
        raw = pickle.dumps({1: {"a": 1.5, "b": [1, 2, 300000]}, 2: np.arange(3)}, protocol)
        for length in range(len(raw)):
            refusal(written(tmp_path, raw[:length]))


def test_more_behind_the_end_is_refused(tmp_path: Path) -> None:
    raw = pickle.dumps([1])
    assert f"it ends at byte {len(raw)}" in refusal(written(tmp_path, raw + raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02Nr" + struct.pack("<I", 0x7FFFFFFF) + b".",
        b"Np2147483647\n.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
        b"\x80\x04X" + struct.pack("<I", 1 << 31) + b".",
        b"\x80\x04cnumpy\nndarray\n" + struct.pack("<B", 0x8A),
    ],
    ids=["memo", "text memo", "bytes", "text", "long"],
)
def test_a_few_bytes_do_not_take_gigabytes(tmp_path: Path, raw: bytes) -> None:
    refusal(written(tmp_path, raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not a pickle",
        b"\x89HDF\r\n\x1a\n",
        b"{'a': 1}",
        b"\x80\x04\xff.",
        b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    ],
)
def test_what_is_no_pickle_is_refused(tmp_path: Path, raw: bytes) -> None:
    refusal(written(tmp_path, raw))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refusal(tmp_path / "none")
    refusal(tmp_path)


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
@examples(300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_gives_data_or_an_error(tmp_path: Path, position: int, byte: int) -> None:
    raw = bytearray(pickle.dumps({1: {"a": 1.5, "b": [1, 2, "x"]}, 2: np.arange(3), 3: b"abc"}, 4))
    raw[position % len(raw)] = byte
    path = written(tmp_path, bytes(raw))
    with contextlib.suppress(InputError):
        read_pickle(path)
