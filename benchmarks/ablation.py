"""What each part of the method buys: the recipe `demo`, with one setting switched at a time.

    python benchmarks/ablation.py [VARIANTS...] [--seeds 0] [--runs DIR]

Trainings on the bundled sample go to --runs; finished ones are read, an interrupted one goes on.
benchmarks/ablation.json and, as a page, ablation.md are written after every training, with all that
is finished, also by other commands: ask for more variants or seeds at any time, or run one command
on each core (OMP_NUM_THREADS=1). Every row is the last checkpoint."""

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import tyro
from adapt import HERE, class_means, machine, markdown

from hrda_nb.data.samples import samples_dir
from hrda_nb.training.recipes import Recipe, find_recipe, recipe_dict, recipe_from_dict
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
    method = replace(recipe.self_training, **changes.get("self_training", {}))
    return replace(recipe, **changes | dict(self_training=method))


def result_of(out: Path) -> dict[str, Any]:
    "The last scores of a finished training, and how sure its teacher was on the way."
    metrics = pd.read_csv(out / "metrics.csv")
    history = pd.read_csv(out / "history.csv")
    last = metrics[metrics.step == metrics.step.max()].set_index("class").drop(columns="step")
    adapting = history[history.phase == "adapt"]
    return dict(
        recipe=json.loads((out / "recipe.json").read_text()),
        iou=last.round(2).astype(object).where(last.notna(), None).to_dict("index"),
        looks_at_val=int(metrics.step.nunique()),
        quality=adapting[["step", "quality"]].round(3).to_dict("list"),
        seconds_a_step=round(history.seconds.mean(), 3),
    )


def planned(args: Args, name: str, seed: int) -> Recipe:
    "The recipe of a variant."
    return replace(switched(find_recipe(args.base), variants[name]), seed=seed)


def finished(args: Args) -> Iterator[tuple[str, str, Path]]:
    "Variant, seed and folder of every finished training of this recipe."
    for out in sorted(p.parent for p in args.runs.glob("*/last.safetensors")):
        name, seed = out.name.rsplit("_", 1)
        if name in variants:
            trained = recipe_from_dict(json.loads((out / "recipe.json").read_text()))
            if trained == planned(args, name, int(seed)):
                yield name, seed, out


def collect(args: Args, path: Path) -> dict[str, Any]:
    "What is finished in --runs, and what the file knows of the same recipe."
    base = find_recipe(args.base)
    known = json.loads(path.read_text()) if path.exists() else {}
    rows = known["rows"] if known and recipe_from_dict(known["recipe"]) == base else {}
    for name, seed, out in finished(args):
        rows.setdefault(name, {})[seed] = result_of(out)
    return dict(
        command=f"python benchmarks/ablation.py {' '.join(v for v in variants if v in rows)}",
        machine=machine(),
        date=datetime.date.today().isoformat(),
        recipe_name=args.base,
        recipe=recipe_dict(base),
        rows={v: rows[v] for v in variants if v in rows},
    )


def words(changes: dict[str, Any]) -> str:
    "What is switched, for a table."
    flat = changes | changes.get("self_training", {})
    return ", ".join(f"`{k}={v!r}`" for k, v in flat.items() if k != "self_training") or "nothing"


PAGE = """# One setting switched at a time

`{command}` on {machine}, {date}. Recipe `{recipe_name}` ({steps} steps) on the bundled sample; \
percent on its `target/val`, last checkpoints. One seed is an anecdote: differences smaller than \
those between seeds of one row say nothing.

{table}

## IoU of each class, fused, mean over seeds

{classes}

"""


def scores(result: dict[str, Any]) -> pd.DataFrame:
    "mIoU and seconds of every training."
    baseline = result["rows"].get("full", {})
    lines = []
    for name, seeds in result["rows"].items():
        for seed, run in seeds.items():
            miou = run["iou"]["mIoU"]
            line = dict(variant=name, switched=words(variants[name]), seed=seed)
            line |= {view: miou.get(view) for view in ("context", "detail", "fused")}
            full = baseline[seed]["iou"]["mIoU"]["fused"] if seed in baseline else float("nan")
            line["fused against full"] = miou["fused"] - full
            lines.append(line | {"s a step": run["seconds_a_step"]})
    return pd.DataFrame(lines).set_index("variant")


def gapless(table: pd.DataFrame, digits: int) -> str:
    "Rounded, a dash where there is nothing."
    table = table.round(digits).astype(object)
    return markdown(table.where(table.notna(), "-"))


def page(result: dict[str, Any]) -> str:
    "The JSON as a page."
    classes = class_means(result["rows"]).rename_axis("class")
    tables = dict(table=gapless(scores(result), 2), classes=gapless(classes, 1))
    return PAGE.format(**result, steps=result["recipe"]["steps"], **tables)


def write(args: Args) -> dict[str, Any]:
    "Everything that is finished, as JSON and as a page."
    result = collect(args, HERE / "ablation.json")
    (HERE / "ablation.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "ablation.md").write_text(page(result))
    return result


def run(args: Args, name: str, seed: int) -> None:
    "Train a variant, unless that is done."
    out = args.runs / f"{name}_{seed}"
    if (out / "last.safetensors").exists():
        return
    recipe = planned(args, name, seed)
    data = samples_dir()
    target = data / "target/train" if recipe.adapt else None
    folders = dict(source=data / "source/train", target=target, val=data / "target/val", out=out)
    train(recipe, **folders, resume=(out / "recipe.json").exists(), device=args.device)
    write(args)


if __name__ == "__main__":
    args = tyro.cli(Args)
    if odd := set(args.variants) - set(variants):
        names = ", ".join(variants)
        raise SystemExit(f"no variant is called {', '.join(odd)}: choose some of {names}")
    for seed in args.seeds:
        for name in args.variants:
            run(args, name, seed)
    print(page(write(args)))
