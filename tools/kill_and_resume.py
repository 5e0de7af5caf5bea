"""Kill trainings, resume them, and compare each, bit by bit, with one that was left alone.

    python tools/kill_and_resume.py [--times 30] [--workers 0 2] [--processes 1 2] [--seed 0]

Kills with SIGKILL at random moments, in the first step and in later ones, inside an evaluation,
while a state, a row or any other file is written. Needs a POSIX system."""

import argparse
import functools
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file
from tqdm import tqdm

from hrda_nb.data.samples import write_samples

SIZES = "--channels 8 --context-size 64 64 --detail-size 32 32 --batch-size 2"
NETWORK = "--encoder test_efficientnet --no-pretrained"
STEPS = "--steps 12 --source-steps 6 --warmup 2 --rare-class-min-pixels 10 --device cpu"
EVERY = "--log-every 2 --save-every 3 --eval-every 4 --picture-every 6"
FLAGS = f"{NETWORK} {SIZES} {STEPS} {EVERY}".split()

PLACES = {  # what is happening -> the function that does it
    "step": "torch.optim.AdamW.step",
    "state": "torch.save",
    "new name": "os.replace",
    "row": "hrda_nb.training.history.Table._put",
    "evaluation": "hrda_nb.training.trainer.count_pictures",
    "result": "hrda_nb.training.trainer.save_checkpoint",
}


@dataclass
class Kill:
    "Where a process ends itself."

    place: str  # of PLACES
    call: int  # from 1
    after: bool = False  # when the call has done its work, not before


def owner(dotted):
    "The module or class that a dotted name stands in, and its last part."
    path, _, last = dotted.rpartition(".")
    try:
        return importlib.import_module(path), last
    except ImportError:
        module, name = owner(path)
        return getattr(module, name), last


def wrap(place, around):
    "Replace the function of a place by one that calls `around` with it, its number and arguments."
    holder, name = owner(PLACES[place])
    inner = getattr(holder, name)
    calls = []

    @functools.wraps(inner)
    def wrapped(*args, **kw):
        calls.append(place)
        return around(functools.partial(inner, *args, **kw), len(calls), args)

    setattr(holder, name, wrapped)


def install(kill):
    "Let this process end itself where `kill` says."

    def around(inner, number, args):
        if number == kill.call and not kill.after:
            half_done(kill.place, inner, args)
            os.kill(os.getpid(), signal.SIGKILL)
        result = inner()
        if number == kill.call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    wrap(kill.place, around)


def slow_down(seconds=0.2):
    "Let each step last longer, so that there is time to interrupt it."

    def around(inner, number, args):
        time.sleep(seconds)
        return inner()

    wrap("step", around)


def half_done(place, inner, args):
    "Half of what a place does, where it writes: half of a state, half of the new lines."
    if place == "state":
        inner()
        path = Path(args[1].name)
        os.truncate(path, path.stat().st_size // 2)
    if place == "row":
        with open(args[0].path, "a", encoding="utf-8") as file:
            file.write(args[1][: len(args[1]) // 2])


def count(file):
    "Let this process write down how often it was at each place."
    counts = {}

    def around(place, inner, number, args):
        counts[place] = number
        file.write_text(json.dumps(counts))
        return inner()

    for place in PLACES:
        wrap(place, functools.partial(around, place))


def child(args, log, process, before):
    "A process of a training: rank, number of processes, port; `before` prepares it."
    import torch

    from hrda_nb.cli import main

    multiprocessing.set_start_method(None, force=True)  # loading processes as usual
    os.setsid()  # a group of its own, with its loading processes
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    torch.set_num_threads(1)
    rank, world, port = process
    if world > 1:
        place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=world, MASTER_PORT=port)
        os.environ |= {k: str(v) for k, v in place.items()} | dict(MASTER_ADDR="127.0.0.1")
    if before:
        before()
    sys.exit(main(args))


def context():
    "Processes that are forked from one which has imported everything."
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["hrda_nb.cli", "hrda_nb.training.trainer"])
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Training:
    "A training in one or several processes of its own."

    def __init__(self, city, out, *flags, processes=1, before=None, victim=0):
        self.out = out
        handle, log = tempfile.mkstemp(".log", f"{out.name}_", out.parent)
        os.close(handle)
        self.log = Path(log)
        folders = ["--source", city / "source/train", "--target", city / "target/train"]
        folders += ["--val", city / "target/val", "--out", out]
        args = ["train", "mini", *map(str, folders), *FLAGS, *flags]
        port = free_port() if processes > 1 else 0
        self.processes = [
            context().Process(
                target=child,
                args=(
                    args,
                    str(self.log),
                    (rank, processes, port),
                    before if rank == victim else None,
                ),
            )
            for rank in range(processes)
        ]
        for process in self.processes:
            process.start()

    @property
    def is_alive(self):
        return any(process.is_alive() for process in self.processes)

    def signal(self, number, group=False):
        "Send a signal to the first process, or to its whole group."
        pid = self.processes[0].pid
        os.killpg(pid, number) if group else os.kill(pid, number)

    def kill(self):
        "SIGKILL for all processes, as the end of a machine is; its loading processes live on."
        for process in self.processes:
            process.kill()
        return self.wait()

    def wait(self, limit=600):  # seconds
        "The exit codes: all end when one has failed, as a launcher sees to."
        end = time.monotonic() + limit
        while self.is_alive:
            failed = any(process.exitcode not in (None, 0) for process in self.processes)
            if time.monotonic() > end or (failed and len(self.processes) > 1):
                time.sleep(1)
                for process in self.processes:
                    process.kill()
            time.sleep(0.01)
        return [process.exitcode for process in self.processes]

    @property
    def words(self):
        "What it said."
        return self.log.read_text(encoding="utf-8", errors="replace")


def finish(city, out, *flags, **options):
    "Train to the end, or go on to it; the error as an exception."
    training = Training(city, out, *flags, **options)
    codes = training.wait()
    if any(codes):
        raise RuntimeError(f"{out.name} ended with {codes}: {training.words}")
    return training.words


def table(path):
    "A table without its times."
    rows = pd.read_csv(path, dtype=str)
    return rows.drop(columns="seconds", errors="ignore")


def differences(one, other):
    "What differs between two finished trainings, in words; empty: not a bit."
    found = []
    expected = load_file(one / "last.safetensors")
    weights = load_file(other / "last.safetensors")
    if unequal := [k for k in expected if not expected[k].equal(weights[k])]:
        found.append(f"{len(unequal)} of {len(expected)} tensors")
    for name in ("history.csv", "metrics.csv"):
        if not table(one / name).equals(table(other / name)):
            found.append(name)
    return ", ".join(found)


def newest_state(out):
    "The step of the newest state that counts; 0: none."
    return max((int(p.stem[6:]) for p in (out / "resume").glob("state_*.json")), default=0)


def draw(rng, counts, number):
    "A kill: every third at a random moment (None), the others at a place by turns."
    if number % 3 == 2:
        return None
    places = list(PLACES)
    place = places[(number - number // 3) % len(places)]
    call = 1 if number < len(places) else rng.randint(1, counts[place])
    return Kill(place, call, after=rng.random() < 0.5)


def kill_one(city, out, kill, seconds, rng, **options):
    "Start a training and kill it; where that was, in words."
    if kill is None:
        moment = rng.uniform(0, seconds)
        training = Training(city, out, *options.pop("flags"), **options)
        time.sleep(moment)
        training.kill()
        return f"after {moment:.1f} s"
    victim = rng.randrange(options["processes"])
    flags = options.pop("flags")
    training = Training(
        city, out, *flags, before=functools.partial(install, kill), victim=victim, **options
    )
    training.wait()
    when = "after" if kill.after else "in"
    return f"{when} {kill.place} {kill.call}" + (f" of rank {victim}" if victim else "")


def go_on(city, out, flags, processes):
    "What a user does after a kill: --resume, or what its error says."
    training = Training(city, out, *flags, "--resume", processes=processes)
    if any(training.wait()):
        assert "start without --resume" in training.words, training.words
        finish(city, out, *flags, processes=processes)


def try_setup(folder, city, workers, processes, kills, rng, bar):
    "Kills of one number of workers and processes: a row for each."
    flags = ["--workers", str(workers)]
    whole = folder / "whole"
    began = time.monotonic()
    finish(city, whole, *flags, processes=processes)
    seconds = time.monotonic() - began
    counts_file = folder / "counts.json"
    finish(
        city,
        folder / "counted",
        *flags,
        processes=processes,
        before=functools.partial(count, counts_file),
    )
    counts = json.loads(counts_file.read_text())
    assert not differences(whole, folder / "counted")
    rows = []
    for number in kills:
        out = folder / f"killed_{number}"
        kill = draw(rng, counts, number)
        where = kill_one(city, out, kill, seconds, rng, flags=flags, processes=processes)
        state = newest_state(out)
        was_done = (out / "last.safetensors").exists()
        go_on(city, out, flags, processes)
        differ = differences(whole, out) or "identical"
        rows.append(
            dict(
                workers=workers,
                processes=processes,
                killed=where + (" (done)" if was_done else ""),
                state=state,
                result=differ,
            )
        )
        bar.update()
        shutil.rmtree(out)
    return rows


def run(times, workers, processes, seed=0):
    "Kill and resume; a row for each kill."
    rng = random.Random(seed)
    setups = [(w, p) for w in workers for p in processes]
    rows = []
    with tempfile.TemporaryDirectory() as folder, tqdm(total=times, unit="kill") as bar:
        city = write_samples(Path(folder, "city"), seed=5, count=4, size=(64, 128))
        for i, (w, p) in enumerate(setups):
            own = Path(folder, f"workers_{w}_processes_{p}")
            own.mkdir()
            kills = range(i, times, len(setups))
            rows += try_setup(own, city, w, p, kills, rng, bar)
    return pd.DataFrame(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=30, help="kills in all")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--processes", type=int, nargs="+", default=[1])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")  # of killed processes
    found = run(args.times, args.workers, args.processes, args.seed)
    print(found.to_string(index=False))
    identical = int((found.result == "identical").sum())
    print(f"{identical} of {len(found)} identical to the last bit")
    return int(identical < len(found))


if __name__ == "__main__":
    sys.exit(main())
