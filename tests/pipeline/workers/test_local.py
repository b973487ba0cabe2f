import pieces
import pytest

from tfpwl.errors import ConfigError, DataError, WorkerError
from tfpwl.pipeline.workers import LocalWorkers, Task, make_workers, run_tasks


def chain(folder):
    """Two ends that need the same beginning."""
    return [
        Task("left", pieces.note, (folder, "left"), frozenset({"first"})),
        Task("right", pieces.note, (folder, "right"), frozenset({"first"})),
        Task("first", pieces.note, (folder, "first")),
    ]


@pytest.fixture
def workers():
    with LocalWorkers(2) as workers:
        yield workers


def times(folder, name):
    return [float(part) for part in (folder / name).read_text().split()[:2]]


def test_a_task_begins_once_what_it_needs_is_done(tmp_path, workers):
    heard = []
    run_tasks(chain(tmp_path), workers, lambda what, task: heard.append((what, task.name)))
    _, ended = times(tmp_path, "first")
    assert min(times(tmp_path, "left")[0], times(tmp_path, "right")[0]) >= ended
    assert heard[:2] == [("started", "first"), ("finished", "first")]
    assert sorted(heard[2:]) == [("finished", "left"), ("finished", "right"), ("started", "left"), ("started", "right")]


def test_tasks_that_need_nothing_of_one_another_run_at_the_same_time(tmp_path, workers):
    # Each waits for the other to begin: one after another they would never end.
    run_tasks(
        [Task("a", pieces.meet, (tmp_path, "a", "b")), Task("b", pieces.meet, (tmp_path, "b", "a"))], workers
    )  # fmt: skip
    assert (tmp_path / "a").exists()


def test_a_lost_task_is_done_again_and_so_are_those_beside_it(tmp_path, workers):
    heard = []
    tasks = [Task("dies", pieces.die_first, (tmp_path, "dies")), *chain(tmp_path)]
    run_tasks(tasks, workers, lambda what, task: heard.append((what, task.name)))
    assert ("lost", "dies") in heard
    assert all((tmp_path / name).exists() for name in ("dies", "first", "left", "right"))


def test_a_task_that_always_loses_its_worker_ends_the_build(tmp_path, workers):
    with pytest.raises(WorkerError, match=r"dies lost its worker 3 times .*fewer workers"):
        run_tasks([Task("dies", pieces.die)], workers)


def test_what_a_task_raises_is_raised_here_and_nothing_else_begins(tmp_path, workers):
    tasks = [Task("bad", pieces.fail), Task("after", pieces.note, (tmp_path, "after"), frozenset({"bad"}))]
    with pytest.raises(DataError, match="Received no images"):
        run_tasks(tasks, workers)
    assert not (tmp_path / "after").exists()


def test_needs_that_cannot_be_met_are_refused_before_anything_begins(tmp_path, workers):
    tasks = [Task("one", pieces.note, (tmp_path, "one")), Task("two", pieces.fail, (), frozenset({"nowhere"}))]
    with pytest.raises(WorkerError, match=r"Nothing can begin: two \(needs nowhere\)"):
        run_tasks(tasks, workers)
    assert not (tmp_path / "one").exists()


def test_a_worker_stands_where_the_build_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with LocalWorkers(1) as workers:
        run_tasks([Task("where", pieces.where, (".", "where"))], workers)
    assert (tmp_path / "where").read_text() == f"{tmp_path} jax"


@pytest.mark.parametrize(
    ("engine", "options", "message"),
    [
        ("slurm", {}, "Received engine 'slurm'; expected one of local, ray"),
        ("local", {"address": "auto"}, "Take --engine ray"),
        ("ray", {"count": 2}, "has its own number of processors"),
    ],
)
def test_an_engine_that_cannot_be_had_is_refused(engine, options, message):
    with pytest.raises(ConfigError, match=message):
        make_workers(engine, **options)
