"""Folders that save_to_disk of Hugging Face's library `datasets` wrote."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mpifl.datasets.importers.huggingface import Huggingface
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    peak_of_reading,
    refusal,
    samples_of,
)
from tests.known import known

ROOT = Path(__file__).parents[3]


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    """In a process where the library cannot be imported."""
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from mpifl.commands.data import data\n"
        f"data(['import', 'huggingface', {str(tmp_path)!r}, '--x', 'x', '--label', 'y', '-o', {str(tmp_path / 'out.h5')!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    said = f"mpifl: {tmp_path}: the library datasets is not installed; install it: pip install 'mpifl[huggingface]'"
    assert done.stderr.strip() == said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def datasets() -> Any:
    """The library, without its progress bars."""
    found = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
    found.disable_progress_bars()
    return found


def png(colour: tuple[int, int, int], size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "png")
    return file.getvalue()


def saved(
    datasets: Any, path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None
) -> Path:
    made = datasets.Dataset.from_dict(
        columns, features=datasets.Features(features) if features else None
    )
    made.save_to_disk(str(path))
    return path


def test_images_with_their_clients_and_splits(datasets: Any, tmp_path: Path) -> None:
    (tmp_path / "3.png").write_bytes(png((30, 1, 2)))
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog", "cow"]),
            "who": datasets.Value("int64"),
        }
    )
    columns = {
        "image": [{"bytes": png((10 * k, 1, 2)), "path": None} for k in range(3)]
        + [{"bytes": None, "path": f"{tmp_path}/3.png"}],
        "label": [0, 2, 1, 0],
        "who": [7, 10, 7, 10],
    }
    train = datasets.Dataset.from_dict(columns, features=features)
    splits = {"train": train.shuffle(seed=1), "test": train.select([1]), "extra": train}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "pets"))
    data = imported(
        Huggingface(x="image", label="label", client="who", normalise="unit"),
        tmp_path,
        tmp_path / "pets",
    )
    assert (data.name, data.outputs, data.labels.tolist()) == ("pets", 3, [b"cat", b"dog", b"cow"])
    assert (data.train.client.tolist(), data.test.samples, data.validation.clients) == (
        [b"7", b"10"],
        1,
        0,
    )
    found = zip(
        labels_of(data.train, "7"),
        (one[:, 0, 0].tolist() for one in samples_of(data.train, "7")),
        strict=True,
    )
    assert sorted(found) == [(0, [0, 1, 2]), (1, [20, 1, 2])]
    small = imported(
        Huggingface(x="image", label="label", size="2x2", grey=True, test_split="extra"),
        tmp_path,
        tmp_path / "pets",
    )
    assert small.train.x.shape == (4, 2, 2)
    assert (small.train.client.tolist(), small.test.samples) == ([b"all"], 4)


def test_images_that_cannot_be_read_are_refused(datasets: Any, tmp_path: Path) -> None:
    features = {"image": datasets.Image(), "label": datasets.Value("int64")}
    importer, out = Huggingface(x="image", label="label"), tmp_path / "out"
    good = {"bytes": png((1, 2, 3)), "path": None}
    for name, wrong, said in (
        ("cut", {"bytes": png((1, 2, 3))[:50], "path": None}, "sample 1: not a picture"),
        ("none", None, "sample 1: no image"),
        (
            "other",
            {"bytes": png((1, 2, 3), (5, 4)), "path": None},
            "sample 1: 4x5; others have 4x6",
        ),
    ):
        path = saved(datasets, tmp_path / name, {"image": [good, wrong], "label": [0, 1]}, features)
        assert f"{path}: rows from 0, {said}" in refusal(importer, out, path)


def test_texts_are_classified_or_predicted(datasets: Any, tmp_path: Path) -> None:
    columns = {
        "text": ["Good day", "bad day !", ""],
        "mood": ["up", "down", "up"],
        "user": ["a", "b", "a"],
    }
    path = saved(datasets, tmp_path / "texts", columns)
    data = imported(Huggingface(x="text", label="mood", client="user"), tmp_path, path)
    assert data.tokens.tolist() == [b"<unknown>", b"day", b"!", b"bad", b"good"]
    assert [one.tolist() for one in samples_of(data.train, "a")] == [[4, 1], [0]]
    assert (data.labels.tolist(), labels_of(data.train, "a")) == ([b"down", b"up"], [1, 1])
    language = imported(
        Huggingface(x="text", client="user", task="language", tokens="characters", length=5),
        tmp_path,
        path,
    )
    read = [language.tokens[k].decode() for one in samples_of(language.train, "a") for k in one[1:]]
    assert read == [*"Good day", "<eos>", "<eos>"]
    assert (language.train.y, language.outputs, language.vocabulary) == (
        None,
        len(language.tokens),
        len(language.tokens),
    )


def test_numbers_keep_their_shapes(datasets: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    cube, line, ragged = (
        random.random((5, 2, 3)),
        random.random((5, 4)),
        [random.random(k + 1) for k in range(5)],
    )
    columns = {
        "cube": cube.tolist(),
        "line": line.tolist(),
        "ragged": [r.tolist() for r in ragged],
        "y": [0, 1, 2, 1, 0],
    }
    columns |= {
        "coarse": [0, 0, 1, 0, 0],
        "picture": random.integers(256, size=(5, 4, 4, 3)).tolist(),
        "one": [1.5, 2, 3, 4, 5],
    }
    value = datasets.Value
    features = {
        "cube": datasets.Array2D((2, 3), "float32"),
        "line": datasets.List(value("float64"), length=4),
        "ragged": datasets.List(value("float32")),
        "picture": datasets.Array3D((4, 4, 3), "uint8"),
        "one": value("float32"),
        "y": value("int8"),
        "coarse": value("int32"),
    }
    path = saved(datasets, tmp_path / "numbers", columns, features)
    for name, expected in (
        ("cube", cube),
        ("line", line),
        ("one", np.array(columns["one"])[:, None]),
    ):
        data = imported(
            Huggingface(x=name, label="y", coarse="coarse", normalise="none"), tmp_path, path
        )
        assert np.array_equal(data.train.x, expected.astype(np.float32))
        assert (known(data.train.y).tolist(), known(data.train.coarse).tolist(), data.outputs) == (
            [0, 1, 2, 1, 0],
            [0, 0, 1, 0, 0],
            3,
        )
    data = imported(Huggingface(x="picture", label="y", normalise="unit"), tmp_path, path)
    assert np.array_equal(data.train.x, np.array(columns["picture"]).transpose(0, 3, 1, 2))
    assert "--ragged" in refusal(Huggingface(x="ragged", label="y"), tmp_path / "out", path)
    data = imported(
        Huggingface(x="ragged", label="y", ragged=True, normalise="none"), tmp_path, path
    )
    for one, expected in zip(samples_of(data.train, "all"), ragged, strict=True):
        assert np.array_equal(one[:, 0], expected.astype(np.float32))


def test_token_ids_are_taken_as_they_are(datasets: Any, tmp_path: Path) -> None:
    columns = {"input_ids": [[5, 6, 7, 8], [9], [5, 299]], "user": ["a", "b", "a"], "y": [0, 1, 1]}
    path = saved(datasets, tmp_path / "ids", columns)
    importer = Huggingface(
        x="input_ids", client="user", task="language", tokens="ids", vocabulary=300, length=2
    )
    data = imported(importer, tmp_path, path)
    assert [one.tolist() for one in samples_of(data.train, "a")] == [[5, 6, 7], [7, 8], [5, 299]]
    assert (data.train.x.dtype, data.outputs, data.vocabulary) == (np.int32, 300, 300)
    assert labels_of(
        imported(
            Huggingface(x="input_ids", label="y", tokens="ids", vocabulary=300), tmp_path, path
        ).train,
        "all",
    ) == [
        0,
        1,
        1,
    ]
    small = Huggingface(x="input_ids", task="language", tokens="ids", vocabulary=299)
    assert "sample 2: expected token ids" in refusal(small, tmp_path / "out", path)
    assert "--tokens: 'ids'" in refusal(
        Huggingface(x="user", task="language", tokens="ids"), tmp_path / "out", path
    )
    assert "--task: 'language'" in refusal(
        Huggingface(x="input_ids", task="language"), tmp_path / "out", path
    )
    assert "--ragged: True" in refusal(
        Huggingface(x="user", label="y", ragged=True), tmp_path / "out", path
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": [[1.0], None], "y": [0, 1]}, "no value"),
        ({"x": [[1.0], [None]], "y": [0, 1]}, "no value"),
        ({"x": [[1.0], [2.0]], "y": [0, -1]}, "sample 1: label -1"),
        ({"x": [[1.0], [2.0]], "y": [0, None]}, "no value"),
        ({"x": [[1.0], [2.0]], "y": [0.0, 0.5]}, "sample 1: label 0.5"),
        ({"x": [[1.0], [2.0]], "y": [[0], [1]]}, "one number"),
        ({"x": [[[1.0], [1.0, 2.0]], [[1.0]]], "y": [0, 1]}, "inner lists differ"),
        ({"x": [{"a": 1}, {"a": 2}], "y": [0, 1]}, "expected numbers"),
        ({"x": ["a", None], "y": [0, 1]}, "sample 1: 'None'; expected text"),
        ({"x": [[1.0], [float("nan")]], "y": [0, 1]}, "sample 1: nan"),
        ({"x": [[1.0], [2.0]], "y": ["a", None]}, "expected text"),
        (
            {"x": [[1.0], [2.0]], "y": [0, 1], "client": ["a", None]},
            "sample 1: None; expected a client",
        ),
        (
            {"x": [[1.0], [2.0]], "y": [0, 1], "client": ["a", ""]},
            "sample 1: ''; expected a client",
        ),
        (
            {"x": [[1.0], [2.0]], "y": [0, 1], "client": [1.5, 2.5]},
            "sample 0: 1.5; expected a client",
        ),
        ({"x": [], "y": []}, ""),
        ({"z": [1.0]}, "--x: 'x'"),
        ({"x": [1.0]}, "--label: 'y'"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    datasets: Any, columns: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = saved(datasets, tmp_path / "data", columns)
    message = refusal(
        Huggingface(x="x", label="y", client="client" if "client" in columns else ""),
        tmp_path / "out",
        path,
    )
    assert str(path) in message
    assert said in message


def test_splits_that_do_not_go_together_are_refused(datasets: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def split(names: list[str], labels: list[int]) -> Any:
        features = datasets.Features(
            {"x": datasets.Value("float32"), "y": datasets.ClassLabel(names=names)}
        )
        return datasets.Dataset.from_dict(
            {"x": [float(k) for k in labels], "y": labels}, features=features
        )

    datasets.DatasetDict(
        {"train": split(["a", "b"], [0, 1]), "test": split(["b", "a"], [0])}
    ).save_to_disk(str(tmp_path / "d"))
    assert "classes in y differ" in refusal(Huggingface(x="x", label="y"), out, tmp_path / "d")
    assert "--train-split: 'all'" in refusal(
        Huggingface(x="x", label="y", train_split="all"), out, tmp_path / "d"
    )
    split(["a", "b"], [1]).save_to_disk(str(tmp_path / "t"))
    assert "--test" in refusal(
        Huggingface(x="x", label="y"), out, tmp_path / "d", test=tmp_path / "t"
    )
    data = imported(
        Huggingface(x="x", label="y", test_split=""), tmp_path, tmp_path / "d", test=tmp_path / "t"
    )
    assert (data.test.samples, data.labels.tolist()) == (1, [b"a", b"b"])
    assert "--label" in refusal(Huggingface(x="x"), out, tmp_path / "t")
    assert "--label" in refusal(Huggingface(x="x", label="y", task="language"), out, tmp_path / "t")


def test_damaged_folders_are_refused(datasets: Any, tmp_path: Path) -> None:
    importer, out = Huggingface(x="x", label="y"), tmp_path / "out"
    path = saved(
        datasets, tmp_path / "data", {"x": [[float(k)] for k in range(500)], "y": [0, 1] * 250}
    )
    arrow = next(path.glob("*.arrow"))
    raw = arrow.read_bytes()
    for size in (0, 10, 300, len(raw) // 2):
        arrow.write_bytes(raw[:size])
        assert refusal(importer, out, path).startswith(f"{path}: ")
    arrow.unlink()
    assert refusal(importer, out, path).startswith(f"{path}: ")
    for file in path.iterdir():
        file.unlink()
    assert refusal(importer, out, path).startswith(f"{path}: ")
    assert f"{tmp_path / 'none'}: no such folder" in refusal(importer, out, tmp_path / "none")


def hub_folder(folder: Path) -> Path:
    """Two data sets in one folder: numbers in Parquet, by split and shard, and texts."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    (folder / "data").mkdir(parents=True)
    for name, start in (("train-00000-of-00002", 0), ("train-00001-of-00002", 2), ("test-0", 4)):
        columns = {"x": [start, start + 1], "y": [0, 1], "who": ["a", "b"]}
        parquet.write_table(pa.table(columns), folder / "data" / f"{name}.parquet")
    parquet.write_table(pa.table({"t": ["a b", "c"], "y": ["p", "q"]}), folder / "words.parquet")
    (folder / "README.md").write_text(
        "---\nlicense: mit\nconfigs:\n- config_name: numbers\n  data_files:\n"
        "  - {split: train, path: data/train-*}\n  - {split: test, path: data/test-*}\n"
        "- config_name: words\n  data_files: words.parquet\n---\nText.\n"
    )
    return folder


def test_a_folder_of_the_hub_is_read_without_a_copy(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub_folder(tmp_path / "repo")
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    options = {"x": "x", "label": "y", "client": "who", "config": "numbers", "normalise": "none"}
    data = imported(Huggingface(**options), tmp_path, folder)
    assert (data.train.client.tolist(), data.train.x.ravel().tolist()) == (
        [b"a", b"b"],
        [0, 2, 1, 3],
    )
    assert (data.test.x.ravel().tolist(), data.name) == ([4, 5], "repo")
    words = imported(Huggingface(x="t", label="y", config="words"), tmp_path, folder)
    assert (words.train.samples, words.labels.tolist()) == (2, [b"p", b"q"])
    assert not cache.exists()
    lines = tmp_path / "lines"
    lines.mkdir()
    (lines / "train.jsonl").write_text('{"t": "a b", "y": "p"}\n{"t": "c", "y": "q"}\n')
    found = imported(Huggingface(x="t", label="y"), tmp_path, lines)
    assert np.array_equal(found.train.x, words.train.x)

    blobs = tmp_path / "datasets--someone--repo"
    (blobs / "refs").mkdir(parents=True)
    (blobs / "refs" / "main").write_text("0a1b")
    (blobs / "blobs").mkdir()
    for k, file in enumerate(sorted(folder.rglob("*.*"))):
        link = blobs / "snapshots" / "0a1b" / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.rename(blobs / "blobs" / str(k)))
    cached = imported(Huggingface(**options), tmp_path, blobs)
    assert np.array_equal(cached.train.x, data.train.x)


def test_folders_of_images_are_those_of_the_hub(datasets: Any, tmp_path: Path) -> None:
    for k, below in enumerate(("train/cat/1", "train/dog/1", "test/dog/2")):
        (tmp_path / "pets" / below).parent.mkdir(parents=True)
        (tmp_path / "pets" / f"{below}.png").write_bytes(png((10 * k, 1, 2)))
    data = imported(
        Huggingface(x="image", label="label", normalise="unit"), tmp_path, tmp_path / "pets"
    )
    assert data.labels.tolist() == [b"cat", b"dog"]
    assert data.train.x[:, 0, 0, 0].tolist() == [0, 10]
    assert (data.test.x[:, 0, 0, 0].tolist(), known(data.test.y).tolist()) == ([20], [1])


def test_folders_of_the_hub_that_do_not_fit_are_refused(datasets: Any, tmp_path: Path) -> None:
    folder, out = hub_folder(tmp_path / "repo"), tmp_path / "out"
    message = refusal(Huggingface(x="x", label="y"), out, folder)
    assert f"--config: '': {folder}: " in message
    assert "['numbers', 'words']" in message
    assert "--config: 'other'" in refusal(
        Huggingface(x="x", label="y", config="other"), out, folder
    )
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: a\n  data_files: https://example.org/x.jsonl\n---\n"
    )
    assert refusal(Huggingface(x="x", label="y"), out, folder) == (
        f"{folder}/README.md: names 'https://example.org/x.jsonl';"
        " allowed are files in its folder: nothing is downloaded"
    )
    path = saved(datasets, tmp_path / "data", {"x": [[1.0], [2.0]], "y": [0, 1]})
    assert "--config: 'a'" in refusal(Huggingface(x="x", label="y", config="a"), out, path)


def test_the_command_imports_and_refuses(datasets: Any, tmp_path: Path) -> None:
    path = saved(datasets, tmp_path / "data", {"x": [[1.0], [2.0]], "y": [0, 1]})
    status, said = command(tmp_path / "out", "huggingface", str(path), "--x", "x", "--label", "y")
    assert (status, "train: 2 samples of 1 client\n" in said) == (0, True)
    assert command(tmp_path / "bad", "huggingface", str(path), "--x", "x", "--label", "z")[0] == 2
    assert (
        command(
            tmp_path / "bad", "huggingface", str(tmp_path / "none"), "--x", "x", "--label", "z"
        )[0]
        == 2
    )


def test_memory_does_not_grow_with_the_rows(datasets: Any, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        columns = {"x": np.zeros((rows, 100), np.float32), "y": np.arange(rows) % 2}
        path = saved(datasets, tmp_path / f"{rows}", columns)
        return peak_of_reading(Huggingface(x="x", label="y"), tmp_path, path)

    few, many = peak(4_000), peak(40_000)
    assert many < few + (1 << 20)  # 36,000 more rows are 14 MB
