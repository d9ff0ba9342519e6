"""3x3 windows over 4-bit channels, computed by tiles of 2x2 pixels."""

from networks import Network


def tiles() -> dict[str, str]:
    """Odd and even images, batches, paddings, channels that fill no word, and all that follows."""
    pad = (1, 1, 1, 1)
    cases = [
        # channels, outputs, [images, height, width], pads, grid, levels behind
        (16, 16, (1, 8, 8), pad, "unsigned", (4,)),
        (51, 40, (1, 9, 11), pad, "unsigned", (1, 2, 4)),
        (86, 45, (2, 9, 5), pad, "unsigned", (2, 8)),
        (64, 40, (3, 7, 7), pad, "unsigned", (4,)),
        (61, 30, (1, 13, 10), pad, "midrise", (1, 4)),
        (24, 16, (1, 6, 37), (0, 0, 0, 0), "unsigned", (4, 8)),
        (95, 31, (1, 12, 12), (2, 0, 1, 2), "midrise", (4,)),
        (36, 64, (2, 14, 14), pad, "unsigned", (4,)),
        (68, 33, (1, 5, 66), (0, 1, 2, 1), "unsigned", (1,)),
        (130, 72, (1, 28, 28), pad, "midrise", (2, 4)),
        (64, 24, (1, 3, 300), pad, "unsigned", (4,)),
        # All lanes are pixels, and the last tile writes one pixel more.
        (32, 16, (1, 58, 25), (4, 4, 4, 4), "unsigned", (4,)),
        # Chunks of rows of several images, which threads may have apart.
        (36, 40, (4, 14, 14), pad, "unsigned", (1, 4)),
        # One tile of outputs, two chunks.
        (64, 8, (1, 28, 28), pad, "unsigned", (4,)),
        # One word.
        (3, 16, (1, 28, 28), pad, "unsigned", (2,)),
        (64, 40, (1, 28, 29), (2, 2, 2, 2), "unsigned", (4,)),
    ]
    files = {}
    for i, (channels, outputs, (n, h, w), pads, grid, levels) in enumerate(cases):
        net = Network(i)
        x = net.argument([n, channels, h, w], [4] * channels, grid)
        bits = sorted(levels[j % len(levels)] for j in range(outputs))
        y = net.requantize(net.conv(x, outputs, (3, 3), pads=pads), bits, grid)
        # The same input under other weights: carrier, residual sum and reals.
        c = net.carrier(net.conv(x, outputs, (3, 3), pads=pads))
        c = net.add(c, net.carrier(net.conv(y, outputs, (1, 1))))
        z = net.real(net.conv(x, outputs, (3, 3), pads=pads))
        files[f"tiles-{i}"] = net.text(net.requantize(c, bits, grid), z)
    # Largest sums: all codes and weights at their ends.
    net = Network(0)
    x = net.argument([1, 512, 10, 10], [4] * 512)
    for name, code in (("lowest", 0), ("highest", 15)):
        type_ = net.codes_type([32, 512, 3, 3], [4] * 512, "midrise", "0.5")
        filter_ = net.constant(bytes([code]) * 32 * 512 * 9, type_, [32, 512, 3, 3])
        to = net.plain_type([1, 32, 10, 10], "i32")
        acc = net.emit(
            f"hetprec.conv_2d {x.name}, {filter_.name} strides = [1, 1] pads = [1, 1, 1, 1] "
            f"dilations = [1, 1] groups = 1 : {x.type}, {filter_.type} -> {to}",
            to,
            [1, 32, 10, 10],
            spread=1000.0,
        )
        files[name] = net.text(net.real(acc))
    return files
