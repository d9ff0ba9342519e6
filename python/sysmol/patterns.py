"""Which mixes of precisions a machine holds without waste, and the cheapest promotion to one.

A register or word of packed codes holds so many channels of each precision; such a triple is a
pattern. Once, at the end of phase 1, the channels of every tensor are made to fit the cheapest set
of patterns: channels are only ever promoted to a higher precision, those with the highest learned
precision first (design §5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError
from sysmol.grids import Int64

__all__ = ["LEVELS", "PATTERN_SETS", "Constraint", "Listed", "Segments", "TwoLevels", "promote"]

LEVELS = (1, 2, 4)
"""Precisions that phase 1 learns."""

_NEVER = np.iinfo(np.int64).max // 4


class Constraint:
    """A set of patterns; what it costs to hold given numbers of channels."""

    def cover(self, n1: Int64, n2: Int64, n4: Int64) -> Int64:
        """Least cost of patterns with room for ``n1``, ``n2``, ``n4`` channels of 1, 2, 4 bits.

        Elementwise; a huge number where there is none.
        """
        raise NotImplementedError

    def solve(self, counts: tuple[int, int, int]) -> tuple[int, int, int]:
        """The channels of 1, 2 and 4 bits after the cheapest promotion.

        Exact: the least cost, then the fewest bits, then the most channels of 1 bit. Time and
        memory grow with the square of the number of channels.

        >>> PATTERN_SETS["P4"].solve((120, 0, 5))
        (120, 0, 5)
        >>> PATTERN_SETS["two"].solve((10, 1, 5))
        (10, 0, 6)
        """
        c1, c2, c4 = counts
        if min(counts) < 0:
            raise SysmolError(f"patterns: negative numbers of channels {counts}")
        total = c1 + c2 + c4
        # Promotion never leaves more channels of 1 bit, nor fewer of 4, than there are.
        n1, n4 = np.meshgrid(np.arange(c1 + 1), np.arange(c4, total + 1), indexing="ij")
        n2 = total - n1 - n4
        possible = n2 >= 0
        n1, n2, n4 = n1[possible], n2[possible], n4[possible]
        cost = self.cover(n1, n2, n4)
        best = int(np.lexsort((-n1, n1 + 2 * n2 + 4 * n4, cost))[0])
        if cost[best] >= _NEVER:
            raise SysmolError(f"patterns: nothing holds {counts} channels of 1, 2, 4 bits")
        return int(n1[best]), int(n2[best]), int(n4[best])


def _ceil(a: Int64, b: int) -> Int64:
    if b:
        return -(-a // b)
    return np.where(a > 0, _NEVER, 0)


@dataclass(frozen=True)
class Segments(Constraint):
    """A register of segments, each of which holds channels of one precision, in any mix.

    Attributes
    ----------
    segments : int
        Segments of a register.
    room : tuple of int
        Channels of 1, 2, 4 bits that one segment holds.
    """

    segments: int = 8
    room: tuple[int, int, int] = (16, 8, 4)

    def cover(self, n1: Int64, n2: Int64, n4: Int64) -> Int64:
        # Every split of the segments is a pattern, so only their sum counts.
        used = sum(_ceil(n, room) for n, room in zip((n1, n2, n4), self.room, strict=True))
        return _ceil(np.asarray(used), self.segments)

    @property
    def patterns(self) -> list[tuple[int, int, int]]:
        """All of them, written out."""
        r1, r2, r4 = self.room
        return [
            (a * r1, b * r2, (self.segments - a - b) * r4)
            for a in range(self.segments + 1)
            for b in range(self.segments + 1 - a)
        ]


@dataclass(frozen=True)
class Listed(Constraint):
    """Patterns of one precision, one for each, and any number of mixed ones.

    Attributes
    ----------
    pure : tuple of int
        Channels that the pattern of 1, 2, 4 bits holds; 0 where there is none.
    costs : tuple of int
        Of these patterns.
    mixed : tuple of (int, int, int, int)
        Channels of 1, 2, 4 bits and the cost of each further pattern.
    """

    pure: tuple[int, int, int]
    costs: tuple[int, int, int] = (1, 1, 1)
    mixed: tuple[tuple[int, int, int, int], ...] = ()

    def cover(self, n1: Int64, n2: Int64, n4: Int64) -> Int64:
        return self._cover([np.asarray(n, np.int64) for n in (n1, n2, n4)], self.mixed)

    def _cover(self, need: list[Int64], mixed: tuple[tuple[int, int, int, int], ...]) -> Int64:
        if not mixed:
            parts = [
                np.minimum(_ceil(n, room) * cost, _NEVER)
                for n, room, cost in zip(need, self.pure, self.costs, strict=True)
            ]
            return np.asarray(np.minimum(sum(parts), _NEVER))
        *room, cost = mixed[0]
        # Beyond what holds everything in one kind of it, another one holds nothing more.
        most = max(
            (int(_ceil(n.max(), r)) for n, r in zip(need, room, strict=True) if r), default=0
        )
        best = np.full(need[0].shape, _NEVER, np.int64)
        for used in range(most + 1):
            rest = [np.maximum(n - used * r, 0) for n, r in zip(need, room, strict=True)]
            best = np.minimum(best, self._cover(rest, mixed[1:]) + used * cost)
        return best


@dataclass(frozen=True)
class TwoLevels(Constraint):
    """SONIQ's finding: two precisions a tensor, a low and a high one; of ours, 1 or 2, and 4."""

    def cover(self, n1: Int64, n2: Int64, n4: Int64) -> Int64:
        del n4
        return np.where((n1 > 0) & (n2 > 0), _NEVER, 0)


PATTERN_SETS: dict[str, Constraint] = {
    "P45": Segments(),
    "P4": Listed((128, 64, 32), mixed=((64, 16, 8, 1),)),
    # Bytes of the words in which the compiler stores and multiplies codes on every CPU target
    # (a window larger than 1x1 shares words that its channels fill in part among its taps):
    # eight 1-bit or three 2-bit channels in one byte, four 4-bit channels in two.
    "words": Listed((8, 3, 4), (1, 1, 2)),
    "two": TwoLevels(),
}
"""By the name that ``--patterns`` takes. P45 and P4 are registers of 128 bits."""


def promote(
    bits: npt.ArrayLike, implied: npt.ArrayLike, constraint: Constraint
) -> npt.NDArray[np.int64]:
    """Precisions of one tensor's channels, promoted to what ``constraint`` holds best.

    Parameters
    ----------
    bits : int array [C]
        Assigned precisions, of 1, 2 and 4.
    implied : float array [C]
        Learned real precisions, which order the channels of equal ``bits``.

    Returns
    -------
    int64 array [C]
        Nowhere below ``bits``.

    >>> promote([1, 1, 2, 2, 4], [1.1, 1.4, 2.0, 2.5, 3.5], PATTERN_SETS["two"]).tolist()
    [2, 2, 2, 2, 4]
    """
    given = np.asarray(bits, np.int64)
    if not np.isin(given, LEVELS).all():
        raise SysmolError(f"patterns: precisions {sorted(set(given.tolist()))}, not 1, 2 and 4")
    counts = tuple(int((given == level).sum()) for level in LEVELS)
    n1, n2, _ = constraint.solve((counts[0], counts[1], counts[2]))
    order = np.lexsort((np.arange(len(given)), np.asarray(implied, np.float64), given))
    result = np.full(given.shape, 4, np.int64)
    result[order[: n1 + n2]] = 2
    result[order[:n1]] = 1
    return result
