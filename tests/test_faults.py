"""What goes wrong in the middle of a training: it is seen in the step in which it happens, said in
one line, and the state on the disk is whole."""

import shutil
import time
from dataclasses import replace

import forked
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from hrda_nb.data.labels import UserError
from hrda_nb.training.recipes import recipes
from hrda_nb.training.trainer import train
from hrda_nb.uda.losses import additional_losses

TINY = replace(
    recipes["mini"],
    encoder="mit_tiny",
    pretrained=False,
    channels=8,
    context_size=(64, 64),
    detail_size=(32, 32),
    steps=8,
    source_steps=2,
    warmup=2,
    log_every=1,
    save_every=2,
    eval_every=100,
    picture_every=100,
    rare_class_min_pixels=10,
)


@pytest.fixture
def city(city, tmp_path):
    "For one test, which may spoil it"
    return shutil.copytree(city, tmp_path / "city")


def run(city, out, recipe=TINY, **options):
    folders = dict(source=city / "source/train", target=city / "target/train")
    return train(recipe, **folders, out=out, device="cpu", progress=False, **options)


def assert_finite(path):
    assert all(torch.isfinite(x.float()).all() for x in load_file(path).values())


class Bomb:
    "An additional loss that is infinite in one step, in all that it touches"

    stage = "source"

    def __init__(self, step, at):
        self.step = step
        self.at = at

    def __call__(self, seen, draws):
        factor = torch.inf if self.step.iteration == self.at else 0.0
        return dict(bomb=seen.output.fused.mean() * factor)


@pytest.fixture
def bomb():
    additional_losses["bomb"] = lambda step: Bomb(step, 2)  # of each phase: steps 3 and 5
    yield
    del additional_losses["bomb"]


def test_an_infinite_gradient_stops(city, bomb, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UserError) as error:
        run(city, out)
    words = str(error.value)
    assert "step 5: the loss bomb" in words and "city_" in words and "--resume" in words
    assert "\n" not in words
    assert len(list((out / "snapshots").iterdir())) == 2  # numbers and picture
    del additional_losses["bomb"]
    try:
        history = run(city, out, resume=True)  # from the state of step 4
    finally:
        additional_losses["bomb"] = lambda step: None
    assert history.step.tolist() == list(range(1, 9))
    assert_finite(out / "last.safetensors")


def test_an_infinite_gradient_is_left_out(city, bomb, tmp_path, capsys):
    out = tmp_path / "run"
    history = run(city, out, replace(TINY, non_finite="skip"))
    assert history.step.tolist() == list(range(1, 9))
    assert "step 5" in capsys.readouterr().err
    assert history.notna().all().all()
    assert_finite(out / "last.safetensors")


def test_a_rate_that_breaks_everything(city, tmp_path):
    "It ends before a broken state replaces a whole one, whatever is to be done with single steps"
    fast = replace(TINY, lr=1e9, warmup=1, save_every=1)
    for non_finite in ("stop", "skip"):
        out = tmp_path / non_finite
        with pytest.raises(UserError, match="finite number"):
            run(city, out, replace(fast, non_finite=non_finite))
        for path in (out / "resume").glob("*.pt"):
            model = torch.load(path, weights_only=True)["model"]
            assert all(x.isfinite().all() for x in model.values())


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def test_unreadable_pictures_are_left_out(city, tmp_path, capsys):
    first, second, *_ = sorted((city / "target/train/images").iterdir())
    truncate(first)

    def lose(row):
        if row["step"] == 3:
            second.unlink()

    history = run(city, tmp_path / "run", callback=lose)
    assert len(history) == 8
    err = capsys.readouterr().err
    assert err.count(first.name) == 1 and "cannot be read" in err


def test_too_many_unreadable_pictures(city, tmp_path):
    pictures = sorted((city / "target/train/images").iterdir())
    for path in pictures[:2]:
        truncate(path)
    with pytest.raises(UserError, match=r"files cannot be read.*hrda doctor.*--resume"):
        run(city, tmp_path / "run", replace(TINY, max_unreadable=1))
    for path in pictures[2:]:
        truncate(path)
    with pytest.raises(UserError, match="cannot be read"):  # none is left
        run(city, tmp_path / "none")


def rank(city, out):
    "What a process of a long training says in the end"
    endless = replace(TINY, batch_size=1, steps=4000, save_every=1, rare_class_sampling=False)
    try:
        run(city, out, endless)
    except UserError as e:
        return str(e)


def test_a_process_dies(city, tmp_path):
    "The other one ends within a minute and says so; the last state is whole"
    out = tmp_path / "run"
    processes = [
        forked.Child(tmp_path / env["RANK"], rank, city, out, **env) for env in forked.group(2)
    ]
    log = out / "history.csv"
    while not (log.exists() and len(log.read_text().splitlines()) > 4):
        assert all(p.poll() is None for p in processes), processes[0].err
        time.sleep(0.1)
    processes[1].kill()
    assert processes[0].wait(60) == 1
    error = processes[0].err
    assert "another process of this training has ended" in error, error
    states = sorted((out / "resume").glob("state_*.json"))
    assert states
    rows = pd.read_csv(log)
    assert rows.step.is_unique
