"""The uda room against recorded values of the published code: losses, labels, weights, whole steps.

The set that travels with the project is a cut; `HRDA_REFERENCE` names the folder of all of it."""

import copy

import numpy as np
import pytest
import torch
from reference import MEAN, STD, det_fill, fixture, fixture_json, synth_label, synth_u8, to_unit
from torch import nn
from torch.nn import functional

from hrda_nb.data.geometry import Box, crop, resize_nearest
from hrda_nb.data.transforms import ColorJitter
from hrda_nb.models.hrda import build_model
from hrda_nb.uda.class_mix import class_masks, class_mix, draw_classes, strong_augmentation
from hrda_nb.uda.contrast import (
    NegativeBank,
    ProjectionHead,
    directional_contrast,
    draw_anchors,
    pixel_contrast,
    stacked_levels,
)
from hrda_nb.uda.decisions import Decisions
from hrda_nb.uda.ema_teacher import ema_alpha
from hrda_nb.uda.feature_distance import feature_distance, small_label, thing_mask
from hrda_nb.uda.losses import segmentation_losses
from hrda_nb.uda.masked_consistency import block_grid, block_mask, hide
from hrda_nb.uda.pseudo_labels import pseudo_labels, quality, weightings, without_margins
from hrda_nb.uda.self_training import SelfTraining, SelfTrainingConfig


def published_name(name):
    "Our parameter names -> theirs"
    return name.replace("encoder.body.", "backbone.").replace("decoder.", "decode_head.")


def daformer(seed):
    "The network of the recorded steps"
    model = build_model("daformer", encoder="mit_tiny", channels=32, dropout=0.0).double()
    for m in model.modules():
        if type(m).__name__ == "DropPath":
            m.drop_prob = 0.0
    return det_fill(model, seed, rename=published_name)


def pictures(seed):
    return torch.cat([to_unit(synth_u8(128, 128, seed + i), torch.float64) for i in range(2)])


def labels(seed):
    y = torch.stack([torch.from_numpy(synth_label(128, 128, seed + i)) for i in range(2)])
    y[:, 32:96, 32:112] = 13
    y[:, :64, :64] = 11
    return y


def adamw(model):
    "The optimiser of the recording: head, norms of the encoder, the rest of it"
    encoder = [n for n, _ in model.named_parameters() if n.startswith("encoder")]
    norms = [n for n in encoder if "norm" in n]
    named = dict(model.named_parameters())
    return torch.optim.AdamW(
        [
            dict(params=[p for n, p in named.items() if n not in encoder], weight_decay=0.01),
            dict(params=[named[n] for n in norms], weight_decay=0.0),
            dict(params=[named[n] for n in encoder if n not in norms], weight_decay=0.01),
        ]
    )


def same(got, want, tolerance):
    torch.testing.assert_close(got, want, rtol=0, atol=tolerance)


def test_four_steps_of_daformer():
    """Losses, weights, mixed labels; then parameters and BatchNorm averages of student and teacher.
    The change in four steps is small, so it is the change that has to agree. NumPy's seeds were
    recorded with the steps, and the masks that we draw with them are the recorded ones."""
    recorded = fixture("step_daformer")
    model = daformer(0)
    config = SelfTrainingConfig(ignore_top=5, ignore_bottom=20)
    step = SelfTraining(model, daformer(2).encoder, config)
    det_fill(step.teacher, 1, rename=published_name)  # its averages stay, the rest is overwritten
    teacher = {**step.teacher.state_dict(), **dict(model.named_parameters())}
    start = {
        "model": copy.deepcopy(model.state_dict()),
        "ema_model": {k: v.detach().clone() for k, v in teacher.items()},
    }
    optimizer = adamw(model)
    for t, expected in enumerate(fixture_json("step_daformer")["daformer"]["f64"]):
        rates = ("lr_head", "lr_backbone", "lr_backbone")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = expected[rate]
        step.rng = np.random.RandomState(300 + t)
        optimizer.zero_grad()
        source = dict(image=pictures(200 + 10 * t), label=labels(200 + 10 * t))
        report = step.run(source, dict(image=pictures(205 + 10 * t)), Decisions())
        optimizer.step()
        compare_step(report, expected, recorded, t)
    assert compare_states(dict(model=model, ema_model=step.teacher), start, recorded) == 36


def compare_step(report, expected, recorded, t):
    assert torch.equal(report.decisions.mix_masks, recorded[f"it{t}.mix_masks"].bool())
    assert torch.equal(report.mixture.label, recorded[f"it{t}.mixed_lbl"][:, 0].long())
    weight = recorded[f"it{t}.pseudo_weight"].double()
    same(report.mixture.weight[:, 64, 64].double(), weight, 1e-7)
    names = dict(
        source="decode.loss_seg",
        feature_distance="src.loss_imnet_feat_dist",
        mixed="mix.decode.loss_seg",
    )
    for ours, theirs in names.items():
        assert abs(report.losses[ours].item() - expected[theirs]) <= 1e-6 * expected[theirs], ours


def compare_states(networks, start, recorded):
    "How many tensors agree: to the rounding of float32, or to a millionth of the change"
    compared = 0
    for name, network in networks.items():
        for k, v in network.state_dict().items():
            wanted = recorded.get(f"final.{name}.{published_name(k)}")
            if wanted is None or not v.is_floating_point():
                continue
            rounding = 2**-24 * wanted.double().abs()
            change = (wanted.double() - start[name][k]).abs().max()
            assert ((v - wanted).abs() <= rounding + 1e-6 * change).all(), k
            compared += 1
    return compared


def whole_set(recorded, key):
    "Leave a test out that needs more than the cut"
    if key not in recorded:
        pytest.skip(f"{key}: needs the whole set, see HRDA_REFERENCE")


# --- masked consistency (MIC)


@pytest.mark.parametrize(
    "case",
    ["b64_r0.7_2x256x256", "b16_r0.7_2x64x64", "b32_r0.5_1x100x140", "b64_r0.7_1x150x160"],
)
def test_block_masks(case):
    recorded, facts = mic()
    whole_set(recorded, f"mask.{case}.mask")
    size = recorded[f"mask.{case}.mask"].shape[-2:]
    uniform, ratio = recorded[f"mask.{case}.uniform"], facts[f"mask.{case}"]["ratio"]
    assert block_grid(size, facts[f"mask.{case}"]["block"]) == uniform.shape[-2:]
    assert torch.equal(block_mask(uniform, size, ratio), recorded[f"mask.{case}.mask"].bool())


def mic():
    "Recorded values of MIC"
    return fixture("mic_mask"), fixture_json("mic_mask")


def normal(images):
    "As the published network sees pictures in [0,1]"
    mean, std = (torch.from_numpy(v / 255).float().view(3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def units(u8):
    return u8.permute(0, 3, 1, 2).float() / 255


def test_hidden_blocks_have_the_mean_colour():
    recorded, _ = mic()
    whole_set(recorded, "masked.out")
    visible = recorded["mask.b16_r0.7_2x64x64.mask"].bool()
    mean = torch.from_numpy(MEAN / 255).float().view(3, 1, 1)
    hidden = normal(hide(units(recorded["masked.x_u8"]), visible, mean))
    same(hidden, recorded["masked.out"], 2e-6)


def test_masked_pictures_as_the_student_gets_them():
    recorded, facts = mic()
    jitter, images = facts["branch.jitter"], units(recorded["masked.x_u8"])
    names = ("brightness", "contrast", "saturation", "hue")
    factors = zip(*(jitter[f"{name}_factor"] for name in names), strict=True)
    jitters = [ColorJitter(*f, order=tuple(jitter["order"])) for f in factors]
    augmented = strong_augmentation(images, jitters, [facts["branch.blur_sigma"]] * 2)
    same(normal(augmented), recorded["branch.separatetrgaug.augmented"], 2e-5)
    visible = recorded["branch.separatetrgaug.mask"].bool()
    hidden = hide(augmented, visible, torch.from_numpy(MEAN / 255).float().view(3, 1, 1))
    same(normal(hidden), recorded["branch.separatetrgaug.img"], 2e-5)


def hrda_name(name):
    "Our parameter names -> theirs, of HRDA"
    name = name.replace("encoder.body.", "backbone.").replace("decoder.", "decode_head.head.")
    return name.replace("attention.", "decode_head.scale_attention.")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_losses_and_gradients(dtype):
    recorded, facts = mic()
    model = build_model("hrda", encoder="mit_tiny", detail_size=(64, 64), channels=32, dropout=0.0)
    model = det_fill(model, rename=hrda_name).to(dtype).train()
    for m in model.modules():
        if type(m).__name__ == "DropPath":
            m.eval()
    images = torch.cat([to_unit(synth_u8(128, 128, seed), dtype) for seed in (65, 66)])
    image = hide(images, recorded["loss.mask"].bool(), model.encoder.mean)
    labels = [synth_label(128, 128, seed, ignore=False) for seed in (65, 66)]
    weight = torch.full((2, 128, 128), 0.6, dtype=dtype)
    weight[:, :4] = 0
    weight[:, -30:] = 0
    box = tuple(facts["loss"]["crop_box_y1y2x1x2"])
    out = model(image, detail_box=box)
    losses = segmentation_losses(out, torch.from_numpy(np.stack(labels)), weight, box)
    expected = facts["loss"]["losses"]
    tolerance = 1e-6 if dtype == torch.float32 else 1e-7  # recorded to float32
    assert abs(losses.fused.item() - expected["loss.decode.loss_seg"]) < tolerance
    assert abs(losses.detail.item() - expected["loss.decode.hr.loss_seg"]) < tolerance
    sum(losses).backward()
    compared = 0
    for name, p in model.named_parameters():
        key = f"loss.grad.{hrda_name(name)}"
        if key in recorded:
            same(p.grad.float(), recorded[key], 5e-6 if dtype == torch.float32 else 1e-6)
            compared += 1
    assert compared == 5


# --- contrast (PiPa)


@pytest.mark.parametrize("case", ["std32", "small12"])
@pytest.mark.parametrize("variant", ["code", "ignore255"])
def test_pixel_contrast(case, variant):
    "Anchors, loss and gradient; `code`: 255 is a class, as published"
    recorded, facts = fixture("pipa_pixel"), fixture_json("pipa_pixel")[f"{case}.{variant}"]
    whole_set(recorded, f"{case}.feats")
    label, predicted = (recorded[f"{case}.{k}"].long() for k in ("label", "predict"))
    low = resize_nearest(label, predicted.shape[-2:])
    assert torch.equal(low, recorded[f"{case}.label_low"].long())
    torch.manual_seed(facts["torch_seed"])
    anchors = draw_anchors(
        low,
        predicted,
        torch.randperm,
        max_views=facts["max_views"],
        max_anchors=facts["max_samples"],
        ignore_index=None if variant == "code" else 255,
    )
    index = recorded[f"{case}.{variant}.anchor_index"].long()
    assert torch.equal(torch.stack([anchors.image, anchors.cell], 1), index.flatten(0, 1))
    classes = recorded[f"{case}.{variant}.anchor_class"].long()
    assert torch.equal(anchors.label, classes.repeat_interleave(index.shape[1]))
    features = recorded[f"{case}.feats"].double().requires_grad_()
    loss = pixel_contrast(features.flatten(2)[anchors.image, :, anchors.cell], anchors.label)
    loss.backward()
    assert abs(loss.item() - facts["loss_f64"]) < 1e-9
    same(features.grad, recorded[f"{case}.{variant}.grad"], 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_projection_head(dtype):
    recorded = fixture("pipa_pixel")
    head = det_fill(ProjectionHead(24, 16).to(dtype), prefix="proj_head.").train()
    x = torch.from_numpy(np.random.RandomState(12).standard_normal((2, 24, 6, 8))).to(dtype)
    out = head(x.requires_grad_())
    (out * torch.from_numpy(np.random.RandomState(13).standard_normal(out.shape))).sum().backward()
    same(out.float(), recorded["proj.out"], 2e-6)
    same(x.grad.float(), recorded["proj.grad_x"], 5e-6)
    norm = head.proj[1][0]
    same(norm.running_mean.float(), recorded["proj.running_mean"], 1e-6)
    same(norm.running_var.float(), recorded["proj.running_var"], 2e-6)
    same(head.eval()(x).float(), recorded["proj.out_eval_after"], 2e-6)


def label4(seed, h=256, w=256):
    "Labels of the recording: rectangles of four classes and of 255"
    rs = np.random.RandomState(91000 + seed)
    label = np.zeros((h, w), np.int64)
    for i in range(14):
        y, x = rs.randint(0, h), rs.randint(0, w)
        height, width = rs.randint(h // 6 + 1, h // 2 + 2), rs.randint(w // 6 + 1, w // 2 + 2)
        c = (0, 2, 7, 13)[rs.randint(0, 4)]
        if i % 5 == 4:
            c, height, width = 255, height // 2 + 2, width // 2 + 2
        label[y : y + height, x : x + width] = c
    label[h // 8 : h // 2, w // 8 : w // 2] = 255
    return torch.from_numpy(label)


def test_pixel_contrast_of_hrda():
    "From pictures: labels of the crop or (as published) of the whole, with and without 255"
    recorded, facts = fixture("pipa_model"), fixture_json("pipa_model")
    model = build_model("hrda", encoder="mit_b1", detail_size=(128, 128), channels=32, dropout=0.0)
    model = det_fill(model.double(), rename=hrda_name).train()
    for m in model.modules():
        if type(m).__name__ == "DropPath":
            m.eval()
    head = det_fill(ProjectionHead(1024).double(), prefix="proj_head.").train()
    images = torch.cat([to_unit(synth_u8(256, 256, seed), torch.float64) for seed in (31, 32)])
    labels = torch.stack([label4(seed) for seed in (40, 41)])
    box = Box(*facts["crop_box_y1y2x1x2"])
    out = model(images, detail_box=box)
    z = head(stacked_levels(out.detail_features))
    same(z[:, ::4, 1::4, 2::4].float(), recorded["model.embed_sub4"], 5e-6)
    whole, cut = (resize_nearest(x, z.shape[-2:]) for x in (labels, crop(labels, box)))
    assert torch.equal(whole, recorded["model.label_used"].long())
    assert torch.equal(cut, recorded["model.label_of_the_crop"].long())
    variants = {
        "as_code": (whole, None),
        "crop_labels": (cut, None),
        "ignore255": (whole, 255),
        "crop_labels_ignore255": (cut, 255),
    }
    for name, (label, ignore) in variants.items():
        torch.manual_seed(facts["torch_seed_before_loss"])
        predicted = recorded["model.predict"].long()
        anchors = draw_anchors(label, predicted, torch.randperm, ignore_index=ignore)
        loss = pixel_contrast(z.flatten(2)[anchors.image, :, anchors.cell], anchors.label)
        assert abs(loss.item() - facts["values_f64"][f"model.contrast.{name}"]) < 1e-7, name
    losses = segmentation_losses(out, labels, None, box)
    want = facts["values_f64"]
    assert abs(losses.fused.item() - want["model.stage2.decode.loss_seg"]) < 1e-7
    assert abs(losses.detail.item() - want["model.decode.hr.loss_seg"]) < 1e-7


def patch_maps(kind, call):
    "Of both crops: the leaves, the projection, its vectors, confidences and pseudo-labels"
    channels, side = (32, 24) if kind == "daformer" else (19, 96)
    rs = np.random.RandomState(31 + call)
    shape = (2, channels, side, side)
    leaves = [torch.from_numpy(2 * rs.standard_normal(shape)).requires_grad_() for _ in range(2)]
    first, last = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, 24, 1)
    project = det_fill(nn.Sequential(first, nn.ReLU(), last).double(), prefix="project.")
    classifier = det_fill(nn.Conv2d(channels, 19, 1).double(), prefix="classifier.")
    classifier.weight.data *= 8
    pooled = [functional.avg_pool2d(x, 2) for x in leaves]
    vectors = [functional.normalize(project(x), dim=1) for x in pooled]
    beliefs = [classifier(x).softmax(1).max(1) for x in pooled]
    return leaves, project, vectors, beliefs


def flat(x):
    "(B,C,h,w) -> (B h w, C), or (B,h,w) -> (B h w)"
    return x.movedim(1, -1).flatten(0, 2) if x.ndim == 4 else x.flatten()


def shared_places(x, view, geometry, divisor):
    "What the overlap shows of a crop's map, turned back where the crop was mirrored"
    parts = []
    for i, stored in enumerate(x):
        one = stored.flip(-1) if geometry["flip"][view][i] else stored
        (y1, x1), (y2, x2) = (
            [geometry[f"{corner}{view + 1}"][axis][i] // divisor for axis in (0, 1)]
            for corner in ("ul", "br")
        )
        parts.append(flat(one[None, ..., y1:y2, x1:x2]))
    return torch.cat(parts)


@pytest.mark.parametrize("variant", ["daformer.code", "hrda.code", "hrda.stride2"])
def test_published_patch_contrast(variant):
    "Both directions over three steps with a growing bank; gradients of the projection head"
    recorded, facts = fixture("pipa_patch"), fixture_json("pipa_patch")
    case, geometry = facts[variant], facts["overlap"]
    bank = NegativeBank()
    for call, expected in enumerate(case["calls"]):
        leaves, project, vectors, beliefs = patch_maps(variant.split(".")[0], call)
        draws = recorded[f"{variant}.it{call}.draws"].long()
        drawn = [flat(z)[d] for z, d in zip(vectors, draws, strict=True)]
        named = [flat(b.indices)[d] for b, d in zip(beliefs, draws, strict=True)]
        negatives = bank.add(torch.cat(drawn), torch.cat(named))
        z = [shared_places(v, i, geometry, case["divisor"]) for i, v in enumerate(vectors)]
        label, sure = (
            [shared_places(b[k], i, geometry, case["divisor"]) for i, b in enumerate(beliefs)]
            for k in (1, 0)
        )
        losses = []
        for mine, other in ((0, 1), (1, 0)):
            counted = (sure[other] > 0.9) & (sure[mine] < sure[other])
            assert counted.sum() == expected[f"n_pos{mine + 1}"]
            pair = z[mine], z[other], label[mine], negatives, counted
            losses.append(directional_contrast(*pair))
            assert abs(losses[-1].item() - expected[f"loss{mine + 1}"]) < 1e-9
        (case["weight_unsup"] * sum(losses)).backward()
        for name, p in project.named_parameters():
            same(p.grad, recorded[f"{variant}.it{call}.grad.project.{name}"], 1e-10)
        for i, leaf in enumerate(leaves):
            key = f"{variant}.it{call}.grad_x{i + 1}_if_not_detached"
            if key in recorded:
                same(leaf.grad.float(), recorded[key], 1e-8)


# --- teacher, pseudo-labels, ClassMix, augmentation, feature distance (DACS, DAFormer)


def dacs():
    return fixture("dacs"), fixture_json("dacs")


def test_ema():
    _, facts = dacs()
    assert facts["ema_updates_buffers"] is False
    for t, alpha in facts["ema_alpha"].items():
        assert abs(ema_alpha(int(t)) - alpha) < 1e-15


def test_pseudo_labels_and_weights():
    recorded, facts = dacs()
    if "teacher_logits" in recorded:  # the whole recorded set
        label, confidence = pseudo_labels(recorded["teacher_logits"])
        assert torch.equal(label, recorded["pseudo_label"].long())
        same(confidence, recorded["pseudo_prob"], 1e-6)
    confidence = recorded["pseudo_prob"]
    weight = weightings["batch"]().weight(recorded["pseudo_label"], confidence)
    same(weight.unique(), torch.tensor([facts["pseudo_ratio_over_batch"]]), 1e-8)
    same(quality(confidence), torch.tensor(facts["pseudo_ratio_per_image"]), 1e-8)
    margins = dict(
        nomask={},
        mask=dict(valid=recorded["valid_pseudo_mask"][:, 0]),
        topbottom=dict(top=6, bottom=11),
    )
    pasted = recorded["mix_masks_seed17"][:, 0] != 0  # a pasted source pixel counts 1
    for name, margin in margins.items():
        got = without_margins(weight, **margin).masked_fill(pasted, 1.0)
        same(got, recorded[f"pseudo_weight.{name}"], 1e-7)


def test_class_mix():
    "NumPy's seed 17: drawn classes, masks, labels and weights of two labels of 20 classes"
    recorded, facts = dacs()
    label = recorded["gt"][:, 0].long()
    classes = draw_classes(label, np.random.RandomState(17))
    assert label.unique().tolist() == facts["mix_unique_classes_of_batch"]
    assert classes == facts["mix_chosen_classes"]
    mask = class_masks(label, classes)
    assert torch.equal(mask, recorded["mix_masks_seed17"].bool())
    one = class_masks(label[:1], [[0, 3, 7, 255]])
    assert torch.equal(one, recorded["class_mask_0_3_7_255"][None].bool())
    mixed = class_mix(mask, label, recorded["pseudo_label"].long())
    assert torch.equal(mixed, recorded["mixed_lbl.mask"][:, 0].long())
    believed = torch.full((2, 64, 64), facts["pseudo_ratio_over_batch"])
    weight = class_mix(mask, torch.ones(2, 64, 64), believed)
    same(weight, recorded["pseudo_weight.nomask"], 1e-7)


def test_strong_augmentation():
    """Of the first mixed picture. Pictures are recorded with mean 0 and deviation 1; the blur was
    applied to those, which makes no difference: its weights sum to 1. A grey level is 0.017."""
    recorded, facts = dacs()
    drawn = facts["strong_jitter"]
    names = ("brightness", "contrast", "saturation", "hue")
    factors = [drawn[f"{name}_factor"][0] for name in names]
    jitter = ColorJitter(*factors, tuple(drawn["order"]))
    mean, std = (torch.from_numpy(v / 255).float().view(3, 1, 1) for v in (MEAN, STD))
    source, target = (recorded[k][:1] * std + mean for k in ("src", "trg"))
    mixed = class_mix(recorded["mix_masks_seed17"][:1].bool(), source, target)
    augmented = strong_augmentation(mixed, [jitter], [facts["strong_sigma"]])
    same(normal(augmented), recorded["strong_img"], 1e-5)


def test_thing_cells():
    recorded, facts = dacs()
    label = recorded["fd_gt"][:, 0].long()
    small = small_label(label, (8, 8))
    assert torch.equal(small, recorded["fd_gt_rescaled_lr"][:, 0].long())
    half = small_label(label, (8, 8), min_ratio=0.5)
    assert torch.equal(half, recorded["fd_gt_rescaled_x16_ratio050"][:, 0].long())
    assert torch.equal(thing_mask(small, facts["fd_classes"]), recorded["fd_mask_lr"][:, 0].bool())


def test_feature_distance():
    "Loss and gradient, and the ablation that adds the detail crop's distance"
    recorded, facts = dacs()
    label, things = recorded["fd_gt"][:, 0].long(), facts["fd_classes"]
    mask = thing_mask(small_label(label, (8, 8)), things)
    x = recorded["fd_feat_lr"].clone().requires_grad_()
    loss = facts["fd_lambda"] * feature_distance(x, recorded["fd_imnet_lr"], mask)
    loss.backward()
    assert abs(loss.item() - facts["fd_loss_lr"]) < 1e-7
    same(x.grad, recorded["fd_grad_lr"], 1e-9)
    assert int(mask.sum()) == facts["fd_masked_pixels_lr"]
    detail_mask = thing_mask(small_label(crop(label, (32, 96, 16, 80)), (4, 4)), things)
    detail = feature_distance(recorded["fd_feat_hr"], recorded["fd_imnet_hr"], detail_mask)
    both = loss + facts["fd_lambda"] * detail
    assert abs(both.item() - facts["fd_loss_all_scales_cropbox_32_96_16_80"]) < 1e-6


# --- losses


def test_losses_of_hrda():
    "A tiny MiT in training mode, a fixed detail box, with and without weights"
    recorded, expected = fixture("train_mit_tiny"), fixture_json("train_losses_f64")["mit_tiny"]
    model = build_model("hrda", encoder="mit_tiny", detail_size=(64, 64), channels=32, dropout=0.0)
    model = det_fill(model, rename=hrda_name).double().train()
    for m in model.modules():
        if type(m).__name__ == "DropPath":
            m.eval()
    images = torch.cat([to_unit(x, torch.float64) for x in recorded["x_u8"].numpy()])
    box = (24, 88, 40, 104)
    out = model(images, detail_box=box)
    for kind, weight in dict(plain=None, weighted=recorded["seg_weight"]).items():
        losses = segmentation_losses(out, recorded["label"][:, 0], weight, box)
        for loss, term in zip(losses, ("decode.loss_seg", "decode.hr.loss_seg"), strict=True):
            wanted = expected[f"bntrain.{kind}.{term}"]
            assert abs(loss.item() - wanted) <= 1e-6 * wanted, (kind, term)
