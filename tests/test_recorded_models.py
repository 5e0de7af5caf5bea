"""Encoders, decoders and checkpoints against recorded values of the published code, and against
`transformers` as an independent witness."""

import numpy as np
import pytest
import timm
import torch
from reference import (
    det_fill,
    det_tensor,
    fixture,
    fixture_json,
    normalize,
    reference_dir,
    synth_u8,
    test_recorded,
)
from timm.layers import DropPath
from torch import nn

from hrda_nb.data.geometry import resize
from hrda_nb.models.decoders import (
    DAFormerHead,
    DeepLabV3PlusHead,
    DLV2Head,
    InterlacedAttention,
    SegFormerHead,
    UPerHead,
)
from hrda_nb.models.encoders import encoder
from hrda_nb.models.hrda import build_model
from hrda_nb.models.mix_transformer import (
    _our_name,
    from_transformers,
    mit_configs,
    mix_transformer,
    to_transformers,
)
from hrda_nb.models.resnet import ResNetV1c, resnet_v1c
from hrda_nb.models.weights import (
    inspect_published,
    load_checkpoint,
    load_published,
    published_state,
    read_checkpoint,
    save_checkpoint,
)

SIZES = fixture_json("encoders")  # recorded parameters, names and shapes of the Mix Transformers


def on_meta(build, *args, **kw):
    "A network with shapes and without memory"
    with torch.device("meta"):
        return build(*args, **kw)


def shapes(module, prefix=""):
    "Names and shapes of parameters and buffers"
    return {f"{prefix}{k}": list(v.shape) for k, v in module.state_dict().items()}


def layer_norm_eps(module):
    return {n: m.eps for n, m in module.named_modules() if isinstance(m, nn.LayerNorm)}


# --- Mix Transformer


@pytest.mark.parametrize("name", SIZES)
def test_mix_transformer_is_built_as_published(name):
    mit, recorded = on_meta(mix_transformer, name), SIZES[name]
    assert sum(p.numel() for p in mit.parameters()) == recorded["params"]
    if recorded["state_dict"]:  # not recorded for every size
        assert shapes(mit) == recorded["state_dict"]
    eps = layer_norm_eps(mit)
    assert {n: eps[n] for n in recorded["ln_eps"]} == recorded["ln_eps"]
    drops = [m.drop_prob for m in mit.modules() if isinstance(m, DropPath)]
    assert drops == pytest.approx(recorded["drop_path"], abs=1e-8)


@torch.no_grad()
def test_mix_transformer_gives_the_published_features():
    mit = det_fill(mix_transformer("mit_tiny"), prefix="backbone.").eval()
    features = mit(normalize(fixture("enc_mit_tiny_96x160")["x_u8"].numpy()))
    for i, f in enumerate(features):
        test_recorded(f, "enc_mit_tiny_96x160", f"feat{i}")


@torch.no_grad()
def random_mit(name):
    "A Mix Transformer in double precision with lively weights, quickly made"
    mit = on_meta(mix_transformer, name).double().to_empty(device="cpu").eval()
    for p in mit.parameters():
        z = torch.randn(p.shape)
        p.copy_(z / p[0].numel() ** 0.5 if p.ndim > 1 else 0.5 + z / 5)
    return mit


def their_config(name):
    "Our sizes in the words of `transformers`"
    from transformers import SegformerConfig

    c = mit_configs[name]
    return SegformerConfig(
        hidden_sizes=list(c.dims),
        depths=list(c.depths),
        num_attention_heads=list(c.heads),
        sr_ratios=list(c.sr),
        mlp_ratios=[c.mlp_ratio] * 4,
    )


def their_mit(name, ours):
    "The same encoder in `transformers`, which reads our weights as it reads a file of the hub"
    from transformers import SegformerModel

    config = their_config(name)
    state = to_transformers(ours.state_dict())
    theirs = SegformerModel.from_pretrained(
        None, config=config, state_dict=state, dtype=torch.float64
    )
    eps = layer_norm_eps(ours)
    for n, m in theirs.named_modules():
        if isinstance(m, nn.LayerNorm):
            m.eps = eps[_our_name(n)]
    return theirs.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", mit_configs)
def test_mix_transformer_agrees_with_transformers(name):
    "In double precision, so that a difference cannot hide behind rounding; and the way back"
    x = normalize(synth_u8(64, 96, 5), torch.float64)
    ours = random_mit(name)
    theirs = their_mit(name, ours)
    want = theirs(x, output_hidden_states=True).hidden_states[-4:]
    for a, b in zip(ours(x), want):
        assert (a - b).abs().max() < 1e-5
    back = from_transformers(theirs.state_dict())
    assert back.unused == []
    for k, v in ours.state_dict().items():
        assert torch.equal(back.weights[k], v)


# --- dilated ResNet, alone and below DeepLabV2


def check_dlv2(got):
    "How many of the values are recorded and equal; the cut set has not all of them"
    recorded = fixture("dlv2")
    known = [k for k in got if k in recorded]
    for k in known:
        test_recorded(got[k], "dlv2", k)
    return known


def test_resnet_is_built_as_published():
    recorded = fixture_json("dlv2")["r50w16"]
    net = resnet_v1c("resnet50_v1c_w16")
    want = {k: v for k, v in recorded["state_dict"].items() if k.startswith("backbone")}
    assert shapes(net, "backbone.") == want
    for name, *sizes in recorded["conv2_stride_dilation_padding"]:
        conv = net.get_submodule(name)
        assert [list(t) for t in (conv.stride, conv.dilation, conv.padding)] == sizes


def test_resnet101_has_the_published_number_of_parameters():
    net = on_meta(resnet_v1c, "resnet101_v1c")
    count = sum(p.numel() for p in net.parameters())
    assert count == fixture_json("dlv2")["r101"]["backbone_params"]


@torch.no_grad()
def test_resnet_gives_the_published_features():
    net = det_fill(resnet_v1c("resnet50_v1c_w16").eval(), prefix="backbone.")
    features = net(normalize(synth_u8(64, 96, 91)))
    odd = net(normalize(synth_u8(70, 101, 92)))  # a size that no stride divides
    assert [list(f.shape) for f in features] == fixture_json("dlv2")["r50w16"]["feats"]
    got = {f"r50w16.feat{i}": f for i, f in enumerate(features)}
    got["r50w16.odd70x101.feat3"] = odd[3][:, ::8]
    assert {"r50w16.feat1", "r50w16.odd70x101.feat3"} <= set(check_dlv2(got))


def slim_resnet101():
    net = timm.create_model("resnet101c", stem_width=8, channels=(16, 32, 64, 128), output_stride=8)
    return ResNetV1c(net)


def deeplabv2(body, **kw):
    "Dilated ResNet and DeepLabV2 head with recorded weights"
    head = DLV2Head(body.channels, 19, **kw)
    return nn.Sequential(
        det_fill(body.eval(), prefix="backbone."), det_fill(head, prefix="decode_head.")
    )


@torch.no_grad()
@pytest.mark.parametrize(
    "name, build, every",  # `every`: which channels of the last feature are recorded
    [
        ("r50w16", lambda: resnet_v1c("resnet50_v1c_w16"), 1),
        ("r101w16", slim_resnet101, 4),
        ("r101", lambda: resnet_v1c("resnet101_v1c"), 16),
    ],
)
def test_deeplabv2_gives_the_published_scores(name, build, every):
    net = deeplabv2(build())
    features = net[0](normalize(synth_u8(64, 96, 91)))
    logits = net[1](features)
    got = {
        f"{name}.feat3": features[3][:, ::every],
        f"{name}.logits": logits,
        f"{name}.logits_up_sub4": resize(logits, (64, 96))[..., 1::4, 2::4],
    }
    assert f"{name}.logits" in check_dlv2(got)


@torch.no_grad()
@pytest.mark.parametrize(
    "key, size, seed, options",
    [
        ("r50w16.odd70x101.logits", (70, 101), 92, {}),
        ("r50w16.logits_6_12_18_24", (64, 96), 91, dict(dilations=(6, 12, 18, 24))),
    ],
)
def test_deeplabv2_at_an_odd_size_and_with_four_branches(key, size, seed, options):
    net = deeplabv2(resnet_v1c("resnet50_v1c_w16"), **options)
    assert check_dlv2({key: net(normalize(synth_u8(*size, seed)))}) == [key]


@torch.no_grad()
def test_deeplabv2_in_training():
    "Batch norm uses the statistics of the batch and remembers a tenth of them"
    net = deeplabv2(resnet_v1c("resnet50_v1c_w16")).train()
    logits = net(torch.cat([normalize(synth_u8(64, 96, seed)) for seed in (91, 93)]))
    got = {
        "r50w16.train.logits": logits,
        "r50w16.train.stem_running_var": net[0].stem[1].running_var,
    }
    assert check_dlv2(got) == list(got)


# --- decoders

CHANNELS = {"mit_tiny": (16, 32, 40, 64), "mit_b0": (32, 64, 160, 256)}


def build_head(key):
    "The head of one recorded run: 'mit_tiny.segformer'"
    width, variant = key.split(".")
    ins, is_tiny = CHANNELS[width], width == "mit_tiny"
    channels = (
        32 if is_tiny else {"segformer": 768, "dlv3p": 512, "dlv3p_sfa": 512}.get(variant, 256)
    )
    if variant == "segformer":
        return SegFormerHead(ins, 19, channels)
    if variant == "upernet":
        return UPerHead(ins, 19, channels)
    if variant.startswith("dlv3p"):
        low = 12 if is_tiny else 48
        return DeepLabV3PlusHead(ins, 19, channels, low_channels=low, enlarge="sfa" in variant)
    head = DAFormerHead(ins, 19, channels, fusion=variant.removeprefix("daformer_"))
    if variant == "daformer_isa":
        inner = channels // 2 if is_tiny else channels
        head.fuse_layer = InterlacedAttention(4 * channels, channels, inner)
    return head


def recorded_features(width, h=24, w=32):
    "The features that the recorded runs were fed"
    rs = np.random.RandomState(123)
    return [
        torch.from_numpy(rs.standard_normal((1, c, h >> i, w >> i))).float()
        for i, c in enumerate(CHANNELS[width])
    ]


DECODERS = sorted(fixture("decoders"))  # the cut set has not all of them


def test_enough_decoders_are_recorded():
    assert len(DECODERS) >= 11


@torch.no_grad()
@pytest.mark.parametrize("key", DECODERS)
def test_decoder_gives_the_published_logits(key):
    head = det_fill(build_head(key).eval(), prefix="decode_head.")
    logits = head(recorded_features(key.split(".")[0]))
    if fixture("decoders")[key].shape != logits.shape:  # a sample of every fourth cell
        logits = logits[..., 1::4, 2::4]
    test_recorded(logits, "decoders", key)


@pytest.mark.parametrize("key", fixture_json("decoders"))
def test_decoder_is_built_as_published(key):
    "But for SegFormer's `conv_seg`, which is never used"
    want = dict(fixture_json("decoders")[key]["state_dict"])
    if key.endswith("segformer"):
        want = {k: v for k, v in want.items() if not k.startswith("conv_seg")}
    head = on_meta(build_head, key)
    assert {k: list(v.shape) for k, v in head.named_parameters()} == want


@torch.no_grad()
def test_decoder_within_hrda():
    "Other names stand in front of it, hence other recorded weights"
    head = DAFormerHead(CHANNELS["mit_tiny"], 19, 32).eval()
    det_fill(head, prefix="decode_head.head.")
    features = recorded_features("mit_tiny")
    level = head.embed_layers[3](features[3])
    test_recorded(level.flatten(2).transpose(1, 2), "head_mit_tiny", "embed3")
    test_recorded(head(features), "head_mit_tiny", "logits")


# --- checkpoints

NETWORKS = ("model", "ema_model", "imnet_model")  # their weights were recorded with seeds 0, 1, 2
HRDA_SHAPES = fixture_json("hrda_state_dict_shapes")


def hrda(name):
    sizes = dict(channels=32, detail_size=(64, 64)) if name == "mit_tiny" else {}
    return build_model("hrda", encoder=name, **sizes)


@pytest.mark.parametrize("name", ["mit_tiny", "mit_b0", "mit_b5"])
def test_hrda_has_the_published_names_and_sizes(name):
    state = published_state(on_meta(hrda, name))
    assert {k: list(v.shape) for k, v in state.items()} == HRDA_SHAPES[name]["state_dict"]


@pytest.fixture(scope="module")
def checkpoint():
    "The recorded checkpoint where the whole set is at hand, else the same from its recipe"
    recorded = reference_dir() / "ckpt_tiny.safetensors"
    if recorded.exists():
        return read_checkpoint(recorded).weights
    state = {}
    for seed, network in enumerate(NETWORKS):
        for k, shape in HRDA_SHAPES["mit_tiny"]["state_dict"].items():
            dtype = torch.int64 if k.endswith("tracked") else torch.float32
            state[f"{network}.{k}"] = torch.as_tensor(det_tensor(k, shape, seed)).to(dtype)
    return state


@pytest.mark.parametrize("seed, network", list(enumerate(NETWORKS)))
def test_published_checkpoint_loads(checkpoint, seed, network):
    "Strictly, and each of its networks is another one"
    model = hrda("mit_tiny")
    report = load_published(model, checkpoint, which=network)
    assert (report.loaded, report.untouched) == (214, [])
    for k, v in published_state(model).items():
        want = torch.as_tensor(det_tensor(k, v.shape, seed))
        assert (v.double() - want.double()).abs().max() < 1e-6, k


def test_published_checkpoint_is_recognised(checkpoint):
    assert inspect_published(checkpoint) == dict(
        arch="hrda",
        detail_size=[512, 512],
        attention="classwise",
        encoder="mit_tiny",
        decoder="daformer",
        num_classes=19,
        channels=32,
    )


@torch.no_grad()
def test_half_precision_barely_changes_the_scores(checkpoint, tmp_path):
    model = hrda("mit_tiny").eval()
    load_published(model, checkpoint)
    save_checkpoint(tmp_path / "half.safetensors", model, half=True)
    rounded = load_checkpoint(tmp_path / "half.safetensors").model
    x = torch.from_numpy(synth_u8(64, 96, 4)).permute(2, 0, 1)[None] / 255
    assert (rounded(x).fused - model(x).fused).abs().max() < 2e-2


def test_a_folder_of_the_hub_loads(tmp_path):
    "Written by `transformers` itself"
    from transformers import SegformerForImageClassification

    theirs = SegformerForImageClassification(their_config("mit_tiny"))
    theirs.save_pretrained(tmp_path)
    body = encoder("mit_tiny")
    report = load_published(body, tmp_path)
    assert inspect_published(tmp_path) == dict(encoder="mit_tiny")
    assert report.loaded == len(body.state_dict())
    assert set(report.extra) == {"classifier.weight", "classifier.bias"}
