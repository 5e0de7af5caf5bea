"""Source-only against adapted on a real pair of domains, over several seeds: the table, IoU of every class and the curves.

    python benchmarks/adapt.py DATA [--recipe mini] [--seeds 0] [--short-seeds 1 2] [--runs DIR]

DATA holds source/train, target/train (unlabelled) and target/val (labelled, for reporting only). Trainings go to --runs (an interrupted one goes on),
figures to benchmarks/NAME.json and, as a page, to benchmarks/NAME.md. Every row is the last checkpoint; each look at target/val is in its run's metrics.csv."""
import datetime, json, os, platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
import pandas as pd, torch, tyro
from hrda_nb.plots import Plot, save
from hrda_nb.training.recipes import Recipe, find_recipe, recipe_dict, source_only
from hrda_nb.training.trainer import train

HERE, VIEWS = Path(__file__).parent, ["context", "detail", "fused"]

@dataclass
class Args:
    data:Annotated[Path, tyro.conf.Positional] # folder with source/train, target/train, target/val
    recipe:str = "mini"
    name:str = "idda_to_camvid"     # of the result files
    seeds:tuple[int, ...] = (0,)    # full length
    short_seeds:tuple[int, ...] = (1, 2) # of short_steps, for the spread where time is short
    short_steps:int = 1000
    runs:Path = Path("runs")        # where trainings go
    device:str = "auto"
    note:str = ""                   # about the data, for the page

def run(args:Args, recipe:Recipe, out:Path) -> dict:
    "Train, or read what was trained: last metrics, the curve of mIoU and how often val was looked at."
    if not (out/"last.safetensors").exists():
        train(recipe, args.data/"source/train", args.data/"target/train", args.data/"target/val", out, resume=(out/"resume").exists(), device=args.device)
    metrics = pd.read_csv(out/"metrics.csv")
    last = metrics[metrics.step == recipe.steps].set_index("class")[VIEWS]
    return dict(iou=last.round(2).to_dict("index"), curve=metrics[metrics["class"] == "mIoU"][["step", *VIEWS]].round(2).to_dict("list"),
                looks_at_val=int(metrics.step.nunique()))

def markdown(table:pd.DataFrame) -> str:
    "A table as Markdown."
    flat = table.reset_index()
    lines = [flat.columns, ["---"]*len(flat.columns), *flat.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)

def page(result:dict) -> str:
    "The JSON as a page."
    rows = {(name, seed): r["iou"]["mIoU"] for name, seeds in result["rows"].items() for seed, r in seeds.items()}
    table = pd.DataFrame(rows).T.rename_axis(["row", "seed"])
    mean, spread = table.groupby("row", sort=False).mean(), table.groupby("row", sort=False).agg(lambda s: s.max() - s.min())
    looks = sum(r["looks_at_val"] for seeds in result["rows"].values() for r in seeds.values())
    gains = (table.loc["adapted"] - table.loc["source-only"]).fused
    classes = pd.DataFrame({name: pd.DataFrame({s: {c: v["fused"] for c, v in r["iou"].items()} for s, r in seeds.items()}).mean(axis=1) for name, seeds in result["rows"].items()})
    classes["gain"] = classes["adapted"] - classes["source-only"]
    return "\n\n".join([f"# {result['name']}: source-only against adapted", result["about"],
        f"`{result['command']}` on {result['machine']}, {result['date']}. Recipe `{result['recipe_name']}`: {result['recipe']['steps']} steps or as many as the row says, "
        f"{result['recipe']['source_steps']} of them on the source alone. Looks at target/val: {looks}.",
        "## mIoU on target/val, in percent", markdown(table.round(1)), "Mean over seeds (largest minus smallest in brackets):",
        markdown(mean.round(1).astype(str) + " (" + spread.round(1).astype(str) + ")"),
        f"Adaptation, fused: **{gains.mean():+.1f}** in the mean over pairs ({', '.join(f'{g:+.1f}' for g in gains)}); fused over context in the adapted row: {mean.fused['adapted'] - mean.context['adapted']:+.1f}.",
        "## IoU of each class, fused, mean over seeds", markdown(classes.rename_axis("class").round(1)), f"![curves]({result['name']}.png)", ""])

def draw(result:dict, path:Path) -> None:
    "mIoU over the steps, one line a run."
    fig = Plot((7, 3))
    ax = fig.subplots()
    for (name, seeds), colour in zip(result["rows"].items(), ("tab:gray", "tab:orange")):
        for i, r in enumerate(seeds.values()): ax.plot(r["curve"]["step"], r["curve"]["fused"], color=colour, marker=".", lw=1, label=name if i == 0 else None)
    ax.set(xlabel="step", ylabel="mIoU on target/val, fused"); ax.legend(); ax.grid(alpha=.3)
    save(fig, path)

def machine() -> str:
    "What the figures were measured on."
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor()) if Path("/proc/cpuinfo").exists() else platform.processor()
    return f"{cpu}, {os.cpu_count()} cores, PyTorch {torch.__version__}" + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "")

def numbers(values:tuple[int, ...]) -> str: return " ".join(map(str, values))

if __name__ == "__main__":
    args = tyro.cli(Args)
    recipe = find_recipe(args.recipe)
    lengths = {s: recipe.steps for s in args.seeds} | {s: args.short_steps for s in args.short_seeds}
    rows = {name: {f"{s} ({n} steps)": run(args, replace(r, seed=s, steps=n), args.runs/f"{name.replace('-', '_')}_{s}") for s, n in lengths.items()}
            for name, r in (("source-only", source_only(recipe)), ("adapted", recipe))}
    result = dict(name=args.name, command=f"python benchmarks/adapt.py DATA --recipe {args.recipe} --seeds {numbers(args.seeds)} --short-seeds {numbers(args.short_seeds)} --short-steps {args.short_steps}", recipe_name=args.recipe,
        about="Last checkpoints, never chosen on target labels. Rows differ in nothing but the adaptation: same network, crops, sampling, source augmentation, schedule and steps. "
        + ("The adapted row reports the teacher, whose BatchNorm averages are the target's; source-only has the source's. " if recipe.report == "teacher" else "") + args.note,
        machine=machine(),
        date=datetime.date.today().isoformat(), recipe=recipe_dict(recipe), rows=rows)
    (HERE/f"{args.name}.json").write_text(json.dumps(result, indent=1))
    (HERE/f"{args.name}.md").write_text(page(result))
    draw(result, HERE/f"{args.name}.png")
    print(page(result))
