"""What each part of the method buys: the recipe `demo` on the bundled sample, with one setting switched at a time.

    python benchmarks/ablation.py [VARIANTS...] [--seeds 0] [--runs DIR]

Trainings go to --runs; finished ones are read, an interrupted one goes on. benchmarks/ablation.json and, as a page, ablation.md are written after every training, with all
that is finished, also by other commands: ask for more variants or seeds at any time, or run one command on each core (OMP_NUM_THREADS=1). Every row is the last checkpoint."""

import datetime
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import tyro
from adapt import HERE, machine, markdown

from hrda_nb.data.samples import samples_dir
from hrda_nb.training.recipes import Recipe, find_recipe, recipe_dict
from hrda_nb.training.trainer import train

variants: dict[str, dict[str, Any]] = {  # name -> what is switched
    "full": {},
    "source_only": dict(adapt=False, report="student"),
    "uniform_sampling": dict(rare_class_sampling=False),
    "equal_weights": dict(class_weight_power=0.0),
    "batch_quality": dict(self_training=dict(quality_of="batch", threshold=0.968)),
    "class_quality": dict(self_training=dict(quality_of="class", threshold=0.0)),
    "slow_teacher": dict(self_training=dict(alpha=0.999)),
    "batch_norm": dict(self_training=dict(teacher_batch_norm="student")),
    "no_feature_distance": dict(self_training=dict(feature_distance_weight=0.0)),
    "context_only": dict(attention=0.0),
    "detail_only": dict(attention=1.0),
    "one_resolution": dict(arch="daformer"),
}


@dataclass
class Args:
    variants: Annotated[tuple[str, ...], tyro.conf.Positional] = (
        "full",
        "source_only",
        "uniform_sampling",
        "batch_quality",
        "context_only",
    )
    seeds: tuple[int, ...] = (0,)
    runs: Path = Path("out/ablation")  # where trainings go
    device: str = "auto"
    base: str = "demo"  # the recipe


def switched(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    "The recipe with some settings changed."
    return replace(
        recipe,
        **changes
        | dict(self_training=replace(recipe.self_training, **changes.get("self_training", {}))),
    )


def result_of(out: Path) -> dict[str, Any]:
    "The last scores of a finished training, and how sure its teacher was on the way."
    metrics, history = pd.read_csv(out / "metrics.csv"), pd.read_csv(out / "history.csv")
    last, adapting = (
        metrics[metrics.step == metrics.step.max()].set_index("class").drop(columns="step"),
        history[history.phase == "adapt"],
    )
    return dict(
        recipe=json.loads((out / "recipe.json").read_text()),
        iou=last.round(2).astype(object).where(last.notna(), None).to_dict("index"),
        looks_at_val=int(metrics.step.nunique()),
        quality=adapting[["step", "quality"]].round(3).to_dict("list"),
        seconds_a_step=round(history.seconds.mean(), 3),
    )


def collect(args: Args, path: Path) -> dict[str, Any]:
    "What is finished in --runs, and what the file knows of the same recipe."
    base, rows = recipe_dict(find_recipe(args.base)), {}
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("recipe") == base:
        rows = known["rows"]
    for out in sorted(p.parent for p in args.runs.glob("*/last.safetensors")):
        name, seed = out.name.rsplit("_", 1)
        if name in variants and json.loads((out / "recipe.json").read_text()) == recipe_dict(
            replace(switched(find_recipe(args.base), variants[name]), seed=int(seed))
        ):
            rows.setdefault(name, {})[seed] = result_of(out)
    return dict(
        command=f"python benchmarks/ablation.py {' '.join(v for v in variants if v in rows)}",
        machine=machine(),
        date=datetime.date.today().isoformat(),
        recipe_name=args.base,
        recipe=base,
        rows={v: rows[v] for v in variants if v in rows},
    )


def words(changes: dict[str, Any]) -> str:
    "What is switched, for a table."
    flat = changes | changes.get("self_training", {})
    return ", ".join(f"`{k}={v!r}`" for k, v in flat.items() if k != "self_training") or "nothing"


def page(result: dict[str, Any]) -> str:
    "The JSON as a page."
    lines = [
        dict(
            variant=name,
            switched=words(variants[name]),
            seed=seed,
            **{v: r["iou"]["mIoU"].get(v) for v in ("context", "detail", "fused")},
            **{"s a step": r["seconds_a_step"]},
        )
        for name, seeds in result["rows"].items()
        for seed, r in seeds.items()
    ]
    table, full = (
        pd.DataFrame(lines),
        {s: r["iou"]["mIoU"]["fused"] for s, r in result["rows"].get("full", {}).items()},
    )
    table.insert(
        6, "fused against full", [l["fused"] - full.get(l["seed"], float("nan")) for l in lines]
    )
    classes = pd.DataFrame(
        {
            name: pd.DataFrame(
                {s: {c: v["fused"] for c, v in r["iou"].items()} for s, r in seeds.items()}
            ).mean(axis=1)
            for name, seeds in result["rows"].items()
        }
    )
    return "\n\n".join(
        [
            "# One setting switched at a time",
            f"`{result['command']}` on {result['machine']}, {result['date']}. Recipe `{result['recipe_name']}` ({result['recipe']['steps']} steps) on the bundled sample; "
            "percent on its `target/val`, last checkpoints. One seed is an anecdote: differences smaller than those between seeds of one row say nothing.",
            markdown(
                table.set_index("variant").round(2).astype(object).where(lambda t: t.notna(), "-")
            ),
            "## IoU of each class, fused, mean over seeds",
            markdown(
                classes.rename_axis("class").round(1).astype(object).where(lambda t: t.notna(), "-")
            ),
            "",
        ]
    )


def write(args: Args) -> dict[str, Any]:
    "Everything that is finished, as JSON and as a page."
    result = collect(args, HERE / "ablation.json")
    (HERE / "ablation.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "ablation.md").write_text(page(result))
    return result


if __name__ == "__main__":
    args, data = tyro.cli(Args), samples_dir()
    if odd := set(args.variants) - set(variants):
        raise SystemExit(
            f"no variant is called {', '.join(odd)}: choose some of {', '.join(variants)}"
        )
    for seed in args.seeds:
        for name in args.variants:
            out, recipe = (
                args.runs / f"{name}_{seed}",
                replace(switched(find_recipe(args.base), variants[name]), seed=seed),
            )
            if (out / "last.safetensors").exists():
                continue
            train(
                recipe,
                data / "source/train",
                data / "target/train" if recipe.adapt else None,
                data / "target/val",
                out,
                resume=(out / "resume").exists(),
                device=args.device,
            )
            write(args)
    print(page(write(args)))
