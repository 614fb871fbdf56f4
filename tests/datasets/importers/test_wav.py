"""Folders of WAV files, laid out as Speech Commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.io import wavfile

from mpifl.datasets.importers.sounds import log_mel, read_wav
from mpifl.datasets.importers.wav import Wav
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    peak_of_reading,
    refusal,
    samples_of,
)
from tests.known import known

FILES = (  # path, and frequency in hertz
    ("yes/ann_nohash_0.wav", 300),
    ("yes/bob_nohash_0.wav", 400),
    ("yes/ann_nohash_1.wav", 500),
    ("no/ann_nohash_0.wav", 600),
    ("no/0b0b_nohash_0.wav", 700),
)


def save(path: Path, hertz: float, rate: int = 16_000, seconds: float = 0.25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    wavfile.write(path, rate, (sound * 2**15).astype(np.int16))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for below, hertz in FILES:
        save(tmp_path / "speech" / below, hertz)
    save(tmp_path / "speech" / "_background_noise_" / "hiss.wav", 50)
    (tmp_path / "speech" / "README.md").write_text("no sound")
    return tmp_path / "speech"


def expected(folder: Path, *below: str) -> np.ndarray:
    return log_mel(np.stack([read_wav(folder / one, 4_000) for one in below]))


def test_words_are_classes_and_speakers_are_clients(folder: Path, out: Path) -> None:
    found = imported(Wav(seconds=0.25, normalise="none"), out, folder)
    assert found.labels.tolist() == [b"no", b"yes"]
    assert found.train.client.tolist() == [b"0b0b", b"ann", b"bob"]
    own = expected(folder, "no/ann_nohash_0.wav", "yes/ann_nohash_0.wav", "yes/ann_nohash_1.wav")
    assert np.array_equal(np.stack(samples_of(found.train, "ann")), own)
    assert labels_of(found.train, "ann") == [0, 1, 1]
    assert (found.train.x.shape, found.train.x.dtype, found.name) == (
        (5, 23, 40),
        np.float32,
        "speech",
    )


def test_features_have_mean_0_and_deviation_1_over_train(folder: Path, out: Path) -> None:
    found = imported(Wav(), out, folder)
    assert found.train.x.shape == (5, 98, 40)
    features = found.train.x.astype(np.float64) * found.feature_scale + found.feature_shift
    np.testing.assert_allclose([features.mean(), features.std()], [0, 1], atol=1e-6)


def test_lists_name_the_files_of_the_other_parts(folder: Path, out: Path) -> None:
    (folder / "testing_list.txt").write_text("yes/bob_nohash_0.wav\n")
    (folder / "validation_list.txt").write_text("no/0b0b_nohash_0.wav\n")
    found = imported(Wav(seconds=0.25, normalise="none"), out, folder)
    assert {name: part.client.tolist() for name, part in found.parts.items()} == {
        "train": [b"ann"],
        "validation": [b"0b0b"],
        "test": [b"bob"],
    }
    assert np.array_equal(found.test.x, expected(folder, "yes/bob_nohash_0.wav"))


def test_other_layouts_and_a_test_folder(tmp_path: Path, out: Path) -> None:
    save(tmp_path / "a" / "mary" / "one-cat.wav", 300)
    save(tmp_path / "a" / "john" / "two-dog.wav", 400, rate=8_000)
    save(tmp_path / "b" / "jane" / "one-dog.WAV", 500)
    importer = Wav(
        label_pattern=r"-(?P<label>\w+)\.(?i:wav)$",
        client_pattern="^(?P<client>[^/]+)/",
        seconds=0.25,
        exclude="",
    )
    found = imported(importer, out, tmp_path / "a", test=tmp_path / "b")
    assert found.labels.tolist() == [b"cat", b"dog"]
    assert found.train.client.tolist() == [b"john", b"mary"]
    assert (
        known(found.train.y).tolist(),
        known(found.test.y).tolist(),
        found.test.client.tolist(),
    ) == (
        [1, 0],
        [1],
        [b"jane"],
    )


def test_a_pattern_finds_the_test_part(folder: Path, out: Path) -> None:
    importer = Wav(seconds=0.25, normalise="none", test_pattern="/(bob|0b0b)_")
    found = imported(importer, out, folder)
    assert found.train.client.tolist() == [b"ann"]
    assert found.test.client.tolist() == [b"0b0b", b"bob"]
    own = expected(folder, "no/0b0b_nohash_0.wav", "yes/bob_nohash_0.wav")
    assert np.array_equal(found.test.x, own)

    (out / "imported.h5").unlink()
    assert refusal(Wav(test_pattern="eve"), out, folder) == (
        "--test-pattern: 'eve' is found in no path"
    )
    assert "no train files there" in refusal(Wav(test_pattern="nohash"), out, folder)
    assert "has a test part already, by --test" in refusal(importer, out, folder, test=folder)
    (folder / "testing_list.txt").write_text("yes/bob_nohash_0.wav\n")
    assert "already, by testing_list.txt" in refusal(importer, out, folder)


def test_what_is_wrong_is_named(folder: Path, tmp_path: Path, out: Path) -> None:
    assert refusal(Wav(), out, folder / "none") == f"{folder / 'none'}: no such folder"
    (tmp_path / "empty").mkdir()
    assert refusal(Wav(), out, tmp_path / "empty").startswith(
        f"{tmp_path / 'empty'}: no train files there"
    )
    assert "no client by the pattern" in refusal(Wav(exclude=""), out, folder)
    assert "'maybe' is not among the 2" in refusal(
        Wav(), out, folder, test=save(tmp_path / "other" / "maybe" / "x_nohash_0.wav", 9).parents[1]
    )
    (folder / "testing_list.txt").write_text("yes/bob_nohash_0.wav\nyes/bob_nohash_7.wav\n")
    assert refusal(Wav(), out, folder).startswith(
        f"{folder / 'yes/bob_nohash_7.wav'}: no such file, but a list"
    )
    assert "has a testing_list.txt already" in refusal(Wav(), out, folder, test=tmp_path / "other")
    (folder / "validation_list.txt").write_text("\nyes/bob_nohash_0.wav\n")
    assert refusal(Wav(), out, folder).endswith(
        "line 2: 'yes/bob_nohash_0.wav' is in the other list too"
    )


def test_a_damaged_file_is_named(folder: Path, out: Path) -> None:
    path = folder / "yes" / "bob_nohash_0.wav"
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(Wav(), out, folder).startswith(f"{path}: not readable, or not whole")


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_pattern": "x"},
        {"client_pattern": "("},
        {"exclude": "("},
        {"seconds": 0.01},
        {"normalise": "unit"},
    ],
)
def test_options_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Wav(**wrong)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    status, said = command(tmp_path / "out", "wav", str(folder), "--seconds", "0.5")
    assert (status, "train: 5 samples of 3 clients" in said) == (0, True), said
    status, said = command(tmp_path / "bad", "wav", str(folder), "--label-pattern", "(?P<word>.)")
    assert (status, "--label-pattern" in said) == (2, True), said


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    peaks = []
    for name, count in (("small", 70), ("large", 350)):
        for k in range(count):
            save(tmp_path / name / "ab"[k % 2] / f"u{k % 9}_nohash_{k}.wav", 300 + k, seconds=0.05)
        peaks.append(peak_of_reading(Wav(), tmp_path, tmp_path / name))
    assert peaks[1] < 1.2 * peaks[0]  # all at once would be 1.6 times
