"""Data sets as they are downloaded: files written here as each set has them, read by the library
and by PIL and numpy alone, which must agree.

What the sets look like inside was looked up in public code that reads them: the folders in
mmsegmentation and NVIDIA's semantic-segmentation, the ids of Mapillary Vistas 1.2 in its config as
benchmark-vfm-ss maps it, those of WildDash 2 in its authors' wilddash_scripts."""

import numpy as np
import pytest
from PIL import Image

from hrda_nb.data.datasets import open_folder
from hrda_nb.data.doctor import doctor, prepare
from hrda_nb.data.labels import UserError, cityscapes

SIZE = (24, 32)
NAMES = cityscapes.names
# ids of each set -> class, written down apart from the library's tables
CITY_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
CITY = {raw: NAMES[i] for i, raw in enumerate(CITY_IDS)} | {0: None, 1: None, 4: None, 9: None}
INDICES = dict(enumerate(NAMES)) | {255: None}
WILDDASH = CITY | {34: "truck", 35: "car", 36: None, 37: None, 38: "road"}
OF_CONFIG = """bird ground-animal curb fence guard-rail other-barrier wall bike-lane crosswalk-plain
curb-cut parking pedestrian-area rail-track road service-lane sidewalk bridge building tunnel person
bicyclist motorcyclist other-rider crosswalk-zebra general mountain sand sky snow terrain vegetation
water banner bench bike-rack billboard catch-basin cctv-camera fire-hydrant junction-box mailbox
manhole phone-booth pothole street-light pole traffic-sign-frame utility-pole traffic-light back
front trash-can bicycle boat bus car caravan motorcycle on-rails other-vehicle trailer truck
wheeled-slow car-mount ego-vehicle unlabeled"""
VISTAS = OF_CONFIG.split()  # the last parts of the names in the config.json of version 1.2
SAME = "fence wall road sidewalk building person sky terrain vegetation pole bicycle bus car truck"
VISTAS_AS = {name: name for name in [*SAME.split(), "motorcycle"]} | {
    "curb": "sidewalk",
    "general": "road",
    "manhole": "road",
    "bicyclist": "rider",
    "motorcyclist": "rider",
    "other-rider": "rider",
    "utility-pole": "pole",
    "traffic-light": "traffic light",
    "front": "traffic sign",
    "on-rails": "train",
}
MAPILLARY = {i: VISTAS_AS.get(name) for i, name in enumerate(VISTAS)}


def save(path, pixels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette.flatten().tolist())
    image.save(path)


def vistas_palette():
    "Colours of version 1.2 at road, building, sky and car; the rest does not matter"
    palette = np.random.default_rng(0).integers(0, 256, (66, 3), dtype=np.uint8)
    colours = {13: (128, 64, 128), 17: (70, 70, 70), 27: (70, 130, 180), 55: (0, 0, 142)}
    for i, colour in colours.items():
        palette[i] = colour
    return palette


class Set:
    "A few pictures with every id of a set, written where the set has them"

    def __init__(self, root, meaning, palette=None):
        self.root = root
        self.meaning = meaning
        self.palette = palette
        self.labels = {}  # picture -> label

    def add(self, picture, label=None):
        seed = len(self.labels)
        rng = np.random.default_rng(seed)
        suffix = picture.rsplit(".", 1)[1]
        pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        save(self.root / picture, pixels)
        assert suffix in ("jpg", "png")
        if label:
            ids = rng.permutation(np.resize(list(self.meaning), SIZE[0] * SIZE[1]))
            save(self.root / label, ids.reshape(SIZE).astype(np.uint8), self.palette)
            self.labels[self.root / picture] = self.root / label

    def expected(self, label):
        "What PIL and numpy read, id by id"
        ids = np.asarray(Image.open(label))
        assert ids.ndim == 2
        index = np.full(ids.shape, 255)
        for raw, name in self.meaning.items():
            if name:
                index[ids == raw] = NAMES.index(name)
        return index


def bdd100k(root):
    "Also instance and panoptic labels, and 100k pictures without any"
    found = Set(root, INDICES)
    for split, name in (("train", "0004a4c0-d4dff0ad"), ("val", "7d06fefd-f7be05a6")):
        found.add(f"images/10k/{split}/{name}.jpg", f"labels/sem_seg/masks/{split}/{name}.png")
        save(root / f"labels/sem_seg/colormaps/{split}/{name}.png", np.zeros((*SIZE, 3), np.uint8))
        save(root / f"labels/pan_seg/bitmasks/{split}/{name}.png", np.zeros((*SIZE, 4), np.uint8))
    found.add("images/10k/test/ac6d4f42-00000000.jpg")
    found.add("images/100k/val/b1c66a42-6f7d68ca.jpg")
    return found


def mapillary(root, labels):
    found = Set(root, MAPILLARY, vistas_palette())
    for split in ("training", "validation"):
        for name in ("0035fkbjWljhaftpVM37-g", "00qclUcInksIYnm19b1Xfw"):
            found.add(f"{split}/images/{name}.jpg", f"{split}/{labels}/{name}.png")
            found_instances = np.zeros(SIZE, np.uint16)
            save(root / f"{split}/instances/{name}.png", found_instances)
    found.add("testing/images/ZZwb6wJQM9u-QvQnlcnGeA.jpg")
    return found


def mapillary_2(root):
    "Release 2.0 has labels of both versions; those of 2.0 have 124 ids"
    found = mapillary(root, "v1.2/labels")
    for path in list(root.rglob("v1.2/labels/*.png")):
        save(path.parents[2] / "v2.0/labels" / path.name, np.full(SIZE, 123, np.uint8))
    return found


def mapillary_1(root):
    return mapillary(root, "labels")


def wilddash(root):
    found = Set(root, WILDDASH)
    for name in ("aa0000_100000", "zm0001_100000"):
        found.add(f"images/{name}.jpg", f"labels/{name}.png")
        save(root / f"panoptic/{name}.png", np.zeros((*SIZE, 3), np.uint8))
    (root / "panoptic.json").write_text('{"annotations": []}')
    return found


def _darkzurich(root, kind, meaning):
    found = Set(root, meaning)
    for frame in ("000321", "000324"):
        name = f"val/night/GOPR0356/GOPR0356_frame_{frame}"
        found.add(f"rgb_anon/{name}_rgb_anon.png", f"gt/{name}_gt_{kind}.png")
        save(root / f"gt/{name}_gt_labelColor.png", np.zeros((*SIZE, 3), np.uint8))
        save(root / f"gt/{name}_gt_invIds.png", np.zeros(SIZE, np.uint8))
    found.add("rgb_anon/train/night/GOPR0351/GOPR0351_frame_000001_rgb_anon.png")
    return found


def darkzurich(root):
    found = _darkzurich(root, "labelIds", CITY)
    for path in found.labels.values():  # with other numbers, and not looked at
        save(
            path.with_name(path.name.replace("labelIds", "labelTrainIds")), np.zeros(SIZE, np.uint8)
        )
    return found


def darkzurich_train_ids(root):
    return _darkzurich(root, "labelTrainIds", INDICES)


def acdc(root):
    found = Set(root, CITY)
    for condition in ("fog", "night", "rain", "snow"):
        frame = f"{condition}/val/GOPR0476/GOPR0476_frame_000087"
        found.add(f"rgb_anon/{frame}_rgb_anon.png", f"gt/{frame}_gt_labelIds.png")
        reference = f"{condition}/val_ref/GOPR0476/GOPR0476_frame_000087"
        save(root / f"rgb_anon/{reference}_rgb_ref_anon.png", np.zeros((*SIZE, 3), np.uint8))
    return found


SETS = {
    bdd100k: ("bdd100k", 1),
    mapillary_1: ("mapillary", 2),
    mapillary_2: ("mapillary", 2),
    wilddash: ("wilddash", 2),
    darkzurich: ("darkzurich", 2),
    darkzurich_train_ids: ("darkzurich", 2),
    acdc: ("acdc", 4),
}


@pytest.mark.parametrize("write", SETS, ids=lambda write: write.__name__)
def test_is_read_as_pil_and_numpy_read_it(write, tmp_path):
    written = write(tmp_path / "set")
    layout, n = SETS[write]
    split = None if layout == "wilddash" else "val"
    ds = open_folder(written.root, split=split, labelled=True)
    assert (ds.layout.name, len(ds), ds.classes.names) == (layout, n, NAMES)
    seen = set()
    for i, path in enumerate(ds.image_paths):
        sample = ds[i]
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert np.array_equal(sample["image"].movedim(0, -1), picture)
        expected = written.expected(written.labels[path])
        assert np.array_equal(sample["label"], expected)
        seen |= set(np.unique(expected))
    assert seen == {*range(19), 255}


@pytest.mark.parametrize("write", SETS, ids=lambda write: write.__name__)
def test_doctor_and_prepare_know_it(write, tmp_path):
    written = write(tmp_path / "set")
    layout, n = SETS[write]
    report = doctor(written.root, progress=False)
    assert set(report.table.layout) == {layout}
    val = report.table.loc[[name for name in report.table.index if "train" not in name.split("/")]]
    assert val[val.labels != "none"].pictures.sum() in (n, 2 * n)  # Mapillary: training too
    errors = [f for f in report.findings if f.level == "error"]
    assert not errors, errors
    prepare(written.root, layout=layout, progress=False)
    assert list(written.root.rglob("hrda_class_counts.json"))


def test_an_id_outside_of_the_set_is_an_error(tmp_path):
    written = wilddash(tmp_path / "set")
    label = next(iter(written.labels.values()))
    save(label, np.full(SIZE, 39, np.uint8))
    with pytest.raises(UserError, match="label ids 39 are not in the class table"):
        list(open_folder(written.root))
