"""A network divided over two processes (FSDP2) learns what averaged ones and a single one learn,
and a divided training is interrupted, resumed, evaluated and saved like any other."""

import faulthandler
import functools
import pickle
import shutil
import signal
import sys
from pathlib import Path

import forked
import numpy as np
import pandas as pd
import pytest
import torch
from notebooks import ROOT
from safetensors.torch import load_file
from test_processes import BASE, CLOSE, assert_close, batch, own, own_decisions
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from hrda_nb.data.labels import UserError
from hrda_nb.data.processes import leave_processes
from hrda_nb.data.settings import check_settings
from hrda_nb.models.batch_norm import synchronise_batch_norm
from hrda_nb.models.hrda import build_model
from hrda_nb.models.sharding import full_state, own_rows, parameters_renewed, shard, whole
from hrda_nb.training.guards import learned_finite, weights_finite
from hrda_nb.training.recipes import Recipe
from hrda_nb.uda import contrast
from hrda_nb.uda.contrast import attach_loss_heads
from hrda_nb.uda.self_training import SelfTraining, SelfTrainingConfig

sys.path.append(str(ROOT / "tools"))
from kill_and_resume import Kill, Training, differences, finish, install, newest_state

STEPS = 3
FAMILIES = {  # of test_processes, with a Mix Transformer or its small pyramid
    "masking": ("mit_tiny", dict(masked_weight=1.0, mask_block=16)),
    "contrast": ("test_pyramid", dict(pixel_contrast_weight=0.1, patch_contrast_weight=0.1)),
    "one_backward": ("test_pyramid", dict(masked_weight=1.0, mask_block=16, one_backward=True)),
}


def network(encoder):
    torch.manual_seed(0)
    sizes = dict(num_classes=5, detail_size=(32, 32), channels=8, dropout=0.0)
    model = build_model("hrda", encoder, pretrained=False, **sizes).double()
    for module in model.modules():  # random in training, and each process draws its own
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    return model


def teach(family, kind, rows, decisions=None):
    "A few steps on some pictures of each batch of two; what was decided, reported and learned"
    encoder, options = FAMILIES[family]
    config = SelfTrainingConfig(**BASE, **options)
    torch.manual_seed(1)
    imagenet = network(encoder).encoder
    model = attach_loss_heads(network(encoder), config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    student = model
    if kind != "alone":
        synchronise_batch_norm(model)
    if kind == "averaged":
        student = DistributedDataParallel(model)
    if kind == "divided":
        shard(imagenet)
        with parameters_renewed(optimizer, model):
            shard(model)
    step = SelfTraining(student, imagenet, config)
    decided, losses = [], []
    for i in range(STEPS):
        source, target = (own(b, rows) for b in batch(i, 2))
        optimizer.zero_grad()
        given = own_decisions(decisions[i], rows) if decisions else None
        report = step.run(source, target, given)
        assert learned_finite(model)
        optimizer.step()
        decided.append(report.decisions)
        losses.append({k: float(v) for k, v in report.losses.items()})
    gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    learned = dict(model=model.state_dict(), teacher=step.teacher.state_dict(), gradients=gradients)
    return dict(decided=decided, losses=losses, step=step, **full_state(learned))


def share(model):
    "What this process has of the parameters"
    held = sum(p.numel() for p in own_rows(model.parameters()))
    return held / sum(p.numel() for p in model.parameters())


def check_guards(model, rank):
    "A number that is none, in the rows of one process, is seen by both"
    assert weights_finite(model)
    with torch.no_grad():
        kept = own_rows([next(model.parameters())])[0]
        if rank == 1:
            kept.fill_(torch.inf)
    assert not weights_finite(model)


def work(rank, folder):
    torch.set_num_threads(1)
    set_views(4)
    faulthandler.dump_traceback_later(240, exit=True)
    meeting = (Path(folder) / "meet").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    for family in FAMILIES:
        decisions = pickle.loads((Path(folder) / family).read_bytes())
        for kind in ("averaged", "divided"):
            found = teach(family, kind, slice(rank, rank + 1), decisions)
            step = found.pop("step")
            del found["decided"]
            if kind == "divided":
                found["share"] = share(step.network), share(step.teacher)
                found["whole"] = whole(step.teacher).state_dict()
                check_guards(step.network, rank)
            torch.save(found, Path(folder) / f"{family}.{kind}.{rank}")
    leave_processes()


def set_views(number):
    "Anchors of classes with more than so many cells: pictures are small here; what it was before"
    settings = contrast.draw_anchors.__kwdefaults__
    before = settings["max_views"]
    settings["max_views"] = number
    return before


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    "family -> what one process learned with both pictures; and where two left what they learned"
    folder = tmp_path_factory.mktemp("taught")
    before = set_views(4)
    alone = {family: teach(family, "alone", slice(0, 2)) for family in FAMILIES}
    set_views(before)
    for family, found in alone.items():
        (folder / family).write_bytes(pickle.dumps(found["decided"]))
    forked.ranks(work, (str(folder),), 2)
    return alone, folder


@pytest.mark.parametrize("family", FAMILIES)
def test_divided_is_averaged_is_one_batch(taught, family):
    alone, folder = taught[0][family], taught[1]
    averaged, divided = (
        [torch.load(folder / f"{family}.{kind}.{rank}") for rank in (0, 1)]
        for kind in ("averaged", "divided")
    )
    for i, losses in enumerate(alone["losses"]):
        for name, value in losses.items():
            for ranks in (averaged, divided):
                mean = np.mean([rank["losses"][i][name] for rank in ranks])
                assert abs(mean - value) < CLOSE, f"step {i}: {name} {mean} {value}"
    for expected in (alone, averaged[0]):
        for part in ("model", "teacher", "gradients"):
            assert_close(divided[0][part], expected[part], f"{family}, {part}")
    for rank in divided:
        assert max(rank["share"]) < 0.55
        assert_close(rank["whole"], divided[0]["teacher"], "put together")


def losses(out):
    return pd.read_csv(out / "history.csv").drop(columns="seconds").set_index("step")


def test_killed_resumed_and_moved(city):
    "To the last bit with two processes; with one, and undivided, nearly"
    together, cut = city.parent / "together", city.parent / "cut"
    finish(city, together, "--sharded", processes=2)
    kill = functools.partial(install, Kill("step", 8))
    training = Training(city, cut, "--sharded", processes=2, before=kill, victim=1)
    assert -signal.SIGKILL in training.wait(), training.words
    assert newest_state(cut) == 6
    moved = shutil.copytree(cut, city.parent / "moved")
    finish(city, cut, "--sharded", "--resume", processes=2)
    assert differences(together, cut) == ""
    words = finish(city, moved, "--sharded", "--resume", "--batch-size", "4")
    assert "began with 2 processes and goes on with 1" in words
    assert "there is one process, so nothing is divided" in words
    plain = city.parent / "plain"
    finish(city, plain, processes=2)
    found, expected = losses(together), losses(plain)
    assert (found.phase == expected.phase).all()
    numbers = expected.columns.drop("phase")
    np.testing.assert_allclose(found[numbers], expected[numbers], rtol=0.02, atol=1e-3)
    assert {"last.safetensors", "report.html", "metrics.csv"} <= {
        p.name for p in together.iterdir()
    }


@pytest.mark.slow
def test_fine_tuning_a_vision_transformer(city):
    "LoRA, frozen stages, recomputed blocks, heads of losses: as averaged processes"
    pytest.importorskip("peft")
    flags = "--encoder vit_tiny_patch16_224 --lora-rank 2 --frozen-stages 2 --checkpointing encoder"
    flags += " --self-training.pixel-contrast-weight 0.1 --self-training.patch-contrast-weight 0.1"
    flags += " --steps 3 --source-steps 1 --log-every 1 --layer-decay 0.9"
    averaged, divided = city.parent / "vit_averaged", city.parent / "vit_divided"
    finish(city, averaged, *flags.split(), processes=2)
    finish(city, divided, *flags.split(), "--sharded", processes=2)
    found, expected = (losses(out).drop(columns="phase") for out in (divided, averaged))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    found, expected = (load_file(out / "last.safetensors") for out in (divided, averaged))
    assert found.keys() == expected.keys()
    assert all((found[k] - expected[k]).abs().max() < 1e-3 for k in found)


def test_what_does_not_go_together():
    half = SelfTrainingConfig(autocast="float16")
    with pytest.raises(UserError, match=r"sharded True: float16 scales gradients.*bfloat16"):
        check_settings(Recipe(sharded=True, self_training=half))
