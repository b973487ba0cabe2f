"""On a real cluster of two node processes."""

import pieces
import pytest

from tfpwl.errors import DataError, WorkerError
from tfpwl.pipeline.workers import Task, make_workers, run_tasks

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'tfpwl[ray]'")

TASK_BYTES = 100 << 20


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "memory": 1 << 30, "include_dashboard": False}
    # A node counts as lost after a second, not after half a minute.
    health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0, "_system_config": health})
    cluster.add_node(**node)
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def workers(cluster):
    with make_workers("ray", address=cluster.address) as workers:
        yield workers


def task(name, work, *arguments, needs=()):
    return Task(name, work, arguments, frozenset(needs), TASK_BYTES)


def test_tasks_of_two_nodes_run_at_the_same_time_and_in_their_order(tmp_path, workers):
    tasks = [
        task("last", pieces.note, tmp_path, "last", needs=["a", "b"]),
        task("a", pieces.meet, tmp_path, "a", "b"),
        task("b", pieces.meet, tmp_path, "b", "a"),
    ]
    run_tasks(tasks, workers)
    ended = max(float((tmp_path / name).read_text().split()[1]) for name in "ab")
    assert float((tmp_path / "last").read_text().split()[0]) >= ended


def test_what_a_task_raises_is_raised_here(workers):
    with pytest.raises(DataError, match="Received no images"):
        run_tasks([task("bad", pieces.fail)], workers)


def test_the_task_of_a_lost_worker_is_done_again(tmp_path, workers):
    heard = []
    run_tasks(
        [task("dies", pieces.die_first, tmp_path, "dies")], workers, lambda what, task: heard.append(what)
    )  # fmt: skip
    assert heard == ["started", "lost", "started", "finished"]


def test_the_tasks_of_a_lost_node_are_done_by_the_other(tmp_path, workers):
    heard = []
    tasks = [task("kills", pieces.kill_its_node, tmp_path, "kills"), task("other", pieces.note, tmp_path, "other")]
    run_tasks(tasks, workers, lambda what, task: heard.append((what, task.name)))
    assert ("lost", "kills") in heard
    assert (tmp_path / "kills").exists()
    assert (tmp_path / "other").exists()


def test_a_cluster_that_is_not_there_is_a_clear_error():
    with pytest.raises(WorkerError, match=r"There is no Ray cluster at 127.0.0.1:1: .*ray start --head"):
        make_workers("ray", address="127.0.0.1:1")
