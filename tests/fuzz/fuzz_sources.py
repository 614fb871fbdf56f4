"""One small valid input of every importer, in the format's own layout: what the fuzz tests damage."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

Files = dict[str, bytes]


@dataclass(frozen=True)
class Source:
    """``files`` by their place in a folder, and the ``arguments`` of the import command, in which {} is that folder."""

    files: Files
    arguments: tuple[str, ...]

    def lay_out(self, folder: Path) -> list[str]:
        """Write the files; returns the command's arguments but for -o."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return [argument.replace("{}", str(folder)) for argument in self.arguments]


def _idx(values: np.ndarray) -> bytes:
    code = {"uint8": 0x08, "int32": 0x0C}[values.dtype.name]
    shape = struct.pack(f">{values.ndim}i", *values.shape)
    return (
        bytes([0, 0, code, values.ndim])
        + shape
        + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _png(random: np.random.Generator, height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(random.integers(256, size=(height, width, 3)).astype(np.uint8)).save(
        file, "png"
    )
    return file.getvalue()


def _wav(random: np.random.Generator) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(random.integers(-9, 9, size=800).astype("<i2").tobytes())
    return file.getvalue()


def _tar(random: np.random.Generator) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for k in range(3):
            contents = {
                "png": _png(random, 3, 4),
                "cls": str(k % 2).encode(),
                "json": json.dumps({"who": "ab"[k % 2]}).encode(),
            }
            for ending, content in contents.items():
                member = tarfile.TarInfo(f"{k}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _coco() -> bytes:
    facts = {
        "images": [{"id": k, "file_name": f"{k}.png", "width": 4, "height": 3} for k in (1, 2)],
        "categories": [{"id": 9, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 2, "category_id": 9, "bbox": [1, 1, 2.5, 1]}],
    }
    return json.dumps(facts).encode()


def _nifti(random: np.random.Generator) -> bytes:
    import nibabel

    image: Any = nibabel.Nifti1Image
    return gzip.compress(image(random.random((2, 3, 4)).astype(np.float32), np.eye(4)).to_bytes())


def _dicom(random: np.random.Generator, number: int) -> bytes:
    import pydicom

    data: Any = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = pydicom.uid.CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.Rows, data.Columns, data.SamplesPerPixel = 3, 4, 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.InstanceNumber = number
    data.PixelData = random.integers(4096, size=(3, 4)).astype("<u2").tobytes()
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _medical(random: np.random.Generator) -> dict[str, Source]:
    """Those whose library is there; the extra medical has both."""
    sources = {}
    if find_spec("nibabel"):
        files = {f"{label}/1.nii.gz": _nifti(random) for label in "ab"}
        sources["nifti"] = Source(files, ("nifti", "{}", "--size", "4x4"))
    if find_spec("pydicom"):
        files = {f"{label}/p/{k}.dcm": _dicom(random, k) for label in "ab" for k in (1, 2)}
        sources["dicom"] = Source(files, ("dicom", "{}", "--series", "--size", "2x4x4"))
    return sources


def _mat() -> bytes:
    file = io.BytesIO()
    savemat(file, {"client_size": np.array([[5, 2, 7]])})
    return file.getvalue()


def _tff(random: np.random.Generator) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as out:
        for name in ("f0", "f1"):
            group = out.create_group(f"examples/{name}")
            group["pixels"] = random.integers(256, size=(3, 4, 4)).astype(np.float32) / np.float32(
                255
            )
            group["label"] = np.arange(3, dtype=np.int32)
    return file.getvalue()


def _snippets() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as out:
        text = out.create_group("examples/ROMEO").create_dataset(
            "snippets", (2,), h5py.string_dtype()
        )
        text[:] = ["What light is this?", "It is the east."]
    return file.getvalue()


def data_sources() -> dict[str, Source]:
    """By importer, and its kind where there are several: what ``mpifl data import`` takes."""
    random = np.random.default_rng(0)
    pixels, classes = (
        random.integers(256, size=(6, 4, 4)).astype(np.uint8),
        np.arange(6).astype(np.uint8) % 3,
    )
    writers = np.stack([np.arange(6) % 3, np.zeros(6), np.arange(6) % 2], axis=1).astype(np.int32)
    images = {"train-images-idx3-ubyte": _idx(pixels), "t10k-images-idx3-ubyte": _idx(pixels[:3])}
    cifar = np.concatenate(
        [np.arange(3)[:, None], random.integers(256, size=(3, 3072))], axis=1
    ).astype(np.uint8)
    users = {"users": ["a", "b"], "num_samples": [2, 1], "user_data": {}}
    femnist = {
        **users,
        "user_data": {
            name: {"x": [[1.0] * 784] * n, "y": [1, 2][:n]}
            for name, n in zip("ab", (2, 1), strict=True)
        },
    }
    synthetic = {
        **users,
        "user_data": {"a": {"x": [[0.5, 1], [2, 3]], "y": [0, 1]}, "b": {"x": [[1, 1]], "y": [1]}},
    }
    tweet = ["1", "Mon", "NO_QUERY", "user", "date", "so good to be here", "train"]
    sent140 = {
        **users,
        "user_data": {"a": {"x": [tweet] * 2, "y": [0, 1]}, "b": {"x": [tweet], "y": [1]}},
    }
    table = (
        b"client_id,sample_path,label_name,label_id\n7,a.png,cat,0\n7,b.png,dog,1\n9,c.png,cat,0\n"
    )
    rows = b"who,height,colour,kind\na,1.5,red,yes\na,2.5,blue,no\nb,?,red,yes\n"
    batch = {b"data": cifar[:, 1:], b"labels": [0, 1, 2]}
    return {
        "qmnist": Source(
            {
                **images,
                "qmnist-train-labels-idx2-int": _idx(writers),
                "qmnist-test-labels-idx2-int": _idx(writers),
            },
            ("qmnist", "{}"),
        ),
        "idx": Source(
            {
                **images,
                "train-labels-idx1-ubyte": _idx(classes),
                "t10k-labels-idx1-ubyte": _idx(classes[:3]),
            },
            ("idx", "{}"),
        ),
        "cifar-binary": Source({"data_batch_1.bin": cifar.tobytes()}, ("cifar", "{}")),
        "cifar-pickle": Source({"data_batch_1": pickle.dumps(batch, protocol=2)}, ("cifar", "{}")),
        "images": Source(
            {f"{kind}/{k}.png": _png(random, 3, 4) for kind in "xy" for k in range(2)},
            ("images", "{}"),
        ),
        "npz": Source(
            {
                "d.npz": _npz(
                    x=random.random((4, 3)),
                    y=np.array([0, 1, 1, 0]),
                    who=np.array(["a", "a", "b", "b"]),
                )
            },
            ("npz", "{}/d.npz", "--x", "x", "--label", "y", "--client", "who"),
        ),
        "npz-packed": Source(
            {
                "x.npy.xz": lzma.compress(_npy(random.random((4, 3)))),
                "y.npy": _npy(np.array([0, 1, 1, 0])),
            },
            ("npz", "{}/x.npy.xz", "{}/y.npy", "--x", "x", "--label", "y"),
        ),
        "leaf-femnist": Source(
            {"f.json": json.dumps(femnist).encode()}, ("leaf", "{}/f.json", "--kind", "femnist")
        ),
        "leaf-synthetic": Source(
            {"s.json": json.dumps(synthetic).encode()}, ("leaf", "{}/s.json", "--kind", "synthetic")
        ),
        "leaf-sent140": Source(
            {"t.json": json.dumps(sent140).encode()}, ("leaf", "{}/t.json", "--kind", "sent140")
        ),
        "tff-pixels": Source({"fed_emnist_train.h5": _tff(random)}, ("tff", "{}")),
        "tff-text": Source({"shakespeare_train.h5": _snippets()}, ("tff", "{}")),
        "fedscale": Source({"map.csv": table}, ("fedscale", "{}/map.csv", "--kind", "none")),
        "fedscale-images": Source(
            {"map.csv": table, **{f"r/{name}.png": _png(random, 3, 4) for name in "abc"}},
            ("fedscale", "{}/map.csv", "--kind", "images", "--root", "{}/r"),
        ),
        "fedscale-pickle": Source(
            {"map.pkl": pickle.dumps({"cat_1": 3, "dog_2": 3, "cat_3": 4})},
            ("fedscale", "{}/map.pkl", "--kind", "none", "--label-pattern", "^(?P<label>[a-z]+)_"),
        ),
        "csv": Source(
            {"t.csv": rows},
            (
                "csv",
                "{}/t.csv",
                "--label",
                "kind",
                "--client",
                "who",
                "--categorical",
                "colour",
                "--missing",
                "?",
                "--fill",
                "mean",
                "--standardize",
            ),
        ),
        "svmlight": Source(
            {"s.txt": b"-1 qid:1 1:0.5 3:2\n+1 qid:1 2:1e3\n+1 qid:2 3:4 # x\n"},
            ("svmlight", "{}/s.txt"),
        ),
        "text-plays": Source(
            {"p.txt": b"ACT I.\n\nROMEO.\nWhat light is this?\n\nJULIET.\nAh me. It is late.\n"},
            ("text", "{}/p.txt", "--layout", "plays"),
        ),
        "text-tsv": Source(
            {"t.tsv": b"a\tone two\nb\tthree four\n"}, ("text", "{}/t.tsv", "--layout", "tsv")
        ),
        "webdataset": Source(
            {"s.tar": _tar(random)}, ("webdataset", "{}/s.tar", "--client-field", "who")
        ),
        "wav": Source(
            {f"{word}/{k}_nohash_0.wav": _wav(random) for word in ("yes", "no") for k in "ab"},
            ("wav", "{}", "--seconds", "0.05"),
        ),
        "coco": Source(
            {"c.json": _coco(), **{f"i/{k}.png": _png(random, 3, 4) for k in (1, 2)}},
            ("coco", "{}/c.json", "{}/i"),
        ),
        **_medical(random),
        "sizes-pickle": Source({"s.pkl": pickle.dumps(np.array([3, 1, 2]))}, ("sizes", "{}/s.pkl")),
        "sizes-matlab": Source({"s.mat": _mat()}, ("sizes", "{}/s.mat")),
        "sizes-rows": Source({"s.csv": b"client,size\na,3\nb,1\n"}, ("sizes", "{}/s.csv")),
    }


def trace_sources() -> dict[str, Source]:
    """By importer: what ``mpifl traces import`` takes."""
    phones = [{"Model": "One", "AI_Score": " 76206 1,6"}, {"Model": "Two", "AI_Score": "3000"}]
    capacity = {
        1: {"computation": 40.0, "communication": 5000.0},
        2: {"computation": 90.0, "communication": 900.0},
    }
    behave = {
        k: {
            "duration": 50,
            "active": [0, 100],
            "inactive": [30, 120],
            "finish_time": 86_400,
            "model": "x",
        }
        for k in (1, 2)
    }
    said = "2020-01-31 23:00:00\tbattery_charged_on\n2020-01-31 23:00:01\twifi\n2020-01-31 23:00:02\tscreen_lock\n"
    said += "2020-02-01 05:00:00\t87.0%\n2020-02-01 06:00:00\tscreen_unlock\n"
    tables = {
        "devices.csv": b"compute_ms_per_sample,download_kbps\n20,1000\n30.5,2e3\n",
        "slots.csv": b"pattern,start,end,period\na,0,10,86400\na,20,30,86400\nb,,,86400\n",
        "curves.csv": b"curve,start,download_kbps,upload_kbps,period\nx,0,100,50,60\nx,30,0,10,60\n",
    }
    matrix = np.array([[0, 1, np.nan]] * 24 + [[1, 0, 1]] * 24)
    return {
        "ai-benchmark": Source(
            {"list.json": json.dumps(phones).encode()}, ("ai-benchmark", "{}/list.json")
        ),
        "csv": Source(tables, ("csv", *(f"{{}}/{name}" for name in tables))),
        "fedscale": Source(
            {"capacity": pickle.dumps(capacity), "behave": pickle.dumps(behave)},
            ("fedscale", "{}/capacity", "{}/behave"),
        ),
        "flash-matrix": Source({"m.npy": _npy(matrix)}, ("flash-matrix", "{}/m.npy")),
        "flash-matrix-packed": Source(
            {"m.npy.xz": lzma.compress(_npy(matrix))}, ("flash-matrix", "{}/m.npy.xz")
        ),
        "flash-states": Source(
            {
                "states.json": json.dumps(
                    {"u1": {"messages": said}, "u2": {"messages": said}}
                ).encode()
            },
            ("flash-states", "{}/states.json"),
        ),
        "mahimahi": Source(
            {"a.down": b"3\n5\n5\n900\n1500\n", "a.up": b"10\n2000\n"},
            ("mahimahi", "{}/a.down", "{}/a.up"),
        ),
        "oort": Source({"s.pkl": pickle.dumps({1: 2})}, ("oort", "{}/s.pkl")),
        "seconds-mbit": Source({"log": b"0.0 1.5\n1.0 2.5\n2.1 0\n"}, ("seconds-mbit", "{}/log")),
    }


EVERY: dict[str, Callable[[], dict[str, Source]]] = {"data": data_sources, "traces": trace_sources}
