"Groups and learning rates against the recorded values of the published implementation."

import pytest
from fastcore.test import test_close as assert_close
from reference import fixture_json

from hrda_nb.models.hrda import build_model
from hrda_nb.training.optimizer import (
    learning_rate_factor,
    make_optimizer,
    make_schedule,
    parameter_groups,
)

BASE = 6e-5  # published rate of the encoder


@pytest.fixture(scope="module")
def recorded():
    return fixture_json("schedule")


def published_name(name):
    "Our name of a parameter as the published implementation calls it"
    for ours, theirs in (
        ("encoder.body.", "backbone."),
        ("decoder.", "decode_head.head."),
        ("attention.", "decode_head.scale_attention."),
    ):
        name = name.replace(ours, theirs)
    return name


@pytest.mark.parametrize("encoder", ["mit_tiny", "mit_b0"])
def test_the_groups_have_the_published_sizes(recorded, encoder):
    groups = parameter_groups(build_model("hrda", encoder=encoder))
    counts = {
        f"lr_mult={g['lr'] / BASE:.0f} weight_decay={g['weight_decay']:g}": len(g["params"])
        for g in groups
    }
    assert counts == recorded[f"groups_{encoder}"]["student_counts"]
    assert sum(counts.values()) == len({id(p) for g in groups for p in g["params"]})


def test_each_parameter_is_in_the_published_group(recorded):
    model = build_model("hrda", encoder="mit_b0")
    names = {id(p): published_name(name) for name, p in model.named_parameters()}
    groups = {}
    for g in parameter_groups(model):
        for p in g["params"]:
            groups[names[id(p)]] = [round(g["lr"] / BASE, 9), g["weight_decay"]]
    assert groups == recorded["groups_mit_b0"]["student_params"]


def test_adamw_has_the_published_settings(recorded):
    published = recorded["optimizer"]
    defaults = make_optimizer(build_model("hrda", encoder="mit_tiny")).defaults
    assert defaults["lr"] == published["lr"]
    assert defaults["weight_decay"] == published["weight_decay"]
    assert list(defaults["betas"]) == published["betas"]


def test_the_learning_rates_are_the_published_ones(recorded):
    for step, rates in recorded["schedule"].items():
        factor = learning_rate_factor(int(step))
        assert_close(BASE * factor, rates["backbone"], eps=1e-18)
        assert_close(10 * BASE * factor, rates["head"], eps=1e-17)
    config = recorded["lr_config"]
    assert config["warmup_iters"] == 1500
    assert (config["warmup_ratio"], config["power"]) == (1e-6, 1.0)


def test_the_schedule_gives_the_rates_of_the_recorded_steps():
    "Eight steps with two of warm-up; head, base 0.01"
    model = build_model("daformer", encoder="mit_tiny", channels=32)
    optimizer = make_optimizer(model, lr=1e-3)
    schedule = make_schedule(optimizer, steps=8, warmup=2)
    for step in fixture_json("step_daformer")["daformer"]["f64"][:4]:
        assert_close(optimizer.param_groups[0]["lr"], step["lr_backbone"], eps=1e-17)
        assert_close(optimizer.param_groups[-1]["lr"], step["lr_head"], eps=1e-16)
        optimizer.step()
        schedule.step()
