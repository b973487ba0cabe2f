"""The smallest pipeline that goes through every stage, and a reporter that remembers."""

PIPELINE = """
name: tiny
data: {name: digits, limit: 160, augment: {rotation: 5, flip: false, crop: 0.125}}
teacher:
  family: resnet
  widths: [6, 8]
  depths: [1, 1]
  train: {epochs: 2, batch_size: 32}
student: {widths: [4, 6], depths: [1, 1]}
distill: {epochs: 2, batch_size: 32}
evaluate: {workers: 1}
"""


class Recorder:
    """A reporter that remembers which stages ran; it can interrupt one."""

    def __init__(self, interrupt=None):
        self.ran, self.cached, self.progress, self.waited = [], [], [], []
        self._interrupt = interrupt

    def started(self, stage):
        pass

    def waiting(self, stage, holder):
        self.waited.append((stage, holder))

    def advanced(self, stage, done, total, metrics):
        self.progress.append((stage, done, total))
        if self._interrupt is not None and self._interrupt(stage, done):
            raise KeyboardInterrupt

    def finished(self, stage, seconds, summary, *, cached):
        (self.cached if cached else self.ran).append(stage)
