"""Make the two small checkpoints that travel with the bundled sample, and their model card: `python tools/sample_checkpoints.py [--runs DIR]`.

The recipe `demo` for 1500 instead of 500 steps, on the source alone and adapted; half precision; figures measured on the files as they are shipped."""

import datetime
import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
import tyro

from hrda_nb.data.datasets import open_folder
from hrda_nb.data.samples import samples_dir
from hrda_nb.inference.metrics import evaluate
from hrda_nb.models.weights import load_checkpoint, save_checkpoint
from hrda_nb.training.compare import VIEW_ORDER, compare
from hrda_nb.training.recipes import picture_settings, recipes

ROWS = ("source_only", "adapted")


@dataclass
class Args:
    runs: Path = Path(
        "runs/sample_checkpoints"
    )  # where the trainings go; finished ones are not repeated
    steps: int = 1500
    source_steps: int = 500
    seed: int = 0
    device: str = "auto"


CARD = """# Two small networks for the bundled sample

`adapted.safetensors` was adapted to the target without its labels, `source_only.safetensors` is the same network trained as long on the source alone.
Lessons and widgets open with them; they know this procedural city and nothing else.

* Network: HRDA over an EfficientNet-Lite0 encoder (ImageNet weights, Apache 2.0), 48-channel DAFormer decoder and scale attention, 19 Cityscapes classes; 16-bit numbers.
* Training: recipe `demo` with {steps} steps, {source_steps} of them on the source alone; pictures at 384x768; seed {seed}. No checkpoint was chosen on target labels.
* Made by `python tools/sample_checkpoints.py` on {machine}, {date}.
* Free to pass on, under the licence of this repository.

mIoU in percent, measured on these files:

{table}
"""


def machine() -> str:
    "The processor in words"
    info = Path("/proc/cpuinfo")
    cpu = (
        next(
            (line.split(":")[1].strip() for line in info.open() if line.startswith("model name")),
            "",
        )
        if info.exists()
        else platform.processor()
    )
    return f"{cpu}, {os.cpu_count()} cores, PyTorch {torch.__version__}"


def main(args: Args) -> None:
    data, out = samples_dir(), samples_dir() / "checkpoints"
    recipe = replace(
        recipes["demo"],
        steps=args.steps,
        source_steps=args.source_steps,
        seed=args.seed,
        eval_every=500,
    )
    compare(
        recipe,
        data / "source/train",
        data / "target/train",
        data / "target/val",
        args.runs,
        device=args.device,
    )
    rows = {}
    for row in ROWS:
        model, meta = load_checkpoint(args.runs / row / "last.safetensors")
        save_checkpoint(
            out / f"{row}.safetensors",
            model,
            {k: v for k, v in meta.items() if k not in ("format", "model")},
            half=True,
        )
        model, _ = load_checkpoint(out / f"{row}.safetensors")
        for split in ("source/val", "target/val"):
            rows[row.replace("_", "-"), split] = evaluate(
                model, open_folder(data / split), **picture_settings(recipe)
            ).loc["mIoU", list(VIEW_ORDER)]
    table = pd.DataFrame(rows).T.astype(float).round(1)
    lines = [
        "| network | pictures | context | detail | fused |",
        "|---|---|---|---|---|",
        *(
            "| " + " | ".join(map(str, (*names, *values))) + " |"
            for names, values in zip(table.index, table.to_numpy())
        ),
    ]
    card = CARD.format(
        **vars(args),
        machine=machine(),
        date=datetime.date.today().isoformat(),
        table="\n".join(lines),
    )
    (out / "README.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main(tyro.cli(Args))
