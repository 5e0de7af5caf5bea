"Resizing, colours, blur and rare class sampling, as the published implementation computed them."

import numpy as np
import pytest
import torch
from reference import FIXTURES, MEAN, STD, fixture, fixture_json

from hrda_nb.data.datasets import read_published_statistics
from hrda_nb.data.geometry import fit_size
from hrda_nb.data.rare_class_sampling import RareClassSampler, rcs_probabilities
from hrda_nb.data.transforms import (
    ColorJitter,
    _blur_kernel_size,
    gaussian_blur,
    margin_mask,
    resize_sample,
)

PARTS = "brightness", "contrast", "saturation", "hue"
ROUNDING = 1e-5  # of float32 pictures in [0,1], and of normalised ones


def largest_difference(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize("size", fixture_json("data")["rescale_size_gta"])
def test_sizes_of_gta(size):
    width, height = map(int, size.split("x"))
    want = fixture_json("data")["rescale_size_gta"][size]
    assert fit_size((height, width), (1440, 2560))[::-1] == tuple(want)


def test_resize():
    "OpenCV's result: labels are equal, colours to one grey level of 255"
    data = fixture("data")
    sample = dict(image=data["bgr"].flip(-1).movedim(-1, 0), label=data["label"])
    ours = resize_sample(sample, data["resized.label"].shape)
    assert torch.equal(ours["label"], data["resized.label"])
    bgr = ours["image"].movedim(0, -1).flip(-1)
    assert largest_difference(bgr.int(), data["resized.img"].int()) <= 1


def test_margins_of_hrda():
    rows, columns = margin_mask((1024, 2048), (30, 240, 30, 30)).nonzero().T
    want = fixture_json("data")["valid_pseudo_mask_1024x2048"]
    assert [rows.min(), rows.max()] == want["valid_rows"]
    assert [columns.min(), columns.max()] == want["valid_cols"]


def recorded_jitter(recorded):
    factors = (recorded[f"{name}_factor"][0] for name in PARTS)
    return ColorJitter(*factors, tuple(recorded["order"]))


JITTERED = [k for k in fixture("dacs") if k.split("_")[0] in ("bright", *PARTS)]


@pytest.mark.parametrize("key", JITTERED)
def test_each_part_of_the_jitter(key):
    name, factor = key.split("_")
    part = dict(bright="brightness").get(name, name)
    alone = ColorJitter(**{part: float(factor)}, order=(PARTS.index(part),))
    dacs = fixture("dacs")
    assert largest_difference(alone(dacs["jit_in"]), dacs[key]) < ROUNDING


@pytest.mark.parametrize("i", range(len(fixture_json("dacs")["jitter"])))
def test_whole_jitters(i):
    dacs = fixture("dacs")
    jitter = recorded_jitter(fixture_json("dacs")["jitter"][i])
    assert largest_difference(jitter(dacs["jit_in"]), dacs[f"jit_out{i}"]) < ROUNDING


def test_kernel_size_of_the_blur():
    sizes = fixture_json("dacs")["blur_kernel_size_by_side"]
    assert {side: _blur_kernel_size(int(side)) for side in sizes} == sizes


class Normalised:
    "The published code blurs normalised pictures, ours are in [0,1]"

    mean, std = (torch.tensor(v / 255).float().view(3, 1, 1) for v in (MEAN, STD))

    @classmethod
    def undone(cls, image):
        return image * cls.std + cls.mean

    @classmethod
    def done(cls, image):
        return (image - cls.mean) / cls.std


def test_blur():
    dacs = fixture("dacs")
    image = Normalised.undone(dacs["src"][:1])
    blurred = Normalised.done(gaussian_blur(image, fixture_json("dacs")["blur_sigma"]))
    assert largest_difference(blurred, dacs["blur_out"]) < ROUNDING


def test_jitter_and_blur_of_a_mixed_picture():
    dacs, facts = fixture("dacs"), fixture_json("dacs")
    is_source = dacs["mix_masks_seed17"][0] == 1
    mixed = Normalised.undone(torch.where(is_source, dacs["src"][0], dacs["trg"][0]))
    jittered = recorded_jitter(facts["strong_jitter"])(mixed)
    strong = Normalised.done(gaussian_blur(jittered, facts["strong_sigma"]))
    assert largest_difference(strong[None], dacs["strong_img"]) < ROUNDING


def counts(file):  # (N,19): pixels of each class in each picture of an invented data set
    stats = read_published_statistics(FIXTURES / file)
    return np.array([[d.get(c, 0) for c in range(19)] for _, d in sorted(stats.items())])


def test_both_files_of_class_statistics_agree():
    assert (counts("sample_class_stats.json") == counts("samples_with_class.json")).all()


@pytest.mark.parametrize("temperature", ["0.01", "0.05", "1.0"])
def test_probabilities_of_rare_classes(temperature):
    total = counts("sample_class_stats.json").sum(0)
    classes, probabilities = rcs_probabilities(total, float(temperature))
    want = fixture_json("dacs")[f"rcs_T{temperature}"]
    assert classes == want["classes"]
    assert np.allclose(probabilities, want["probs"], rtol=0, atol=1e-7)


def test_candidates_of_each_class():
    candidates = RareClassSampler(counts("sample_class_stats.json")).candidates
    found = {str(c): len(pictures) for c, pictures in candidates.items()}
    assert found == fixture_json("data")["rcs_n_candidates"]
