"""Source-only against adapted on a real pair of domains, over several seeds: tables and curves.

    python benchmarks/adapt.py DATA [--recipe mini] [--seeds 0 1 2] [--short-seeds 3 4] [--runs DIR]

DATA holds source/train, target/train (unlabelled) and target/val (labelled, for reporting only).
Trainings go to --runs (an interrupted one goes on), figures to benchmarks/NAME.json and, as a page,
to benchmarks/NAME.md. Every row is the last checkpoint; each look at target/val is in its run's
metrics.csv."""

import datetime
import json
import os
import platform
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import tyro
from tqdm import tqdm

from hrda_nb.data.files import write_atomically
from hrda_nb.inference.metrics import evaluate
from hrda_nb.models.weights import load_checkpoint
from hrda_nb.plots import Plot, save
from hrda_nb.training.recipes import Recipe, find_recipe, picture_settings, recipe_dict, source_only
from hrda_nb.training.trainer import open_data, pick_device, target_batches, train
from hrda_nb.uda.ema_teacher import folding

HERE = Path(__file__).parent
VIEWS = ["context", "detail", "fused"]
TARGET_NORM = "source-only + target BatchNorm"


@dataclass
class Args:
    data: Annotated[Path, tyro.conf.Positional]  # source/train, target/train, target/val
    recipe: str = "mini"
    name: str = "idda_to_camvid"  # of the result files
    seeds: tuple[int, ...] = (0, 1, 2)  # full length
    short_seeds: tuple[int, ...] = ()  # of short_steps, for the spread where time is short
    short_steps: int = 1000
    runs: Path = Path("runs")  # where trainings go
    device: str = "auto"
    note: str = ""  # about the data, for the page


def folders(args: Args) -> tuple[Path, Path, Path]:
    "Of source, target and labelled target."
    return args.data / "source/train", args.data / "target/train", args.data / "target/val"


def run(args: Args, recipe: Recipe, out: Path) -> dict:
    "Train, or read what was trained: last metrics, the curve, how often val was looked at."
    if not (out / "last.safetensors").exists():
        resume = (out / "recipe.json").exists()
        train(recipe, *folders(args), out, resume=resume, device=args.device)
    metrics = pd.read_csv(out / "metrics.csv")
    last = metrics[metrics.step == recipe.steps].set_index("class")[VIEWS]
    return dict(
        iou=last.round(2).to_dict("index"),
        curve=metrics[metrics["class"] == "mIoU"][["step", *VIEWS]].round(2).to_dict("list"),
        looks_at_val=int(metrics.step.nunique()),
    )


def measure_norm(args: Args, recipe: Recipe, trained: Path, batches: int) -> pd.DataFrame:
    "Scores of a network whose BatchNorm averages are measured again on target crops."
    data = open_data(replace(recipe, adapt=True), *folders(args))
    device = pick_device(args.device)
    model = load_checkpoint(trained / "last.safetensors", device)[0]
    crops = islice(target_batches(data, recipe), batches)
    with torch.inference_mode(), folding(model, 0.02):
        for batch in tqdm(crops, total=batches, desc="target BatchNorm"):
            model(batch["image"].to(device))
    return evaluate(model, data.val, **picture_settings(recipe))


def target_norm(args: Args, recipe: Recipe, trained: Path, out: Path, batches: int = 150) -> dict:
    "The source-only network with nothing but new BatchNorm averages, of unlabelled target crops."
    if not (out / "metrics.csv").exists():
        out.mkdir(parents=True, exist_ok=True)
        table = measure_norm(args, recipe, trained, batches)
        rows = table.reset_index(names="class").assign(step=recipe.steps)
        rows = rows[["step", "class", *table.columns]]
        write_atomically(out / "metrics.csv", partial(rows.to_csv, index=False))
    last = pd.read_csv(out / "metrics.csv").set_index("class")[VIEWS]
    return dict(
        iou=last.round(2).to_dict("index"),
        curve=dict(step=[recipe.steps], **last.loc[["mIoU"]].round(2).to_dict("list")),
        looks_at_val=1,
    )


def markdown(table: pd.DataFrame) -> str:
    "A table as Markdown."
    flat = table.reset_index()
    lines = [flat.columns, ["---"] * len(flat.columns), *flat.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


PAGE = """# {name}: source-only against adapted

{about}

`{command}` on {machine}, {date}. Recipe `{recipe_name}`: {steps} steps or as many as the row \
says, {source_steps} of them on the source alone. Looks at target/val: {looks}.

## mIoU on target/val, in percent

{table}

Mean over seeds (largest minus smallest in brackets):

{means}

Adaptation, fused: **{gain:+.1f}** in the mean over pairs ({gains}); fused over context in the \
adapted row: {fused_gain:+.1f}.

Of that, what target BatchNorm averages alone give to the source-only network: {norm_gain:+.1f}.

## IoU of each class, fused, mean over seeds

{classes}

![curves]({name}.png)

"""


def class_means(rows: dict[str, dict]) -> pd.DataFrame:
    "Fused IoU of each class, mean over the seeds of a row."
    means = {}
    for name, seeds in rows.items():
        fused = {s: {c: v["fused"] for c, v in r["iou"].items()} for s, r in seeds.items()}
        means[name] = pd.DataFrame(fused).mean(axis=1)
    return pd.DataFrame(means)


def miou_table(rows: dict[str, dict]) -> pd.DataFrame:
    "mIoU of each row and seed."
    scores = {(n, s): r["iou"]["mIoU"] for n, seeds in rows.items() for s, r in seeds.items()}
    return pd.DataFrame(scores).T.rename_axis(["row", "seed"])


def gains_of(table: pd.DataFrame) -> dict:
    "What the page says of the gains in fused mIoU."
    mean = table.groupby("row", sort=False).mean()
    gains = (table.loc["adapted"] - table.loc["source-only"]).fused
    return dict(
        gain=gains.mean(),
        gains=", ".join(f"{g:+.1f}" for g in gains),
        fused_gain=mean.fused["adapted"] - mean.context["adapted"],
        norm_gain=(table.loc[TARGET_NORM] - table.loc["source-only"]).fused.mean(),
    )


def page(result: dict) -> str:
    "The JSON as a page."
    rows = result["rows"]
    table = miou_table(rows)
    groups = table.groupby("row", sort=False)
    spread = groups.agg(lambda s: s.max() - s.min())
    means = groups.mean().round(1).astype(str) + " (" + spread.round(1).astype(str) + ")"
    classes = class_means(rows)
    classes["gain"] = classes["adapted"] - classes["source-only"]
    return PAGE.format(
        **result,
        **gains_of(table),
        steps=result["recipe"]["steps"],
        source_steps=result["recipe"]["source_steps"],
        looks=sum(r["looks_at_val"] for seeds in rows.values() for r in seeds.values()),
        table=markdown(table.round(1)),
        means=markdown(means),
        classes=markdown(classes.rename_axis("class").round(1)),
    )


def draw(result: dict, path: Path) -> None:
    "mIoU over the steps, one line a run."
    fig = Plot((7, 3))
    ax = fig.subplots()
    colours = ("tab:gray", "tab:blue", "tab:orange")
    for (name, seeds), colour in zip(result["rows"].items(), colours):
        for i, r in enumerate(seeds.values()):
            line = dict(color=colour, marker=".", lw=1, label=name if i == 0 else None)
            ax.plot(r["curve"]["step"], r["curve"]["fused"], **line)
    ax.set(xlabel="step", ylabel="mIoU on target/val, fused")
    ax.legend()
    ax.grid(alpha=0.3)
    save(fig, path)


def processor() -> str:
    "The processor in words."
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def machine() -> str:
    "What the figures were measured on."
    words = f"{processor()}, {os.cpu_count()} cores, PyTorch {torch.__version__}"
    return f"{words}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else words


def numbers(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))


def measure(args: Args, recipe: Recipe) -> dict[str, dict]:
    "The rows of the table: source-only, with target BatchNorm, adapted."
    lengths = dict.fromkeys(args.seeds, recipe.steps)
    lengths |= dict.fromkeys(args.short_seeds, args.short_steps)
    rows = {"source-only": {}, TARGET_NORM: {}, "adapted": {}}
    for seed, steps in lengths.items():
        label = f"{seed} ({steps} steps)"
        adapted = replace(recipe, seed=seed, steps=steps)
        alone = source_only(adapted)
        trained = args.runs / f"source_only_{seed}"
        rows["source-only"][label] = run(args, alone, trained)
        rows["adapted"][label] = run(args, adapted, args.runs / f"adapted_{seed}")
        norm = args.runs / f"target_norm_{seed}"
        rows[TARGET_NORM][label] = target_norm(args, alone, trained, norm)
    return rows


def command_of(args: Args) -> str:
    "The command that made the page."
    words = f"python benchmarks/adapt.py DATA --recipe {args.recipe} --seeds {numbers(args.seeds)}"
    if args.short_seeds:
        seeds = numbers(args.short_seeds)
        words += f" --short-seeds {seeds} --short-steps {args.short_steps}"
    return words


ABOUT = """Last checkpoints, never chosen on target labels. Rows differ in nothing but the \
adaptation: same network, crops, sampling, source augmentation, schedule and steps. """
TEACHER = """The adapted row reports the teacher, whose BatchNorm averages are the target's; \
source-only has the source's. """


def main(args: Args) -> None:
    recipe = find_recipe(args.recipe)
    result = dict(
        name=args.name,
        command=command_of(args),
        recipe_name=args.recipe,
        about=ABOUT + (TEACHER if recipe.report == "teacher" else "") + args.note,
        machine=machine(),
        date=datetime.date.today().isoformat(),
        recipe=recipe_dict(recipe),
        rows=measure(args, recipe),
    )
    (HERE / f"{args.name}.json").write_text(json.dumps(result, indent=1))
    (HERE / f"{args.name}.md").write_text(page(result))
    draw(result, HERE / f"{args.name}.png")
    print(page(result))


if __name__ == "__main__":
    main(tyro.cli(Args))
