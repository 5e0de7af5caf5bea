"""Whole pictures through HRDA: seconds, memory, encoder passes, with and without shared windows.

    python benchmarks/inference.py [--encoders mit_b0 mit_b5] [--sizes 1024x2048 333x517]
    python benchmarks/inference.py --render

Context windows 1024x1024 (step 512), detail windows 512x512 (step 256), random weights. Each case
runs in a process of its own; figures go to benchmarks/inference.json and, as a page, to
benchmarks/inference.md. --render measures nothing and makes the page from the figures there are."""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import tyro

HERE = Path(__file__).parent


@dataclass
class Args:
    encoders: tuple[str, ...] = ("mit_b0", "mit_b5")
    sizes: tuple[str, ...] = ("1024x2048", "333x517")  # HEIGHTxWIDTH in pixels
    render: bool = False  # only make the page


def case(encoder: str, size: str, share: bool) -> dict:
    "One picture, in this process."
    import resource

    import torch

    from hrda_nb.models.hrda import build_model, segment

    torch.manual_seed(0)
    model = build_model("hrda", encoder).eval()
    image = torch.rand(1, 3, *map(int, size.split("x")))
    passes = []
    model.encoder.register_forward_hook(lambda m, args, out: passes.append(len(args[0])))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with torch.inference_mode():
        logits = segment(model, image, (1024, 1024), (512, 512), share=share)["fused"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return dict(
        encoder=encoder,
        size=size,
        share=share,
        seconds=round(time.perf_counter() - began, 2),
        peak_gib=round(peak / 2**20, 2),
        model_loaded_gib=round(before / 2**20, 2),
        encoder_passes=sum(passes),
        logits=list(logits.shape),
    )


HEAD = (
    "encoder",
    "picture",
    "detail windows",
    "seconds",
    "peak memory, GiB",
    "of it, model loaded, GiB",
    "encoder passes",
)
PAGE = """# inference: whole pictures through HRDA

`{command}` on {machine}, {date}. Float32, one picture, logits of every pixel; random weights, \
which cost the same as trained ones.

Context windows of 1024x1024 pixels, step 512; detail windows of 512x512, step 256. An encoder \
pass is one window that goes through the encoder, context views included. Sharing computes every \
distinct detail window once; the logits are the same. A picture that fits into one context window \
has nothing to share.

{table}

"""


def cells(row: dict) -> list:
    "A row of the table."
    windows = "shared" if row["share"] else "each context window its own"
    figures = [f"{row[k]:.1f}" for k in ("seconds", "peak_gib", "model_loaded_gib")]
    return [row["encoder"], row["size"], windows, *figures, row["encoder_passes"]]


def page(result: dict) -> str:
    "The JSON as a page."
    rows = [HEAD, ["---"] * len(HEAD), *map(cells, result["rows"])]
    table = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
    return PAGE.format(**result, table=table)


def processor() -> str:
    "The processor in words."
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def measure_apart(encoder: str, size: str, share: bool) -> dict:
    "One picture, in a process of its own."
    command = [sys.executable, __file__, "case", encoder, size, str(int(share))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    print(row, flush=True)
    return row


def measure(args: Args) -> dict:
    "Every case, and where it ran."
    import torch

    cases = product(args.encoders, args.sizes, (True, False))
    return dict(
        command="python benchmarks/inference.py",
        machine=f"{processor()}, {os.cpu_count()} cores, PyTorch {torch.__version__}",
        date=datetime.date.today().isoformat(),
        rows=[measure_apart(*case) for case in cases],
    )


def main(args: Args) -> None:
    if not args.render:
        (HERE / "inference.json").write_text(json.dumps(measure(args), indent=1))
    (HERE / "inference.md").write_text(page(json.loads((HERE / "inference.json").read_text())))


if __name__ == "__main__":
    if sys.argv[1:2] == ["case"]:
        print(json.dumps(case(sys.argv[2], sys.argv[3], sys.argv[4] == "1")))
    else:
        main(tyro.cli(Args))
