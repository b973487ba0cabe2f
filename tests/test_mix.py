import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfpwl.mix import Mix, all_mixes, path, prefix_order


@given(st.permutations(range(5)))
def test_a_path_walks_from_all_student_to_all_teacher_one_group_at_a_time(order):
    mixes = path(order)
    assert (mixes[0], mixes[-1]) == ("SSSSS", "TTTTT")
    for group, before, after in zip(order, mixes, mixes[1:], strict=False):
        assert [i for i in range(5) if before[i] != after[i]] == [group]


def test_prefix_order_is_the_papers():
    assert path(prefix_order(3)) == ("SSS", "TSS", "TTS", "TTT")


def test_all_mixes_are_in_binary_order():
    assert all_mixes(2) == ("SS", "ST", "TS", "TT")


def test_switches_are_the_boundaries_where_the_side_changes():
    assert Mix("SSTTS").switches == (1, 3)
    assert Mix("TTTT").switches == ()


@pytest.mark.parametrize("text", ["", "tt", "TX", "T S"])
def test_other_letters_are_refused(text):
    with pytest.raises(ValueError, match="one letter S or T per group"):
        Mix(text)


@pytest.mark.parametrize("order", [(), (0, 0), (1, 2), (0, 2)])
def test_an_order_that_is_no_permutation_is_refused(order):
    with pytest.raises(ValueError, match="each group index"):
        path(order)
