"""Shards of WebDataset: made with tarfile, and with the library webdataset where it is installed."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mpifl.datasets.dataset import Part
from mpifl.datasets.importers.webdataset import Webdataset
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    peak_of_reading,
    refusal,
    samples_of,
)
from tests.known import known


def png(grey: int, size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (grey, 1, 2)).save(file, "png")
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def shard(path: Path, files: dict[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two shards with pictures of three towns."""
    for k, towns in enumerate((("oslo", "bonn"), ("oslo", "rome"))):
        files: dict[str, bytes | str] = {"README": "no sample", ".hidden.cls": "9"}
        for j, town in enumerate(towns):
            files[f"./{town}/{k}.PNG"] = png(20 * k + 10 * j)
            files[f"./{town}/{k}.cls"] = f"{2 * j}\n"
            who = {"id": f"P-0{k}", "age": 3}
            files[f"./{town}/{k}.json"] = json.dumps({"who": who, "kind": "ob"[town == "bonn"]})
        shard(tmp_path / "pets" / f"part-{k}.tar", files)
    (tmp_path / "pets" / "index.json").write_text("{}")
    return tmp_path / "pets"


def reds(part: Part, client: str) -> list[int]:
    return [int(x[0, 0, 0]) for x in samples_of(part, client)]


def test_files_of_one_key_are_a_sample(pets: Path, out: Path) -> None:
    pattern = r"part-\d\.tar/(?P<client>\w+)/"
    found = imported(Webdataset(client_pattern=pattern, normalise="unit"), out, pets)
    assert found.train.client.tolist() == [b"bonn", b"oslo", b"rome"]
    assert (found.train.x.shape, found.outputs, found.name) == ((4, 3, 4, 6), 3, "pets")
    assert (reds(found.train, "oslo"), labels_of(found.train, "oslo")) == ([0, 20], [0, 0])
    assert (reds(found.train, "rome"), labels_of(found.train, "rome")) == ([30], [2])
    assert (len(found.labels), found.feature_scale) == (0, 1 / 255)


def test_classes_and_clients_are_values_of_the_json(pets: Path, out: Path) -> None:
    importer = Webdataset(
        label_field="kind",
        client_field="who.id",
        client_pattern=r"-(?P<client>\d+)$",
        test_pattern="/rome/",
        grey=True,
        size="2x3",
    )
    found = imported(importer, out, pets)
    assert found.labels.tolist() == [b"b", b"o"]
    assert found.train.client.tolist() == [b"00", b"01"]
    assert (labels_of(found.train, "00"), found.train.x.shape) == ([1, 0], (3, 2, 3))
    assert (found.test.client.tolist(), known(found.test.y).tolist()) == ([b"01"], [1])


def test_arrays_and_other_endings(tmp_path: Path, out: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    files: dict[str, bytes | str] = {}
    for k in range(5):
        files |= {f"{k}.x.npy": npy(x[k]), f"{k}.other.npy": npy(x[0]), f"{k}.word": "ab"[k % 2]}
    paths = [shard(tmp_path / "a.tar", files), shard(tmp_path / "b.tar.gz", files)]
    for path in paths:
        found = imported(Webdataset(x="x.npy", label="word", normalise="none"), out, path)
        assert np.array_equal(found.train.x, x)
        assert (known(found.train.y).tolist(), found.labels.tolist()) == (
            [0, 1, 0, 1, 0],
            [b"a", b"b"],
        )
    both = imported(Webdataset(x="x.npy", label="word"), out, paths[0], test=paths[1])
    assert (both.train.samples, both.test.samples) == (5, 5)


def test_it_reads_what_the_library_writes(tmp_path: Path, out: Path) -> None:
    library = pytest.importorskip("webdataset")
    x = np.random.default_rng(0).integers(256, size=(7, 4, 6, 3)).astype(np.uint8)
    with library.ShardWriter(str(tmp_path / "s-%03d.tar"), maxcount=3, verbose=0) as writer:
        for k in range(7):
            writer.write({"__key__": f"n{k}", "png": x[k], "cls": k % 4, "json": {"who": k % 2}})
    found = imported(Webdataset(client_field="who"), out, *sorted(tmp_path.glob("s-*.tar")))
    assert np.array_equal(np.stack(samples_of(found.train, "1")), x[1::2].transpose(0, 3, 1, 2))
    assert labels_of(found.train, "0") == [0, 2, 0, 2]


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({"1.cls": "0"}, {}, ": 1: files that are the sample: none; expected one, a picture"),
        ({"1.png": png(1)}, {}, ": 1: no file that ends in .cls"),
        ({"1.png": png(1), "2.cls": "0", "1.cls": "0"}, {}, ": 1: no file that ends in .cls"),
        ({"1.png": png(1), "1.jpg": png(1), "1.cls": "0"}, {}, "sample: .png, .jpg; expected one"),
        ({"1.cls": "0", "./1.CLS": "0"}, {}, ": 1: two files end in .cls"),
        ({"1.png": b"no", "1.cls": "0"}, {}, ": 1: not a picture"),
        ({"1.png": png(1), "1.cls": " "}, {}, ": 1: .cls is empty"),
        ({"1.png": png(1), "1.cls": b"\xff"}, {}, ": 1: .cls is no text in UTF-8"),
        ({"1.json": "{"}, {"label_field": "y"}, ": 1: .json: not readable"),
        ({"1.json": '{"a": 1}'}, {"label_field": "y"}, ": 1: .json has no 'y'"),
        ({"1.json": '{"y": 1}'}, {"label_field": "y.z"}, ": 1: .json has no 'y.z'"),
        ({"1.json": '{"y": 0.5}'}, {"label_field": "y"}, ": 1: .json: y is '0.5'; expected"),
        ({"1.npy": npy(np.array([{}])), "1.cls": "0"}, {}, "Object arrays cannot be loaded"),
        (
            {"1.npy": npy([1.0]), "1.cls": "0", "2.npy": npy([1]), "2.cls": "0"},
            {},
            ": 2: int64 (1,); ",
        ),
        ({"1.png": png(1), "1.cls": "0", "2.npy": npy([1]), "2.cls": "0"}, {}, "--x names the"),
        (
            {"1.png": png(1), "1.cls": "0", "2.png": png(1, (5, 4)), "2.cls": "0"},
            {},
            ": 2: 4x5; others have 4x6",
        ),
        ({"README": "x"}, {}, ": no samples"),
        ({"1.png": png(1), "1.cls": "0"}, {"client_pattern": "(?P<client>!)"}, "no client by the"),
        ({"1.png": png(1), "1.cls": "0"}, {"test_pattern": "!"}, "--test-pattern: '!' is found in"),
        ({"1.png": png(1), "1.cls": "0"}, {"test_pattern": "1"}, "no samples for the train part"),
        ({"1.png": png(1)}, {"label": "a", "label_field": "b"}, "--label-field: 'b': not together"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, out: Path, files: dict[str, bytes | str], options: dict[str, Any], said: str
) -> None:
    message = refusal(Webdataset(**options), out, shard(tmp_path / "s.tar", files))
    assert said in message
    assert message.startswith((f"{tmp_path / 's.tar'}: ", "s.tar/1: ", "--"))


def test_damaged_shards_are_refused_wherever_they_are_cut(tmp_path: Path, out: Path) -> None:
    files: dict[str, bytes | str] = {}
    for k in range(4):
        files |= {f"{k}.npy": npy(np.arange(100.0)), f"{k}.cls": str(k % 2)}
    path = shard(tmp_path / "s.tar", files)
    raw = path.read_bytes()
    end = len(raw.rstrip(b"\0"))
    for damaged in (
        b"",
        raw[:100],
        *(raw[:cut] for cut in range(512, end, 512)),
        *(raw[:at] + b"\xff" * 512 + raw[at + 512 :] for at in (0, 2048, 4096)),
        gzip.compress(raw)[:-200],
    ):
        path.write_bytes(damaged)
        assert refusal(Webdataset(), out, path).startswith(f"{path}: ")


def test_sources_that_are_none_are_named(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no shards there; their names end in .tar" in refusal(
        Webdataset(), out, tmp_path / "empty"
    )
    assert str(tmp_path / "none") in refusal(Webdataset(), out, tmp_path / "none")


def test_memory_does_not_grow_with_the_shard(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        files: dict[str, bytes | str] = {}
        for k in range(count):
            files |= {f"{k:05}.npy": npy(np.zeros(1_000)), f"{k:05}.cls": str(k % 2)}
        return peak_of_reading(Webdataset(), tmp_path, shard(tmp_path / f"{count}.tar", files))

    few, many = peak(100), peak(1_000)
    assert many < few + (1 << 20)  # 900 more arrays are 7 MB


def test_the_command_imports_and_refuses(pets: Path, tmp_path: Path) -> None:
    status, said = command(tmp_path / "out", "webdataset", str(pets), "--client-field", "who.id")
    assert (status, "train: 4 samples of 2 clients\n" in said) == (0, True)
    assert command(tmp_path / "bad", "webdataset", str(pets), "--client-field", "x")[0] == 2
