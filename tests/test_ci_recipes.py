"""The recipes of docs/ci.md, action.yml, the workflow and the Dockerfile: what they call exists."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tfpwl.cli.main import cli

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "ci.md").read_text()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "tiers.yml").read_text())
GITLAB = yaml.safe_load(re.search(r"```yaml\n(# \.gitlab-ci\.yml\n.*?)```", DOCS, re.DOTALL)[1])
SCRIPTS = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]


def commands():
    """Every `tfpwl …` line of the recipes, with ${X:+…} written out as it is when X is set."""
    shown = re.findall(r"```bash\n(.*?)```", DOCS, re.DOTALL)
    for text in (*shown, *SCRIPTS, *GITLAB["tier"]["script"]):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(re.sub(r"\$\{\w+:\+(.*?)\}", r"\1", line), comments=True)
            if words[:1] == ["tfpwl"]:
                yield [word for word in words[1:] if word != "$ARGUMENTS"]
            elif "tfpwl" in words and words[0] == "docker" and "run" in words:
                yield words[words.index("tfpwl") + 1 :]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_the_command_line_understands_every_call(words):
    limits = [word.replace("$MAX_DROP", "0.5") for word in words]
    name, command, arguments = cli.resolve_command(
        cli.make_context("tfpwl", ["--help"], resilient_parsing=True), limits
    )
    with command.make_context(name, arguments):
        pass


def test_there_is_a_call_in_each_recipe():
    assert any("tfpwl build" in script for script in SCRIPTS)
    assert any("tfpwl diff" in script for script in SCRIPTS)
    assert [script.split()[:2] for script in GITLAB["tier"]["script"]] == [["tfpwl", "build"]]
    assert len(list(commands())) >= 8


def test_the_workflow_gives_the_action_what_it_asks_for():
    (step,) = [s for s in WORKFLOW["jobs"]["tier"]["steps"] if s["uses"] == "./"]
    required = {name for name, entry in ACTION["inputs"].items() if entry.get("required")}
    assert required <= set(step["with"]) <= set(ACTION["inputs"])
    pipeline = yaml.safe_load((ROOT / step["with"]["pipeline"]).read_text())
    assert set(WORKFLOW["jobs"]["tier"]["strategy"]["matrix"]["tier"]) <= set(pipeline["tiers"])


def test_report_and_bundle_are_kept_when_a_gate_fails():
    (upload,) = [s for s in ACTION["runs"]["steps"] if s.get("uses", "").startswith("actions/upload-artifact")]
    assert "always()" in upload["if"]
    assert GITLAB["tier"]["artifacts"]["when"] == "always"


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_shell_and_take_inputs_from_the_environment_alone(script):
    # An input pasted into a script is a way to run anything on the runner.
    assert "${{" not in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("tier", "expected"), [("", ["build", "p.yaml", "-o", "out", "--set", "a=b"]),
                           ("low", ["build", "p.yaml", "-o", "out", "--tier", "low", "--set", "a=b"])],
)  # fmt: skip
def test_the_build_step_calls_tfpwl_and_hands_its_exit_code_on(tmp_path, tier, expected):
    fake = tmp_path / "tfpwl"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$(dirname "$0")/arguments"\nexit 1\n')
    fake.chmod(0o755)
    (script,) = [script for script in SCRIPTS if "tfpwl build" in script]
    variables = {"PIPELINE": "p.yaml", "OUTPUT": "out", "TIER": tier, "ARGUMENTS": "--set a=b"}
    environment = {**variables, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    # As GitHub calls it.
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], env=environment, check=False
    )
    assert done.returncode == 1
    assert (tmp_path / "arguments").read_text().split() == expected


def test_the_image_copies_only_what_is_there():
    for line in re.findall(r"^COPY (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        *sources, _ = line.split()
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source
