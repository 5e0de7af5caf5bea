"""Processes that are forked from one which has imported what takes long to import.

A fresh Python needs five seconds of a core for `import torch, torchvision, timm, ...`; a forked one
needs none. Tests that need a process, but not a fresh Python, start it here."""

import functools
import json
import multiprocessing
import os
import socket
import sys
import tempfile
from contextlib import contextmanager, suppress
from multiprocessing.connection import Listener, wait
from pathlib import Path
from threading import Thread

IMPORTED = [
    *("hrda_nb.cli", "hrda_nb.training.trainer", "hrda_nb.widgets"),
    *("nbdev.test", "hypothesis", "matplotlib.pyplot", "ipykernel.kernelapp"),
]
INLINE = "module://matplotlib_inline.backend_inline"


@functools.cache
def context():
    "Where processes can be forked; where they cannot, one that starts them anew"
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(IMPORTED)
    return found


def ranks(work, args, count):
    "`work(rank, *args)` in several processes at once; what goes wrong in one is raised here"
    from torch import multiprocessing as torch_processes

    method = context().get_start_method()
    torch_processes.start_processes(work, args, count, start_method=method)


def _child(work, args, folder, env, log):
    "A forked process: its place, its environment, its output in two files"
    if os.name == "posix":
        os.setsid()
    os.chdir(folder)
    os.environ |= env
    for stream, ending in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    multiprocessing.set_start_method(None, force=True)  # loading processes as usual
    import torch

    torch.set_num_threads(1)
    sys.exit(work(*args))


class Child:
    "A forked process: what it said, and how it ended"

    def __init__(self, log, work, *args, folder=".", **env):
        self.log = log
        settings = (work, args, os.path.abspath(folder), env, str(log))
        self.process = context().Process(target=_child, args=settings)
        self.process.start()

    def poll(self):
        "Its exit code; None: it is running"
        return self.process.exitcode

    def wait(self, seconds=120):
        "Its exit code once it has ended"
        self.process.join(seconds)
        assert self.poll() is not None, f"runs on after {seconds} s: {self.err}"
        return self.poll()

    def kill(self):
        "SIGKILL, for it alone"
        self.process.kill()
        self.process.join()

    def _said(self, ending):
        path = Path(f"{self.log}.{ending}")
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def out(self):
        return self._said("out")

    @property
    def err(self):
        return self._said("err")


def hrda(log, *args, **more):
    "The command, with these words; `more`: folder, and variables of its environment"
    return Child(log, _command, [str(a) for a in args], **more)


def _command(args):
    from hrda_nb.cli import main

    return main(args)


def group(count):
    "The environment of each process of a group, as torchrun sets it"
    meeting = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()), WORLD_SIZE=str(count))
    return [dict(RANK=str(r), LOCAL_RANK=str(r), **meeting) for r in range(count)]


@contextmanager
def kernels():
    "Variables with which JupyterLab's kernels are forked processes; none where they cannot be"
    if context().get_start_method() == "spawn":
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/kernels.socket"
        command = [sys.executable, str(Path(__file__).with_name("kernel.py"))]
        argv = [*command, address, "{connection_file}"]
        spec = Path(folder, "kernels/python3/kernel.json")
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps(dict(argv=argv, display_name="Python 3", language="python")))
        with Listener(address, "AF_UNIX") as listener:
            Thread(target=_answer, args=[listener], daemon=True).start()
            yield {"JUPYTER_PATH": folder}


def _answer(listener):
    "A kernel for whoever asks"
    with suppress(OSError):  # when the listener is closed
        while True:
            Thread(target=_keep, args=[listener.accept()], daemon=True).start()


def _keep(line):
    "A kernel as long as the one who asked for it lives"
    with line, suppress(EOFError, OSError):
        kernel = context().Process(target=_kernel, args=line.recv())
        kernel.start()
        line.send(kernel.pid)
        wait([line, kernel.sentinel])
        kernel.join(0)
        if kernel.exitcode is None:
            kernel.kill()
        else:
            line.send(kernel.exitcode)


def _kernel(file, folder, env):
    "A kernel as Jupyter starts it"
    os.setsid()
    os.environ.clear()
    os.environ |= env
    os.chdir(folder)
    multiprocessing.set_start_method(None, force=True)
    import matplotlib
    import torch
    from ipykernel.kernelapp import IPKernelApp

    matplotlib.rcParams["backend"] = INLINE
    torch.set_num_threads(1)
    alive = f"--IPKernelApp.parent_handle={os.getppid()}"  # it ends with the process that forked it
    IPKernelApp.launch_instance(argv=["-f", file, alive])


def free_port():
    "A port that nobody listens on"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
