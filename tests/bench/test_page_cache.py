from __future__ import annotations

import mmap
import os

import pytest

from tfpwl.bench.page_cache import evict, resident_share, warm


@pytest.fixture
def big(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(os.urandom(64 * mmap.PAGESIZE + 5))
    return path


def test_what_was_read_is_there_and_what_was_evicted_is_not(big):
    warm([big])
    assert resident_share([big]) == 1.0
    share = evict([big])
    if share:
        pytest.skip(f"this file system keeps {share:.0%} of the pages whatever it is asked")
    assert resident_share([big]) == 0.0
    assert len(big.read_bytes()) == 64 * mmap.PAGESIZE + 5
    assert resident_share([big]) == 1.0


def test_share_is_of_all_pages_of_all_files(big, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"x" * mmap.PAGESIZE)
    if evict([big, other]):
        pytest.skip("this file system keeps its pages")
    warm([other])
    # 65 pages of one file, 1 of the other.
    assert resident_share([big, other]) == pytest.approx(1 / 66)


def test_empty_file_has_no_pages(tmp_path):
    (tmp_path / "empty").touch()
    assert resident_share([tmp_path / "empty"]) == 0.0
    warm([tmp_path / "empty"])
    assert evict([tmp_path / "empty"]) == 0.0
