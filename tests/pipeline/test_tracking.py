import builtins
import shutil
import sys
import warnings

import pytest

from tfpwl.errors import MissingDependencyError
from tfpwl.pipeline import build
from tfpwl.pipeline.tracking import Thinned, Together, open_logs, report_figures

# MLflow's own matter, with SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy")


@pytest.fixture
def logged(built, tiny_config, tmp_path, monkeypatch):
    """Builds the last epochs of the tiny pipeline with a log; stages before the export are there."""
    monkeypatch.chdir(tmp_path)  # MLflow puts artifacts of a local database beside it

    def run(text):
        out = shutil.copytree(built.output, tmp_path / "out")
        config = tiny_config("distill.epochs=1")
        with open_logs([text], config) as logs:
            result = build(config, out, reporter=Together(logs))
            for log in logs:
                log.reported(result.report, result.output)
        return result

    return run


def scalars(folder):
    """Every scalar of the event files, read by TensorFlow: {tag: {step: value}}."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    found = {}
    for path in folder.rglob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_tensorboard_has_losses_while_it_trains_and_the_path_in_the_end(logged, tmp_path):
    report = logged(f"tensorboard:{tmp_path / 'logs'}").report
    found = scalars(tmp_path / "logs" / "tiny")
    assert list(found["distill/loss"]) == [5]  # an epoch of 144 images, in batches of 32
    assert found["distill/loss"][5] > 0
    # Event files hold float32.
    assert found["path/accuracy"] == pytest.approx({i: r.accuracy for i, r in enumerate(report.path)}, rel=1e-6)
    assert found["path/bytes"] == {i: r.bytes for i, r in enumerate(report.path)}
    assert found["gates/teacher_is_teacher"] == {0: 1.0}
    assert "train/loss" not in found  # that stage was there already


def test_mlflow_has_configuration_figures_and_the_files_of_the_report(logged, tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    report = logged(f"mlflow:{uri}").report
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["student.widths"] == "[4, 6]"
    assert run.data.params["distill.epochs"] == "1"
    history = client.get_metric_history(run.info.run_id, "path/accuracy")
    assert {one.step: one.value for one in history} == {i: r.accuracy for i, r in enumerate(report.path)}
    assert [one.step for one in client.get_metric_history(run.info.run_id, "distill/loss")] == [5]
    assert run.data.metrics["distill/seconds"] > 0
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"accuracy_path.png", "junit.xml", "metrics.json", "report.html", "report.md"}


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_mlflow_knows_how_a_build_ended(tiny_config, tmp_path, monkeypatch, error, status):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(error), open_logs([f"mlflow:{uri}"], tiny_config()):
        raise error
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == status


def test_a_store_that_goes_away_takes_no_build_with_it(tiny_config, tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.chdir(tmp_path)
    database = tmp_path / "mlflow.db"

    def build_without_tables():
        with open_logs([f"mlflow:sqlite:///{database}"], tiny_config()) as (log,):
            with sqlite3.connect(database) as connection:
                connection.execute("DROP TABLE metrics")
                connection.execute("DROP TABLE latest_metrics")
            log.advanced("train", 1, 2, {"loss": 0.5})

    with pytest.warns(UserWarning, match="MLflow has not taken a part of the log"):
        build_without_tables()


@pytest.mark.parametrize(
    ("package", "log", "extra"), [("tensorboard", "tensorboard:logs", "tensorboard"), ("mlflow", "mlflow:x", "mlflow")]
)
def test_a_missing_package_is_named_with_its_extra(tiny_config, monkeypatch, package, log, extra):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(MissingDependencyError, match=rf"pip install 'tfpwl\[{extra}\]'"),
        open_logs([log], tiny_config()),
    ):
        pass


def test_no_logs_are_none(tiny_config):
    with warnings.catch_warnings(), open_logs([], tiny_config()) as logs:
        assert logs == ()


def test_a_log_takes_a_step_per_per_cent_of_each_stage():
    thinned = Thinned()
    taken = [done for done in range(1, 1001) if thinned("train", done, 1000)]
    assert len(taken) == 101
    assert (taken[0], taken[-1]) == (1, 1000)
    assert thinned("distill", 1000, 1000)


def test_tiers_are_logged_beside_one_another(built):
    from dataclasses import replace

    names = {name for name, _, _ in report_figures(replace(built.report, tier="low"))}
    assert {"low/path/accuracy", "low/bundle_bytes", "low/gates/teacher_is_teacher"} <= names
    assert ("path/accuracy", 0, built.report.path[0].accuracy) in set(report_figures(built.report))
