import json
import re
import shutil
from xml.etree import ElementTree

import jsonschema
import pytest

from tfpwl.bundle import Bundle
from tfpwl.cli.main import main
from tfpwl.errors import StoreError
from tfpwl.pipeline.publishing import write_report
from tfpwl.report import BuildReport, metrics_schema, read_reports

FILES = ["accuracy_path.png", "junit.xml", "metrics.json", "report.html", "report.md"]


@pytest.fixture
def run_tfpwl(built, pipeline_text, tmp_path, capsys, monkeypatch):
    """Builds the finished pipeline again by the command line, with other gates: (exit code, stderr, folder)."""
    monkeypatch.chdir(tmp_path)  # logs may have relative folders
    out = shutil.copytree(built.output, tmp_path / "out", ignore=shutil.ignore_patterns(*FILES))
    pipeline = tmp_path / "p.yaml"

    def run(*arguments, gates="{}"):
        pipeline.write_text(f"{pipeline_text}gates: {gates}\n")
        with pytest.raises(SystemExit) as left:
            main(["build", str(pipeline), "-o", str(out), *arguments])
        return left.value.code, capsys.readouterr().err, out

    return run


def test_the_report_knows_bundle_machine_and_configuration(built):
    report = built.report
    assert sum(group.total for group in report.groups) == sum(e.bytes for e in Bundle.open(built.bundle.root).files())
    assert report.groups[-1].encoder is None
    assert re.fullmatch(r".+, \d+ cores", report.environment["processor"])
    assert report.environment["tfpwl"]
    assert report.config["student"]["widths"] == [4, 6]
    assert report.command is None


def test_real_metrics_keep_the_schema(built):
    jsonschema.validate(json.loads((built.output / "metrics.json").read_text()), metrics_schema())
    assert read_reports(built.output) == (built.report,)


def test_a_gate_set_to_fail_fails_in_every_form(run_tfpwl):
    code, err, out = run_tfpwl(gates="{min_student_accuracy: 100, max_bundle_bytes: 10000000}")
    assert code == 1, err
    assert "Gate failed: min_student_accuracy: SS has" in err
    assert "Traceback" not in err
    cases = {case.get("name"): case.find("failure") for case in ElementTree.parse(out / "junit.xml").iter("testcase")}
    assert "at least 100" in cases["min_student_accuracy"].get("message")
    assert cases["max_bundle_bytes"] is None
    report = BuildReport.from_json((out / "metrics.json").read_text())
    assert [gate.name for gate in report.gates if not gate.passed] == ["min_student_accuracy"]
    assert "**1 of 3 gates failed.**" in (out / "report.md").read_text()
    assert "a gate failed" in (out / "report.html").read_text()
    assert report.command == f"tfpwl build {out.parent / 'p.yaml'} -o {out}"
    assert (out / "bundle" / "manifest.json").exists()


def test_gates_that_hold_exit_0_with_every_file_and_nothing_else(run_tfpwl):
    code, err, out = run_tfpwl(gates="{max_bundle_bytes: 10000000}")
    assert code == 0, err
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == FILES
    assert ElementTree.parse(out / "junit.xml").getroot().get("failures") == "0"


def test_passwords_of_a_log_do_not_reach_the_report(run_tfpwl):
    code, err, out = run_tfpwl("--log", "tensorboard:http://user:secret@host/x")
    assert code == 0, err
    assert "--log tensorboard:http://host/x" in (out / "report.md").read_text()
    assert not any(b"secret" in (out / name).read_bytes() for name in FILES)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("tensorboard:", "Received --log tensorboard:; expected tensorboard:DIR or mlflow:URI."),
        ("wandb:x", "Received --log wandb:x; expected tensorboard:DIR or mlflow:URI."),
        ("tensorboard:/proc/nowhere", "--log tensorboard cannot write /proc/nowhere/tiny"),
        ("mlflow:nothing://x", "--log mlflow cannot use the store"),
    ],
)
def test_a_log_that_cannot_be_opened_exits_2_before_anything_is_done(run_tfpwl, log, message):
    code, err, out = run_tfpwl("--log", log)
    assert code == 2, err
    assert message in err
    assert not (out / "metrics.json").exists()


def test_a_report_that_cannot_be_written_is_a_clear_error_and_the_old_one_stays(built, tmp_path):
    write_report(tmp_path, built.report)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    (tmp_path / ".report.md.tmp").mkdir()  # root may write anywhere, but not into a file that is a folder
    with pytest.raises(StoreError, match=r"Cannot write the report into .*The bundle is written; make room"):
        write_report(tmp_path, built.report)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before
