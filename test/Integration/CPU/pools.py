"""Pools: sums and largest codes."""

from networks import Network, mixed


def pool() -> dict[str, str]:
    files = {}
    cases: dict[str, dict[str, object]] = {
        "global": {"kernel": (7, 6)},
        "2x2": {"kernel": (2, 2), "strides": (2, 2)},
        "3x3-padded": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
        "3x3-stride-2": {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        "3x2-uneven": {"kernel": (3, 2), "strides": (1, 2), "pads": (0, 1, 2, 0)},
        "7x6-large": {"kernel": (7, 6), "pads": (3, 3, 3, 3)},
    }
    for name, options in cases.items():
        for level in (1, 2, 4, 8):
            net = Network(level)
            x = net.argument([2, 9, 7, 6], [level] * 9)
            acc = net.pool(x, **options)  # type: ignore[arg-type]
            files[f"{name}-{level}"] = net.text(
                net.requantize(acc, mixed(9, (1, 2, 8)), turned=0.3)
            )
    net = Network(9)
    x = net.argument([1, 9, 7, 6], [4] * 9)
    files["sums-out"] = net.text(net.pool(x, (3, 3)), net.real(net.pool(x, (2, 2), (2, 2))))
    return files


def max_pool() -> dict[str, str]:
    """Every level and grid under every kind of window; readers of all kinds behind."""
    files = {}
    cases: dict[str, dict[str, object]] = {
        "2x2": {"kernel": (2, 2), "strides": (2, 2)},
        "3x3-stride-2": {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        "3x3-same": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
        "global": {"kernel": (7, 6)},
        "uneven": {"kernel": (3, 2), "strides": (1, 2), "pads": (0, 1, 2, 0)},
        "stride-past-kernel": {"kernel": (2, 1), "strides": (3, 2)},
        "pads-5x4": {"kernel": (5, 4), "strides": (3, 1), "pads": (4, 3, 4, 3)},
        "1x1": {"kernel": (1, 1)},
    }
    sets = [(1,), (2,), (4,), (8,), (1, 2, 4), (2, 4, 8), (1, 8)]
    for i, (name, options) in enumerate(cases.items()):
        for levels in sets:
            for grid in ("unsigned", "midrise"):
                net = Network(i)
                x = net.argument([2, 9, 7, 6], mixed(9, levels), grid)
                y = net.max_pool(x, **options)  # type: ignore[arg-type]
                tag = "".join(map(str, levels))
                files[f"{name}-{tag}-{grid}"] = net.text(y)
    # Between dot products: the pool's input is sorted with it; a second reader keeps its order.
    for grid in ("unsigned", "midrise"):
        for levels in ((1, 2, 4), (2, 8), (4,)):
            net = Network(len(levels))
            x = net.quantized([1, 5, 19, 23], [8] * 5, scale="0.75")
            a = net.requantize(net.conv(x, 21, (3, 3), pads=(1, 1, 1, 1)), mixed(21, levels), grid)
            b = net.max_pool(a, (3, 3), (2, 2), (1, 1, 1, 1))
            c = net.requantize(net.conv(b, 14, (3, 3), pads=(1, 1, 1, 1)), mixed(14, levels), grid)
            d = net.max_pool(net.max_pool(c, (2, 2), (2, 2)), (2, 3))
            e = net.conv(a, 6, (1, 1), (2, 2))
            f = net.conv(a, 21, (3, 3), depthwise=True)
            tag = "".join(map(str, levels))
            files[f"network-{tag}-{grid}"] = net.text(
                net.real(net.matmul(net.flatten(d), 4)), net.dequantize(b), c, e, f
            )
    # Unsorted channels that no dot product reads, and one that a pool alone reads.
    net = Network(3)
    x = net.argument([3, 7, 9, 70], mixed(7, (1, 4, 8)), "midrise")
    y = net.max_pool(net.permute(x, [3, 1, 6, 0, 2, 5, 4]), (3, 3), (1, 2), (1, 1, 1, 1))
    files["permuted"] = net.text(y, net.dequantize(net.max_pool(y, (9, 2), (1, 2))))
    net = Network(4)
    x = net.argument([1, 4, 80, 90], [2] * 4)
    files["large"] = net.text(net.max_pool(x, (31, 17), (2, 3), (15, 8, 15, 8)))
    return files
