"""Blocks of one shape, one behind the other: their code is shared."""

from networks import Network, mixed


def repeated() -> dict[str, str]:
    files = {}
    for shape in ([1, 24, 9, 8], [2, 13, 14, 14], [1, 40, 7, 7], [3, 6, 5, 5]):
        channels = shape[1]
        for count in (2, 4):
            net = Network(count)
            # The same channels have the same bits in every block, as in trained networks
            # where residual sums tie them; weights and thresholds are others.
            bits = mixed(channels, seed=channels)
            trunk = net.carrier(net.conv(net.quantized(shape, [8] * channels), channels, (1, 1)))
            for _ in range(count):
                a = net.requantize(trunk, bits)
                b = net.requantize(net.conv(a, channels, (3, 3), pads=(1, 1, 1, 1)), bits)
                trunk = net.add(
                    net.carrier(net.conv(b, channels, (3, 3), pads=(1, 1, 1, 1))), trunk
                )
            tag = "x".join(map(str, shape))
            files[f"{count}-blocks-{tag}"] = net.text(net.requantize(trunk, [8] * channels), trunk)
    return files
