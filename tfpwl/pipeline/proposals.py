"""Which configurations a search tries next: Optuna's tree-structured Parzen estimator (https://optuna.org), seeded.

The study lives in memory and nowhere else. What was tried before is in the store; a search that begins again asks the
same questions, is told the same figures, and so gets the same proposals. A journal beside the store would be a second
truth, which may not agree with it.

Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization (NeurIPS 2011), section 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfpwl.errors import MissingDependencyError

try:
    import optuna
    from optuna.trial import TrialState
except ImportError as exc:
    raise MissingDependencyError("Optuna is not installed. Install it with: pip install 'tfpwl[search]'") from exc

# As many are proposed before one of them is judged, with one worker and with many, so that both try the same.
BATCH = 4
# How often Optuna may propose what was tried already, before the next untried one is taken.
_ASKS = 50

Point = tuple[int, ...]  # which value of each key


@dataclass(frozen=True)
class Proposal:
    """A configuration to try.

    Attributes:
        number: from 1.
        choices: values by dotted key of the pipeline.
        asked: Optuna's side of it.
    """

    number: int
    choices: Mapping[str, Any]
    asked: optuna.Trial


class Proposals:
    """Configurations of a space, each at most once, the first few at random and then where good ones were.

    Args:
        space: values by dotted key, in an order that means something where there is one, such as small to large.
        seed: same seed, same answers told, same proposals.

    Example:
        >>> proposals = Proposals({"prune.target.flops": (0.4, 0.6)}, seed=0)
        >>> sorted(one.choices["prune.target.flops"] for one in proposals.take(5))
        [0.4, 0.6]
    """

    def __init__(self, space: Mapping[str, tuple[Any, ...]], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._seen: set[Point] = set()
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=BATCH)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def take(self, count: int) -> list[Proposal]:
        """The next ``count`` proposals, fewer where there are no more."""
        found: list[Proposal] = []
        while len(found) < count and (asked := self._untried()) is not None:
            found.append(asked)
        return found

    def judge(self, proposal: Proposal, accuracy: float | None, *, excess: float, failed_gates: int = 0) -> None:
        """Say what became of a proposal.

        Args:
            proposal: as it was taken.
            accuracy: fraction 0..1, None where it was not trained.
            excess: by which share a limit is exceeded; 0 or less where all are kept.
            failed_gates: how many.
        """
        proposal.asked.set_constraint("limits", excess)
        proposal.asked.set_constraint("gates", failed_gates)
        if accuracy is None:
            self._study.tell(proposal.asked, state=TrialState.PRUNED)
        else:
            self._study.tell(proposal.asked, accuracy)

    def _untried(self) -> Proposal | None:
        for _ in range(_ASKS):
            asked, point = self._ask()
            if point not in self._seen:
                return self._note(asked, point)
            self._study.tell(asked, state=TrialState.FAIL)  # Optuna leaves it out of account
        left = (point for point in itertools.product(*self._ranges()) if point not in self._seen)
        if (first := next(left, None)) is None:
            return None
        self._study.enqueue_trial(dict(zip(self._space, first, strict=True)))
        return self._note(*self._ask())

    def _ask(self) -> tuple[optuna.Trial, Point]:
        asked = self._study.ask()
        ranges = zip(self._space, self._ranges(), strict=True)
        return asked, tuple(asked.suggest_int(key, 0, len(values) - 1) for key, values in ranges)

    def _ranges(self) -> list[range]:
        return [range(len(values)) for values in self._space.values()]

    def _note(self, asked: optuna.Trial, point: Point) -> Proposal:
        self._seen.add(point)
        chosen = zip(self._space.items(), point, strict=True)
        return Proposal(len(self._seen), {key: values[index] for (key, values), index in chosen}, asked)
