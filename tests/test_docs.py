"The documentation builds, and Sphinx has nothing to complain of."
import subprocess
import sys

import notebooks
from notebooks import ROOT

def test_pages_build_without_warnings():
    done = subprocess.run([sys.executable, "tools/docs.py"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    pages = {p.relative_to(ROOT/"_docs").with_suffix("").as_posix() for p in (ROOT/"_docs").rglob("*.html")}
    assert {p.removeprefix("nbs/").removesuffix(".ipynb") for p in notebooks.paths()} <= pages
