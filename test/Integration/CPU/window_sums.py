"""Windows of so many words that their sums of codes are made in two steps, pixels' first."""

from networks import Network

Pair = tuple[int, int]
# Channels of 1, 2 and 4 bits: full words, words whose taps are folded, sums of 16 and of 32 bits.
CHANNELS: dict[str, dict[int, int]] = {
    "four": {4: 16},
    "mix": {1: 39, 2: 22, 4: 3},
    "two": {2: 31},
    "one": {1: 130},
    "wide": {1: 310, 2: 60, 4: 33},
}
# Batch, height, width, then the window.
WINDOWS: dict[str, tuple[tuple[int, int, int], dict[str, object]]] = {
    "plain": ((1, 17, 13), {"kernel": (3, 3), "pads": (1, 1, 1, 1)}),
    "small": ((2, 3, 4), {"kernel": (3, 3), "pads": (1, 1, 1, 1)}),
    "reaching": ((1, 7, 150), {"kernel": (4, 3), "pads": (2, 1, 0, 1), "dilations": (2, 1)}),
    "too far": ((1, 9, 150), {"kernel": (3, 3), "pads": (4, 1, 4, 1), "dilations": (4, 1)}),
    "large": ((1, 9, 16), {"kernel": (7, 7), "pads": (3, 3, 3, 3)}),
    "rows": ((1, 16, 11), {"kernel": (5, 3), "strides": (2, 1), "pads": (2, 1, 2, 1)}),
    "columns": ((3, 8, 21), {"kernel": (3, 6), "strides": (1, 3), "pads": (1, 2, 1, 3)}),
    "strided": ((2, 13, 15), {"kernel": (5, 5), "strides": (2, 2), "pads": (2, 2, 2, 2)}),
}


def window_sums() -> dict[str, str]:
    files = {}
    for i, (channels, counts) in enumerate(CHANNELS.items()):
        bits = [level for level, count in counts.items() for _ in range(count)]
        for j, (window, ((n, h, w), options)) in enumerate(WINDOWS.items()):
            grid = "midrise" if (i + j) % 3 == 2 else "unsigned"
            net = Network(8 * i + j)
            x = net.argument([n, len(bits), h, w], bits, grid)
            acc = net.conv(x, 5, **options)  # type: ignore[arg-type]
            codes = net.requantize(acc, [1, 2, 4, 4, 2], grid)
            files[f"{channels}-{window.replace(' ', '-')}"] = net.text(codes, net.real(acc))
    return files
