"""Laws of pairing by names: whatever the names, a file is in its own pair or in none."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from eamamba.datasets.names import (
    SHOTS_APART,
    large_names,
    natural,
    numbered,
    partners,
    prefixes,
    same_or_consecutive,
)
from eamamba.datasets.pairs import by_name, without_partner

stems = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1)
names = st.lists(stems, min_size=1, max_size=12, unique=True)
numbers = st.lists(st.integers(0, 10**6), min_size=1, max_size=12, unique=True)


@st.composite
def shots(draw: st.DrawFn) -> dict[str, str]:
    """Pairs of consecutive shots: at most `SHOTS_APART` apart, in either order, far from others."""
    steps = draw(st.lists(st.integers(3 * SHOTS_APART, 200), min_size=1, max_size=10))
    apart = st.integers(1, SHOTS_APART) | st.integers(-SHOTS_APART, -1)
    return {f"1P0A{first:04d}": f"1P0A{first + draw(apart):04d}" for first in accumulate(steps)}


@given(names, st.randoms(use_true_random=False))
def test_equal_names_are_partners_in_any_order(stems: list[str], random: Random) -> None:
    shuffled = random.sample(stems, len(stems))
    assert same_or_consecutive(stems, shuffled) == {name: name for name in stems}


@given(numbers, st.integers(0, 8), st.randoms(use_true_random=False))
def test_leading_zeros_do_not_change_a_number(
    values: list[int], width: int, random: Random
) -> None:
    plain = [f"{value}" for value in random.sample(values, len(values))]
    padded = [f"{value:0{width}d}" for value in values]
    found = same_or_consecutive(plain, padded)
    assert found.keys() == set(plain)
    assert all(int(name) == int(other) for name, other in found.items())


def test_one_two_ten_are_not_sorted_as_words() -> None:
    expected = {"1": "01", "2": "02", "10": "10"}
    assert same_or_consecutive(["1", "2", "10"], ["01", "02", "10"]) == expected
    assert sorted(["10", "2", "1"], key=natural) == ["1", "2", "10"]


@given(names, names)
def test_a_name_with_a_partner_never_gets_another(one: list[str], other: list[str]) -> None:
    common = set(one) & set(other)
    found = same_or_consecutive(one, other)
    assert all(found[name] == name for name in common)
    assert len(set(found.values())) == len(found)
    if common:
        assert all(natural(name) == natural(partner) for name, partner in found.items())


@given(shots(), st.randoms(use_true_random=False))
def test_consecutive_shots_are_partners(pairs: dict[str, str], random: Random) -> None:
    sources = random.sample(sorted(pairs), len(pairs))
    assert same_or_consecutive(sources, sorted(pairs.values())) == pairs


@given(shots(), st.data())
def test_lost_shots_are_never_replaced_by_strangers(
    pairs: dict[str, str], data: st.DataObject
) -> None:
    lost = [data.draw(st.sampled_from(sorted(side))) for side in (pairs, pairs.values())]
    sources = [name for name in pairs if name != lost[0]]
    targets = [name for name in pairs.values() if name != lost[1]]
    found = same_or_consecutive(sources, targets)
    assert all(pairs[source] == target for source, target in found.items())
    assert not found or len(found) == len(pairs) - 1


@given(names, names)
def test_every_file_is_in_a_pair_or_reported(one: list[str], other: list[str]) -> None:
    problems: list[str] = []
    low = by_name([Path("input", f"{name}.png") for name in one], problems)
    high = by_name([Path("target", f"{name}.png") for name in other], problems)
    assert not problems
    chosen = partners(low, high, {name: (name,) for name in low})
    assert chosen == {name: name for name in low.keys() & high.keys()}
    reported = {line.removesuffix(" has no partner") for line in without_partner(low, high, chosen)}
    alone = {f"input/{low[name].name}" for name in low.keys() - high.keys()}
    assert reported == alone | {f"target/{high[name].name}" for name in high.keys() - low.keys()}


@given(st.lists(st.text("0123456789abc", min_size=1), min_size=1, max_size=8, unique=True))
def test_hazy_images_find_the_clean_one_they_begin_with(clean: list[str]) -> None:
    hazy = {f"{name}_{number}_0.{number}": name for number, name in enumerate(clean)}
    assert partners(hazy, clean, {name: prefixes(name) for name in hazy}) == hazy


@given(names, st.sampled_from([2, 3, 4]), st.sampled_from(["x{0}", "X{0}", "_LR", "_SRF_{0}_LR"]))
def test_small_images_find_the_large_one(large: list[str], scale: int, ending: str) -> None:
    small = {name + ending.format(scale): name for name in large}
    assert all(large_names(low, scale)[0] == name for low, name in small.items())


@given(names, st.sampled_from([2, 3, 4]), st.data())
def test_numbered_images_count_the_large_ones(
    large: list[str], scale: int, data: st.DataObject
) -> None:
    ordered = sorted(large, key=natural)
    small = {f"img_{n:03d}_SRF_{scale}_LR": name for n, name in enumerate(ordered, start=1)}
    assert numbered(small, large, scale) == small
    lost = data.draw(st.sampled_from(sorted(small)))
    assert numbered(small.keys() - {lost}, large, scale) == {}
