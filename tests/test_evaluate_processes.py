"""`evaluate` in several processes: each scores its share of the pictures, and all return the table
of the whole data set."""

from pathlib import Path

import forked
import pandas as pd
import pytest
import torch
from torch import distributed, nn

from hrda_nb.data.labels import ClassTable, UserError
from hrda_nb.data.processes import leave_processes
from hrda_nb.inference.metrics import evaluate
from hrda_nb.models.hrda import Output

PROCESSES = 3
COUNTS = (5, 2)  # pictures; with two, one of three processes has none at all
STEP = 50  # red of class 1; class 2 is twice as red
WRONG = 0.3  # fraction of the pixels whose red is not their label's


class ReadsRed(nn.Module):
    "The class is red/50; context logits say class 0 everywhere"

    is_hrda = True

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        index = (images[:, 0] * 255 / STEP).round().long()
        fused = nn.functional.one_hot(index, 3).movedim(-1, 1).float()
        context = torch.zeros_like(fused)
        context[:, 0] = 1
        size = tuple(images.shape[-2:])
        return Output(fused, size, size, [], context, context[:, :1], fused)


class Pictures(list):
    classes = ClassTable(("a", "b", "c"), [[i, i, i] for i in range(3)])


def picture(height, generator):
    label = torch.randint(0, 3, (height, 12), generator=generator)
    right = torch.rand(label.shape, generator=generator) > WRONG
    red = label.where(right, torch.zeros_like(label)) * STEP
    image = red.byte().expand(3, -1, -1).contiguous()
    return dict(image=image, label=label.byte(), name=str(height))


def pictures(count):
    "Pictures of different sizes"
    generator = torch.Generator().manual_seed(0)
    return Pictures(picture(8 + i, generator) for i in range(count))


def work(rank, world, folder):
    meeting = (Path(folder) / "meet").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    for count in COUNTS:
        table = evaluate(ReadsRed(), pictures(count), progress=False)
        table.to_csv(f"{folder}/{count}_{rank}.csv")
    torn = pictures(5)
    torn[1]["label"][:] = 77  # the second process meets it
    with pytest.raises(UserError, match="9: label value 77"):  # and all say so
        evaluate(ReadsRed(), torn, progress=False)
    keep = f"{folder}/parts"
    with pytest.raises(UserError):
        evaluate(ReadsRed(), torn, progress=False, keep=keep)
    evaluate(ReadsRed(), pictures(5), progress=False, keep=keep).to_csv(f"{folder}/kept_{rank}.csv")
    leave_processes()


def test_every_process_returns_the_whole_table(tmp_path):
    forked.ranks(work, (PROCESSES, tmp_path.as_posix()), PROCESSES)
    for count in COUNTS:
        alone = evaluate(ReadsRed(), pictures(count), progress=False)
        for rank in range(PROCESSES):
            table = pd.read_csv(tmp_path / f"{count}_{rank}.csv", index_col=0)
            pd.testing.assert_frame_equal(table, alone)
        if count == COUNTS[0]:  # after a failed one, from the counts that it left
            again = evaluate(ReadsRed(), pictures(count), progress=False, keep=tmp_path / "parts")
            pd.testing.assert_frame_equal(again, alone)
            kept = pd.read_csv(tmp_path / "kept_1.csv", index_col=0)
            pd.testing.assert_frame_equal(kept, alone)
        assert 5 < alone.loc["mIoU", "context"] < alone.loc["mIoU", "fused"] < 90
