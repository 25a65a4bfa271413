"""Which sizes are compared, and how a failure is shrunk to a small one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcnship.errors import UsageError
from fcnship.graph.nodes import Axis, Network, Node
from fcnship.graph.propagate import is_legal
from fcnship.sizes import Profile, Size
from fcnship.verify.checks import Checks
from fcnship.verify.shrink import MOST_RUNS, shrunk
from fcnship.verify.sizes_that_find import cases_that_find, every_size, outside, remainders, sizes_that_find

SIDES = st.integers(1, 500)
STRIDE = Size(32, 32)


@settings(max_examples=200)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 70))
def test_sizes_hold_edges_and_every_remainder(a: int, b: int, c: int, d: int, stride: int) -> None:
    low, high = Size(min(a, b), min(c, d)), Size(max(a, b), max(c, d))
    sizes = sizes_that_find(Profile(low, low, high), Size(stride, stride))
    assert {low, high, Size(low.height, high.width), Size(high.height, low.width)} <= set(sizes)
    assert {Size(s.height + 1, s.width + 1) for s in (low, high)} <= set(sizes)
    assert len(set(sizes)) == len(sizes)
    assert all(size.height > 0 and size.width > 0 for size in sizes)
    inside = [size for size in sizes if size.within(low, high)]
    heights, widths = range(low.height, high.height + 1), range(low.width, high.width + 1)
    assert {s.height % stride for s in inside} == {side % stride for side in heights}
    assert {s.width % stride for s in inside} == {side % stride for side in widths}


def test_the_main_job_s_sizes() -> None:
    sizes = sizes_that_find(Profile.parse("28-224"), STRIDE)
    told = {str(size) for size in sizes}
    assert {"27x27", "28x28", "29x29", "80x80", "223x223", "224x224", "225x225", "225x224"} <= told
    assert any(s.height % 2 and s.width % 2 for s in sizes)
    assert any(s.height != s.width and s.transposed in sizes for s in sizes)
    assert "127x127" in told  # prime
    assert len([s for s in sizes if s.pixels > 100**2]) < 25  # the others are cheap


def test_a_large_stride_costs_one_size_a_remainder() -> None:
    assert len(remainders(Size(64, 64), Size(640, 640), Size(64, 64))) == 64
    assert len(remainders(Size(28, 28), Size(224, 224), STRIDE)) == 64
    assert remainders(Size(28, 28), Size(28, 28), STRIDE) == [Size(28, 28)] * 2


@settings(max_examples=50)
@given(SIDES, SIDES, SIDES, SIDES)
def test_every_size_has_each_height_and_each_width_beside_the_diagonal(
    a: int, b: int, c: int, d: int
) -> None:
    low, high = Size(min(a, b), min(c, d)), Size(max(a, b), max(c, d))
    sizes = every_size(Profile(low, low, high))
    assert {size.height for size in sizes} == set(range(low.height, high.height + 1))
    assert {size.width for size in sizes} == set(range(low.width, high.width + 1))
    assert all(size.within(low, high) for size in sizes)


def test_all_sizes_of_a_square_profile() -> None:
    sizes = every_size(Profile.parse("28-224"))
    assert {Size(side, side) for side in range(28, 225)} <= set(sizes)
    assert 2 * 197 - 20 < len(sizes) <= 2 * 197
    with pytest.raises(UsageError, match="no set of sizes 'some'"):
        Checks(sizes="some")  # type: ignore[arg-type]


def strided(minimum: int) -> Network:
    """A convolution without padding, so that smaller images make an empty map."""
    axis = Axis(kernel=minimum, stride=2)
    image = Node(name="image", layer_class="InputLayer", kind="input", inputs=(), channels=1)
    conv = Node(
        name="conv", layer_class="Conv2D", kind="conv", inputs=(0,), channels=2, rows=axis, columns=axis
    )
    return Network(name="net", nodes=(image, conv), outputs=(1,), parameters=0)


def test_sizes_outside_are_left_out_where_the_network_does_not_run() -> None:
    profiles, network = [Profile.parse("8-16@4")], strided(8)
    cases = cases_that_find(profiles, Size(2, 2), lambda size: is_legal(network, size))
    sizes = {size for size, _ in cases}
    assert Size(7, 7) not in sizes
    assert {Size(8, 8), Size(17, 17)} <= sizes
    assert {str(size) for size, batch in cases if batch == 4} == {"8x8", "16x16"}
    assert {batch for _, batch in cases} == {1, 4}
    refused = {str(size) for size, _ in outside(profiles, cases)}
    assert {"17x17", "17x16", "16x17"} <= refused
    assert not {"8x8", "16x16", "9x9"} & refused


# Shrinking


def shrink(fails: object, size: str, batch: int, stride: Size = STRIDE) -> tuple[str, int, int]:
    runs = []

    def counted(size: Size, batch: int) -> bool:
        runs.append((size, batch))
        return bool(fails(size, batch))  # type: ignore[operator]

    found, images = shrunk(counted, Size.parse(size), batch, smallest=Size(28, 28), stride=stride)
    assert len(runs) == len(set(runs)) <= MOST_RUNS
    return str(found), images, len(runs)


def test_what_always_fails_shrinks_to_the_smallest_in_few_runs() -> None:
    assert shrink(lambda size, batch: True, "224x224", 8) == ("28x28", 1, 2)


def test_a_remainder_and_a_batch_are_kept() -> None:
    assert shrink(lambda size, batch: size.height % 32 == 3, "195x220", 8)[:2] == ("35x28", 1)
    assert shrink(lambda size, batch: size.width % 32 == 3 and batch > 2, "150x195", 8)[:2] == ("28x35", 3)


def test_a_threshold_is_found() -> None:
    assert shrink(lambda size, batch: size.height >= 101, "224x224", 1)[0] == "101x28"


def test_the_number_of_runs_is_bounded() -> None:
    assert shrink(lambda size, batch: size.pixels > 49_000, "224x224", 8)[2] <= MOST_RUNS
