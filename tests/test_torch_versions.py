"The tests pass with the oldest torch that is supported, and with the newest."

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from notebooks import ROOT

sys.path.append(str(ROOT / "tools"))
import torch_versions

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_suite_with_torch_versions(which, tmp_path):
    tool = Path(torch_versions.__file__)
    command = [sys.executable, tool, which, "--env", tmp_path / "env"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_oldest_versions_are_those_of_settings():
    assert torch_versions.requirements("oldest") == ["torch==2.6.*", "torchvision==0.21.*"]
    assert torch_versions.requirements("newest") == ["torch", "torchvision"]


def test_the_workflow_tries_both():
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    asked = {row["torch"] for row in matrix["include"]} | set(matrix["torch"])
    assert asked == {"oldest", "newest"}
    assert torch_versions.lower_bounds()["torch"] == "2.6"
