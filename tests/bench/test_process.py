from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from tfpwl.bench.process import footprint, num_open_files, num_threads, reset_peak

SIZE = 64 << 20


def test_memory_that_is_touched_shows_and_goes_again():
    before = footprint()
    block = np.ones(SIZE, np.uint8)
    with_block = footprint()
    del block
    after = footprint()
    # Other allocations of the interpreter are far below a tenth of 64 MiB.
    assert with_block.anonymous - before.anonymous == pytest.approx(SIZE, rel=0.1)
    assert with_block.resident - before.resident == pytest.approx(SIZE, rel=0.1)
    assert after.anonymous - before.anonymous < SIZE / 10


def test_peak_stays_after_the_memory_is_gone_and_can_be_reset():
    reset_peak()
    before = footprint()
    block = np.ones(SIZE, np.uint8)
    del block
    assert footprint().peak_resident - before.resident > 0.9 * SIZE
    reset_peak()
    if footprint().peak_resident - footprint().resident > SIZE / 2:
        pytest.skip("this system does not let a process reset its peak")


def test_reads_are_counted(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    before = footprint().calls_read
    path.read_bytes()
    # Looking at /proc is reading, too: some kB.
    assert footprint().calls_read - before == pytest.approx(1_000_000, rel=0.1)


def test_open_files_and_threads_are_counted():
    files, threads = num_open_files(), num_threads()
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert num_open_files() == files + 1
        assert num_threads() == threads + 1
    finally:
        os.close(descriptor)
        go_on.set()
        thread.join()
