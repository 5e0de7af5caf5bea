"""Source-only against adapted on a real pair of domains, over several seeds: the table, IoU of every class and the curves.

    python benchmarks/adapt.py DATA [--recipe mini] [--seeds 0 1 2] [--short-seeds 3 4] [--runs DIR]

DATA holds source/train, target/train (unlabelled) and target/val (labelled, for reporting only). Trainings go to --runs (an interrupted one goes on),
figures to benchmarks/NAME.json and, as a page, to benchmarks/NAME.md. Every row is the last checkpoint; each look at target/val is in its run's metrics.csv."""

import datetime
import json
import os
import platform
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import tyro
from tqdm import tqdm

from hrda_nb.inference.metrics import evaluate
from hrda_nb.models.weights import load_checkpoint
from hrda_nb.plots import Plot, save
from hrda_nb.training.recipes import Recipe, find_recipe, picture_settings, recipe_dict, source_only
from hrda_nb.training.state import append_rows
from hrda_nb.training.trainer import open_data, pick_device, target_batches, train
from hrda_nb.uda.ema_teacher import folding

HERE, VIEWS, TARGET_NORM = (
    Path(__file__).parent,
    ["context", "detail", "fused"],
    "source-only + target BatchNorm",
)


@dataclass
class Args:
    data: Annotated[
        Path, tyro.conf.Positional
    ]  # folder with source/train, target/train, target/val
    recipe: str = "mini"
    name: str = "idda_to_camvid"  # of the result files
    seeds: tuple[int, ...] = (0, 1, 2)  # full length
    short_seeds: tuple[int, ...] = ()  # of short_steps, for the spread where time is short
    short_steps: int = 1000
    runs: Path = Path("runs")  # where trainings go
    device: str = "auto"
    note: str = ""  # about the data, for the page


def run(args: Args, recipe: Recipe, out: Path) -> dict:
    "Train, or read what was trained: last metrics, the curve of mIoU and how often val was looked at."
    if not (out / "last.safetensors").exists():
        train(
            recipe,
            args.data / "source/train",
            args.data / "target/train",
            args.data / "target/val",
            out,
            resume=(out / "resume").exists(),
            device=args.device,
        )
    metrics = pd.read_csv(out / "metrics.csv")
    last = metrics[metrics.step == recipe.steps].set_index("class")[VIEWS]
    return dict(
        iou=last.round(2).to_dict("index"),
        curve=metrics[metrics["class"] == "mIoU"][["step", *VIEWS]].round(2).to_dict("list"),
        looks_at_val=int(metrics.step.nunique()),
    )


def target_norm(args: Args, recipe: Recipe, trained: Path, out: Path, batches: int = 150) -> dict:
    "The source-only network with nothing but its BatchNorm averages measured again, on unlabelled target crops."
    if not (out / "metrics.csv").exists():
        out.mkdir(parents=True, exist_ok=True)
        data, device = (
            open_data(
                replace(recipe, adapt=True),
                args.data / "source/train",
                args.data / "target/train",
                args.data / "target/val",
            ),
            pick_device(args.device),
        )
        model = load_checkpoint(trained / "last.safetensors", device)[0]
        with torch.inference_mode(), folding(model, 0.02):
            for batch in tqdm(
                islice(target_batches(data, recipe), batches), total=batches, desc=out.name
            ):
                model(batch["image"].to(device))
        table = evaluate(model, data.val, **picture_settings(recipe))
        append_rows(
            out / "metrics.csv",
            table.reset_index(names="class").assign(step=recipe.steps)[
                ["step", "class", *table.columns]
            ],
        )
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


def page(result: dict) -> str:
    "The JSON as a page."
    rows = {
        (name, seed): r["iou"]["mIoU"]
        for name, seeds in result["rows"].items()
        for seed, r in seeds.items()
    }
    table = pd.DataFrame(rows).T.rename_axis(["row", "seed"])
    mean, spread = (
        table.groupby("row", sort=False).mean(),
        table.groupby("row", sort=False).agg(lambda s: s.max() - s.min()),
    )
    looks = sum(r["looks_at_val"] for seeds in result["rows"].values() for r in seeds.values())
    gains = (table.loc["adapted"] - table.loc["source-only"]).fused
    classes = pd.DataFrame(
        {
            name: pd.DataFrame(
                {s: {c: v["fused"] for c, v in r["iou"].items()} for s, r in seeds.items()}
            ).mean(axis=1)
            for name, seeds in result["rows"].items()
        }
    )
    classes["gain"] = classes["adapted"] - classes["source-only"]
    return "\n\n".join(
        [
            f"# {result['name']}: source-only against adapted",
            result["about"],
            f"`{result['command']}` on {result['machine']}, {result['date']}. Recipe `{result['recipe_name']}`: {result['recipe']['steps']} steps or as many as the row says, "
            f"{result['recipe']['source_steps']} of them on the source alone. Looks at target/val: {looks}.",
            "## mIoU on target/val, in percent",
            markdown(table.round(1)),
            "Mean over seeds (largest minus smallest in brackets):",
            markdown(mean.round(1).astype(str) + " (" + spread.round(1).astype(str) + ")"),
            f"Adaptation, fused: **{gains.mean():+.1f}** in the mean over pairs ({', '.join(f'{g:+.1f}' for g in gains)}); fused over context in the adapted row: {mean.fused['adapted'] - mean.context['adapted']:+.1f}.",
            f"Of that, what target BatchNorm averages alone give to the source-only network: {(table.loc[TARGET_NORM] - table.loc['source-only']).fused.mean():+.1f}.",
            "## IoU of each class, fused, mean over seeds",
            markdown(classes.rename_axis("class").round(1)),
            f"![curves]({result['name']}.png)",
            "",
        ]
    )


def draw(result: dict, path: Path) -> None:
    "mIoU over the steps, one line a run."
    fig = Plot((7, 3))
    ax = fig.subplots()
    for (name, seeds), colour in zip(
        result["rows"].items(), ("tab:gray", "tab:blue", "tab:orange")
    ):
        for i, r in enumerate(seeds.values()):
            ax.plot(
                r["curve"]["step"],
                r["curve"]["fused"],
                color=colour,
                marker=".",
                lw=1,
                label=name if i == 0 else None,
            )
    ax.set(xlabel="step", ylabel="mIoU on target/val, fused")
    ax.legend()
    ax.grid(alpha=0.3)
    save(fig, path)


def machine() -> str:
    "What the figures were measured on."
    cpu = (
        next(
            (l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")),
            platform.processor(),
        )
        if Path("/proc/cpuinfo").exists()
        else platform.processor()
    )
    return f"{cpu}, {os.cpu_count()} cores, PyTorch {torch.__version__}" + (
        f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    )


def numbers(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))


if __name__ == "__main__":
    args = tyro.cli(Args)
    recipe = find_recipe(args.recipe)
    lengths = dict.fromkeys(args.seeds, recipe.steps) | dict.fromkeys(
        args.short_seeds, args.short_steps
    )
    rows = {
        name: {
            f"{s} ({n} steps)": run(
                args, replace(r, seed=s, steps=n), args.runs / f"{name.replace('-', '_')}_{s}"
            )
            for s, n in lengths.items()
        }
        for name, r in (("source-only", source_only(recipe)), ("adapted", recipe))
    }
    norm = {
        f"{s} ({n} steps)": target_norm(
            args,
            replace(source_only(recipe), seed=s, steps=n),
            args.runs / f"source_only_{s}",
            args.runs / f"target_norm_{s}",
        )
        for s, n in lengths.items()
    }
    rows = {"source-only": rows["source-only"], TARGET_NORM: norm, "adapted": rows["adapted"]}
    result = dict(
        name=args.name,
        command=f"python benchmarks/adapt.py DATA --recipe {args.recipe} --seeds {numbers(args.seeds)}"
        + (
            f" --short-seeds {numbers(args.short_seeds)} --short-steps {args.short_steps}"
            if args.short_seeds
            else ""
        ),
        recipe_name=args.recipe,
        about="Last checkpoints, never chosen on target labels. Rows differ in nothing but the adaptation: same network, crops, sampling, source augmentation, schedule and steps. "
        + (
            "The adapted row reports the teacher, whose BatchNorm averages are the target's; source-only has the source's. "
            if recipe.report == "teacher"
            else ""
        )
        + args.note,
        machine=machine(),
        date=datetime.date.today().isoformat(),
        recipe=recipe_dict(recipe),
        rows=rows,
    )
    (HERE / f"{args.name}.json").write_text(json.dumps(result, indent=1))
    (HERE / f"{args.name}.md").write_text(page(result))
    draw(result, HERE / f"{args.name}.png")
    print(page(result))
