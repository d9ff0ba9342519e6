"""Depthwise convolutions: windows of every kind, level and grid."""

from networks import Network, mixed


def depthwise() -> dict[str, str]:
    """One at a time, then one behind the other."""
    files = {}
    cases: dict[str, dict[str, object]] = {
        "3x3": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
        "3x3-valid": {"kernel": (3, 3)},
        "stride-2": {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        "stride-2-even": {"kernel": (2, 4), "strides": (2, 2), "pads": (0, 1, 0, 2)},
        "stride-2x1": {"kernel": (3, 3), "strides": (2, 1), "pads": (1, 0, 0, 1)},
        "stride-1x2": {"kernel": (3, 5), "strides": (1, 2), "pads": (0, 2, 1, 0)},
        "stride-4": {"kernel": (5, 7), "strides": (4, 4), "pads": (2, 3, 2, 3)},
        "stride-3": {"kernel": (3, 3), "strides": (3, 3), "pads": (1, 1, 1, 1)},
        "dilated": {"kernel": (3, 3), "pads": (2, 2, 2, 2), "dilations": (2, 2)},
        "dilated-3": {"kernel": (2, 4), "pads": (1, 4, 0, 5), "dilations": (1, 3)},
        "dilated-stride": {
            "kernel": (3, 3),
            "strides": (2, 2),
            "pads": (2, 2, 2, 2),
            "dilations": (3, 3),
        },
        "pads-uneven": {"kernel": (3, 3), "pads": (0, 2, 1, 0)},
        "pads-past-kernel": {"kernel": (3, 3), "pads": (3, 4, 5, 3)},
        "5x5": {"kernel": (5, 5), "pads": (2, 2, 2, 2)},
        "7x7": {"kernel": (7, 7), "pads": (3, 3, 3, 3)},
        "1x9": {"kernel": (1, 9), "pads": (0, 4, 0, 4)},
        "whole-image": {"kernel": (9, 11)},
    }
    sets = ((1, 2, 4), (8,), (2, 4, 8), (1, 8), (4,), (1,), (2,))
    for i, (name, options) in enumerate(cases.items()):
        for grid in ("unsigned", "midrise"):
            levels = sets[(i + (grid == "midrise")) % len(sets)]
            net = Network(i)
            x = net.argument([1 + i % 2, 9, 9, 11], mixed(9, levels), grid)
            # To codes of each kind of epilogue, with weights turned round, and as sums.
            acc = net.conv(x, 9, depthwise=True, **options)  # type: ignore[arg-type]
            y = net.requantize(acc, mixed(9, sets[(i + 2) % len(sets)]), grid)
            outputs = 18 if i % 3 == 0 else 9
            z = net.conv(x, outputs, depthwise=True, **options)  # type: ignore[arg-type]
            c = net.carrier(z)
            files[f"{name}-{grid}"] = net.text(y, net.requantize(c, mixed(outputs)), z)
    # Words of unequal width whose lanes are as far apart as the rows': a loop runs over whole rows.
    for kernel, pads, width in (
        ((6, 5), (2, 2, 3, 2), 4),
        ((9, 7), (4, 3, 4, 3), 5),
        ((3, 5), (1, 2, 1, 2), 4),
    ):
        for levels in ((4,), (1, 2, 8)):
            net = Network(width)
            x = net.argument([1, 4, 9, width], mixed(4, levels))
            acc = net.conv(x, 4, kernel, pads=pads, depthwise=True)
            files[f"unequal-{kernel[0]}x{kernel[1]}-{levels[0]}"] = net.text(acc)
    net = Network(1)
    x = net.argument([1, 2, 9, 4], [4, 4])
    files["unequal-pool"] = net.text(net.pool(x, (6, 5), (1, 1), (2, 2, 3, 2)))
    # One behind the other: the image between them is never outside.
    net = Network(3)
    x = net.quantized([2, 12, 14, 15], mixed(12))
    for stride, levels in ((1, (1, 2, 8)), (2, (4,)), (1, (1, 2, 4)), (1, (8,))):
        acc = net.conv(x, 12, (3, 3), strides=(stride, stride), pads=(1, 1, 1, 1), depthwise=True)
        x = net.requantize(acc, mixed(12, levels))
    files["chain"] = net.text(net.real(net.conv(x, 5, (1, 1))))
    return files
