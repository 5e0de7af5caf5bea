"""The notebooks and modules of the library, and how one notebook is run:

python tests/notebooks.py nbs/00_labels.ipynb [flags]"""

import ast
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import forked

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 600  # seconds; most need 15, and at most 60 on two cores (a lesson: 180)
FLAGS = "notest", "slow", "cuda"


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
    "(name, definition) of a module's exported functions and its exported classes' public methods"
    names = exported_names(tree)
    for node in tree.body:
        if getattr(node, "name", None) not in names:
            continue
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for method in filter(is_public_method, node.body):
                yield f"{node.name}.{method.name}", method


def exported_names(tree):
    "What `__all__` of a module holds"
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def is_public_method(node):
    if not isinstance(node, ast.FunctionDef):
        return False
    return node.name in ("__init__", "__call__") or not node.name.startswith("_")


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
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = forked.context().Process(target=_child, args=(path, tuple(flags), log))
        process.start()
        process.join(TIMEOUT)
        is_late = process.is_alive()
        process.kill()
        process.join()
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    counts = re.search(r"^cells (\d+) skipped (\d+)$", said, re.MULTILINE)
    if is_late:
        said += f"\ntimed out after {TIMEOUT} s"
    elif not counts:
        said += f"\nthe process ended early with exit status {process.exitcode}"
    cells, skipped = map(int, counts.groups()) if counts else (0, 0)
    ok = process.exitcode == 0 and bool(counts)
    return Run(ok, time.time() - start, cells, skipped, said[-6000:])


def _child(path, flags, log):
    "A notebook's process: of one thread, beside other tests; lessons train for a few steps only"
    stream = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    multiprocessing.set_start_method(None, force=True)  # loading processes as usual
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "HRDA_QUICK": "1",
        "MPLBACKEND": "agg",
    }  # of its children
    os.chdir(ROOT)
    import matplotlib
    import torch

    matplotlib.use("agg")  # it has been imported before the variable was set
    torch.set_num_threads(1)
    main(path, *flags)


def main(path, *flags):
    from nbdev.test import nb_test_cells, test_nb

    ran = nb_test_cells(ROOT / path, FLAGS, flags)
    ok, _ = test_nb(ROOT / path, skip_flags=FLAGS, force_flags=flags, basepath=ROOT)
    print(f"\ncells {len(ran)} skipped {len(code_cells(path)) - len(ran)}")
    sys.stdout.flush()
    os._exit(0 if ok else 1)  # a notebook's daemon threads must not hold the process


if __name__ == "__main__":
    main(*sys.argv[1:])
