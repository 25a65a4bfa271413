"""The grammar of sizes and profiles, ladders, and which profile serves a size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcnship.errors import UsageError
from fcnship.sizes import Profile, Size, covering, ladder, profile_serving, short

SIDES = st.integers(1, 999_999_999)
SIZES = st.builds(Size, SIDES, SIDES)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    heights, widths = (sorted(draw(st.tuples(SIDES, SIDES, SIDES))) for _ in range(2))
    low, opt, high = map(Size, heights, widths)
    first, second, third = sorted(draw(st.tuples(*[st.integers(1, 999_999)] * 3)))
    return Profile(low, opt, high, (first, second, third))


@given(SIZES)
def test_a_size_reads_back_what_it_writes(size: Size) -> None:
    assert Size.parse(str(size)) == size
    assert Size.parse(short(size)) == size
    assert size.transposed.transposed == size


@given(profiles())
def test_a_profile_reads_back_what_it_writes(profile: Profile) -> None:
    assert Profile.parse(str(profile)) == profile
    assert profile.serves(profile.min, profile.batch[0])
    assert profile.serves(profile.opt, profile.batch[1])
    assert profile.serves(profile.max, profile.batch[2])


@given(SIDES, SIDES)
def test_the_optimum_of_a_range_lies_in_it(a: int, b: int) -> None:
    low, high = sorted((a, b))
    profile = Profile.parse(f"{low}-{high}")
    assert low <= profile.opt.height <= high
    assert profile.opt.height % 8 == 0 or high - low < 8 or profile.opt.height in (low, high)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("28-224", "28,80,224@1,1,8"),
        ("28,64,224", "28,64,224@1,1,8"),
        ("64", "64,64,64@1,1,8"),
        ("28-28", "28,28,28@1,1,8"),
        ("28x40-224x320", "28x40,80x112,224x320@1,1,8"),
        ("28-224@16", "28,80,224@1,1,16"),
        ("28-224@2,4,16", "28,80,224@2,4,16"),
        ("28,30,31@1", "28,30,31@1,1,1"),
        (" 28 - 224 ", "28,80,224@1,1,8"),
        ("9-15", "9,12,15@1,1,8"),
    ],
)
def test_profiles_that_are_read(text: str, written: str) -> None:
    assert str(Profile.parse(text)) == written


NEXT = "  next:  write --profile 28-224, 28,64,224 or 28x40-224x320"
A_SIZE = "a size is a whole number of pixels of at most nine digits, or height x width"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("224-28", "its maximum 28x28 is smaller than its minimum 224x224"),
        ("28x40-40x28", "its maximum 40x28 is smaller than its minimum 28x40"),
        ("28,300,224", "its optimum 300x300 does not lie between 28x28 and 224x224"),
        ("0-10", "'0' is not a size: an image has at least one pixel a side"),
        ("10x0", "'10x0' is not a size: an image has at least one pixel a side"),
        ("a-b", f"'a' is not a size: {A_SIZE}"),
        ("28-28.5", f"'28.5' is not a size: {A_SIZE}"),
        ("28-1e3", f"'1e3' is not a size: {A_SIZE}"),
        ("28-+30", f"'+30' is not a size: {A_SIZE}"),
        ("28x", f"'28x' is not a size: {A_SIZE}"),
        ("28x40x3", f"'28x40x3' is not a size: {A_SIZE}"),
        ("28X40", f"'28X40' is not a size: {A_SIZE}"),
        ("9999999999", f"'9999999999' is not a size: {A_SIZE}"),
        # Digits of other scripts are digits to Python's int(), superscripts to str.isdigit().
        ("２８-224", f"'２８' is not a size: {A_SIZE}"),
        ("٢٨-224", f"'٢٨' is not a size: {A_SIZE}"),
        ("28-22²", f"'22²' is not a size: {A_SIZE}"),
        ("", "a size is missing"),
        ("28-", "a size is missing"),
        ("-5", "a size is missing"),
        ("28--224", "a size is missing"),
        ("28,,224", "a size is missing"),
        ("@8", "a size is missing"),
        ("28-224-300", "'28-224-300' has 3 sizes: min-max are two, and min,opt,max take commas"),
        ("28,224", "'28,224' has 2 sizes: min,opt,max are three"),
        ("28-224@", "nothing stands behind the @"),
        ("28-224@0", "a batch holds at least one image"),
        ("28-224@0,1,2", "a batch holds at least one image"),
        ("28-224@8,4,1", "the batches 8, 4, 1 do not rise"),
        ("28-224@1,2", "the batch '1,2' is neither max nor min,opt,max"),
        ("28-224@x", "the batch 'x' is neither max nor min,opt,max"),
        ("28-224@8@9", "the batch '8@9' is neither max nor min,opt,max"),
    ],
)
def test_profiles_that_are_refused(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        Profile.parse(text)
    assert str(caught.value) == f"{text!r} is not a profile\n  cause: {cause}\n{NEXT}"
    assert caught.value.exit_code == 2


@given(st.text(alphabet="0123456789x-,@. ²２", max_size=12))
def test_any_text_is_a_profile_or_refused_as_one(text: str) -> None:
    try:
        profile = Profile.parse(text)
    except UsageError as error:
        assert error.what == f"{text!r} is not a profile"
        assert error.cause and error.next
    else:
        assert Profile.parse(str(profile)) == profile


def test_a_profile_made_in_python_is_checked_too() -> None:
    with pytest.raises(UsageError, match="its maximum 2x2 is smaller than its minimum 4x4"):
        Profile(Size(4, 4), Size(3, 3), Size(2, 2))
    with pytest.raises(UsageError, match="the batches 1, 9, 8 do not rise"):
        Profile(Size(2, 2), Size(3, 3), Size(4, 4), (1, 9, 8))
    with pytest.raises(UsageError, match="its maximum 4x4 is smaller than its minimum 0x0"):
        Profile(Size(0, 0), Size(3, 3), Size(4, 4))


def test_a_size_alone_is_refused_with_its_form() -> None:
    with pytest.raises(UsageError) as caught:
        Size.parse("28 x 40")
    assert str(caught.value) == (
        f"'28 x 40' is not a size\n  cause: {A_SIZE}\n  next:  write it like 28 or 28x40"
    )


@given(profiles(), st.integers(2, 12))
def test_a_ladder_rises_from_min_to_max(profile: Profile, steps: int) -> None:
    sizes = ladder(profile, steps)
    assert (sizes[0], sizes[-1]) == (profile.min, profile.max)
    assert len(set(sizes)) == len(sizes) <= steps
    for lower, higher in pairwise(sizes):
        assert lower.within(profile.min, higher)


def test_a_ladder_s_ratios_are_equal() -> None:
    assert [size.height for size in ladder(Profile.parse("28-224"), 4)] == [28, 56, 112, 224]


def test_the_profile_with_the_nearest_optimum_serves() -> None:
    small, large = Profile.parse("28,32,128"), Profile.parse("64,200,224@1")
    both = [small, large]
    assert profile_serving(both, Size(28, 28)) is small
    assert profile_serving(both, Size(64, 64)) is small  # twice as wide as 32, a third of 200
    assert profile_serving(both, Size(128, 128)) is large
    assert profile_serving(both, Size(128, 128), batch=8) is small
    assert profile_serving(both, Size(28, 129)) is None
    assert profile_serving(both, Size(64, 64), batch=9) is None


def test_what_profiles_cover_together() -> None:
    several = [Profile.parse("28x100-64x200"), Profile.parse("40x30-50x300")]
    assert covering(several) == (Size(28, 30), Size(64, 300))


def test_a_profile_as_the_report_writes_it() -> None:
    assert Profile.parse("28x40,64x80,224x320@2,4,8").as_json() == {
        "min": [28, 40],
        "opt": [64, 80],
        "max": [224, 320],
        "batch": [2, 4, 8],
    }
