"The memory of a step is counted right; plans, their command, and what a training says without any."

import json
import sys
from dataclasses import replace

import pytest
import torch

from hrda_nb.cli import main
from hrda_nb.data.labels import UserError
from hrda_nb.training import plan as planning
from hrda_nb.training.plan import StepMemory, measured_peaks, peak_memory, plan
from hrda_nb.training.recipes import Recipe, with_contrast, with_masked_consistency
from hrda_nb.training.trainer import _memory_advice

TINY = Recipe(
    arch="daformer",
    encoder="mit_tiny",
    channels=8,
    context_size=(64, 64),
    detail_size=(32, 32),
    pretrained=False,
)


def counted(recipe, classes):
    "Fewer bytes the more is computed again, in half precision, in smaller crops"
    share = {"none": 1.0, "encoder": 0.7, "all": 0.5}[recipe.checkpointing]
    share *= 0.6 if recipe.self_training.autocast else 1.0
    share *= 0.9 if recipe.self_training.accumulate > 1 else 1.0
    share *= recipe.context_size[0] / 1024
    return StepMemory({"activations": int(20e9 * share)}, {"mixed": 1}, 10**12)


@pytest.fixture
def quick(monkeypatch):
    "Counts that are made up"
    monkeypatch.setattr(planning, "peak_memory", counted)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_counted_is_measured():
    recipe = replace(TINY, encoder="mit_b0", channels=64, context_size=(256, 256))
    lean = replace(recipe, checkpointing="encoder")
    for measured, other in zip(measured_peaks([recipe, lean]), (recipe, lean), strict=True):
        assert measured == pytest.approx(peak_memory(other).peak, rel=0.15)


@pytest.mark.parametrize("add", [with_contrast, with_masked_consistency])
def test_additional_passes_are_counted(add):
    more = peak_memory(add(TINY), 5)
    assert more.operations > peak_memory(TINY, 5).operations


def test_checkpoints_count(quick):
    table = plan(Recipe(), "16GB", progress=False)
    assert list(table.setting) == ["as it is", "--checkpointing encoder"]
    assert list(table.changes) == ["nothing", "nothing"]
    assert list(table["16GB"]) == [False, True]


def test_precision_comes_before_smaller_crops(quick):
    table = plan(Recipe(), "9GB", progress=False)
    assert list(table.changes) == ["nothing"] * 3 + ["BatchNorm"] + ["rounding"] * 3
    assert planning.settings_to_try(Recipe())[-1].recipe.detail_size == (256, 256)


def test_all_memories(quick):
    table = plan(Recipe(), progress=False)
    lines = planning.advice(table).splitlines()
    assert [line.split(":")[0] for line in lines] == list(planning.MEMORIES)
    assert lines[-1] == "80GB: as it is (22 GB; changes nothing)"


def test_what_cannot_fit(quick):
    table = plan(Recipe(), "1GB", progress=False)
    assert "1GB: nothing fits; the least is 2.97 GB with --context-size" in planning.advice(table)


def test_command(quick, tmp_path, capsys):
    command = ["plan", "gta_cityscapes_hrda", "--memory", "11GB", "--no-time"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert "11GB: --checkpointing all (11 GB; changes nothing)" in capsys.readouterr().out
    rows = json.loads((tmp_path / "plan.json").read_text())
    assert [row["11GB"] for row in rows] == [False, False, True]
    assert main([*command, "--checkpointing", "all"]) == 0
    assert "11GB: as it is" in capsys.readouterr().out


def test_a_divided_training_is_said_not_to_be_counted(quick, capsys):
    command = ["plan", "mini", "--memory", "16GB", "--no-time", "--context-size", "64", "64"]
    command += ["--detail-size", "32", "32"]
    assert main(command) == 0
    assert "sharded" not in capsys.readouterr().out
    assert main([*command, "--sharded"]) == 0
    assert "--sharded is not counted" in capsys.readouterr().out


def test_a_wrong_memory_is_one_line(quick, capsys):
    assert main(["plan", "mini", "--memory", "eleven", "--no-time"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1] == ("hrda: memory 'eleven': write a number and a unit, such as 11GB or 11000MB")


def test_training_out_of_memory_tells_what_to_change(quick):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    told = r"--checkpointing encoder needs 15.4 GB and changes noth"
    with pytest.raises(UserError, match=told), _memory_advice(Recipe()):
        raise error
    with pytest.raises(RuntimeError, match="shapes"), _memory_advice(Recipe()):
        raise RuntimeError("shapes do not fit")
