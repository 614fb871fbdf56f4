"""Tables in Parquet files, written by pyarrow."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from mpifl.datasets.importers.parquet import Parquet
from mpifl.datasets.store import storing
from tests.datasets.importers.importing import (
    command,
    imported,
    labels_of,
    refusal,
    samples_of,
)
from tests.known import known

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pa() -> Any:
    return pytest.importorskip("pyarrow", reason="the extra parquet is not installed")


def write(path: Path, columns: Any, rows: int | None = None, metadata: Any = None) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    parquet.write_table(table, path, row_group_size=rows)
    return path


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(file, "png")
    return file.getvalue()


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    """In a process where the library cannot be imported."""
    source, out = tmp_path / "x.parquet", tmp_path / "out.h5"
    source.touch()
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from mpifl.commands.data import data\n"
        f"data(['import', 'parquet', {str(source)!r}, '--label', 'y', '-o', {str(out)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"mpifl: {source}: the library pyarrow is not installed;"
        " install it: pip install 'mpifl[parquet]'"
    )


def test_columns_are_features_label_and_client(pa: Any, tmp_path: Path, out: Path) -> None:
    columns = {
        "site": pa.array(["oslo", "bonn", "oslo", "bonn"]).dictionary_encode(),
        "age": [30, 41, -20, 50],
        "dose": pa.array([0.5, 1.5, 2.5, 3.5], pa.float32()),
        "smokes": [True, False, True, True],
        "scan": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8.0)), 2),
        "note": ["a", "b", "c", "d"],
        "ill": pa.array([0, 1, 1, 0], pa.int8()),
    }
    path = write(tmp_path / "ward.parquet", columns, rows=3)
    found = imported(Parquet(label="ill", client="site", drop=["note"]), out, path)
    assert found.train.client.tolist() == [b"bonn", b"oslo"]
    assert [x.tolist() for x in samples_of(found.train, "oslo")] == [
        [30, 0.5, 1, 0, 1],  # age, dose, smokes, scan
        [-20, 2.5, 1, 4, 5],
    ]
    assert labels_of(found.train, "bonn") == [1, 0]
    assert (found.name, found.outputs, found.train.x.dtype) == ("ward", 2, np.float32)
    scaled = found.train.x * found.feature_scale + found.feature_shift
    np.testing.assert_allclose([scaled.mean(0), scaled.std(0)], [[0] * 5, [1] * 5], atol=1e-6)

    found = imported(Parquet(x="dose,age", label="ill", normalise="none"), tmp_path, path)
    assert found.train.x.tolist() == [[0.5, 30], [1.5, 41], [2.5, -20], [3.5, 50]]
    found = imported(Parquet(x="age", label="scan", task="regression"), tmp_path, path)
    assert (found.task, found.outputs, found.train.x.dtype) == ("regression", 2, np.int32)
    assert known(found.train.y).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_it_is_what_pandas_reads(pa: Any, tmp_path: Path, out: Path) -> None:
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(1)
    frame = pandas.DataFrame(random.normal(size=(3_000, 3)), columns=["a", "b", "c"])
    frame["y"] = random.integers(4, size=3_000)
    frame["who"] = random.integers(20, size=3_000)
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=700, compression="zstd")
    found = imported(Parquet(label="y", client="who"), out, tmp_path / "t.parquet")
    for who, rows in pandas.read_parquet(tmp_path / "t.parquet").groupby("who"):
        own = rows[["a", "b", "c"]].to_numpy(np.float32)
        assert np.array_equal(np.stack(samples_of(found.train, str(who))), own)
        assert labels_of(found.train, str(who)) == rows["y"].tolist()


def test_the_index_of_pandas_is_no_feature(pa: Any, tmp_path: Path, out: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "t.parquet"
    frame = pandas.DataFrame({"a": [1.5, 2.5, 3.5], "y": [0, 1, 0], "who": [7, 8, 7]})
    frame.iloc[[2, 0, 1]].to_parquet(path)  # shuffled, so that the index is a column
    assert imported(Parquet(label="y", client="who"), out, path).train.x.tolist() == [
        [3.5],
        [1.5],
        [2.5],
    ]
    found = imported(Parquet(x="a,__index_level_0__", label="y", normalise="none"), out, path)
    assert found.train.x.tolist() == [[3.5, 2], [1.5, 0], [2.5, 1]]

    frame.set_index("who").to_parquet(path)  # its name is in the metadata alone
    assert imported(Parquet(label="y"), out, path).train.x.tolist() == [[1.5], [2.5], [3.5]]
    assert imported(Parquet(label="y", client="who"), out, path).train.client.tolist() == [
        b"7",
        b"8",
    ]


def test_pictures_are_upright(pa: Any, tmp_path: Path, out: Path) -> None:
    """As the library datasets decodes them."""
    exif = Image.Exif()
    exif[0x112] = 6
    file = io.BytesIO()
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).save(file, "png", exif=exif)
    path = write(tmp_path / "t.parquet", {"x": [file.getvalue()] * 2, "y": [0, 1]})
    found = imported(Parquet(x="x", label="y", grey=True), out, path)
    with Image.open(file) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert expected.shape == (6, 4)
    assert np.array_equal(found.train.x[0], expected)


def test_folders_whose_paths_give_clients_and_the_test_part(
    pa: Any, tmp_path: Path, out: Path
) -> None:
    for k, below in enumerate(("site=b/train-0", "site=a/train-0", "site=a/test-0")):
        write(tmp_path / "table" / f"{below}.parquet", {"x": [float(k)] * 2, "y": ["n", "p"]})
    (tmp_path / "table" / "_SUCCESS").touch()
    write(tmp_path / "table" / "site=a" / "train-1.pq", {"x": [7.0], "y": ["n"]})
    pattern = r"^site=(?P<client>\w+)/"
    importer = Parquet(x="x", label="y", client_pattern=pattern, test_pattern="/test-")
    found = imported(importer, out, tmp_path / "table")
    assert found.train.client.tolist() == [b"a", b"b"]
    assert found.train.x.ravel().tolist() == [1, 1, 7, 0, 0]
    assert (found.test.client.tolist(), found.test.x.ravel().tolist()) == ([b"a"], [2, 2])
    assert found.labels.tolist() == [b"n", b"p"]

    (out / "imported.h5").unlink()
    for options, said in (
        ({"test_pattern": "eve"}, "no files for the test part by --test-pattern 'eve'"),
        ({"test_pattern": "-"}, "no files for the train part by --test-pattern '-'"),
        ({"client_pattern": "(?P<client>!)"}, "site=a/test-0.parquet: no client by the pattern"),
    ):
        assert said in refusal(Parquet(x="x", label="y", **options), out, tmp_path / "table")
    (tmp_path / "empty").mkdir()
    assert "no files there whose names end in .parquet" in refusal(
        Parquet(label="y"), out, tmp_path / "empty"
    )
    assert refusal(Parquet(label="y"), out, tmp_path / "none").endswith("No such file or directory")
    assert "not together with --test" in refusal(importer, out, tmp_path, test=tmp_path)


def test_a_client_may_be_a_part_of_a_value(pa: Any, tmp_path: Path, out: Path) -> None:
    columns = {"pid": ["TCGA-02-0001", "TCGA-06-0125", "TCGA-02-3"], "x": [1, 2, 3], "y": [0, 1, 1]}
    path = write(tmp_path / "t.parquet", columns)
    options = {"x": "x", "label": "y", "client": "pid", "normalise": "none"}
    found = imported(Parquet(**options, client_pattern=r"^TCGA-(?P<client>\w{2})-"), out, path)
    assert found.train.client.tolist() == [b"02", b"06"]
    assert found.train.x.ravel().tolist() == [1, 3, 2]
    (out / "imported.h5").unlink()
    said = refusal(Parquet(**options, client_pattern=r"-(?P<client>\d{4})$"), out, path)
    assert said.startswith(f"{path}: rows from 0, sample 2: 'TCGA-02-3': no client by the pattern")


def test_pictures_and_texts(pa: Any, tmp_path: Path, out: Path) -> None:
    """As Hugging Face's library writes them, and as plain bytes."""
    images = [png((10 * k, 1, 2)) for k in range(3)]
    columns = {
        "image": [{"bytes": image, "path": "a.png"} for image in images],
        "raw": images,
        "text": ["Good day", "bad day", "good"],
        "label": [2, 0, 2],
    }
    features = {"label": {"names": ["cat", "dog", "cow"], "_type": "ClassLabel"}}
    path = write(tmp_path / "pets.parquet", columns, metadata={"info": {"features": features}})
    for name in ("image", "raw"):
        found = imported(Parquet(x=name, label="label", normalise="unit"), out, path)
        assert (found.labels.tolist(), found.outputs) == ([b"cat", b"dog", b"cow"], 3)
        assert found.train.x[:, :, 0, 0].tolist() == [[0, 1, 2], [10, 1, 2], [20, 1, 2]]
        (out / "imported.h5").unlink()
    found = imported(Parquet(x="text", task="language", tokens="characters"), out, path)
    assert found.train.samples == 3
    (out / "imported.h5").unlink()

    stolen = [{"bytes": None, "path": str(tmp_path / "secret.png")}]
    (tmp_path / "secret.png").write_bytes(images[0])
    wrong = write(tmp_path / "wrong.parquet", {"image": stolen, "label": [0]})
    assert "sample 0: no image" in refusal(Parquet(x="image", label="label"), out, wrong)


@pytest.mark.parametrize("kind", ["large_string", "string_view", "dictionary"])
def test_each_way_to_store_text_gives_the_same(
    pa: Any, tmp_path: Path, out: Path, kind: str
) -> None:
    import pyarrow.parquet

    kinds = {
        "large_string": pa.large_string(),
        "string_view": pa.string_view(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
    }

    def found(text: Any) -> Any:
        def stored(values: list[str]) -> Any:
            column = pa.array(values, pa.string())
            return column.dictionary_encode() if pa.types.is_dictionary(text) else column.cast(text)

        columns = {"t": ["good day", "bad day", "good"], "y": ["p", "n", "p"], "c": ["u", "v", "u"]}
        table = pa.table({name: stored(values) for name, values in columns.items()})
        pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
        (out / "imported.h5").unlink(missing_ok=True)
        data = imported(Parquet(x="t", label="y", client="c"), out, tmp_path / "t.parquet")
        return data.labels.tolist(), data.vocabulary, contents(data)

    def contents(data: Any) -> Any:
        return data.train.x.tolist(), data.train.y.tolist(), data.train.client.tolist()

    assert found(kinds[kind]) == found(pa.string())


def test_views_of_bytes_and_lists_are_read(pa: Any, tmp_path: Path, out: Path) -> None:
    import pyarrow.parquet

    lists = pa.array([[1.5, 2.0], [3.0, 4.0]], pa.list_view(pa.float64()))
    table = pa.table({"x": lists, "y": ["a", "b"]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    found = imported(Parquet(x="x", label="y"), out, tmp_path / "t.parquet")
    assert found.train.x.tolist() == [[1.5, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"x": "z", "label": "y"}, "--x: 'z': "),
        ({"x": "a,a", "label": "y"}, "--x: 'a': given twice"),
        ({"label": "z"}, "--label: 'z': "),
        ({"label": "y"}, "'t' holds text, and there are 4 columns"),
        ({"x": "a,t", "label": "y"}, "'t' holds text, and there are 2 columns"),
        ({"x": "a", "drop": "t", "label": "y"}, "--drop: 't': goes without --x"),
        ({"drop": "a,t,n,c", "label": "y"}, "no column is left for the samples"),
        (
            {"x": "n", "label": "y"},
            "column n: no value in 1 of 2 places, the first of which is number 1;",
        ),
        ({"x": "a", "label": "a", "grey": True}, "--grey: True: goes with images; a holds numbers"),
        ({"x": "a", "label": "c"}, "values of type date32[day]; expected numbers"),
        ({"x": "a", "task": "language"}, "--task: 'language': goes with text, token ids"),
        ({"x": "a", "label": "t", "task": "regression"}, "values of type string; expected numbers"),
        ({"x": "a"}, "--label: ''"),
    ],
)
def test_what_does_not_fit_is_named(
    pa: Any, tmp_path: Path, out: Path, options: dict[str, Any], said: str
) -> None:
    columns = {
        "a": [1, 2],
        "t": ["u", "v"],
        "n": [1.0, None],
        "c": pa.array([1, 2], pa.int32()).cast(pa.date32()),
        "y": [0, 1],
    }
    assert said in refusal(Parquet(**options), out, write(tmp_path / "t.parquet", columns))


def test_files_that_differ_or_are_damaged_are_named(pa: Any, tmp_path: Path, out: Path) -> None:
    first = write(tmp_path / "1.parquet", {"x": [1.0, 2.0], "y": [0, 1]})
    for columns, said in (
        ({"x": ["a"], "y": [0]}, "x or the classes in y differ"),
        ({"z": [1.0], "y": [0]}, "--x: 'x'"),
        ({"x": [[1.0, 2.0]], "y": [0]}, "x is float32 (2,), before it was float32 (1,)"),
    ):
        other = write(tmp_path / "2.parquet", columns)
        message = refusal(Parquet(x="x", label="y"), out, first, other)
        assert str(other) in message
        assert said in message

    empty = write(
        tmp_path / "e.parquet", {"x": pa.array([], pa.float64()), "y": pa.array([], pa.int64())}
    )
    assert f"{empty}: no rows" in refusal(Parquet(x="x", label="y"), out, empty)
    assert imported(Parquet(x="x", label="y"), out, empty, first).train.samples == 2
    (out / "imported.h5").unlink()

    good = write(tmp_path / "g.parquet", {"x": np.arange(5e3), "y": np.arange(5_000) % 2})
    raw = good.read_bytes()
    for damaged in (b"", raw[:100], raw[: len(raw) // 2], raw[:20] + bytes(2_000) + raw[2_020:]):
        good.write_bytes(damaged)
        assert refusal(Parquet(x="x", label="y"), out, good).startswith(f"{good}: ")


def test_text_that_is_none_is_refused(pa: Any, tmp_path: Path, out: Path) -> None:
    good = write(tmp_path / "t.parquet", {"x": ["good", "news"], "y": [0, 1]})
    raw = good.read_bytes()
    at = raw.index(b"good")
    good.write_bytes(raw[:at] + b"g\xff\xfed" + raw[at + 4 :])
    assert "UTF" in refusal(Parquet(x="x", label="y"), out, good)


def test_memory_does_not_grow_with_a_row_group(pa: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    def peak(rows: int) -> int:
        kind = pa.list_(pa.float32(), 100)
        values = pa.array(np.random.default_rng(0).random(rows * 100, np.float32))
        x = pa.FixedSizeListArray.from_arrays(values, type=kind)
        path = tmp_path / f"{rows}.parquet"
        parquet.write_table(pa.table({"x": x, "y": np.arange(rows) % 2}), path, row_group_size=rows)
        del values, x
        held = [pa.total_allocated_bytes()]
        with storing(tmp_path / "peak.h5", lambda _: held.append(pa.total_allocated_bytes())) as to:
            Parquet(x="x", label="y").read({"train": [path]}, to)
        return max(held) - held[0]

    few, many = peak(4_000), peak(40_000)
    assert many < few + (1 << 20)  # 36,000 more rows are 14 MB


def test_the_command_imports_and_refuses(pa: Any, tmp_path: Path) -> None:
    path = str(write(tmp_path / "t.parquet", {"a": [1.0, 2.0], "b": [1.0, 2.0], "y": [0, 1]}))
    status, said = command(tmp_path / "out", "parquet", path, "--x", "a,b", "--label", "y")
    assert (status, "train: 2 samples of 1 client\n" in said) == (0, True)
    assert command(tmp_path / "bad", "parquet", path, "--x", "a", "--label", "z")[0] == 2


def test_the_test_part_may_come_first_among_the_files(pa: Any, tmp_path: Path, out: Path) -> None:
    write(tmp_path / "t" / "a-test.parquet", {"x": [1.0, 2.0], "y": [2, 1]})
    write(tmp_path / "t" / "b-train.parquet", {"x": [3.0, 4.0, 5.0], "y": [0, 1, 2]})
    data = imported(Parquet(x="x", label="y", test_pattern="test"), out, tmp_path / "t")
    assert data.test is not None
    assert (data.outputs, data.train.samples, data.test.samples) == (3, 3, 2)


def test_labels_may_be_true_and_false(pa: Any, tmp_path: Path, out: Path) -> None:
    table = write(tmp_path / "t.parquet", {"x": [1.0, 2.0, 3.0], "y": [True, False, True]})
    data = imported(Parquet(x="x", label="y"), out, table)
    assert data.train.y is not None
    assert (data.outputs, data.train.y.tolist()) == (2, [1, 0, 1])
