"""Sums as large as given weights let them be: what a byte holds is counted by these."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from networks import Bits, Network, Value, largest_input

# Precisions, and the codes that weights are drawn from.
CODES: list[tuple[int, tuple[int, ...]]] = [
    (1, (0, 1)),
    (2, (0,)),
    (2, (0, 3)),
    (2, (0, 1, 2, 3)),
    (2, (1, 2)),
]


class FixedNetwork(Network):
    """Every output has the same weights, `of_channel[c]` for each tap of channel c."""

    def __init__(self, seed: int, codes: Sequence[int]) -> None:
        super().__init__(seed)
        self.of_channel = codes

    def weights(self, shape: list[int], bits: Bits, groups: int = 1) -> Value:
        taps = math.prod(shape[2:])
        all_codes = bytearray()
        for output in range(shape[0]):
            first = output // (shape[0] // groups) * shape[1]
            for code in self.of_channel[first : first + shape[1]]:
                all_codes += bytes([code] * taps)
        return self.constant(
            bytes(all_codes), self.codes_type(shape, bits, "midrise", "0.5", groups), shape
        )


@dataclass(frozen=True)
class Shape:
    channels: int
    side: int
    outputs: int
    kernel: int
    stride: int = 1
    groups: int = 1


SHAPES = [
    Shape(58, 12, 20, 3),
    Shape(31, 8, 5, 5),  # more taps than a byte holds words
    Shape(40, 14, 9, 3, stride=2),
    Shape(46, 6, 6, 3, groups=2),  # a word with channels of both groups
    Shape(70, 7, 130, 3),  # AVX-512: registers of outputs
    Shape(301, 7, 130, 1),
]


def convolution(level: int, codes: Sequence[int], shape: Shape, turned: bool) -> str:
    """A product of `k - 1` and the code that makes it largest; `turned`: of `2^p - 1 - k`."""
    of = random.Random(shape.channels)
    most = (1 << level) - 1
    weights = [of.choice(codes) for _ in range(shape.channels)]
    net = FixedNetwork(shape.channels, weights)
    factors = [most - k for k in weights] if turned else weights
    inputs = [a for a in largest_input(factors, level) for _ in range(shape.side**2)]
    x = net.codes(inputs, [1, shape.channels, shape.side, shape.side], level)
    pad = shape.kernel // 2
    acc = net.conv(
        x,
        shape.outputs,
        (shape.kernel, shape.kernel),
        (shape.stride, shape.stride),
        (pad, pad, pad, pad),
        groups=shape.groups,
    )
    result = acc
    if turned:
        # Negative multipliers turn weights round where codes have 1 or 2 bits. A byte too small or
        # too large is 512 in the sum, one in the code: that of a whole window is 1.
        per_group = shape.channels // shape.groups
        offsets = []
        for output in range(shape.outputs):
            first = output // (shape.outputs // shape.groups) * per_group
            sums = [
                (2 * weights[c] - most) * inputs[c * shape.side**2]
                for c in range(first, first + per_group)
            ]
            offsets.append(1.0 + shape.kernel**2 * sum(sums) / 512)
        bits = [2] * shape.outputs
        type_ = net.codes_type(acc.shape, bits, "unsigned")
        result = net.emit(
            f"hetprec.requantize {acc.name} multiplier = {net.floats([-1 / 512] * len(bits))} "
            f"offset = {net.floats(offsets)} : {acc.type} to {type_}",
            type_,
            acc.shape,
        )
    return net.text(result, net.argument([1, 1], [1]))  # a bundle has an input


def largest() -> dict[str, str]:
    files = {}
    for level, codes in CODES:
        for shape in SHAPES:
            for turned in (False, True):
                tag = f"{shape.channels}x{shape.kernel}x{shape.kernel}{'-turned' * turned}"
                name = f"{level}-{''.join(map(str, codes))}-{tag}"
                files[name] = convolution(level, codes, shape, turned)
    return files
