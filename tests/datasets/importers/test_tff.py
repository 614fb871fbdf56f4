"""TensorFlow Federated's HDF5, in the layout of its own files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.importers.tff import LETTERS, Tff
from tests.budget import examples
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    peak_of_reading,
    refusal,
    samples_of,
)
from tests.known import known

Clients = dict[str, dict[str, Any]]


def write(path: Path, clients: Clients) -> Path:
    """As TFF writes it: a group examples, a group of each client, a data set of each field; text as bytes of any length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        examples = file.create_group("examples")
        for name, fields in clients.items():
            group = examples.create_group(name)
            for field, rows in fields.items():
                if isinstance(rows, list):
                    group.create_dataset(
                        field, data=np.array(rows, object), dtype=h5py.string_dtype()
                    )
                else:
                    group[field] = rows
    return path


def emnist(random: np.random.Generator, count: int, classes: int = 62) -> dict[str, np.ndarray]:
    """federated_emnist: pixels float32 (n, 28, 28) from 0 to 1, label int32 (n,)."""
    pixels = random.integers(256, size=(count, 28, 28)).astype(np.float32) / np.float32(255)
    return {"pixels": pixels, "label": random.integers(classes, size=count).astype(np.int32)}


@pytest.fixture
def femnist(tmp_path: Path) -> tuple[Path, Clients, Clients]:
    random = np.random.default_rng(0)
    train = {"f0000_14": emnist(random, 4), "f0001_41": emnist(random, 3)}
    train["f0001_41"]["label"][0] = 61
    test = {"f0000_14": emnist(random, 1), "f0001_41": emnist(random, 2)}
    write(tmp_path / "fed_emnist" / "fed_emnist_train.h5", train)
    write(tmp_path / "fed_emnist" / "fed_emnist_test.h5", test)
    return tmp_path / "fed_emnist", train, test


def test_emnist_keeps_its_pixels_as_bytes(
    femnist: tuple[Path, Clients, Clients], tmp_path: Path
) -> None:
    folder, train, test = femnist
    data = imported(Tff(), tmp_path, folder)
    assert (data.name, data.outputs, data.train.x.dtype) == ("femnist", 62, np.dtype(np.uint8))
    for part, clients in ((data.train, train), (data.test, test)):
        for name, fields in clients.items():
            features = np.stack(samples_of(part, name)) * np.float32(data.feature_scale)
            assert np.allclose(features, fields["pixels"], rtol=2e-7, atol=0)
            assert labels_of(part, name) == fields["label"].tolist()


def test_files_may_be_named_themselves(
    femnist: tuple[Path, Clients, Clients], tmp_path: Path
) -> None:
    folder, train, _ = femnist
    data = imported(
        Tff(features="float32"),
        tmp_path,
        folder / "fed_emnist_train.h5",
        test=folder / "fed_emnist_test.h5",
    )
    assert (data.train.samples, data.test.samples) == (7, 3)
    assert np.array_equal(np.stack(samples_of(data.train, "f0000_14")), train["f0000_14"]["pixels"])
    assert data.feature_scale == 1.0


def test_pixels_that_are_no_bytes_are_kept_or_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    clients = {"a": emnist(random, 2), "b": emnist(random, 2)}
    clients["b"]["pixels"][1, 0, 0] = 0.5
    path = write(tmp_path / "a_train.h5", clients)
    message = refusal(Tff(), tmp_path / "out", path)
    assert f"{path}: client 'b', sample 1: 0.5" in message
    assert "--features float32" in message
    assert imported(Tff(features="float32"), tmp_path, path).train.x.dtype == np.float32
    clients["a"]["pixels"][0, 0, 0] = 0.5
    assert imported(Tff(), tmp_path, write(path, clients)).train.x.dtype == np.float32


def test_floats_of_a_byte_times_its_reciprocal_are_bytes_too(tmp_path: Path) -> None:
    every = (np.arange(256, dtype=np.float32) * (np.float32(1) / np.float32(255))).reshape(
        1, 16, 16
    )
    path = write(tmp_path / "a_train.h5", {"a": {"pixels": every, "label": np.ones(1, np.int32)}})
    assert imported(Tff(), tmp_path, path).train.x.ravel().tolist() == list(range(256))


def test_cifar100_has_channels_first_and_coarse_labels(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    images = random.integers(256, size=(5, 32, 32, 3), dtype=np.uint8)
    fields = {
        "image": images,
        "label": np.array([[99], [0], [5], [7], [1]], np.int64),
        "coarse_label": np.array([[19], [0], [1], [1], [0]], np.int64),
        "id": np.arange(5),
    }
    path = write(tmp_path / "fed_cifar100" / "fed_cifar100_train.h5", {"0": fields})
    data = imported(Tff(), tmp_path, path.parent)
    assert np.array_equal(data.train.x, images.transpose(0, 3, 1, 2))
    assert (data.outputs, known(data.train.y).tolist(), known(data.train.coarse).tolist()) == (
        100,
        [99, 0, 5, 7, 1],
        [19, 0, 1, 1, 0],
    )
    assert data.feature_scale == 1 / 255
    standard = imported(Tff(normalise="standard"), tmp_path, path)
    features = standard.train.x * standard.feature_scale + standard.feature_shift
    assert np.allclose(features.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    assert np.allclose(features.std(axis=(0, 2, 3)), 1, atol=1e-5)


SNIPPETS = [
    "Yonder comes my master, your brother.",
    "",
    "Go apart, Adam, and thou shalt hear how he will shake me up. " * 3,
]


def test_shakespeare_has_tffs_characters(tmp_path: Path) -> None:
    """The ids that FedML and TFF's own code give: 1 to 86 for the characters, 87 and 88 around a snippet."""
    path = write(tmp_path / "shakespeare_train.h5", {"THE_PLAY_ADAM": {"snippets": SNIPPETS}})
    data = imported(Tff(), tmp_path, path)
    assert (data.task, data.outputs, data.vocabulary, data.train.y) == ("language", 89, 89, None)
    assert data.train.x.dtype == np.uint8
    ids = {letter: k for k, letter in enumerate(["<pad>", *LETTERS, "<bos>", "<eos>"])}
    assert (len(LETTERS), ids["d"], ids["\r"], ids["<bos>"]) == (86, 1, 86, 87)
    samples = samples_of(data.train, "THE_PLAY_ADAM")
    assert samples[0].tolist() == [87, *(ids[letter] for letter in SNIPPETS[0]), 88]
    assert samples[1].tolist() == [87, 88]
    assert [len(one) for one in samples] == [39, 2, 81, 81, len(SNIPPETS[2]) + 2 - 160]


@examples(25)
@given(st.text(LETTERS, max_size=200), st.integers(1, 90))
def test_every_character_is_predicted_once(text: str, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a_train.h5", {"a": {"snippets": [text]}})
        data = imported(Tff(length=length), Path(folder), path)
        samples = samples_of(data.train, "a")
        predicted = [data.tokens[k].decode() for one in samples for k in one[1:]]
        assert predicted == [*text, "<eos>"]
        assert max(len(one) for one in samples) <= length + 1
        assert min(len(one) for one in samples) >= 2


def test_an_unknown_character_is_token_0(tmp_path: Path) -> None:
    path = write(tmp_path / "a_train.h5", {"a": {"snippets": ["aé"]}})
    assert imported(Tff(), tmp_path, path).train.x.tolist()[2] == 0


POSTS: Clients = {
    "00000001": {
        "creation_date": ["2017-01-01 00:00:00 UTC"] * 3,
        "score": np.array([5, 5, -1]),
        "tags": ["python|numpy", "python|numpy", "c++"],
        "title": ["how to add", "how to add", "why"],
        "tokens": ["i have a list-comprehension .", "how do i add it ?", "i have a question"],
        "type": ["question", "question", "answer"],
    },
    "00000002": {
        "creation_date": ["2017-01-01 00:00:00 UTC"],
        "score": np.array([0]),
        "tags": ["c"],
        "title": ["t"],
        "tokens": ["a list-comprehension"],
        "type": ["answer"],
    },
}


def test_stackoverflow_predicts_words(tmp_path: Path) -> None:
    folder = tmp_path / "stackoverflow"
    write(folder / "stackoverflow_train.h5", POSTS)
    write(folder / "stackoverflow_held_out.h5", {"00000010": POSTS["00000002"]})
    write(folder / "stackoverflow_test.h5", {"00000001": POSTS["00000001"]})
    data = imported(Tff(vocabulary=8), tmp_path, folder)
    assert data.tokens.tolist() == [
        b"<unknown>",
        b"a",
        b"i",
        b"have",
        b"list-comprehension",
        b".",
        b"<bos>",
        b"<eos>",
    ]
    assert samples_of(data.train, "00000001")[0].tolist() == [6, 2, 3, 1, 4, 5, 7]
    assert (data.validation.client.tolist(), data.test.samples, data.outputs) == (
        [b"00000010"],
        3,
        8,
    )


def test_words_may_come_from_tffs_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "stackoverflow_train.h5", POSTS)
    counts = tmp_path / "stackoverflow.word_count"
    counts.write_text("the 341681\ni 341000\nlist-comprehension 3\nunused 1\n")
    data = imported(Tff(vocabulary=6, word_counts=counts), tmp_path, path)
    assert data.tokens.tolist() == [
        b"<unknown>",
        b"the",
        b"i",
        b"list-comprehension",
        b"<bos>",
        b"<eos>",
    ]
    for wrong in ("the 1\n\n", "the 1\nthe 1\n", "a b c\n", "x" * 65 + " 1\n"):
        counts.write_text(wrong)
        assert f"{counts}: line" in refusal(Tff(word_counts=counts), tmp_path / "out", path)
    counts.write_bytes(b"the 1\n\xff 1\n")
    assert f"{counts}: line 2" in refusal(Tff(word_counts=counts), tmp_path / "out", path)
    assert str(tmp_path / "none") in refusal(
        Tff(word_counts=tmp_path / "none"), tmp_path / "out", path
    )


def test_text_may_be_classified_by_text(tmp_path: Path) -> None:
    path = write(tmp_path / "stackoverflow_train.h5", POSTS)
    data = imported(Tff(x="title", label="type", length=2), tmp_path, path)
    assert data.labels.tolist() == [b"answer", b"question"]
    assert labels_of(data.train, "00000001") == [1, 1, 0]
    assert [len(one) for one in samples_of(data.train, "00000001")] == [2, 2, 1]
    test = write(tmp_path / "stackoverflow_test.h5", {"9": {"title": ["t"], "type": ["comment"]}})
    message = refusal(Tff(x="title", label="type"), tmp_path / "out", path, test=test)
    assert f"{test}: client '9'" in message
    assert "'comment'" in message


# What is wrong


def changed(change: str) -> Clients:
    random = np.random.default_rng(3)
    clients: Clients = {"a": emnist(random, 2), "b": emnist(random, 2)}
    b = clients["b"]
    if change == "fewer labels":
        b["label"] = b["label"][:1]
    elif change == "no label":
        del b["label"]
    elif change == "another shape":
        b["pixels"] = b["pixels"][:, :14]
    elif change == "text for pixels":
        b["pixels"] = ["a", "b"]
    elif change == "a label of 1.5":
        b["label"] = np.array([1, 1.5])
    elif change == "a label below 0":
        b["label"] = np.array([1, -1])
    elif change == "not finite":
        b["pixels"] = np.full((2, 28, 28), np.nan)
    elif change == "one number":
        b["pixels"] = np.float32(1)
    elif change == "empty":
        clients["b"] = {"pixels": np.empty((0, 28, 28), np.float32), "label": np.empty(0, np.int32)}
    return clients


@pytest.mark.parametrize(
    "change",
    [
        "fewer labels",
        "no label",
        "another shape",
        "text for pixels",
        "a label of 1.5",
        "a label below 0",
        "not finite",
        "one number",
    ],
)
def test_what_does_not_fit_is_refused_by_client(change: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a_train.h5", changed(change))
    assert refusal(Tff(), tmp_path / "out", path).startswith(f"{path}: client 'b'")


def test_clients_without_samples_are_named_or_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a_train.h5", changed("empty"))
    assert "no samples of 'b'; --skip-empty" in refusal(Tff(), tmp_path / "out", path)
    assert imported(Tff(skip_empty=True), tmp_path, path).train.client.tolist() == [b"a"]


def test_a_client_in_two_files_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "1.h5", {"a": emnist(np.random.default_rng(4), 2)})
    second = write(tmp_path / "2.h5", {"a": emnist(np.random.default_rng(5), 2)})
    assert (
        refusal(Tff(), tmp_path / "out", first, second)
        == f"{second}: client 'a' is already in {first}"
    )


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a_train.h5"
    with h5py.File(path, "w") as file:
        file["examples/a/snippets"] = np.array([b"fine", b"\xff\xfe"], "S")
    assert f"{path}: client 'a', sample 1: not text in UTF-8" in refusal(
        Tff(), tmp_path / "out", path
    )


def test_a_class_that_only_test_has_is_refused(
    femnist: tuple[Path, Clients, Clients], tmp_path: Path
) -> None:
    folder, _, test = femnist
    test["f0001_41"]["label"][1] = 62
    write(folder / "fed_emnist_test.h5", test)
    message = refusal(Tff(), tmp_path / "out", folder)
    assert "client 'f0001_41', sample 1: label 62; allowed: 0 to 61" in message
    assert imported(Tff(classes=63), tmp_path, folder).outputs == 63


def test_every_piece_of_a_file_is_refused(
    femnist: tuple[Path, Clients, Clients], tmp_path: Path
) -> None:
    folder, _, _ = femnist
    path = folder / "fed_emnist_train.h5"
    raw = path.read_bytes()
    for size in [0, 7, 100, *range(512, len(raw), len(raw) // 20), len(raw) - 1]:
        path.write_bytes(raw[:size])
        assert str(path) in refusal(Tff(), tmp_path / "out", folder)


def test_files_of_another_layout_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = tmp_path / "a.h5"
    for make in (
        lambda file: None,
        lambda file: file.create_dataset("examples", data=np.ones(3)),
        lambda file: file.create_group("examples"),
        lambda file: file.create_group("examples").create_dataset("a", data=np.ones(3)),
        lambda file: file.create_group("examples/a/pixels/deeper"),
    ):
        with h5py.File(path, "w") as file:
            make(file)
        assert str(path) in refusal(Tff(), out, path)
    path.write_bytes(b"not HDF5")
    assert str(path) in refusal(Tff(), out, path)
    assert str(tmp_path / "none.h5") in refusal(Tff(), out, tmp_path / "none.h5")
    write(path, {"a": {"x": np.ones((1, 2)), "y": np.ones(1, int)}})
    assert "--x: ''" in refusal(Tff(), out, path)
    assert "--label" in refusal(Tff(x="x"), out, path)
    assert "--coarse: 'c'" in refusal(Tff(x="x", label="y", coarse="c"), out, path)
    assert imported(Tff(x="x", label="y"), tmp_path, path).outputs == 2


def test_options_that_do_not_go_with_the_samples_are_refused(tmp_path: Path) -> None:
    numbers = write(tmp_path / "a.h5", {"a": emnist(np.random.default_rng(7), 2)})
    text = write(tmp_path / "b.h5", {"a": {"snippets": ["a"]}})
    assert "--length: 5: goes with text; pixels holds numbers" in refusal(
        Tff(length=5), tmp_path / "out", numbers
    )
    assert "--normalise: 'unit'" in refusal(Tff(normalise="unit"), tmp_path / "out", text)


def test_a_folder_needs_one_train_file(
    femnist: tuple[Path, Clients, Clients], tmp_path: Path
) -> None:
    folder, train, _ = femnist
    out = tmp_path / "out"
    write(folder / "fed_emnist_digitsonly_train.h5", train)
    assert "fed_emnist_digitsonly_train.h5, fed_emnist_train.h5" in refusal(Tff(), out, folder)
    (folder / "fed_emnist_digitsonly_train.h5").unlink()
    assert "--test" in refusal(Tff(), out, folder, test=folder / "fed_emnist_test.h5")
    (folder / "fed_emnist_train.h5").unlink()
    assert "_train.h5: none" in refusal(Tff(), out, folder)


# As it is used


def test_the_command_imports_and_refuses(
    femnist: tuple[Path, Clients, Clients], tmp_path: Path
) -> None:
    folder, _, _ = femnist
    status, said = command(tmp_path / "out", "tff", str(folder))
    assert (status, "train: 7 samples of 2 clients" in said, "test: 3 samples" in said) == (
        0,
        True,
        True,
    )
    assert command(tmp_path / "bad", "tff", str(folder), "--label", "digit")[0] == 2


def test_memory_is_that_of_a_client_however_many_there_are(tmp_path: Path) -> None:
    random = np.random.default_rng(6)

    def peak(clients: int) -> int:
        fields = emnist(random, 50)
        path = write(
            tmp_path / f"{clients}_train.h5", {f"client {k}": fields for k in range(clients)}
        )
        return peak_of_reading(Tff(normalise="standard"), tmp_path, path)

    few, many = peak(4), peak(150)
    assert many < few + (1 << 20)  # 150 clients are 24 MB of pixels as floats
