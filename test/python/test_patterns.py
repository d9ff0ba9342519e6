"""Promotion to register patterns: exact against brute force, and only upwards."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
import torch
from torch import nn

import sysmol
from sysmol import SysmolError, patterns
from sysmol.budget import stored_bytes
from sysmol.layers import ChannelPrecision
from sysmol.patterns import PATTERN_SETS, Constraint, Listed, Segments, promote
from sysmol.prepare import calibrate, freeze

# Small machines, so that brute force can try everything.
SMALL_SEGMENTS = Segments(2, (4, 2, 1))
SMALL_LIST = Listed((8, 4, 2), mixed=((4, 1, 1, 1),))
SMALL_WORDS = Listed((4, 3, 2), (1, 1, 2), mixed=((0, 2, 1, 1), (1, 1, 0, 1)))


def written_out(constraint: Constraint) -> list[tuple[int, int, int, int]]:
    """Patterns and their costs."""
    if isinstance(constraint, Segments):
        return [(*pattern, 1) for pattern in constraint.patterns]
    assert isinstance(constraint, Listed)
    found = [
        (*(room if i == j else 0 for j in range(3)), constraint.costs[i])
        for i, room in enumerate(constraint.pure)
    ]
    return [*found, *constraint.mixed]  # type: ignore[list-item]


def brute(constraint: Constraint, counts: tuple[int, int, int]) -> tuple[int, int]:
    """(cost, bits) of the best of all promotions into all multisets of patterns."""
    known = written_out(constraint)
    best = (10**9, 10**9)
    c1, c2, c4 = counts
    # All promotions: of the 1-bit channels to 2 and to 4, of the 2-bit channels to 4.
    finals = {
        (c1 - a - b, c2 + a - c, c4 + b + c)
        for a in range(c1 + 1)
        for b in range(c1 + 1 - a)
        for c in range(c2 + 1)
    }
    for number in range(sum(counts) + 1):
        for chosen in itertools.combinations_with_replacement(known, number):
            cost = sum(pattern[3] for pattern in chosen)
            if cost > best[0]:
                continue
            room = [sum(pattern[i] for pattern in chosen) for i in range(3)]
            for final in finals:
                if all(n <= r for n, r in zip(final, room, strict=True)):
                    bits = final[0] + 2 * final[1] + 4 * final[2]
                    best = min(best, (cost, bits))
        if best[0] <= number:  # every further pattern costs at least 1
            break
    return best


@pytest.mark.parametrize("constraint", [SMALL_SEGMENTS, SMALL_LIST, SMALL_WORDS])
def test_solver_is_exact_against_brute_force(constraint: Constraint) -> None:
    promoted = 0
    for counts in itertools.product(range(6), range(4), range(4)):
        found = constraint.solve(counts)
        n1, n2, n4 = (np.array([n]) for n in found)
        cost = int(constraint.cover(n1, n2, n4)[0])
        bits = found[0] + 2 * found[1] + 4 * found[2]
        assert (cost, bits) == brute(constraint, counts), counts
        promoted += found != counts
    assert promoted >= 8  # some cases really ask for promotion


def test_pattern_sets_are_those_of_the_paper() -> None:
    p45 = PATTERN_SETS["P45"]
    assert isinstance(p45, Segments)
    known = p45.patterns
    assert len(set(known)) == 45
    assert all(n1 + 2 * n2 + 4 * n4 == 128 for n1, n2, n4 in known)
    p4 = PATTERN_SETS["P4"]
    assert isinstance(p4, Listed)
    assert set(written_out(p4)) <= {(*pattern, 1) for pattern in known}
    assert len(written_out(p4)) == 4


@pytest.mark.parametrize("name", sorted(PATTERN_SETS))
@pytest.mark.parametrize("seed", range(5))
def test_promotion_only_raises_and_takes_the_highest_first(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    implied = generator.uniform(1, 5, int(generator.integers(1, 200)))
    bits = np.where(implied > 3, 4, np.where(implied > 1.5, 2, 1))
    found = promote(bits, implied, PATTERN_SETS[name])
    assert (found >= bits).all()
    # The order of the learned precisions stays: nobody overtakes.
    assert (np.diff(found[np.argsort(implied)]) >= 0).all()
    cost = {
        key: PATTERN_SETS[name].cover(*(np.array([(p == n).sum()]) for n in (1, 2, 4)))
        for key, p in (("before", bits), ("after", found))
    }
    assert cost["after"] <= cost["before"]
    # What fits already stays.
    assert (promote(found, implied, PATTERN_SETS[name]) == found).all()


def test_two_levels_are_two() -> None:
    generator = np.random.default_rng(3)
    for _ in range(20):
        bits = generator.choice([1, 2, 4], 30)
        found = promote(bits, bits, PATTERN_SETS["two"])
        assert len(set(found.tolist()) - {4}) <= 1
        # Of both ways the one with fewer bits.
        ways = [np.where(bits == 1, 2, bits).sum(), np.where(bits == 2, 4, bits).sum()]
        assert found.sum() == min(ways)


def _bytes(counts: tuple[int, int, int]) -> float:
    """Of a network with a pointwise convolution that reads so many channels of each level."""
    torch.manual_seed(0)
    read = nn.Conv2d(sum(counts), 64, 1)
    ends = nn.Conv2d(1, sum(counts), 3), nn.Linear(64, 10)
    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    model = sysmol.prepare(nn.Sequential(ends[0], nn.ReLU(), read, nn.ReLU(), *pool, ends[1]))
    calibrate(model, torch.rand(4, 1, 8, 8))
    (precision,) = (m for m in model.modules() if isinstance(m, ChannelPrecision) and m.learned)
    with torch.no_grad():
        for bits, s in zip((1, 2, 4), (4.0, 0.0, -4.0), strict=True):
            first = sum(counts[: (1, 2, 4).index(bits)])
            precision.s[first : first + counts[(1, 2, 4).index(bits)]] = s
    freeze(model)
    assert tuple(int((precision.bits == p).sum()) for p in (1, 2, 4)) == counts
    return stored_bytes(model, "x86-64-avx2", (1, 8, 8))


def test_words_are_those_of_the_compiler() -> None:
    words = PATTERN_SETS["words"]
    for counts, promoted in (((9, 2, 0), (8, 3, 0)), ((9, 2, 4), (8, 3, 4))):
        assert words.solve(counts) == promoted  # two bytes in place of three
        assert _bytes(promoted) < _bytes(counts)
    assert words.solve((8, 3, 4)) == (8, 3, 4)
    # One more channel of a level begins a word, one less leaves it.
    assert _bytes((8, 3, 4)) - _bytes((7, 3, 4)) < _bytes((9, 3, 4)) - _bytes((8, 3, 4))


def test_what_cannot_be_held_is_refused() -> None:
    with pytest.raises(SysmolError, match="nothing holds"):
        Listed((8, 4, 0)).solve((1, 1, 1))
    with pytest.raises(SysmolError, match="negative"):
        SMALL_LIST.solve((-1, 1, 1))
    with pytest.raises(SysmolError, match="not 1, 2 and 4"):
        promote([8, 1], [8.0, 1.0], SMALL_LIST)


def test_examples_in_the_text() -> None:
    assert doctest.testmod(patterns).failed == 0
