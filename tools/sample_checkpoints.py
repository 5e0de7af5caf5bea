"""Make the two small checkpoints of the bundled sample, and their model card:

    python tools/sample_checkpoints.py [--runs DIR]

The recipe `demo` for 1500 instead of 500 steps, on the source alone and adapted; half precision;
figures measured on the files as they are shipped."""

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
from hrda_nb.training.recipes import Recipe, picture_settings, recipes

ROWS = ("source_only", "adapted")


@dataclass
class Args:
    runs: Path = Path("runs/sample_checkpoints")  # of the trainings; finished ones are kept
    steps: int = 1500
    source_steps: int = 500
    seed: int = 0
    device: str = "auto"


CARD = """# Two small networks for the bundled sample

`adapted.safetensors` was adapted to the target without its labels, `source_only.safetensors` \
is the same network trained as long on the source alone.
Lessons and widgets open with them; they know this procedural city and nothing else.

* Network: HRDA over an EfficientNet-Lite0 encoder (ImageNet weights, Apache 2.0), 48-channel \
DAFormer decoder and scale attention, 19 Cityscapes classes; 16-bit numbers.
* Training: recipe `demo` with {steps} steps, {source_steps} of them on the source alone; pictures \
at 384x768; seed {seed}. No checkpoint was chosen on target labels.
* Made by `python tools/sample_checkpoints.py` on {machine}, {date}.
* Free to pass on, under the licence of this repository.

mIoU in percent, measured on these files:

{table}
"""


def machine() -> str:
    "The processor in words"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor()
    return f"{cpu}, {os.cpu_count()} cores, PyTorch {torch.__version__}"


def train_both(args: Args, recipe: Recipe) -> None:
    "On the source alone, and adapted"
    data = samples_dir()
    folders = (data / "source/train", data / "target/train", data / "target/val")
    compare(recipe, *folders, args.runs, device=args.device)


def ship(trained: Path, shipped: Path, recipe: Recipe) -> dict[str, pd.Series]:
    "Save a checkpoint in half precision; mIoU on both domains, of what was saved"
    model, meta = load_checkpoint(trained)
    notes = {k: v for k, v in meta.items() if k not in ("format", "model")}
    save_checkpoint(shipped, model, notes, half=True)
    model, _ = load_checkpoint(shipped)
    scores = {}
    for split in ("source/val", "target/val"):
        pictures = open_folder(samples_dir() / split)
        table = evaluate(model, pictures, **picture_settings(recipe))
        scores[split] = table.loc["mIoU", list(VIEW_ORDER)]
    return scores


def markdown(table: pd.DataFrame) -> str:
    "The scores as a table"
    lines = ["| network | pictures | context | detail | fused |", "|---|---|---|---|---|"]
    for names, values in zip(table.index, table.to_numpy()):
        lines.append("| " + " | ".join(map(str, (*names, *values))) + " |")
    return "\n".join(lines)


def main(args: Args) -> None:
    out = samples_dir() / "checkpoints"
    length = dict(steps=args.steps, source_steps=args.source_steps, seed=args.seed)
    recipe = replace(recipes["demo"], **length, eval_every=500)
    train_both(args, recipe)
    rows = {}
    for row in ROWS:
        trained = args.runs / row / "last.safetensors"
        for split, scores in ship(trained, out / f"{row}.safetensors", recipe).items():
            rows[row.replace("_", "-"), split] = scores
    table = markdown(pd.DataFrame(rows).T.astype(float).round(1))
    date = datetime.date.today().isoformat()
    card = CARD.format(**vars(args), machine=machine(), date=date, table=table)
    (out / "README.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main(tyro.cli(Args))
