"""Windows of many taps: loops run over them, and over what strides leave of rows and columns."""

from networks import Network, mixed

Pair = tuple[int, int]
# Kernel, strides and dilations.
POOLS: list[tuple[Pair, Pair]] = [
    ((31, 31), (2, 2)),
    ((17, 40), (3, 2)),
    ((31, 23), (16, 5)),
    ((31, 31), (31, 31)),
    ((9, 31), (33, 40)),
    ((1, 51), (1, 2)),
    ((37, 1), (3, 1)),
    ((33, 35), (1, 1)),
    ((29, 6), (28, 1)),
]
CONVOLUTIONS: list[tuple[Pair, Pair, Pair]] = [
    ((13, 13), (2, 2), (1, 1)),
    ((11, 11), (4, 4), (1, 1)),
    ((9, 17), (2, 3), (3, 1)),
    ((13, 7), (5, 1), (2, 2)),
    ((7, 9), (8, 11), (1, 3)),
]
SETS = [(4,), (1, 2, 4), (8,), (2, 8), (1,), (2,)]


def middle(kernel: Pair, dilations: Pair = (1, 1)) -> tuple[int, int, int, int]:
    """Pads of half a window, uneven where it is even."""
    y, x = ((k - 1) * d for k, d in zip(kernel, dilations, strict=True))
    return y // 2, (x + 1) // 2, (y + 1) // 2, x // 2


def windows() -> dict[str, str]:
    files = {}
    for i, (kernel, strides) in enumerate(POOLS):
        name = "x".join(map(str, (*kernel, *strides)))
        levels, grid = SETS[i % len(SETS)], ("unsigned", "midrise")[i % 2]
        net = Network(i)
        x = net.argument([2, 9, 9, 13], mixed(9, levels), grid)
        files[f"max-{name}"] = net.text(net.max_pool(x, kernel, strides, middle(kernel)))
        net = Network(i)
        x = net.argument([1, 5, 9, 13], [(4, 1, 8, 2)[i % 4]] * 5)
        sums = net.pool(x, kernel, strides, middle(kernel))
        files[f"sum-{name}"] = net.text(net.requantize(sums, mixed(5, (1, 2, 8))), net.real(sums))
    for i, (kernel, strides, dilations) in enumerate(CONVOLUTIONS):
        name = "x".join(map(str, (*kernel, *strides, *dilations)))
        for j, outputs in enumerate((5, 64, 9)):
            levels, grid = SETS[(i + 2 * j) % len(SETS)], ("unsigned", "midrise")[(i + j) % 2]
            net = Network(i)
            x = net.argument([1, 9, 9, 13], mixed(9, levels), grid)
            pads = middle(kernel, dilations)
            acc = net.conv(x, outputs, kernel, strides, pads, dilations, depthwise=outputs == 9)
            files[f"conv-{name}-{outputs}"] = net.text(net.requantize(acc, mixed(outputs)))
    return files
