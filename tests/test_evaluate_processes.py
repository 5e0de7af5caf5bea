"""`evaluate` in several processes: each scores its share of the pictures, all return the table of the whole data set."""

from pathlib import Path

import pandas as pd
import torch
from torch import distributed, multiprocessing, nn

from hrda_nb.data.labels import ClassTable
from hrda_nb.inference.metrics import evaluate
from hrda_nb.models.hrda import Output

class Red(nn.Module):
    "Class = red channel/50; context logits say class 0 everywhere"

    is_hrda = True

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        red = (
            nn.functional.one_hot((images[:, 0] * 255 / 50).round().long(), 3)
            .movedim(-1, 1)
            .float()
        )
        nothing = torch.zeros_like(red)
        nothing[:, 0] = 1
        size = tuple(images.shape[-2:])
        return Output(red, size, size, [], nothing, nothing[:, :1], red)


class Pictures(list):
    classes = ClassTable(("a", "b", "c"), [[i, i, i] for i in range(3)])


def pictures(n):
    "Pictures of different sizes; a third of the pixels is told wrongly"
    g, data = torch.Generator().manual_seed(0), Pictures()
    for i in range(n):
        label = torch.randint(0, 3, (8 + i, 12), generator=g)
        seen = label.where(torch.rand(label.shape, generator=g) > 0.3, torch.zeros_like(label))
        data.append(
            dict(
                image=(seen * 50).byte().expand(3, -1, -1).contiguous(),
                label=label.byte(),
                name=str(i),
            )
        )
    return data


COUNTS = (5, 2)  # pictures; with two, one of three processes has none at all


def work(rank, world, folder):
    distributed.init_process_group(
        "gloo", init_method=(Path(folder) / "meet").as_uri(), rank=rank, world_size=world
    )
    for n in COUNTS:
        evaluate(Red(), pictures(n), progress=False).to_csv(f"{folder}/{n}_{rank}.csv")
    distributed.destroy_process_group()


def test_every_process_returns_the_whole_table(tmp_path):
    multiprocessing.spawn(work, (3, tmp_path.as_posix()), 3)
    for n in COUNTS:
        alone = evaluate(Red(), pictures(n), progress=False)
        for rank in range(3):
            pd.testing.assert_frame_equal(
                pd.read_csv(tmp_path / f"{n}_{rank}.csv", index_col=0), alone
            )
        assert 5 < alone.loc["mIoU", "context"] < alone.loc["mIoU", "fused"] < 90
