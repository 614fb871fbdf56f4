"""Tables in text."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpifl.datasets.importers.csv import Csv
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

TABLE = """site,age,sex,risk,note
oslo,30,f,0,a
bonn,41.5,m,1,b
oslo,-2e1,m,1,"c, d"
bonn,50,f,0,e
"""
PLAIN = {"client": "site", "label": ["risk"], "drop": ["note"], "categorical": ["sex"]}


def write(path: Path, text: str = TABLE, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# What is read


def test_columns_become_features_label_and_client(tmp_path: Path, out: Path) -> None:
    found = imported(Csv(**PLAIN), out, write(tmp_path / "t.csv"))
    assert found.train.client.tolist() == [b"bonn", b"oslo"]
    assert [x.tolist() for x in samples_of(found.train, "oslo")] == [
        [30, 1, 0],
        [-20, 0, 1],
    ]  # age, female, male
    assert labels_of(found.train, "oslo") == [0, 1]
    assert found.labels.tolist() == [b"0", b"1"]
    assert (found.train.x.dtype, found.name, found.outputs) == (np.float32, "t", 2)
    assert "sex (2 values)" in found.source


def test_columns_by_number_tabs_comments_and_packed(tmp_path: Path, out: Path) -> None:
    text = "% made up\n" + TABLE.partition("\n")[2].replace('"c, d"', "#c").replace(",", " \t ")
    path = tmp_path / "t.tsv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    options = {
        "client": "1",
        "label": ["4"],
        "drop": ["5"],
        "categorical": ["3"],
        "no_header": True,
        "comment": "%",
    }
    by_number, by_name = (
        imported(Csv(**options), out, path),
        imported(Csv(**PLAIN), tmp_path, write(tmp_path / "t.csv")),
    )
    assert np.array_equal(by_number.train.x, by_name.train.x)
    assert np.array_equal(known(by_number.train.y), known(by_name.train.y))
    assert np.array_equal(by_number.train.offsets, by_name.train.offsets)


def test_spaces_may_be_aligned_and_a_hash_is_no_comment(tmp_path: Path, out: Path) -> None:
    found = imported(
        Csv(label=["y"], client="id#", delimiter="space"),
        out,
        write(tmp_path / "t", "id#  x   y\n7 1 0\n8   2 1\n"),
    )
    assert found.train.x.tolist() == [[1], [2]]
    assert found.train.client.tolist() == [b"7", b"8"]


def test_a_file_may_be_a_client(tmp_path: Path, out: Path) -> None:
    paths = [
        write(tmp_path / f"ward.{name}.csv", f"x,y\n{k},0\n{k},1\n")
        for k, name in enumerate(("b", "a"))
    ]
    found = imported(Csv(label=["y"], client_pattern=r"ward\.(?P<client>\w+)\.csv$"), out, *paths)
    assert found.train.client.tolist() == [b"a", b"b"]
    assert found.train.x.ravel().tolist() == [1, 1, 0, 0]
    assert found.name == tmp_path.name


def test_a_part_of_a_cell_may_be_the_client(tmp_path: Path, out: Path) -> None:
    """TCGA's patients: the second group of a barcode is the site."""
    text = "pid,x,y\nTCGA-02-0001,1,0\nTCGA-06-0125,2,1\nTCGA-02-0003,3,1\n?,4,1\n"
    options = {"label": ["y"], "client": "pid", "client_pattern": r"^TCGA-(?P<client>\w{2})-"}
    path = write(tmp_path / "t.csv", text)
    found = imported(Csv(**options, missing=["pid=?"], fill="drop"), out, path)
    assert found.train.client.tolist() == [b"02", b"06"]
    assert [x.tolist() for x in samples_of(found.train, "02")] == [[1], [3]]
    (out / "imported.h5").unlink()
    assert (
        f"{path}: line 5: column pid: '?': no client by the pattern '^TCGA-(?P<client>"
        in refusal(Csv(**options), out, path)
    )


def test_without_clients_all_samples_are_of_one(tmp_path: Path, out: Path) -> None:
    assert imported(
        Csv(label=["y"]), out, write(tmp_path / "t.csv", "x,y\n1,a\n2,b\n")
    ).train.client.tolist() == [b"all"]


def test_numbers_to_predict(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.csv", "x,y,z\n1,2.5,-3\n4,5,6e-1\n")
    found = imported(Csv(label=["z", "y"], task="regression"), out, path)
    assert known(found.train.y).dtype == np.float32
    assert np.array_equal(known(found.train.y), np.array([[-3, 2.5], [0.6, 5]], np.float32))
    assert (found.task, found.outputs, len(found.labels)) == ("regression", 2, 0)


def test_a_threshold_makes_two_classes(tmp_path: Path, out: Path) -> None:
    found = imported(
        Csv(label=["y"], threshold=0.5),
        out,
        write(tmp_path / "t.csv", "x,y\n1,0\n2,0.5\n3,0.75\n4,4\n"),
    )
    assert known(found.train.y).tolist() == [0, 0, 1, 1]
    assert found.labels.tolist() == [b"<= 0.5", b"> 0.5"]


def test_classes_are_in_order_and_a_number_is_one_however_written(
    tmp_path: Path, out: Path
) -> None:
    path, test = (
        write(tmp_path / "t.csv", "x,y\n1,10\n2,9.0\n3,-1\n4,9\n"),
        write(tmp_path / "u.csv", "x,y\n5,1e1.\n"),
    )
    found = imported(Csv(label=["y"], label_suffix="."), out, path, test=test)
    assert found.labels.tolist() == [b"-1", b"9", b"10"]
    assert (known(found.train.y).tolist(), known(found.test.y).tolist()) == ([2, 1, 0, 1], [2])


def test_a_category_is_one_however_its_number_is_written(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.csv", "c,y\n1.0,a\n1,b\n2.5,a\n02.50,a\n")
    assert imported(Csv(label=["y"], categorical=["c"]), out, path).train.x.tolist() == [
        [1, 0],
        [1, 0],
        [0, 1],
        [0, 1],
    ]


# Missing values


MISSING = "site,a,c,y\nb,?,u,0\nb,2,?,1\na,4,v,1\na,-9.0,u,0\n"


def test_labels_that_a_float_does_not_tell_apart_are_several_classes(
    tmp_path: Path, out: Path
) -> None:
    """2**53 and what follows it; each is one class however it is written."""
    rows = "9007199254740992,1\n9007199254740993,2\n9007199254740993.0,3\n17,4\n"
    table = write(tmp_path / "t.csv", "id,x\n" + rows)
    found = imported(Csv(label=["id"]), out, table)
    assert found.labels.tolist() == [b"17", b"9007199254740992", b"9007199254740993"]
    assert known(found.train.y).tolist() == [1, 2, 2, 0]


def test_a_cell_may_hold_a_long_text(tmp_path: Path, out: Path) -> None:
    table = write(tmp_path / "t.csv", f"x,y,note\n1,a,{'b' * 200_000}\n2,b,c\n")
    found = imported(Csv(label=["y"], drop=["note"]), out, table)
    assert found.train.x.tolist() == [[1], [2]]


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_the_numbers_of_rows_are_no_feature(tmp_path: Path, out: Path, name: str) -> None:
    table = write(tmp_path / "t.csv", f"{name},x,y\n0,5,a\n1,6,b\n")
    said = refusal(Csv(label=["y"]), tmp_path / "none", table)
    assert f"column 1 is named {name!r}, as pandas and R name the numbers of rows" in said
    assert said.endswith("--drop 1 leaves it out")
    found = imported(Csv(label=["y"], drop=["1"]), out, table)
    assert found.train.x.tolist() == [[5], [6]]


def test_a_missing_value_may_be_the_mean_of_train(tmp_path: Path, out: Path) -> None:
    test = write(tmp_path / "test.csv", "site,a,c,y\nb,-9,w,0\n")
    options = {
        "client": "site",
        "label": ["y"],
        "categorical": ["c"],
        "missing": ["?", "a=-9", "c=w"],
        "fill": "mean",
    }
    found = imported(Csv(**options), out, write(tmp_path / "t.csv", MISSING), test=test)
    assert found.train.x.tolist() == [[4, 0, 1], [3, 1, 0], [3, 1, 0], [2, 0, 0]]
    assert found.test.x.tolist() == [[3, 0, 0]]


def test_rows_with_missing_values_may_be_dropped(tmp_path: Path, out: Path) -> None:
    options = {"client": "site", "label": ["y"], "categorical": ["c"], "missing": ["?"]}
    found = imported(
        Csv(**options, fill="drop"),
        out,
        write(tmp_path / "t.csv", MISSING.replace("b,2,?", "b,2,u")),
    )
    assert found.train.x.tolist() == [[4, 0, 1], [-9, 1, 0], [2, 1, 0]]
    assert "1 rows left out" in found.source


def test_a_client_without_rows_is_refused_or_left_out(tmp_path: Path, out: Path) -> None:
    options = {
        "client": "site",
        "label": ["y"],
        "categorical": ["c"],
        "missing": ["?"],
        "fill": "drop",
    }
    message = refusal(Csv(**options), out, write(tmp_path / "t.csv", MISSING))
    assert message.startswith("train: client 'b': each of its rows has missing values")
    found = imported(Csv(**options, skip_empty=True), out, write(tmp_path / "t.csv", MISSING))
    assert found.train.client.tolist() == [b"a"]


def test_a_row_may_miss_its_client_or_label(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.csv", "site,a,y\n,1,0\nb,2,\nb,3,0\nb,4,1\n")
    options = {"client": "site", "label": ["y"], "missing": [""]}
    assert imported(Csv(**options, fill="drop"), out, path).train.x.tolist() == [[3], [4]]
    (out / "imported.h5").unlink()
    assert refusal(Csv(**options, fill="mean"), out, path).startswith(
        f"{path}: line 3: column y: '' is missing; only"
    )
    assert refusal(Csv(**options), out, path).startswith(
        f"{path}: line 3: column y: '' is missing; --fill"
    )
    assert refusal(Csv(client="site", label=["y"]), out, path).startswith(
        f"{path}: line 3: column y: '' names no class"
    )


# Standardisation


def test_numbers_are_standardised_over_train_and_stay_as_they_are(
    tmp_path: Path, out: Path
) -> None:
    random = np.random.default_rng(0)
    rows = np.column_stack(
        [random.normal(5, 3, 500), random.normal(-1, 0.1, 500), np.full(500, 7.0)]
    )
    text = "a,b,c,d,y\n" + "".join(
        f"{a!r},{b!r},{c!r},{'uv'[k % 2]},{k % 3}\n" for k, (a, b, c) in enumerate(rows.tolist())
    )
    found = imported(
        Csv(label=["y"], categorical=["d"], standardize=True), out, write(tmp_path / "t.csv", text)
    )
    assert np.array_equal(found.train.x[:, :3], rows.astype(np.float32))
    z = found.train.x.astype(np.float64) * found.feature_scale + found.feature_shift
    np.testing.assert_allclose(z.mean(0), [0, 0, 0, 0.5, 0.5], atol=1e-5)
    np.testing.assert_allclose(z.std(0), [1, 1, 0, 0.5, 0.5], atol=1e-5)


# Any table


CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n", exclude_categories=["Cs"]),
    max_size=6,
)
VALUE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@examples(60)
@given(
    st.lists(
        st.tuples(CELL.filter(str.strip), VALUE, VALUE, st.sampled_from("ab")),
        min_size=2,
        max_size=20,
    )
)
def test_what_the_csv_module_writes_comes_back(rows: list[tuple[str, float, float, str]]) -> None:
    rows = [*rows, ("x", 0.0, 0.0, "a"), ("x", 0.0, 0.0, "b")]
    text = io.StringIO()
    csv.writer(text).writerows([("client", "u", "v", "y"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "t.csv", text.getvalue())
        (Path(folder) / "out").mkdir()
        found = imported(Csv(client="client", label=["y"]), Path(folder) / "out", path)
        for name in {row[0].strip() for row in rows}:
            own = [row for row in rows if row[0].strip() == name]
            assert [x.tolist() for x in samples_of(found.train, name)] == [
                [u, v] for _, u, v, _ in own
            ]
            assert labels_of(found.train, name) == ["ab".index(y) for *_, y in own]


# What is refused


def bad(tmp_path: Path, text: str, encoding: str = "utf-8", **options: object) -> str:
    """The refusal of a table, without the name of its file."""
    path = write(tmp_path / "t.csv", text, encoding)
    message = refusal(Csv(**{"label": ["y"], **options}), tmp_path / "out", path)
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("\n\n", "no rows"),
        ("x,y\n", "no rows"),
        ("x,y\n1,a\n2\n", "line 3: 1 cell; there are 2 columns"),
        ("x,y\n1,a\n2,b,\n", "line 3: 3 cells"),
        ("x,y\n1,a\n,b\n", "line 3: column x: '' is no finite number"),
        ("x,y\n1,a\nnan,b\n", "line 3: column x: 'nan' is no finite number"),
        ("x,y\n1,a\n1e39,b\n", "line 3: column x: '1e39' is no finite number"),
        ("x,y\n1,a\n1_0,b\n", "line 3: column x: '1_0' is no finite number"),
        ('x,y\n1,a\n2,"b\n', "line 3: unexpected end of data"),
        ('x,y\n1,a\n2,"b"c\n', "line 3: "),
        ("x,y\n1,0\n2,0.5\n", "line 3: column y: '0.5' names no class"),
        ("x,y\n1,0\n2,\n", "line 3: column y: '' names no class"),
        ("x,y\n1,0\n2,nan\n", "line 3: column y: 'nan' names no class"),
        ("x,x,y\n1,2,a\n", "line 1: two columns are named 'x'"),
        ("x,z\n1,2\n", "--label: 'y': no such column; there are: x, z, or 1 to 2"),
        ("y\na\nb\n", "no columns are left for features"),
        ("x,y\n1,a\n2,a\n", "outputs 1; a classification needs 2 or more"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in bad(tmp_path, text)


@pytest.mark.parametrize("options", [{}, {"standardize": True}, {"task": "regression"}])
def test_decimal_commas_are_read_as_points_are(
    tmp_path: Path, out: Path, options: dict[str, Any]
) -> None:
    text = "x;z;y\n1.5;-2.25e1;3\n4;5.0;6\n-.5;0;6\n"
    (tmp_path / "commas").mkdir()
    point = write(tmp_path / "t.csv", text)
    comma = write(tmp_path / "commas" / "t.csv", text.replace(".", ","))
    found = imported(Csv(label=["y"], delimiter=";", **options), out, point)
    (out / "imported.h5").unlink()
    same = imported(Csv(label=["y"], delimiter=";", decimal=",", **options), out, comma)
    for mine, other in ((found.train.x, same.train.x), (found.train.y, same.train.y)):
        assert np.asarray(mine).tolist() == np.asarray(other).tolist()
    (out / "imported.h5").unlink()
    said = refusal(Csv(label=["y"], delimiter=";", **options), out, comma)
    assert "column x: '1,5' is no finite number; --decimal , reads a decimal comma, " in said


def test_points_between_thousands_are_refused(tmp_path: Path) -> None:
    said = bad(tmp_path, "x;y\n1;a\n1.234,5;b\n", delimiter=";", decimal=",")
    assert "line 3: column x: '1.234,5' is no finite number" in said


def test_another_encoding_has_to_be_said(tmp_path: Path, out: Path) -> None:
    text = "x,y\n1,a\n2,\xe9\n"
    assert bad(tmp_path, text, "latin-1").startswith("line 3: not UTF-8")
    found = imported(Csv(label=["y"], encoding="latin-1"), out, tmp_path / "t.csv")
    assert found.labels.tolist() == [b"a", "\xe9".encode()]
    with pytest.raises(ValidationError, match="not an encoding"):
        Csv(label=["y"], encoding="utf-16")


def test_a_mark_of_utf_8_is_no_part_of_the_first_name(tmp_path: Path, out: Path) -> None:
    assert (
        imported(Csv(label=["y"]), out, write(tmp_path / "t.csv", "\ufeffy,x\na,1\nb,2\n")).outputs
        == 2
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"client": "who"}, "--client: 'who': no such column"),
        ({"client": "3"}, "--client: '3': no such column"),
        ({"client": "y"}, "--client: 'y': it is the label too"),
        ({"drop": ["x,x"]}, "--drop: 'x': given twice"),
        ({"categorical": ["y"]}, "--categorical: 'y': it is no feature"),
        ({"label": ["x", "y"]}, "--label: x, y: 2 columns; a classification has one"),
        ({"threshold": 1, "task": "regression"}, "--threshold: 1.0: not with --task regression"),
        ({"missing": ["z=0"]}, "--missing: 'z': no such column"),
        ({"client_pattern": "(?P<client>q+)"}, "no client by the pattern"),
        ({"missing": ["1", "2"], "fill": "mean"}, "column x: each value is missing"),
    ],
)
def test_options_that_do_not_fit_are_named(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    assert message in bad(tmp_path, "x,y\n1,a\n2,b\n", **options)


def test_what_only_the_test_part_has_is_named(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.csv", "x,c,y\n1,u,a\n2,v,b\n")
    options = {"label": ["y"], "categorical": ["c"]}
    for text, message in (
        (
            "x,c,y\n1,u,a\n2,v,q\n",
            "line 3: column y: label 'q' is not among the 2 of the train part",
        ),
        (
            "x,c,y\n1,u,a\n2,w,b\n",
            "line 3: column c: 'w' is not among the train part's 2 values; --missing 'c=w'",
        ),
        ("x,d,y\n1,u,a\n", "line 1: columns x, d, y; the first file has x, c, y"),
    ):
        test = write(tmp_path / "u.csv", text)
        assert refusal(Csv(**options), out, path, test=test).startswith(f"{test}: {message}")


def test_files_are_checked(tmp_path: Path, out: Path) -> None:
    path = write(tmp_path / "t.csv")
    assert refusal(Csv(**PLAIN), out, path, path) == f"{path}: given twice"
    assert refusal(Csv(**PLAIN), out, tmp_path).startswith(f"{tmp_path}: a folder")
    assert str(tmp_path / "none.csv") in refusal(Csv(**PLAIN), out, tmp_path / "none.csv")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(TABLE.encode())[:-9])
    assert str(cut) in refusal(Csv(**PLAIN), out, cut)


def test_the_command_takes_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv")
    options = [
        "--client",
        "site",
        "--label",
        "risk",
        "--drop",
        "note,age",
        "--categorical",
        "sex",
        "--threshold",
        "0",
    ]
    status, said = command(tmp_path / "out", "csv", str(path), *options)
    assert (status, "train: 4 samples of 2 clients" in said) == (0, True), said
    status, said = command(
        tmp_path / "out2", "csv", str(path), "--label", "risk", "--delimiter", "ab"
    )
    assert (status, "--delimiter" in said) == (2, True), said
    assert command(tmp_path / "out2", "csv", str(path), "--label", "site", "--drop", "no")[0] == 2


# Size


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    header, row = "a,b,c,d,who,y\n", "1.25,2,3e-3,44,{},{}\n"
    small, large = (
        write(tmp_path / f"{n}.csv", header + "".join(row.format(k % 50, k % 3) for k in range(n)))
        for n in (12_000, 36_000)
    )
    peaks = [
        peak_of_reading(Csv(label=["y"], client="who"), tmp_path, path) for path in (small, large)
    ]
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 30e6


# Real data


def real(shared: Path, name: str) -> Path:
    path = shared / "data" / name
    if not path.is_dir():
        pytest.skip(f"no {path}")
    return path


def test_heart_disease_has_four_hospitals(shared: Path, out: Path) -> None:
    files = sorted(real(shared, "heart_disease").glob("processed.*.data"))
    options = {
        "no_header": True,
        "client_pattern": r"processed\.(?P<client>\w+)\.data$",
        "label": ["14"],
        "threshold": 0,
    }
    found = imported(Csv(**options), out, *files)
    assert found.train.client.tolist() == [b"cleveland", b"hungarian", b"switzerland", b"va"]
    assert np.diff(found.train.offsets).tolist() == [303, 294, 123, 200]
    assert found.train.x.shape == (920, 13)
    assert (
        int(known(found.train.y).sum()) == 139 + 106 + 115 + 149
    )  # sick patients of each, as heart-disease.names counts them
    flamby = imported(
        Csv(
            **options,
            drop=["11,12,13"],
            categorical=["3,7"],
            missing=["?"],
            fill="drop",
            standardize=True,
        ),
        out,
        *files,
    )
    assert flamby.train.x.shape[1] == 8 + 4 + 3


def test_parkinsons_has_42_patients(shared: Path, out: Path) -> None:
    options = {
        "client": "subject#",
        "label": ["total_UPDRS"],
        "drop": ["motor_UPDRS"],
        "task": "regression",
    }
    found = imported(Csv(**options), out, real(shared, "parkinsons") / "parkinsons_updrs.data")
    assert (found.train.clients, found.train.x.shape, known(found.train.y).shape) == (
        42,
        (5875, 19),
        (5875, 1),
    )
    assert known(found.train.y)[0, 0] == np.float32(34.398)


def test_adult_by_occupation_and_by_country(shared: Path, out: Path) -> None:
    folder = real(shared, "adult")
    options = {
        "no_header": True,
        "comment": "|",
        "label_suffix": ".",
        "label": ["15"],
        "drop": ["3"],
        "standardize": True,
    }
    for client, categorical, clients in (
        ("7", "2,4,6,8,9,10,14", 15),
        ("14", "2,4,6,7,8,9,10", 42),
    ):
        importer = Csv(**options, client=client, categorical=[categorical])
        found = imported(importer, out, folder / "adult.data", test=folder / "adult.test")
        assert (found.train.samples, found.test.samples, found.train.clients) == (
            32_561,
            16_281,
            clients,
        )
        assert found.labels.tolist() == [b"<=50K", b">50K"]
        assert (int(known(found.train.y).sum()), int(known(found.test.y).sum())) == (7841, 3846)


def test_vertical_tables(shared: Path, out: Path) -> None:
    folder = real(shared, "vertical")
    films = imported(
        Csv(client="uid", label=["label"], drop=["id"]), out, folder / "movie_lens_hetero_guest.csv"
    )
    assert (films.train.clients, films.train.samples) == (610, 100_836)
    credit = imported(
        Csv(label=["y"], drop=["id"]), out, folder / "default_credit_hetero_guest.csv"
    )
    assert credit.train.x.shape == (30_000, 13)
