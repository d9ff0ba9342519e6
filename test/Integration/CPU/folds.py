"""Levels whose last word is not full: their taps are folded into words of their own."""

from networks import Network


def folds() -> dict[str, str]:
    """Every number of channels that a word can lack, under windows of many kinds."""
    windows: list[dict[str, object]] = [
        {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
        {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        {"kernel": (3, 2), "pads": (1, 0, 2, 3), "dilations": (1, 3)},
        {"kernel": (5, 5), "pads": (2, 2, 2, 2)},
        {"kernel": (1, 7), "strides": (1, 2), "pads": (0, 3, 0, 3)},
        {"kernel": (2, 2), "strides": (3, 3)},
        {"kernel": (7, 7), "pads": (3, 3, 3, 3)},
    ]
    files = {}
    for rest in range(1, 9):
        options = windows[(rest - 1) % len(windows)]
        # With whole words before the rest, and without; outputs and pixels as lanes.
        for whole, outputs, (h, w) in ((0, 20, (9, 13)), (1, 64, (7, 7))):
            grid = "midrise" if (rest + whole) % 2 else "unsigned"
            counts = {1: 8 * whole + rest, 2: 3 * whole + rest % 3, 4: 4 * whole + rest % 4}
            bits = [level for level, count in counts.items() for _ in range(count)]
            net = Network(rest)
            x = net.argument([1 + rest % 2, len(bits), h, w], bits, grid)
            acc = net.conv(x, outputs, **options)  # type: ignore[arg-type]
            codes = net.requantize(acc, sorted([1, 2, 4, 4] * (outputs // 4)), grid)
            again = net.conv(codes, outputs, (3, 3), pads=(1, 1, 1, 1))
            files[f"{rest}-{whole}-{grid}"] = net.text(codes, net.real(again))
    # Levels of 8 bits beside others; two readers of one image, one of which folds.
    net = Network(0)
    x = net.quantized([1, 10, 9, 9], [2] * 4 + [4] * 5 + [8])
    wide = net.conv(x, 24, (3, 3), pads=(1, 1, 1, 1))
    few = net.conv(x, 2, (3, 3), pads=(1, 1, 1, 1))
    strided = net.conv(x, 24, (3, 3), (2, 2), (1, 1, 1, 1))
    shortcut = net.conv(x, 24, (1, 1), (2, 2))
    files["readers"] = net.text(net.real(wide), net.real(few), net.real(strided), shortcut)
    return files
