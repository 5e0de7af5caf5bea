"Activation checkpointing changes no number: four steps in float64 beside the plain ones."

from dataclasses import replace

import pytest
import torch

from hrda_nb.data.labels import UserError
from hrda_nb.models.computing import blocks, checkpoint_activations
from hrda_nb.models.encoders import encoder
from hrda_nb.training.bench import BenchStep
from hrda_nb.training.recipes import Recipe, with_contrast, with_masked_consistency
from hrda_nb.uda.self_training import SelfTrainingConfig

SMALL = Recipe(
    arch="daformer",
    encoder="mit_b0",
    channels=8,
    context_size=(64, 64),
    detail_size=(32, 32),
    pretrained=False,
    self_training=SelfTrainingConfig(teacher_overlap=False),
)


def as_float64(step):
    "The same step in float64"
    step.model.double()
    step.step.teacher.double()
    step.step.imagenet_encoder.double()
    for batch in step.batches:
        batch["image"] = batch["image"].double()
    return step


def trained(recipe, precise=True):
    "Losses of four steps, and the state of student and teacher"
    step = BenchStep(recipe, torch.device("cpu"), classes=5)
    step = as_float64(step) if precise else step
    losses = []
    torch.manual_seed(1)  # of dropout and stochastic depth
    for _ in range(4):
        step.optimizer.zero_grad(set_to_none=True)
        losses.append(step.step(*step.batches))
        step.optimizer.step()
    gradients = [p.grad for p in step.model.parameters()]
    return losses, gradients, step.model.state_dict(), step.step.teacher.state_dict()


def assert_same(plain, lean):
    "Bit for bit"
    for a, b in zip(plain[0], lean[0], strict=True):
        assert {k: float(v) for k, v in a.items()} == {k: float(v) for k, v in b.items()}
    for a, b in zip(plain[1], lean[1], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(plain[2:], lean[2:], strict=True):
        assert list(a) == list(b)
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["mit_b0", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("arch", ["daformer", "hrda"])
def test_four_steps_are_the_same(arch, name):
    recipe = replace(SMALL, arch=arch, encoder=name)
    plain = trained(recipe)
    assert any("num_batches_tracked" in key for key in plain[2])
    assert_same(plain, trained(replace(recipe, checkpointing="all")))


@pytest.mark.parametrize("add", [with_contrast, with_masked_consistency])
def test_contrast_and_masking(add):
    recipe = add(replace(SMALL, arch="hrda", encoder="mit_tiny"))
    assert_same(trained(recipe), trained(replace(recipe, checkpointing="encoder")))


def test_one_backward_and_half_precision():
    recipe = replace(SMALL, encoder="tf_efficientnet_lite0")
    halves = replace(recipe.self_training, autocast="bfloat16", one_backward=True)
    recipe = replace(recipe, self_training=halves)
    plain = trained(recipe, precise=False)
    assert_same(plain, trained(replace(recipe, checkpointing="all"), precise=False))


@pytest.mark.parametrize(
    "name", ["mit_b5", "resnet50_v1c_w16", "convnext_atto", "mobilenetv3_small_100"]
)
def test_encoders_have_blocks(name):
    with torch.device("meta"):
        assert len(list(blocks(encoder(name)))) > 8


def test_an_encoder_without_blocks_is_refused():
    network = torch.nn.ModuleDict(dict(encoder=torch.nn.Conv2d(3, 4, 1)))
    with pytest.raises(UserError, match="no list of blocks"):
        checkpoint_activations(network)
    assert checkpoint_activations(network, "none") is network
