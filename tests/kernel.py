"""What JupyterLab starts as a kernel in tests (see forked.py): it asks for a forked process, and
stands for it. It imports nothing that takes long."""

import os
import signal
import sys
from multiprocessing.connection import Client


def main(address, file):
    with Client(address, "AF_UNIX") as line:
        line.send((file, os.getcwd(), dict(os.environ)))
        kernel = line.recv()
        signal.signal(signal.SIGINT, lambda *_: os.kill(kernel, signal.SIGINT))
        try:
            return line.recv()  # once it has ended
        except EOFError:
            return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
