"""COCO's annotations: boxes as shares of their images, in the order of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mpifl.datasets.importers.coco import Coco
from mpifl.objectives.detection import targets_of
from tests.datasets.importers.importing import command, imported, refusal, samples_of
from tests.known import known

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "bus"}]
IMAGES: list[dict[str, Any]] = [
    {"id": 12, "file_name": "north/a.png", "width": 20, "height": 10, "camera": "c1"},
    {"id": 11, "file_name": "south/b.png", "width": 20, "height": 10, "camera": "c2"},
    {"id": 30, "file_name": "south/c.png", "width": 20, "height": 10, "camera": "c1"},
]
BOXES: list[dict[str, Any]] = [
    {"id": 1, "image_id": 30, "category_id": 7, "bbox": [0, 0, 10, 5]},
    {"id": 2, "image_id": 12, "category_id": 3, "bbox": [5, 2.5, 15.5, 5], "iscrowd": 0},
    {"id": 3, "image_id": 30, "category_id": 3, "bbox": [10, 4, 2, 1]},
    {"id": 4, "image_id": 12, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    {"id": 5, "image_id": 12, "category_id": 7, "bbox": [3, 3, 0, 4]},
]


def pixels(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 256, (10, 20, 3)).astype(np.uint8)


def write(path: Path, **changed: Any) -> Path:
    facts = {"info": {"year": 2026}, "images": IMAGES, "categories": CATEGORIES}
    path.write_text(json.dumps({**facts, "annotations": BOXES, **changed}))
    return path


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    """Annotations and the folder of the images."""
    for k, image in enumerate(IMAGES):
        path = tmp_path / "images" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(k)).save(path)
    return write(tmp_path / "boxes.json"), tmp_path / "images"


def test_boxes_are_shares_of_their_images(sources: tuple[Path, Path], out: Path) -> None:
    found = imported(Coco(normalise="none"), out, *sources)
    assert np.array_equal(found.train.x, [pixels(k).transpose(2, 0, 1) for k in range(3)])
    assert (found.task, found.outputs, found.labels.tolist()) == ("detection", 2, [b"bus", b"cat"])
    classes, boxes = targets_of(torch.from_numpy(known(found.train.y).copy()))
    assert classes.tolist() == [[0, -1], [-1, -1], [1, 0]]
    wanted: Any = [
        [[0.25, 0.25, 1, 0.75], [0] * 4],
        [[0] * 4] * 2,
        [[0, 0, 0.5, 0.5], [0.5, 0.4, 0.6, 0.5]],
    ]
    np.testing.assert_allclose(boxes.numpy(), wanted, rtol=1e-6)
    assert "at most 2 boxes an image; 1 box without area left out" in found.source


def test_a_value_or_the_file_name_is_the_client(sources: tuple[Path, Path], out: Path) -> None:
    found = imported(Coco(client="camera", normalise="none", boxes=4), out, *sources)
    assert found.train.client.tolist() == [b"c1", b"c2"]
    assert np.array_equal(samples_of(found.train, "c2"), [pixels(1).transpose(2, 0, 1)])
    assert known(found.train.y).shape == (3, 20)
    part = Coco(client="camera", client_pattern=r"c(?P<client>\d)")
    assert imported(part, out, *sources).train.client.tolist() == [b"1", b"2"]
    importer = Coco(
        client_pattern="^(?P<client>[^/]+)/", test_pattern="c.png$", size="5x5", grey=True
    )
    found = imported(importer, out, *sources)
    assert (found.train.x.shape, found.test.x.shape) == ((2, 5, 5), (1, 5, 5))
    assert (found.train.client.tolist(), found.test.client.tolist()) == (
        [b"north", b"south"],
        [b"south"],
    )


def test_the_boxes_are_pycocotools(sources: tuple[Path, Path], out: Path) -> None:
    library = pytest.importorskip("pycocotools.coco", reason="pycocotools is not there")
    theirs = library.COCO(str(sources[0]))
    found = imported(Coco(), out, *sources)
    kinds = sorted(theirs.cats)
    for image, y in zip(IMAGES, known(found.train.y).reshape(3, -1, 5), strict=True):
        own = theirs.loadAnns(theirs.getAnnIds([image["id"]]))
        own = [one for one in own if one["bbox"][2] > 0 and not one.get("iscrowd")]
        assert [kinds[int(box[0])] for box in y if box[0] >= 0] == [o["category_id"] for o in own]


def test_a_test_part_has_annotations_of_its_own(sources: tuple[Path, Path], tmp_path: Path) -> None:
    own = write(tmp_path / "val.json", annotations=BOXES[:1] * 3)
    arguments = ["coco", *map(str, sources), "--test", str(own), "--test", str(sources[1])]
    status, said = command(tmp_path / "done", *arguments)
    assert (status, "test: 3 samples of 1 client" in said) == (0, True), said
    write(own, categories=CATEGORIES[:1], annotations=BOXES[:1])
    status, said = command(tmp_path / "other", *arguments)
    assert (status, "its categories are not those of" in said.replace("\n", " ")) == (2, True), said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": [*IMAGES, IMAGES[0]]}, "images[3]: id 12 is there already"),
        ({"images": []}, "no images; expected COCO's JSON"),
        ({"images": [None]}, "images[0]: 'None'; expected an object"),
        ({"images": [{**IMAGES[0], "width": 0}]}, "images[0]: 0 wide"),
        ({"images": [{**IMAGES[0], "width": 2.5}]}, "images[0]: width is '2.5'; expected a whole"),
        ({"images": [{**IMAGES[0], "width": 21}], "annotations": []}, "20 wide and 10 high"),
        ({"images": [{**IMAGES[0], "file_name": "../x"}], "annotations": []}, "names below"),
        ({"images": [{**IMAGES[0], "file_name": "x"}], "annotations": []}, "no such file, but"),
        ({"categories": []}, "no categories; expected COCO's JSON"),
        ({"categories": [*CATEGORIES, CATEGORIES[0]]}, "categories[2]: id 7 is there already"),
        ({"annotations": [{**BOXES[0], "image_id": 5}]}, "image_id 5 is that of no image"),
        ({"annotations": [{**BOXES[0], "category_id": 5}]}, "category_id 5 is that of no category"),
        ({"annotations": [{**BOXES[0], "bbox": [1, 2, 3]}]}, "annotations[0]: bbox [1, 2, 3]"),
        ({"annotations": [{**BOXES[0], "bbox": [1, 2, 3, "4"]}]}, "expected [left, top, width,"),
    ],
)
def test_a_wrong_entry_is_told(
    sources: tuple[Path, Path], out: Path, changed: dict[str, Any], said: str
) -> None:
    write(sources[0], **changed)
    assert said in refusal(Coco(), out, *sources)


def test_what_is_wrong_is_named(sources: tuple[Path, Path], out: Path) -> None:
    path, folder = sources
    assert "expected two: ANNOTATIONS.json and the images' folder" in refusal(Coco(), out, path)
    assert "--test-pattern" in refusal(Coco(test_pattern="x"), out, path, folder, test=path)
    assert "is found in no file name" in refusal(Coco(test_pattern="x"), out, path, folder)
    assert "2 boxes; --boxes is 1" in refusal(Coco(boxes=1), out, path, folder)
    assert "it has id, file_name" in refusal(Coco(client="who"), out, path, folder)
    path.write_text(path.read_text()[:-40])
    assert f"{path}: not JSON in UTF-8, or truncated" in refusal(Coco(), out, path, folder)
    path.write_text('{"categories": [{"id": 1, "name": "a"}], "images": [{"id": NaN}]}')
    assert f"{path}: not JSON in UTF-8, or truncated" in refusal(Coco(), out, path, folder)
