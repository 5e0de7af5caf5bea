"""The notebooks and modules of the house, and how one notebook is run: `python tests/notebooks.py nbs/00_labels.ipynb [flags]`."""

import ast
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 600  # seconds; the house rule is 15, at most 60 on two cores (a walkthrough: 180)
FLAGS = "notest", "slow", "cuda"
ENV = {
    "OMP_NUM_THREADS": "1",
    "HRDA_QUICK": "1",
}  # two notebooks run at a time; lessons train for a few steps only


def paths():
    "All notebooks, as paths below the root"
    found = (p.relative_to(ROOT) for p in (ROOT / "nbs").rglob("*.ipynb"))
    return sorted(
        p.as_posix() for p in found if not any(part.startswith((".", "_")) for part in p.parts)
    )


def load(path):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def code_cells(path):
    "Source of each code cell"
    return ["".join(c["source"]) for c in load(path)["cells"] if c["cell_type"] == "code"]


def flags_of(source):
    "The words of a cell's `#|` lines"
    return {
        w
        for line in source.splitlines()
        if line.startswith("#|")
        for w in line[2:].replace(":", " ").split()
    }


def is_exported(source):
    return bool(flags_of(source) & {"export", "exporti", "exports"})


def modules():
    "Exported modules: path -> the notebook it comes from, e.g. 'nbs/08_crops.ipynb'"
    head = {
        p: re.search(r"File to edit: \S*?(nbs/\S+\.ipynb)", p.read_text(encoding="utf-8"))
        for p in (ROOT / "hrda_nb").rglob("*.py")
    }
    return {p: found[1] for p, found in sorted(head.items()) if found}


def public(tree):
    "Exported functions of a module, and the public methods of its exported classes: (name, definition)"
    names = next(
        (
            ast.literal_eval(n.value)
            for n in tree.body
            if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"
        ),
        [],
    )
    for node in tree.body:
        if getattr(node, "name", None) not in names:
            continue
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for m in node.body:
                if isinstance(m, ast.FunctionDef) and (
                    m.name in ("__init__", "__call__") or not m.name.startswith("_")
                ):
                    yield f"{node.name}.{m.name}", m


@dataclass
class Run:
    "What came of running one notebook"

    ok: bool
    seconds: float
    cells: int  # code cells that ran
    skipped: int  # code cells left out because of a flag
    log: str


def run(path, flags=()):
    "Run one notebook in a process of its own"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HRDA_QUICK": "1", "MPLBACKEND": "agg"}
    start, log, done = time.time(), "", None
    try:
        done = subprocess.run(
            [sys.executable, __file__, path, *flags],
            env=env,
            cwd=ROOT,
            timeout=TIMEOUT,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        log = done.stdout + done.stderr
    except subprocess.TimeoutExpired as e:
        log = f"timed out after {TIMEOUT} s\n{e.stderr or ''}"
    counts = re.search(r"^cells (\d+) skipped (\d+)$", done.stdout, re.MULTILINE) if done else None
    if done and not counts:
        log += f"the process ended early with exit status {done.returncode}"
    cells, skipped = map(int, counts.groups()) if counts else (0, 0)
    return Run(
        bool(done and done.returncode == 0 and counts),
        time.time() - start,
        cells,
        skipped,
        log[-6000:],
    )


def main(path, *flags):
    from nbdev.test import nb_test_cells, test_nb

    ran = nb_test_cells(ROOT / path, FLAGS, flags)
    ok, _ = test_nb(ROOT / path, skip_flags=FLAGS, force_flags=flags, basepath=ROOT)
    print(f"\ncells {len(ran)} skipped {len(code_cells(path)) - len(ran)}")
    sys.stdout.flush()
    os._exit(0 if ok else 1)  # a notebook's daemon threads must not hold the process


if __name__ == "__main__":
    main(*sys.argv[1:])
