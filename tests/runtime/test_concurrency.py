from __future__ import annotations

import threading

import numpy as np
import pytest

from tfpwl.runtime import ProgressiveModel
from tfpwl.runtime.engines import ENGINE_NAMES

NUM_THREADS = 8
ROUNDS = 30


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_every_answer_comes_from_exactly_one_mix(tiny_bundle, engine):
    """Eight threads ask, each with its own input, while the model goes up and down its path."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(NUM_THREADS, 1, 6, 6, 1)).astype(np.float32)
    path = [entry.mix for entry in tiny_bundle.manifest.path]
    with ProgressiveModel.open(tiny_bundle, engine=engine) as model:
        known = [[model.predict(x).tobytes()] for x in inputs]
        for mix in path[1:]:
            model.upgrade(until=mix, background=False)
            for answers, x in zip(known, inputs, strict=True):
                answers.append(model.predict(x).tobytes())
        # Different mixes and inputs must give different answers, or the test would see nothing.
        assert len({answer for answers in known for answer in answers}) == NUM_THREADS * len(path)

        stop = threading.Event()
        seen: list[set[bytes]] = [set() for _ in inputs]
        errors: list[BaseException] = []

        def ask(index: int) -> None:
            try:
                while not stop.is_set():
                    seen[index].add(model.predict(inputs[index]).tobytes())
            except BaseException as exc:
                errors.append(exc)
                raise

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(NUM_THREADS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(ROUNDS):
                model.downgrade()
                model.upgrade()
                assert model.wait(60)
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        assert errors == []
        assert model.mix == path[-1]
    for answers, answered in zip(known, seen, strict=True):
        assert answered <= set(answers)
    # The last upgrade ended before the threads stopped; at least both ends of the path were seen by somebody.
    assert {known[i].index(answer) for i, answered in enumerate(seen) for answer in answered} >= {0, len(path) - 1}
