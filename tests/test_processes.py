"""Several processes with a picture each train the network that one process with all the pictures
trains: losses, gradients, thresholds and weights, in float64."""

import dataclasses
import faulthandler
import pickle
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from hrda_nb import cli
from hrda_nb.data.geometry import resize
from hrda_nb.data.labels import UserError
from hrda_nb.data.processes import Process, SharedError, leave_processes
from hrda_nb.models.batch_norm import synchronise_batch_norm
from hrda_nb.models.decoders import SegmentationHead, decoders
from hrda_nb.models.encoders import Encoder, encoder, encoders
from hrda_nb.models.hrda import build_model
from hrda_nb.uda import contrast
from hrda_nb.uda.contrast import Anchors
from hrda_nb.uda.decisions import Decisions
from hrda_nb.uda.self_training import SelfTraining, SelfTrainingConfig, SourceOnly

STEPS = 10
CLOSE = 1e-8
SIZE = (64, 64)
BASE = dict(num_classes=5, things=(1, 2, 3), threshold=0.21, thing_ratio=0.2)
FAMILIES = {
    "hrda": dict(),
    "class": dict(quality_of="class", teacher_batch_norm="target"),
    "prototype": dict(quality_of="prototype", prototype_momentum=0.5),
    "contrast": dict(pixel_contrast_weight=0.1, patch_contrast_weight=0.1),
    "masking": dict(masked_weight=1.0, mask_block=16),
    "unmixed": dict(mixed_weight=0.0),
    "one_backward": dict(masked_weight=1.0, mask_block=16, one_backward=True),
    "source": dict(),
}


class Pyramid(nn.Module):
    "Four levels at strides 4, 8, 16 and 32, each with a norm"

    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        widths = (3, 6, 6, 8, 8)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AvgPool2d(s, ceil_mode=True), nn.Conv2d(a, b, 1), norm(b), nn.ReLU())
            for s, a, b in zip((4, 2, 2, 2), widths, widths[1:])
        )

    def forward(self, x):
        return [x := stage(x) for stage in self.stages]


@encoders.register("test_pyramid")
def pyramid(pretrained):
    return Encoder(Pyramid(), (6, 6, 8, 8), (4, 8, 16, 32))


@encoders.register("test_plain")
def plain(pretrained):
    return Encoder(Pyramid(nn.Identity), (6, 6, 8, 8), (4, 8, 16, 32))


def network(seed=0):
    torch.manual_seed(seed)
    sizes = dict(num_classes=5, detail_size=(32, 32), channels=8, dropout=0.0)
    return build_model("hrda", "test_pyramid", pretrained=False, **sizes).double()


def make_step(family, model):
    config = SelfTrainingConfig(**BASE | FAMILIES[family])
    if family == "source":
        return SourceOnly(model, encoder_of(1), config)
    return SelfTraining(model, encoder_of(1), config)


def encoder_of(seed):
    torch.manual_seed(seed)
    return encoder("test_pyramid", pretrained=False).double()


def batch(step, count):
    g = torch.Generator().manual_seed(step)
    label = torch.randint(0, 5, (count, 1, 4, 4), generator=g).double()
    label = nn.functional.interpolate(label, SIZE)[:, 0].long()
    label[0] = label[0].where(label[0] == 0, 4)  # no thing in the first picture
    label[:, :5] = 255
    images = torch.rand(2, count, 3, *SIZE, generator=g, dtype=torch.float64)
    valid = torch.ones(count, *SIZE, dtype=torch.float64)
    valid[:, -6:] = 0
    return dict(image=images[0], label=label), dict(image=images[1], valid=valid)


def own(batch, rows):
    return {name: value[rows] for name, value in batch.items()}


def own_decisions(decisions, rows):
    "What was decided for a few pictures of the batch"
    mine = {}
    for field in dataclasses.fields(Decisions):
        value = getattr(decisions, field.name)
        if field.name == "anchors" and isinstance(value, Anchors):
            chosen = (value.image >= rows.start) & (value.image < rows.stop)
            value = Anchors(*(x[chosen] for x in value))
            value = value._replace(image=value.image - rows.start)
        elif field.name not in ("detail_boxes", "patch_boxes") and not isinstance(value, str):
            value = value if value is None else value[rows]
        mine[field.name] = value
    return Decisions(**mine)


@pytest.fixture(autouse=True)
def few_anchors():
    "Anchors of classes with more than four cells, since the pictures here are small"
    before = contrast.draw_anchors.__kwdefaults__["max_views"]
    contrast.draw_anchors.__kwdefaults__["max_views"] = 4
    yield
    contrast.draw_anchors.__kwdefaults__["max_views"] = before


def run(family, count, rows, decisions=None, averaged=False):
    "Ten steps on some pictures of each batch; what was decided, reported and learned"
    model = network()
    if averaged:
        step = make_step(family, DistributedDataParallel(synchronise_batch_norm(model)))
    else:
        step = make_step(family, model)
    optimizer = torch.optim.SGD(step.network.parameters(), lr=0.02, momentum=0.9, weight_decay=0.01)
    decided, losses = [], []
    for i in range(STEPS):
        source, target = (own(b, rows) for b in batch(i, count))
        optimizer.zero_grad()
        given = own_decisions(decisions[i], rows) if decisions else None
        report = step.run(source, target, given)
        optimizer.step()
        decided.append(report.decisions)
        losses.append({k: float(v) for k, v in report.losses.items()})
    gradients = {k: p.grad for k, p in step.network.named_parameters()}
    weighting = step.weighting.state_dict() if step.has_teacher else {}
    teacher = step.teacher.state_dict() if step.has_teacher else {}
    learned = dict(model=step.network.state_dict(), teacher=teacher, weighting=weighting)
    return dict(decided=decided, losses=losses, gradients=gradients, **learned)


def work(rank, count, folder):
    torch.set_num_threads(1)
    contrast.draw_anchors.__kwdefaults__["max_views"] = 4
    faulthandler.dump_traceback_later(240, exit=True)
    meeting = (Path(folder) / "meet").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    for path in sorted(Path(folder).glob("*.alone")):
        decisions = pickle.loads(path.read_bytes())
        pictures = 2 if count == 2 else 4
        each = pictures // count
        rows = slice(rank * each, (rank + 1) * each)
        found = run(path.stem, pictures, rows, decisions, averaged=True)
        del found["decided"]
        torch.save(found, path.with_suffix(f".{rank}"))
    leave_processes()


def assert_close(found, expected, what):
    assert found.keys() == expected.keys(), what
    for name, value in expected.items():
        if value is None:
            assert found[name] is None, f"{what} {name}"
        elif value.is_floating_point():
            difference = (found[name].double() - value.double()).abs().max()
            assert difference < CLOSE, f"{what} {name}: {difference}"


@pytest.mark.parametrize(("count", "families"), [(2, tuple(FAMILIES)), (4, ("hrda",))])
def test_processes_are_one_batch(tmp_path, count, families):
    pictures = 2 if count == 2 else 4
    alone = {}
    for family in families:
        alone[family] = run(family, pictures, slice(0, pictures))
        (tmp_path / f"{family}.alone").write_bytes(pickle.dumps(alone[family]["decided"]))
    forked.ranks(work, (count, str(tmp_path)), count)
    for family, expected in alone.items():
        ranks = [torch.load(tmp_path / f"{family}.{rank}") for rank in range(count)]
        for i, losses in enumerate(expected["losses"]):
            for name, value in losses.items():
                mean = np.mean([rank["losses"][i][name] for rank in ranks])
                assert abs(mean - value) < CLOSE, f"{family}, step {i}: {name} {mean} {value}"
        for part in ("gradients", "model", "teacher", "weighting"):
            for found in ranks:
                assert_close(found[part], expected[part], f"{family}, {part}")
        for name, value in ranks[0]["teacher"].items():  # to the last bit
            assert all(value.equal(rank["teacher"][name]) for rank in ranks[1:]), name


@decoders.register("test_sum")
class Sum(SegmentationHead):
    "A decoder without BatchNorm"

    def __init__(self, channels_in, num_classes, channels, dropout, *, strides_in):
        super().__init__(channels, num_classes, dropout, strides_in[0])
        self.embed = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in channels_in)

    def forward(self, features):
        size = features[0].shape[-2:]
        return self.classify(sum(resize(f(x), size) for f, x in zip(self.embed, features)))


def learn(accumulate, decisions=None, **options):
    torch.manual_seed(0)
    sizes = dict(num_classes=5, detail_size=(32, 32), channels=8, dropout=0.0)
    kind = dict(decoder="test_sum", attention=0.5)
    model = build_model("hrda", "test_plain", pretrained=False, **sizes, **kind).double()
    config = SelfTrainingConfig(**BASE, masked_weight=1.0, accumulate=accumulate, **options)
    torch.manual_seed(1)
    step = SelfTraining(model, encoder("test_plain", pretrained=False).double(), config)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    losses = []
    decided = []
    for i in range(4):
        optimizer.zero_grad()
        report = step.run(*batch(i, 4), decisions[i] if decisions else None)
        optimizer.step()
        losses.append({k: float(v) for k, v in report.losses.items()})
        decided.append(report.decisions)
    return step, losses, decided


@pytest.mark.parametrize("quality_of", ["batch", "class", "prototype"])
def test_parts_of_a_batch_are_the_batch(quality_of):
    "Without BatchNorm: a batch of four in two parts, or four, teaches what the whole batch does"
    whole, expected, decisions = learn(1, quality_of=quality_of)
    for parts in (2, 4):
        step, losses, _ = learn(parts, decisions, quality_of=quality_of)
        for mine, theirs in zip(losses, expected):
            assert mine == pytest.approx(theirs, abs=1e-10)
        assert_close(step.network.state_dict(), whole.network.state_dict(), "weights")
        assert_close(step.weighting.state_dict(), whole.weighting.state_dict(), "weighting")
    with pytest.raises(UserError, match="does not divide"):
        learn(3)


@pytest.mark.parametrize(("error", "said"), [(UserError, True), (SharedError, False)])
def test_a_mistake_is_said_by_whoever_meets_it(error, said, monkeypatch, capsys):
    "and once, where all meet it"

    def read(args):
        raise error("a folder is missing")

    monkeypatch.setattr(cli, "this_process", lambda: Process(1, 2))
    monkeypatch.setattr(cli, "read", read)
    assert cli.main([]) == 2
    assert ("a folder is missing" in capsys.readouterr().err) == said
