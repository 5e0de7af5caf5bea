"Tables of ablations: every row is a recipe, a killed table goes on, two seeds end to end."

import itertools
import json
import time

import forked
import pandas as pd
import psutil
import pytest

from hrda_nb.training.recipes import recipe_dict, recipe_from_dict, recipes
from hrda_nb.training.tables import read_table, table_files, table_recipes

NUMBERS = itertools.count()
TINY = {
    "encoder": "mit_tiny",
    "pretrained": False,
    "channels": 8,
    "source_size": [64, 128],
    "target_size": [64, 128],
    "context_size": [64, 64],
    "detail_size": [32, 32],
    "rare_class_min_pixels": 10,
    "log_every": 1,
}


def table_file(folder, *rows):
    "A table of rows that learn in no time"
    path = folder / "own.json"
    lines = [dict(name=name, set=changes) for name, changes in rows]
    path.write_text(json.dumps(dict(title="Own", base="demo", set=TINY, rows=lines)))
    return path


def ablate(folder, *args):
    "The command in a process of its own"
    return forked.hrda(folder / f"log{next(NUMBERS)}", "ablate", *args, "--device", "cpu")


def finish(process):
    "Its output"
    assert process.wait() == 0, process.err
    return process.out


@pytest.mark.parametrize("name", table_files())
def test_every_row_is_a_recipe_whose_network_can_be_built(name):
    table = read_table(name)
    assert table.title and table.source
    rows = table_recipes(table)
    assert list(rows) == [row.name for row in table.rows]
    for recipe in rows.values():
        assert recipe_from_dict(recipe_dict(recipe)) == recipe


@pytest.mark.parametrize("name", ["demo", "hrda_attention", "hrda_self_training"])
def test_rows_without_sizes_fit_any_recipe(name):
    assert len(table_recipes(name, base="demo")) == len(read_table(name).rows)


def test_last_row_of_the_components_is_hrda_itself():
    assert list(table_recipes("hrda_components").values())[-1] == recipes["gta_cityscapes_hrda"]
    final = table_recipes("daformer_decoders")["DAFormer"]
    assert final == recipes["gta_cityscapes_daformer"]


def test_a_killed_table_goes_on_after_the_first_row(city, tmp_path):
    table = table_file(tmp_path, ("first", {}), ("second", {"attention": 0.5}))
    args = [table, "--data", city, "--out", tmp_path / "out", "--steps", 2]
    first = tmp_path / "out/first/seed_0/last.safetensors"
    process = ablate(tmp_path, *args)
    while not first.exists() and process.poll() is None:
        time.sleep(0.05)
    started = psutil.Process(process.process.pid).children()
    process.kill()
    written = first.stat().st_mtime_ns
    assert psutil.wait_procs(started, timeout=30)[1] == []  # what it had started ends with it

    assert "page: " in finish(ablate(tmp_path, *args))
    assert first.stat().st_mtime_ns == written
    runs = pd.read_csv(tmp_path / "out/runs.csv")
    assert runs.row.tolist() == ["first", "second"]
    assert pd.read_csv(tmp_path / "out/second/seed_0/history.csv").step.tolist() == [1, 2]


def test_two_seeds_on_the_bundled_sample(tmp_path):
    rows = [("both views", {}), ("context only", {"attention": 0.0})]
    table = table_file(tmp_path, *rows)
    seeds = ["--seeds", 0, 1, "--steps", 2]
    out = finish(ablate(tmp_path, table, *seeds, "--out", tmp_path / "out"))
    assert "both views" in out and "context only" in out
    runs = pd.read_csv(tmp_path / "out/runs.csv")
    assert len(runs) == 4 and set(runs.seed) == {0, 1}
    summary = pd.read_csv(tmp_path / "out/summary.csv", index_col="row")
    assert summary.n.tolist() == [2, 2]
    page = (tmp_path / "out/table.md").read_text(encoding="utf-8")
    assert "`hrda ablate own --seeds 0 1 --steps 2`" in page
    assert (tmp_path / "out/table.png").stat().st_size > 1000


def test_a_failed_run_is_one_line_and_exit_code_1(city, tmp_path):
    table = table_file(tmp_path, ("fine", {}), ("odd", {"context_size": [60, 60]}))
    flags = ["--data", city, "--out", tmp_path / "out", "--steps", 1, "--jobs", 2]
    process = ablate(tmp_path, table, *flags)
    assert process.wait() == 1
    error = process.err
    assert "odd, seed 0 failed: training crop (60, 60) must divide by" in error
    assert "Traceback" not in error
    assert pd.read_csv(tmp_path / "out/runs.csv").row.tolist() == ["fine"]
