"""Run the tests with the oldest or the newest torch: `python tools/torch_versions.py oldest`.

    python tools/torch_versions.py {oldest,newest} [--env DIR] [-- PYTEST OPTIONS]

Makes a virtual environment in DIR (default: .venv-oldest or .venv-newest), installs torch and the
torchvision that belongs to it, then the library with its development extras, and runs the tests.
The oldest versions are the lower bounds in settings.ini."""

import argparse
import configparser
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lower_bounds() -> dict[str, str]:
    "Least version of each requirement that has one"
    config = configparser.ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    found = re.findall(r"([\w-]+)>=([\d.]+)", config["DEFAULT"]["requirements"])
    return dict(found)


def requirements(which: str) -> list[str]:
    "What pip installs first: torch and torchvision have to fit together"
    names = ("torch", "torchvision")
    if which == "newest":
        return list(names)
    least = lower_bounds()
    return [f"{name}=={least[name]}.*" for name in names]


def make_environment(which: str, folder: Path) -> Path:
    "The Python of a virtual environment with this torch; one that is there is used again"
    folder = folder.resolve()
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    python = folder / scripts / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "install", "-q", "--upgrade"]
    subprocess.run([*pip, *requirements(which), "-e", f"{ROOT}[dev]"], check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("oldest", "newest"))
    parser.add_argument("--env", type=Path, help="folder of the environment")
    args, options = parser.parse_known_args()
    python = make_environment(args.which, args.env or ROOT / f".venv-{args.which}")
    versions = "import torch, torchvision; print(torch.__version__, torchvision.__version__)"
    subprocess.run([python, "-c", versions], check=True)
    tests = [python, "-m", "pytest", *(o for o in options if o != "--")]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
