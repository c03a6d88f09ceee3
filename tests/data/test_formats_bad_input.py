"""What is wrong with a source is said in one line that names the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from heliostat.data.formats import NAMES, open_listing
from heliostat.spec.problems import InputError

Build = Callable[[Path], None]

VOC = "<annotation><filename>a.png</filename>{}</annotation>"
OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>1</ymin>"
    "<xmax>3</xmax><ymax>3</ymax></bndbox></object>"
)
BOX = {"image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4]}


def files(**contents: Any) -> Build:
    """Return what writes files, `__` in a name for a slash and `_` before its suffix for a dot.

    Text and bytes are content; a list of rows is an image's pixels.
    """

    def build(folder: Path) -> None:
        for name, content in contents.items():
            stem, dot, suffix = name.replace("__", "/").rpartition("_")
            file = folder / (f"{stem}.{suffix}" if dot else name)
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, list):
                Image.fromarray(np.array(content, np.uint8)).save(file)
            else:
                file.write_bytes(content.encode() if isinstance(content, str) else content)

    return build


def folders(*names: str) -> Build:
    """Return what makes empty folders."""

    def build(folder: Path) -> None:
        for name in names:
            (folder / name).mkdir(parents=True)

    return build


def both(*builds: Build) -> Build:
    """Return what builds one thing after another."""

    def build(folder: Path) -> None:
        for each in builds:
            each(folder)

    return build


def voc(annotation: str, **more: Any) -> Build:
    pixels = [[0]]
    return files(images__a_png=pixels, annotations__a_xml=annotation, **more)


def voc_set(names: str) -> Build:
    return files(
        JPEGImages__a_png=[[0]],
        Annotations__a_xml=VOC.format(""),
        Annotations__b_xml=VOC.format(""),
        ImageSets__Main__train_txt=names,
    )


def coco(**content: Any) -> Build:
    whole = {
        "images": [{"id": 0, "file_name": "a.png"}],
        "annotations": [BOX],
        "categories": [{"id": 7, "name": "cat"}],
    }
    return files(a_png=[[0]], set_json=json.dumps(whole | content))


def yolo(labels: str, **more: Any) -> Build:
    start: dict[str, Any] = {"images__a_png": [[0]], "labels__a_txt": labels}
    return files(**start | {"data_yaml": "names: [cat, dog]"} | more)


def table(text: str) -> Build:
    return files(a_png=[[0]], set_csv=text)


def parquet(**columns: list[Any]) -> Build:
    def build(folder: Path) -> None:
        pq.write_table(pa.table(columns), folder / "train.parquet")

    return build


def imagenet(**more: Any) -> Build:
    return files(train__n01440764__a_png=[[0]], val__a_png=[[0]], **more)


KIT = "ILSVRC2012_devkit_t12__data__"

CASES: dict[str, tuple[str | None, Build, str]] = {
    "an empty folder": (
        None,
        folders(),
        r"^uri: \S+ is an empty folder; one of idx, cifar, .*images$",
    ),
    "text": (None, files(a_txt="hello"), "is in no format that is known; one of idx"),
    "folders of no images": (None, folders("cat", "dog"), "in no format that is known"),
    "image_folder: empty": (
        "image_folder",
        folders("cat", "dog"),
        "is not laid out as image_folder; one folder of images for each class",
    ),
    "image_folder: an empty class": (
        None,
        both(files(cat__a_png=[[0]]), folders("dog")),
        "the class folder .*/dog holds no images",
    ),
    "image_folder: unknown class": (
        None,
        files(train__cat__a_png=[[0]], val__cot__a_png=[[0]]),
        r"/val/cot: unknown class 'cot'; did you mean cat\? one of cat",
    ),
    "image_folder: flat": (
        "image_folder",
        files(a_png=[[0]]),
        "is not laid out as image_folder; one folder",
    ),
    "csv: no image column": ("csv", table("x,label\n"), "is not laid out as csv; CSV with path"),
    "csv: missing image": (
        None,
        table("path,label\na.png,1\nb.png,2"),
        r"set.csv:3: the image .*/b.png does",
    ),
    "csv: a field too many": (None, table("path,label\na.png,1,2"), r"set.csv:2: 3 fields, but 2"),
    "csv: no class": (None, table("path,label\na.png,"), r"set.csv:2: no class"),
    "csv: twice": (None, table("path,label\na.png,x\na.png,y"), r"set.csv:3: a.png .* second time"),
    "csv: unknown split": (
        None,
        table("path,label,split\na.png,1,dev"),
        r"set.csv:2: unknown split 'dev'",
    ),
    "csv: unknown class": (
        None,
        files(a_png=[[0]], train_csv="path,label\na.png,cat", test_csv="path,label\na.png,cot"),
        r"test.csv:2: unknown class 'cot'; did you mean cat",
    ),
    "csv: broken box": (
        None,
        table("path,class,xmin,ymin,xmax,ymax\na.png,cat,1,2,x,4"),
        r"set.csv:2: 1, 2, x, 4 is no box",
    ),
    "csv: only a header": (None, table("path,label\n"), "set.csv: no rows"),
    "csv: not text": (None, files(a_csv=b"path,label\n\xff\xfe"), "a.csv cannot be read: .*utf-8"),
    "csv: broken quotes": (None, table('path,label\n"a"b,1'), "set.csv:2: not CSV"),
    "csv: which": (
        None,
        files(a_png=[[0]], a_csv="path,label\na.png,1", b_csv="path,label\na.png,1"),
        r"which of these .*/a.csv, .*/b.csv",
    ),
    "parquet: no images": (
        None,
        parquet(x=[1], label=[1]),
        "train.parquet has no column of images",
    ),
    "parquet: no labels": (None, parquet(bytes=[b""]), "train.parquet has no labels"),
    "parquet: a row without": (
        None,
        parquet(bytes=[b"", b""], label=["a", None]),
        "train.parquet#1: no label",
    ),
    "parquet: wrong type": (None, parquet(bytes=[b""], label=[1.5]), "labels of type double"),
    "parquet: an id as label": (
        None,
        parquet(bytes=[b"", b""], label=[1, 10**12]),
        r"train.parquet#1: label 1000000000000; 0 to 1000000",
    ),
    "parquet: broken": (None, files(a_parquet=b"PAR1 and no more"), "a.parquet cannot be read"),
    "parquet: empty": (None, parquet(bytes=[], label=[]), "train.parquet holds no rows"),
    "idx: short": (
        None,
        files(**{"train-images-idx3-ubyte": bytes(9)}),
        "train-images-idx3-ubyte cannot be read: not an IDX",
    ),
    "cifar: a batch missing": (
        None,
        files(data_batch_1_bin=bytes(3073), data_batch_3_bin=bytes(3073)),
        "data_batch_2.bin does not exist",
    ),
    "cifar: truncated": (
        None,
        files(data_batch_1_bin=bytes(3000)),
        "data_batch_1.bin cannot be read: 3000",
    ),
    "cifar: class out of range": (
        None,
        files(**{"data_batch_1_bin": b"\x05" + bytes(3072), "batches.meta_txt": "cat\ndog"}),
        "batches.meta.txt names 2 classes, but a label is 5",
    ),
    "imagenet: no ground truth": (
        "imagenet",
        imagenet(),
        r"/val have no labels; .*LOC_val_solution.csv",
    ),
    "imagenet: unknown class": (
        None,
        imagenet(LOC_val_solution_csv="ImageId,PredictionString\na,n99999999 1 2 3 4"),
        r"LOC_val_solution.csv:2: unknown class 'n99999999'",
    ),
    "imagenet: image not in the table": (
        None,
        imagenet(LOC_val_solution_csv="ImageId,PredictionString\nb,n01440764 1 2 3 4"),
        r"val/a.png: no line of .*LOC_val_solution.csv names it",
    ),
    "imagenet: broken meta": (
        None,
        imagenet(**{KIT + "meta_mat": b"MATLAB"}),
        r"meta.mat: no synsets",
    ),
    "coco: not JSON": (None, files(set_json='{"images": [\n1,}'), r"set.json:2: not JSON"),
    "coco: other JSON": ("coco", files(set_coco_json="[]"), r"no list 'images'"),
    "coco: missing image": (
        None,
        coco(images=[{"id": 0, "file_name": "b.png"}]),
        r"set.json: the image .*/b.png does not exist",
    ),
    "coco: unknown class": (
        None,
        coco(annotations=[BOX, BOX | {"category_id": 8}]),
        r"set.json: annotations\[1\] of image 0: unknown category_id 8; one of 7",
    ),
    "coco: unknown image": (
        None,
        coco(annotations=[BOX | {"image_id": 5}]),
        "no image has the id 5",
    ),
    "coco: no box": (
        None,
        coco(annotations=[BOX | {"bbox": [1, 2]}]),
        r"annotations\[0\] .*no bbox",
    ),
    "coco: NaN": (None, coco(annotations=[BOX | {"bbox": [1, 2, 3, float("nan")]}]), "no bbox"),
    "coco: a number without end": (
        None,
        coco(annotations=[BOX | {"bbox": [1, 2, 3, 10**400]}]),
        "no bbox",
    ),
    "coco: half a polygon": (
        None,
        coco(annotations=[BOX | {"segmentation": [[1, 2, 3]]}]),
        r"annotations\[0\] .*a polygon that is no list",
    ),
    "coco: run lengths": (
        None,
        coco(annotations=[BOX | {"segmentation": {"size": [2, 2], "counts": [3]}}]),
        r"counts of 3 pixels in all, but 2x2",
    ),
    "coco: an image twice": (
        None,
        coco(images=[{"id": 0, "file_name": "a.png"}] * 2),
        r"images\[1\]: id 0 or a.png a second time",
    ),
    "coco: no categories": (None, coco(categories=[]), "set.json: no categories"),
    "voc: not XML": (None, voc("<annotation>\n<object></annotation>"), r"a.xml:2: not XML"),
    "voc: other XML": (None, voc("<svg/>"), "a.xml: <svg> where VOC has <annotation>"),
    "voc: unknown encoding": (
        None,
        voc('<?xml version="1.0" encoding="x-no"?><annotation/>'),
        "a.xml.*: not XML",
    ),
    "voc: no name": (None, voc(VOC.format("<object/>")), "a.xml: object 1 has no name"),
    "voc: a word": (
        None,
        voc(VOC.format(OBJECT.format("cat", "x"))),
        r"a.xml: object 1 \(cat\) has no box",
    ),
    "voc: unknown class": (
        None,
        voc(VOC.format(OBJECT.format("cot", 1)), classes_txt="dog\ncat"),
        r"a.xml: unknown class 'cot'; did you mean cat\? one of dog, cat",
    ),
    "voc: missing image": (
        None,
        voc(VOC.format(""), annotations__b_xml="<annotation/>"),
        "b.xml: the image .*b does",
    ),
    "voc: no annotation": (
        None,
        voc(VOC.format(""), images__c_png=[[0]]),
        "c.png: the image has no annotation; .*c.xml",
    ),
    "voc: set names no image": (
        None,
        voc_set("a\nb"),
        r"train.txt:2: the image .*b.jpg does not exist",
    ),
    "voc: set names no annotation": (
        None,
        voc_set("a\n\nc"),
        r"train.txt:3: the annotation .*c.xml does not",
    ),
    "voc: a name twice": (None, voc_set("a\na"), "train.txt:2: a stands here a second time"),
    "voc: an empty set": (None, voc_set(""), "train.txt: no image is named"),
    "voc_masks: no mask": (
        None,
        files(
            JPEGImages__a_png=[[0]],
            SegmentationClass__b_png=[[0]],
            ImageSets__Segmentation__train_txt="a",
        ),
        "train.txt:1: the mask .*a.png does not exist",
    ),
    "yolo: unknown class": (
        None,
        yolo("0 .5 .5 1 1\n2 .5 .5 1 1"),
        "a.txt:2: unknown class 2; 0 to 1",
    ),
    "yolo: a word": (None, yolo("cat .5 .5 1 1"), "a.txt:1: invalid literal .*; class cx cy"),
    "yolo: too few": (None, yolo("0 .5 .5 1"), "a.txt:1: 4 numbers; class cx cy"),
    "yolo: NaN": (None, yolo("0 .5 .5 nan 1"), "a.txt:1: a number that is not finite"),
    "yolo: missing image": (
        None,
        yolo("", labels__b_txt=""),
        "b.txt: the image .*b.jpg does not exist",
    ),
    "yolo: broken YAML": (
        None,
        yolo("", data_yaml="names: [cat\nnc: ]"),
        r"data.yaml:\d: not YAML",
    ),
    "yolo: YAML alone": (
        "yolo",
        files(data_yaml="names: [cat]"),
        "is not laid out as yolo; images/",
    ),
    "yolo: no names": (None, yolo("", data_yaml="nc: 2"), "data.yaml: no names of classes"),
    "yolo: a class twice": (
        None,
        files(images__a_png=[[0]], labels__a_txt="", classes_txt="cat\n\ncat"),
        "classes.txt:3: class 'cat' stands here a second time",
    ),
    "masks: no mask": (
        None,
        files(images__a_png=[[0]], images__b_png=[[0]], masks__a_png=[[0]]),
        "b.png: the image has no mask; .*masks/b.png",
    ),
    "masks: no image": (
        None,
        files(images__a_png=[[0]], masks__a_png=[[0]], masks__b_png=[[0]]),
        "b.png: the mask's image is not in .*images",
    ),
    "masks: broken": (
        None,
        files(images__a_png=[[0]], masks__a_png=b"\x89PNG"),
        "masks/a.png: cannot be read as a mask",
    ),
    "masks: lossy": (
        None,
        files(images__a_png=[[0]], masks__a_jpg=[[0]]),
        "masks/a.jpg: a mask as JPEG",
    ),
    "masks: two files of one name": (
        None,
        files(images__a_png=[[0]], images__a_bmp=[[0]], masks__a_png=[[0]]),
        r"a.png: a.bmp beside it has the same name",
    ),
    "domains: one": (
        None,
        files(trainA__a_png=[[0]]),
        "trainB does not exist: a domain is missing",
    ),
    "domains: an empty one": (
        None,
        both(files(A__a_png=[[0]]), folders("B")),
        "/B holds no images",
    ),
    "images: an empty split": (
        "images",
        both(files(train__a_png=[[0]]), folders("val")),
        "/val holds no images",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, case: str) -> None:
    format, build, message = CASES[case]
    build(tmp_path)
    with pytest.raises(InputError) as caught:
        open_listing(tmp_path, format)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert re.search(message, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("format", NAMES)
def test_a_named_format_that_is_not_there_says_what_it_needs(tmp_path: Path, format: str) -> None:
    (tmp_path / "notes.txt").write_text("no data set")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError) as caught:
            open_listing(path, format)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert caught.value.problems[0].key == ("uri",)


def test_an_unknown_format_lists_all_names(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^format: unknown format 'cocoa'; did you mean coco\?"
    ) as caught:
        open_listing(tmp_path, "cocoa")
    assert all(name in str(caught.value) for name in NAMES)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^uri: \S+/nowhere does not exist$"):
        open_listing(tmp_path / "nowhere")


def test_a_mask_in_colours_is_refused_when_it_is_read(tmp_path: Path) -> None:
    files(images__a_png=[[0]], classes_txt="cat\ndog")(tmp_path)
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "masks" / "a.png")
    listing = open_listing(tmp_path)
    with pytest.raises(InputError, match=r"masks/a.png: a mask of mode RGB has several values"):
        listing.splits["all"][0]


def test_an_unreadable_image_of_yolo_is_told_when_its_record_is_made(tmp_path: Path) -> None:
    yolo("0 .5 .5 1 1", images__a_png=b"\x89PNG")(tmp_path)
    listing = open_listing(tmp_path)
    with pytest.raises(InputError, match=r"images/a.png cannot be read as an image"):
        listing.splits["all"][0]
