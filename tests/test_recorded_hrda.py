"""HRDA, whole pictures and IoU against recorded values of the published code.

The set that travels with the project is a cut; `HRDA_REFERENCE` names the folder of all of it."""

import numpy as np
import pytest
import torch
from reference import (
    det_fill,
    f64_err,
    fixture,
    fixture_json,
    synth_u8,
    test_recorded,
    to_unit,
    tolerance,
)
from torch.nn import functional as F

from hrda_nb.data.geometry import Box, crop, resize
from hrda_nb.data.labels import cityscapes
from hrda_nb.inference.metrics import confusion, iou, iou_table
from hrda_nb.inference.predict import PictureSettings, picture_logits
from hrda_nb.models.hrda import build_model, segment
from hrda_nb.models.sliding_window import run_windows, window_boxes

NAMES = {  # our parts -> the published ones
    "encoder.body.": "backbone.",
    "decoder.": "decode_head.head.",
    "attention.": "decode_head.scale_attention.",
}
RECORDED = "hrda_mit_tiny"
DETAIL_BOX = Box(24, 88, 40, 104)  # of the recorded training step
IGNORE = 255


def published_name(name):
    "Our parameter name -> the published one"
    ours = next(part for part in NAMES if name.startswith(part))
    return NAMES[ours] + name.removeprefix(ours)


def tiny(**options):
    "The network of the recorded values"
    sizes = dict(detail_size=(64, 64), channels=32)
    model = build_model("hrda", encoder="mit_tiny", **sizes, **options)
    return det_fill(model, rename=published_name).eval()


def picture(key):
    "A recorded picture or batch, (B,3,H,W) in [0,1]"
    recorded = fixture(RECORDED)
    if key not in recorded:
        pytest.skip("HRDA_REFERENCE does not name the whole set of recorded values")
    pixels = recorded[key]
    return torch.cat([to_unit(p) for p in pixels.view(-1, *pixels.shape[-3:]).numpy()])


def thin(x, step):
    "Every `step`-th row and column, as they were recorded"
    return x[..., step // 4 :: step, step // 2 :: step]


def check(found):
    "Compare what the set of recorded values holds"
    held = {k: x for k, x in found.items() if k in fixture(RECORDED)}
    if not held:
        pytest.skip("HRDA_REFERENCE does not name the whole set of recorded values")
    for key, x in held.items():
        test_recorded(x, RECORDED, key)
    return held


@torch.no_grad()
def test_whole_picture():
    "Raw and weighted context logits, attention, detail, fusion; three of them in any set"
    out = tiny()(picture("x_u8"))
    held = check(
        {
            "whole_lr_raw_s8": out.context,
            "whole_att_s8": out.attention,
            "whole_lr_weighted_s8": (1 - out.attention) * out.context,
            "whole_hr_s4": out.detail,
            "whole_fused_s4": out.fused,
            "whole_logits_sub2": out.upsampled()[..., 0::2, 1::2],
            "whole_attdebug_sub4": thin(out.upsampled("attention"), 4),
            "whole_lrpred_logits_sub4": thin(out.upsampled("context"), 4),
            "whole_hrpred_logits_sub4": thin(out.upsampled("detail"), 4),
        }
    )
    assert len(held) >= 3


@torch.no_grad()
def test_detail_windows():
    boxes = window_boxes((128, 256), (64, 64), (32, 32))
    maps = run_windows(tiny().segment, picture("x_u8"), boxes)
    check({"whole_hr_crops_s4": torch.cat(maps)})


@torch.no_grad()
def test_odd_size():
    "144 x 304: the sides divide by 8, but windows stand at the border"
    out = tiny()(to_unit(synth_u8(144, 304, 22)))
    check({"odd_whole_logits_sub4": thin(out.upsampled(), 4)})


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("name", ["", "odd_"])
@torch.no_grad()
def test_context_windows(name, share):
    images = picture(f"x_{name}u8")
    logits = segment(tiny(), images, (128, 128), (64, 64), share=share)["fused"]
    check({f"{name}slide_logits_sub4": thin(logits, 4)})


@pytest.mark.parametrize(
    "name, overlap", [("batch_logits", True), ("batch_logits_nooverlap", False)]
)
@torch.no_grad()
def test_batch(name, overlap):
    logits = tiny(overlap=overlap)(picture("x_batch_u8")).upsampled()
    check({f"{name}_sub4": thin(logits, 4)})


def loss(logits, label, weight):
    "Weighted cross entropy, averaged over all pixels"
    logits = resize(logits, label.shape[-2:])
    losses = F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="none")
    return (weight * losses).mean()


def training_losses(model, images, label, weight):
    "0.9 x fused + 0.1 x detail cross entropy, rebuilt here in a line each"
    out = model(images, detail_box=DETAIL_BOX)
    detail = loss(out.detail, crop(label, DETAIL_BOX), crop(weight, DETAIL_BOX))
    return {
        "decode.loss_seg": 0.9 * loss(out.fused, label, weight),
        "decode.hr.loss_seg": 0.1 * detail,
    }


def training_model(batch_statistics):
    "In float64, without dropout and stochastic depth"
    model = tiny(dropout=0.0).double().train(batch_statistics)
    for m in model.modules():
        if type(m).__name__ == "DropPath":
            m.eval()
    return model


def same(got, want, eps):
    torch.testing.assert_close(got, want, rtol=0, atol=eps)


def same_tensors(named, kind):
    "Compare gradients or buffers with those that were recorded"
    recorded = fixture("train_mit_tiny")
    held = [name for name in named if f"{kind}.{published_name(name)}" in recorded]
    for name in held:
        want = recorded[f"{kind}.{published_name(name)}"]
        eps = tolerance(want, f64_err("train_mit_tiny", f"{kind}."))
        same(named[name].double(), want.double(), eps)
    return held


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mode", ["bntrain", "bneval"])
def test_training_forward(mode, weighted):
    "Losses and gradient norm; every gradient and BatchNorm buffer where they were recorded"
    recorded = fixture("train_mit_tiny")
    expected = fixture_json("train_losses_f64")["mit_tiny"]
    images = torch.cat([to_unit(p, torch.float64) for p in recorded["x_u8"].numpy()])
    label = recorded["label"][:, 0].long()
    weight = recorded["seg_weight"].double()
    kind = "weighted" if weighted else "plain"

    model = training_model(mode == "bntrain")
    weight = weight if weighted else torch.ones_like(weight)
    losses = training_losses(model, images, label, weight)
    sum(losses.values()).backward()

    for name, value in losses.items():
        same(value.item(), expected[f"{mode}.{kind}.{name}"], 1e-6 * abs(value.item()))
    gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    norm = torch.stack([g.norm() for g in gradients.values()]).norm().item()
    same(norm, expected[f"{mode}.{kind}.grad_norm"], 2e-6 * norm)
    if (mode, kind) == ("bntrain", "plain"):
        buffers = dict(model.named_buffers())
        heads = {k: b for k, b in buffers.items() if k.startswith(("decoder", "attention"))}
        assert same_tensors(gradients, "grad")
        assert same_tensors(heads, "buf_after")


@torch.no_grad()
def test_mirrored_and_enlarged_probabilities():
    "Labels through windows, the mirror image, and logits enlarged before the softmax"
    recorded = fixture(RECORDED)
    if "slide_argmax" not in recorded:
        pytest.skip("HRDA_REFERENCE does not name the whole set of recorded values")
    images = to_unit(recorded["x_u8"].numpy())
    windows = PictureSettings(window=128, stride=64)
    logits = picture_logits(tiny(), images, windows)["fused"]
    assert (logits.argmax(1) == recorded["slide_argmax"]).float().mean() > 0.9999
    mirrored = logits.softmax(1).flip(-1)
    enlarged = resize(logits, (144, 300)).softmax(1)
    check(
        {
            "slide_softmax_flip_sub4": mirrored[..., 1::4, 2::4],
            "slide_softmax_rescaled_144x300_sub4": enlarged[..., 1::4, 2::4],
        }
    )


def test_iou():
    "Three label maps, class 16 absent, some pixels ignored: equal to the last digit"
    recorded = fixture_json("data")["metric"]
    maps = fixture("data")
    pairs = zip(maps["metric.pred"], maps["metric.gt"], strict=True)
    counts = sum(confusion(prediction, truth, 19) for prediction, truth in pairs)
    expected = [np.nan if v is None else v for v in recorded["IoU"]]
    np.testing.assert_array_equal(iou(counts).numpy(), expected)
    same(iou(counts).nanmean().item(), recorded["mIoU_nanmean"], 1e-15)
    same((counts.diagonal().sum() / counts.sum()).item(), recorded["aAcc"], 1e-6)
    table = iou_table({"fused": counts}, cityscapes)["fused"]
    same(float(table["mIoU"]), 100 * recorded["mIoU_nanmean"], 1e-12)
