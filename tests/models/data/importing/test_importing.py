# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets become shards that training reads: masks by the rules, a fixed order, and one line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gened.cli import main
from gened.commands.data import Kind
from gened.errors import ConfigError
from gened.models.data.importing import coco, voc
from gened.models.data.importing.make import KINDS, Imported, import_data
from gened.models.data.shards import decode_mask, read_members
from gened.models.data.training_set import Photograph, load_photographs

HEIGHT, WIDTH = 120, 160
LEFT, TOP, RIGHT, BOTTOM = 20, 30, 80, 90  # a square of 60 pixels: 19 % of the picture


def square() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[TOP:BOTTOM, LEFT:RIGHT] = True
    return mask


def save_picture(path: Path, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path)


def save_grey(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(path)


def save_labels(path: Path, labels: np.ndarray) -> None:
    """A PNG with a palette whose colours say nothing: number n is drawn as black as background."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette([0] * 768)
    picture.save(path)


def duts(root: Path) -> None:
    for index, name in enumerate(("ILSVRC_2", "ILSVRC_1", "ILSVRC_10")):
        save_picture(root / f"DUTS-TR/DUTS-TR-Image/{name}.jpg", index)
        save_grey(root / f"DUTS-TR/DUTS-TR-Mask/{name}.png", square())


def voc2012(root: Path, maps: str = "SegmentationClass") -> None:
    base = root / "VOCdevkit/VOC2012"
    (base / "ImageSets/Segmentation").mkdir(parents=True)
    for name, is_in in (("train", "2007_000032\n2007_000039\n"), ("val", "2007_000033\n"), ("test", "2008_000001\n")):
        (base / f"ImageSets/Segmentation/{name}.txt").write_text(is_in)
    for name, label in (("2007_000032", 12), ("2007_000033", 15), ("2007_000039", 9)):  # dog, person, chair
        save_picture(base / f"JPEGImages/{name}.jpg", label)
        save_labels(base / f"{maps}/{name}.png", np.where(square(), label, 0))


def rectangle(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def coco2017(root: Path) -> None:
    """Four pictures: a cat on a table, one with a crowd, one without annotations, and one that was not downloaded."""
    (root / "annotations").mkdir(parents=True)
    numbers = (7, 3, 5, 9)
    images = [{"id": i, "file_name": f"{i:012}.jpg", "height": HEIGHT, "width": WIDTH} for i in numbers]
    for number in numbers[:3]:
        save_picture(root / f"train2017/{number:012}.jpg", number)
    cat = {"id": 1, "image_id": 7, "category_id": 17, "iscrowd": 0}
    table = {"id": 2, "image_id": 7, "category_id": 67, "iscrowd": 0, "segmentation": rectangle(0, 60, 159, 119)}
    crowd = {"id": 3, "image_id": 3, "category_id": 1, "iscrowd": 1}
    instances = {
        "images": images,
        "categories": [{"id": 1, "name": "person"}, {"id": 17, "name": "cat"}, {"id": 67, "name": "dining table"}],
        "annotations": [
            table,
            {**cat, "segmentation": rectangle(LEFT, TOP, RIGHT - 1, BOTTOM - 1)},
            {**crowd, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}},
        ],
    }
    texts = [(12, 7, "A  cat\non a table"), (11, 7, "a cat"), (13, 5, "nothing")]
    captions = {"images": images, "annotations": [{"id": i, "image_id": n, "caption": text} for i, n, text in texts]}
    (root / "annotations/instances_train2017.json").write_text(json.dumps(instances))
    (root / "annotations/captions_train2017.json").write_text(json.dumps(captions))


def folder(root: Path) -> None:
    save_picture(root / "images/holiday/b.2.jpg", 2)
    save_picture(root / "images/a.png", 1)
    save_grey(root / "masks/a.png", square())
    (root / "captions.jsonl").write_text('{"file": "a.png", "captions": ["a square"]}\n')


TREES: dict[str, Callable[[Path], None]] = {"duts": duts, "voc": voc2012, "coco": coco2017, "folder": folder}


def imported(kind: str, root: Path, **options: Any) -> tuple[Imported, list[Photograph]]:
    tree, out = root / "tree", root / "out"
    if not tree.exists():
        TREES[kind](tree)
    return import_data(kind, tree, out, **options), load_photographs(out, min_side=64)


def iou(mask: np.ndarray | None, expected: np.ndarray) -> float:
    assert mask is not None
    return float(((mask >= 128) & expected).sum() / ((mask >= 128) | expected).sum())


def test_the_command_and_the_importer_know_the_same_data_sets() -> None:
    assert tuple(Kind) == KINDS == tuple(TREES)


def test_duts_gives_every_picture_with_its_mask_in_the_order_of_names(tmp_path: Path) -> None:
    done, photographs = imported("duts", tmp_path)
    assert done == Imported(1, 3, 3, 0, ())
    names = ["duts-ILSVRC_1", "duts-ILSVRC_10", "duts-ILSVRC_2"]
    assert [photo.key for photo in photographs] == [f"duts-000/{name}" for name in names]
    assert all(iou(photo.mask, square()) == 1 for photo in photographs)
    members = dict(read_members(tmp_path / "out/duts-000.tar"))
    suffixes = ("jpg", "mask.png", "json")
    assert list(members) == [f"{name}.{suffix}" for name in names for suffix in suffixes]
    assert json.loads(members["duts-ILSVRC_1.json"]) == {"source": "DUTS-TR"}


def test_voc_gives_all_classes_but_furniture(tmp_path: Path) -> None:
    done, (dog, person, chair) = imported("voc", tmp_path)
    assert (done.pictures, done.masks) == (3, 2)
    assert done.left_out == ("masks with too small, too large or no foreground: 1",)
    assert iou(dog.mask, square()) == iou(person.mask, square()) == 1
    assert chair.mask is None


def test_voc_takes_object_maps_where_class_maps_are_absent(tmp_path: Path) -> None:
    voc2012(tmp_path / "tree", maps="SegmentationObject")
    done, photographs = imported("voc", tmp_path)
    assert done.masks == 3  # they do not tell a chair from a dog
    assert photographs[2].mask is not None


def test_the_undecided_band_goes_to_the_nearer_side() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 12
    labels[:, 16:24] = voc.UNDECIDED
    found = voc.foreground(labels)
    assert found is not None
    assert found[:, 21:].all() and not found[:, :19].any()
    assert voc.foreground(np.full((5, 5), voc.UNDECIDED, np.uint8)) is None


def test_small_parts_of_a_voc_mask_are_dropped() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[10:50, 10:50] = 8  # 16 % of the picture
    labels[60:71, 60:71] = 8  # 1.2 %, but 7.6 % of the largest part
    labels[80:92, 80:92] = 8  # 9 % of the largest part
    labels[20:25, 90:95] = 8  # 0.25 % of the picture
    found = voc.foreground(labels)
    assert found is not None
    assert found[30, 30] and found[85, 85] and not found[65, 65] and not found[22, 92]


def test_coco_gives_masks_and_captions_and_leaves_out_crowds(tmp_path: Path) -> None:
    done, (plain, cat) = imported("coco", tmp_path)
    assert (done.pictures, done.masks, done.captioned) == (2, 1, 2)
    assert done.left_out[0] == "pictures with a crowd in them: 1"
    assert done.left_out[1].endswith("train2017 has not: 1")
    assert cat.key == "coco-000/coco-000000000007"
    assert cat.captions == ("a cat", "A cat on a table")
    assert iou(cat.mask, square()) > 0.95  # the table is no foreground
    assert plain.mask is None and plain.captions == ("nothing",)


@pytest.mark.parametrize("missing", ["instances", "captions"])
def test_coco_does_with_one_of_its_two_files(tmp_path: Path, missing: str) -> None:
    coco2017(tmp_path / "tree")
    (tmp_path / f"tree/annotations/{missing}_train2017.json").unlink()
    done, _ = imported("coco", tmp_path)
    assert (done.masks, done.captioned) == ((0, 2) if missing == "instances" else (1, 0))


def test_coco_counts_large_instances_only() -> None:
    def found(*rectangles: list[list[float]]) -> np.ndarray | None:
        objects = [{"id": i, "segmentation": outline} for i, outline in enumerate(rectangles)]
        return coco.foreground(objects, Path("x.jpg"), 100, 100)

    big, fair, speck = rectangle(0, 0, 59, 49), rectangle(70, 0, 99, 19), rectangle(70, 50, 77, 59)  # 30, 6, 0.8 %
    union = found(big, fair, speck)
    assert union is not None
    assert union[25, 25] and union[10, 85] and not union[55, 73]
    assert found(rectangle(0, 0, 14, 14)) is None  # 2.25 % is no subject
    large = found(rectangle(0, 0, 99, 79), fair)  # 6 % is too little beside 80
    assert large is not None and not large[90, 85] and large[10, 85]
    assert found() is None


def test_run_lengths_go_down_the_columns() -> None:
    entry = {"id": 1, "segmentation": {"size": [3, 4], "counts": [4, 3, 5]}}
    expected = [[0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert coco.instance_mask(entry, Path("x.jpg"), 3, 4).astype(int).tolist() == expected


def test_a_folder_gives_what_it_has(tmp_path: Path) -> None:
    done, (a, b) = imported("folder", tmp_path)
    assert (done.pictures, done.masks, done.captioned) == (2, 1, 1)
    assert (a.key, b.key) == ("folder-000/folder-a", "folder-000/folder-holiday_b_2")
    assert a.captions == ("a square",) and iou(a.mask, square()) == 1
    assert b.mask is None and b.captions == ()


def test_a_folder_of_nothing_but_pictures_is_enough_and_they_stand_upright(tmp_path: Path) -> None:
    save_picture(tmp_path / "tree/x.jpg")
    with Image.open(tmp_path / "tree/x.jpg") as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        picture.save(tmp_path / "tree/x.jpg", exif=exif)
    _, (photo,) = imported("folder", tmp_path)
    assert photo.pixels.shape[:2] == (WIDTH, HEIGHT)
    (content,) = (content for name, content in read_members(tmp_path / "out/folder-000.tar") if name.endswith("jpg"))
    assert b"Exif" not in content  # it may say where somebody lives


def test_large_pictures_are_reduced_with_their_masks(tmp_path: Path) -> None:
    _, photographs = imported("duts", tmp_path, max_side=100)
    assert {photo.pixels.shape for photo in photographs} == {(75, 100, 3)}
    y, x = (np.arange(n) * 1.6 for n in (75, 100))
    expected = (y >= TOP)[:, None] & (y < BOTTOM)[:, None] & (x >= LEFT) & (x < RIGHT)
    assert all(iou(photo.mask, expected) > 0.93 for photo in photographs)


@pytest.mark.parametrize("share", [0.01, 0.9])
def test_a_mask_of_nearly_nothing_or_nearly_all_is_left_away(tmp_path: Path, share: float) -> None:
    save_picture(tmp_path / "tree/images/a.jpg")
    save_grey(tmp_path / "tree/masks/a.png", np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) < share * HEIGHT * WIDTH)
    done, (photo,) = imported("folder", tmp_path)
    assert photo.mask is None and done.left_out[0].endswith("no foreground: 1")


def test_the_mask_is_one_bit_deep(tmp_path: Path) -> None:
    imported("duts", tmp_path)
    mask = dict(read_members(tmp_path / "out/duts-000.tar"))["duts-ILSVRC_1.mask.png"]
    assert mask[24] == 1  # bit depth in the PNG's header
    assert set(np.unique(decode_mask(mask, "mask"))) == {0, 255}


def test_shards_keep_their_size_and_are_the_same_each_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "tree").mkdir()
    for index in range(9):  # noise of this size takes some 250 kB
        noise = rng.integers(0, 256, (300, 360, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"tree/{index}.png", compress_level=0)
    first, photographs = imported("folder", tmp_path, shard_mib=1)
    shards = sorted((tmp_path / "out").iterdir())
    assert first.shards == len(shards) > 1 and len(photographs) == 9
    assert [shard.name for shard in shards] == [f"folder-{i:03}.tar" for i in range(len(shards))]
    assert all(shard.stat().st_size <= 1 << 20 for shard in shards)
    import_data("folder", tmp_path / "tree", tmp_path / "again", shard_mib=1)
    assert [(tmp_path / "again" / shard.name).read_bytes() for shard in shards] == [s.read_bytes() for s in shards]
    with pytest.raises(ConfigError, match="already"):
        import_data("folder", tmp_path / "tree", tmp_path / "out")


def no_tree(tree: Path) -> None:
    pass


def empty(tree: Path) -> None:
    tree.mkdir()


def empty_duts(tree: Path) -> None:
    for part in ("Image", "Mask"):
        (tree / f"DUTS-TR/DUTS-TR-{part}").mkdir(parents=True)


def spoilt(make: Callable[[Path], None], path: str, content: bytes | None) -> Callable[[Path], None]:
    """The tree with one file replaced, or removed."""

    def spoil(tree: Path) -> None:
        make(tree)
        (tree / path).unlink() if content is None else (tree / path).write_bytes(content)

    return spoil


def wrong_mask(tree: Path) -> None:
    duts(tree)
    save_grey(tree / "DUTS-TR/DUTS-TR-Mask/ILSVRC_1.png", square().T)


def wrong_folder_mask(tree: Path) -> None:
    folder(tree)
    save_grey(tree / "masks/a.png", square().T)


def coloured_map(tree: Path) -> None:
    voc2012(tree)
    save_picture(tree / "VOCdevkit/VOC2012/SegmentationClass/2007_000032.png")


def two_of_a_name(tree: Path) -> None:
    save_picture(tree / "x.jpg")
    save_picture(tree / "x.png")


def with_segmentation(segmentation: Any) -> Callable[[Path], None]:
    def make(tree: Path) -> None:
        coco2017(tree)
        path = tree / "annotations/instances_train2017.json"
        value = json.loads(path.read_text())
        value["annotations"][1]["segmentation"] = segmentation
        path.write_text(json.dumps(value))

    return make


INSTANCES = "annotations/instances_train2017.json"
CLIMBING = b'{"categories": [], "annotations": [], "images": [{"id": 1, "file_name": "../x.jpg"}]}'


@pytest.mark.parametrize(
    ("kind", "make", "message"),
    [
        ("duts", no_tree, "no folder .*tree"),
        ("duts", empty, "no folder .*DUTS-TR-Image; expected DUTS-TR/DUTS-TR-Image"),
        ("duts", empty_duts, "no pictures in .*tree, expected DUTS-TR"),
        ("duts", spoilt(duts, "DUTS-TR/DUTS-TR-Mask/ILSVRC_1.png", None), "ILSVRC_1.jpg has no mask"),
        ("duts", spoilt(duts, "DUTS-TR/DUTS-TR-Image/ILSVRC_1.jpg", b"no"), "ILSVRC_1.jpg is not a picture"),
        ("duts", wrong_mask, "ILSVRC_1.png is for 120x160 pixels, but its picture has 160x120"),
        ("voc", empty, "no VOC 2012 in .*; expected VOCdevkit"),
        ("voc", spoilt(voc2012, "VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg", None), "no file .*2007_000033.jpg"),
        ("voc", spoilt(voc2012, "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", b"../../x"), "no plain name"),
        ("voc", coloured_map, "2007_000032.png holds colours .RGB"),
        ("coco", empty, "no folder .*train2017; expected train2017/"),
        ("coco", spoilt(coco2017, INSTANCES, b"{"), "instances_train2017.json is not JSON"),
        ("coco", spoilt(coco2017, INSTANCES, b"{}"), "not COCO's annotations .KeyError: 'categories'"),
        ("coco", spoilt(coco2017, INSTANCES, CLIMBING), "names the picture '../x.jpg'"),
        ("coco", with_segmentation("here"), "annotation 1 of .*7.jpg: expected polygons"),
        ("coco", with_segmentation([[1, 2, 3]]), "expected polygons"),
        ("coco", with_segmentation(rectangle(0, 0, 1e9, 50)), "lies outside its 160x120 pixels"),
        ("coco", with_segmentation({"size": [9, 9], "counts": [81]}), "is for 9x9 pixels"),
        ("coco", with_segmentation({"size": [120, 160], "counts": [81]}), "run lengths for 81 pixels"),
        ("coco", with_segmentation({"size": [120, 160], "counts": [-1]}), "expected run lengths"),
        ("coco", with_segmentation({"size": [120, 160], "counts": "bX1"}), "compressed run lengths"),
        ("folder", empty, "no pictures in .*, expected a folder of pictures"),
        ("folder", two_of_a_name, "x.jpg and .*x.png would both be folder-x"),
        ("folder", wrong_folder_mask, "a.png is 120x160, its picture 160x120"),
        ("folder", spoilt(folder, "captions.jsonl", b"[1]"), "captions.jsonl, line 1: expected"),
        ("imagenet", empty, "unknown data set 'imagenet'; known are duts, voc, coco, folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, kind: str, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "tree")
    with pytest.raises(ConfigError, match=message) as caught:
        import_data(kind, tmp_path / "tree", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


def test_the_command_tells_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco2017(tmp_path / "tree")
    assert main(["data", "import", "coco", str(tmp_path / "tree"), str(tmp_path / "out"), "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"2 pictures, 1 with masks, 2 with captions, in 1 shards in {tmp_path / 'out'}"
    assert lines[1] == "left out: pictures with a crowd in them: 1"
    assert main(["data", "import", "duts", str(tmp_path / "tree"), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("gened: no folder") and "\n" not in error
    (tmp_path / "file").write_text("")
    assert main(["data", "import", "coco", str(tmp_path / "tree"), str(tmp_path / "file"), "-q"]) == 2
