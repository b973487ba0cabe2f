"""Work for other processes; a module of its own, because they import it."""

import os
import signal
import time
from pathlib import Path

from tfpwl.errors import DataError


def note(folder, name, seconds=0.0):
    """Leave a file that says when it began and ended, and where."""
    begun = time.time()
    time.sleep(seconds)
    Path(folder, name).write_text(f"{begun} {time.time()} {os.getpid()}")


def die_first(folder, name):
    """The first time, end the process as the system does when memory is short."""
    marker = Path(folder, f"{name}.died")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    note(folder, name)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise DataError("Received no images; expected some.")


def kill_its_node(folder, name):
    """The first time, end the Ray node that this runs on, as a machine goes away."""
    marker = Path(folder, f"{name}.died")
    if not marker.exists():
        marker.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        die()
    note(folder, name)


def where(folder, name):
    Path(folder, name).write_text(f"{os.getcwd()} {os.environ.get('KERAS_BACKEND')}")


def meet(folder, name, other):
    """Begin, wait until the other has begun, too."""
    Path(folder, f"{name}.here").touch()
    while not Path(folder, f"{other}.here").exists():
        time.sleep(0.01)
    note(folder, name)
