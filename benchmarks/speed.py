"""Training steps and whole pictures of HRDA beside a public network, into benchmarks/speed.md.

    python benchmarks/speed.py [--encoders mit_b0 mit_b5] [--repeats 5]

Each case runs `hrda bench`'s measurement in a process of its own: the step and the picture in
turn with transformers' SegFormer-B0, in float32 and in bfloat16. Let nothing else run meanwhile."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from tqdm.auto import tqdm

from hrda_nb.training.bench import BenchSettings, bench
from hrda_nb.training.recipes import Recipe, recipes

HERE = Path(__file__).parent
SIZES = {"mit_b0": (256, 2), "mit_b5": (512, 1)}  # encoder -> context crop in pixels, batch
PRECISIONS = ("float32", "bfloat16")
PAGE = """# Speed: steps and pictures of HRDA

`{command}`, {date}. {machine}.

Random weights and pictures, which cost the same as real ones. A *unit* is the public yardstick, \
transformers' SegFormer-B0 in float32, timed in turn in the same process: forward and backward \
of two pictures of 256x256 for a step, one picture of 512x1024 for a picture. Medians of \
{repeats} turns. *Of the machine*: the floor over the time measured. The floor is what the \
counted multiplications and additions would take at the rates that the machine reaches, in the \
same precision, in one large 3x3 convolution (256 channels) and one large matrix product \
(2048x2048). It leaves out everything that only moves numbers. Steps: self-training with jitter, \
blur and feature distance; MiT-B0 with context crop 256, detail 128, batch 2; MiT-B5 with 512, \
256, batch 1. Pictures: 512x1024, context windows of 512 (step 256), detail windows of 256 (step \
128), with all four views.

| encoder | precision | step, s | units | of the machine | picture, s | units | of the machine \
| peak of a step, GiB |
|---|---|---|---|---|---|---|---|---|
{cases}

## Phase by phase

The machine's own rates in GFLOP/s: {rates}.

| encoder | precision | phase | floor, s | measured, s | of the machine |
|---|---|---|---|---|---|
{phases}

On a GPU: not measured, since none was at hand. The commands, which use one if there is one, are \
`hrda bench gta_cityscapes_hrda` and the same with `--self-training.autocast bfloat16`.
"""


@dataclass
class Args:
    encoders: tuple[str, ...] = ("mit_b0", "mit_b5")
    repeats: int = 5


def recipe(encoder: str, precision: str) -> Recipe:
    "HRDA at the sizes of a case; pictures in the windows of the page."
    side, batch = SIZES[encoder]
    published = recipes["gta_cityscapes_hrda"]
    step = replace(published.self_training, autocast=None if precision == "float32" else precision)
    step = replace(step, jitter_probability=1.0, blur_probability=1.0)
    return replace(
        published,
        encoder=encoder,
        batch_size=batch,
        context_size=(side, side),
        detail_size=(side // 2, side // 2),
        window=(512, 512),
        stride=(256, 256),
        self_training=step,
    )


def case(encoder: str, precision: str, repeats: int) -> dict:
    "Step and picture of one encoder, in this process."
    how = BenchSettings(precision=precision, repeats=repeats, yardstick=True, progress=False)
    report = bench(recipe(encoder, precision), torch.device("cpu"), how)
    return report.as_dict() | dict(encoder=encoder, precision=precision)


def line(found: dict) -> str:
    "One row of the page."
    rows = {row["what"]: row for row in found["table"]}
    cells = [found["encoder"], found["precision"]]
    for what in "step", "picture":
        row = rows[what]
        share = f"{row['% of machine']:.0f} %"
        cells += [f"{row['seconds']:.2f}", f"{row['units']:.2f}", share]
    return "| " + " | ".join([*cells, f"{found['peak_gib']:.2f}"]) + " |"


def phase_lines(found: dict) -> list[str]:
    "What each phase of a step could take and takes."
    phases = [row for row in found["table"] if row["what"].startswith("- ") and row["floor"]]
    return [
        f"| {found['encoder']} | {found['precision']} | {row['what'][2:]} | {row['floor']:.3f} "
        f"| {row['seconds']:.3f} | {row['% of machine']:.0f} % |"
        for row in phases
    ]


def rate_words(found: list[dict]) -> str:
    "The rates of each precision, as the first case in it found them."
    rates = {}
    for case in found:
        rates = case["rates"] | rates
    kinds = {p: ", ".join(f"{k} {v:.0f}" for k, v in of.items()) for p, of in rates.items()}
    return "; ".join(f"{precision} {words}" for precision, words in kinds.items())


def page(found: list[dict], repeats: int) -> str:
    "All cases as Markdown."
    about = {k: found[0][k] for k in ("date", "machine")}
    return PAGE.format(
        command="python benchmarks/speed.py",
        repeats=repeats,
        cases="\n".join(map(line, found)),
        rates=rate_words(found),
        phases="\n".join(row for case in found for row in phase_lines(case)),
        **about,
    )


def main(args: Args) -> None:
    found = []
    for encoder in tqdm(args.encoders, desc="speed", unit="encoder"):
        for precision in PRECISIONS:
            given = json.dumps([encoder, precision, args.repeats])
            call = [sys.executable, __file__, "--case", given]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    (HERE / "speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "speed.md").write_text(page(found, args.repeats))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(case(*json.loads(sys.argv[2]))))
    else:
        main(tyro.cli(Args))
