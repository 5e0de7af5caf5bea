"""The uda room against recorded values of the published code: losses, labels, weights, whole steps.

The set that travels with the project is a cut; `HRDA_REFERENCE` names the folder of all of it."""

import copy

import numpy as np
import pytest
import torch
from reference import MEAN, STD, det_fill, fixture, fixture_json, synth_label, synth_u8, to_unit

from hrda_nb.data.transforms import ColorJitter
from hrda_nb.models.hrda import build_model
from hrda_nb.uda.class_mix import strong_augmentation
from hrda_nb.uda.decisions import Decisions
from hrda_nb.uda.losses import segmentation_losses
from hrda_nb.uda.masked_consistency import block_grid, block_mask, hide
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


# --- masked consistency (MIC)


@pytest.mark.parametrize(
    "case",
    ["b64_r0.7_2x256x256", "b16_r0.7_2x64x64", "b32_r0.5_1x100x140", "b64_r0.7_1x150x160"],
)
def test_block_masks(case):
    recorded, facts = mic()
    size = recorded[f"mask.{case}.mask"].shape[-2:]
    uniform, ratio = recorded[f"mask.{case}.uniform"], facts[f"mask.{case}"]["ratio"]
    assert block_grid(size, facts[f"mask.{case}"]["block"]) == uniform.shape[-2:]
    assert torch.equal(block_mask(uniform, size, ratio), recorded[f"mask.{case}.mask"].bool())


def mic():
    "Recorded values of MIC; a test that needs more than the cut is left out without the whole set"
    return fixture("mic_mask"), fixture_json("mic_mask")


def normal(images):
    "As the published network sees pictures in [0,1]"
    mean, std = (torch.from_numpy(v / 255).float().view(3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def units(u8):
    return u8.permute(0, 3, 1, 2).float() / 255


def test_hidden_blocks_have_the_mean_colour():
    recorded, _ = mic()
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
