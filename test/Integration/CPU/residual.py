"""Residual sums of carriers."""

from functools import partial

from networks import Network, Value, mixed


def product(net: Network, x: Value, outputs: int) -> Value:
    """A dot product over rows, or over an image's 3x3 windows."""
    if len(x.shape) == 2:
        return net.matmul(x, outputs)
    return net.conv(x, outputs, (3, 3), pads=(1, 1, 1, 1))


def residual() -> dict[str, str]:
    files = {}
    for batch in (1, 2):
        net = Network(batch)
        x = net.quantized([batch, 3, 10, 9], [8] * 3)
        trunk = net.carrier(net.conv(x, 11, (3, 3), pads=(1, 1, 1, 1)))
        a = net.requantize(trunk, mixed(11, seed=1))
        b = net.requantize(net.conv(a, 9, (3, 3), pads=(1, 1, 1, 1)), mixed(9, seed=2))
        trunk = net.add(net.carrier(net.conv(b, 11, (3, 3), pads=(1, 1, 1, 1))), trunk)
        # One input, two readers with different strides; the shortcut is a convolution.
        c = net.requantize(trunk, mixed(11, seed=3))
        d = net.requantize(
            net.conv(c, 14, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), mixed(14, seed=4)
        )
        shortcut = net.carrier(net.conv(c, 14, (1, 1), strides=(2, 2)))
        trunk = net.add(shortcut, net.carrier(net.conv(d, 14, (3, 3), pads=(1, 1, 1, 1))))
        e = net.requantize(trunk, [4] * 14)
        mean = net.requantize(net.pool(e, (5, 5)), [8] * 14, turned=0)
        files[f"blocks-batch-{batch}"] = net.text(net.real(net.matmul(net.flatten(mean), 10)))

    net = Network(3)
    x = net.argument([1, 8, 6, 6], mixed(8))
    left, right = (net.carrier(net.conv(x, 6, (1, 1))) for _ in range(2))
    both = net.add(left, right)
    twice = net.add(both, both)
    files["twice"] = net.text(
        net.requantize(twice, mixed(6)), net.requantize(left, mixed(6, (1, 8)))
    )

    # What is added onto is read again later: it is copied, in tiles.
    for shape, count in (([1, 1, 4, 4], 2), ([1, 5, 12, 12], 3), ([2, 7], 130), ([9, 7], 300)):
        net = Network(count)
        x = net.argument(shape, mixed(shape[1]))

        dot = partial(product, net, x, count)

        first = net.carrier(dot())
        total = net.add(net.carrier(dot()), first)
        files[f"again-{'x'.join(map(str, shape))}"] = net.text(
            first, total, net.requantize(first, mixed(count))
        )

    # The sum saturates at both ends (HP17), and so does each part: within the range of 32 bits,
    # and far outside.
    for spread in (4e4, 4e10):
        net = Network(4)
        x = net.argument([1, 8, 6, 6], mixed(8))
        left, right, more = (net.carrier(net.conv(x, 6, (1, 1)), spread=spread) for _ in range(3))
        total = net.add(net.add(left, right), more)
        files[f"saturated-{spread:.0e}"] = net.text(
            net.requantize(total, [8] * 6, "midrise"), total, left
        )

    # One activation, three readers: strides 1 and 2, and a depthwise one that
    # keeps the order of the channels.
    net = Network(5)
    x = net.quantized([1, 4, 9, 8], [4] * 4)
    a = net.requantize(net.conv(x, 12, (3, 3), pads=(1, 1, 1, 1)), mixed(12))
    b = net.requantize(net.conv(a, 5, (3, 3), pads=(1, 1, 1, 1)), mixed(5))
    c = net.requantize(net.conv(a, 5, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), mixed(5, seed=1))
    d = net.requantize(net.conv(a, 12, (3, 3), pads=(1, 1, 1, 1), depthwise=True), mixed(12))
    e = net.requantize(net.conv(a, 4, (2, 2), strides=(2, 2)), mixed(4))
    files["shared"] = net.text(b, c, d, e, a)

    # Offsets, and ReLUs behind: fused into dot products, into sums, and read by others, too.
    for shape, count in (([1, 6, 7, 9], 20), ([2, 9, 5, 5], 70), ([3, 7], 9), ([1, 7], 130)):
        for spread in (9e3, 4e10):
            net = Network(count)
            x = net.argument(shape, mixed(shape[1]))

            dot = partial(product, net, x, count)

            first = net.carrier(dot(), spread, offset=True, relu=True)
            second = net.add(net.carrier(dot(), spread, offset=True), first, relu=True)
            third = net.add(net.carrier(dot(), spread), second)
            # A part with a ReLU of its own is not fused into the sum.
            fourth = net.add(net.carrier(dot(), spread, relu=True), third, relu=True)
            shared = dot()
            fifth = net.add(net.carrier(shared, spread, offset=True, relu=True), fourth, relu=True)
            tag = "x".join(map(str, shape))
            files[f"offset-{tag}-{spread:.0e}"] = net.text(
                net.requantize(second, mixed(count)),
                net.requantize(fifth, mixed(count, (2, 8)), "midrise"),
                net.carrier(shared, spread, relu=True),
                net.real(shared),
                third,
                net.add(first, third, relu=True),
            )

    # Blocks whose ReLU is behind the sum, a max pool in front.
    net = Network(6)
    x = net.quantized([1, 3, 17, 16], [8] * 3)
    stem = net.requantize(net.conv(x, 12, (5, 5), (2, 2), (2, 2, 2, 2)), [8] * 12)
    pooled = net.max_pool(stem, (3, 3), (2, 2), (1, 1, 1, 1))
    trunk = net.carrier(net.pool(pooled, (1, 1)))
    for i, (outputs, strides) in enumerate([(12, (1, 1)), (20, (2, 2))]):
        a = net.requantize(trunk, mixed(trunk.shape[1], seed=i))
        pad = (1, 1, 1, 1)
        b = net.requantize(net.conv(a, outputs, (3, 3), strides, pad), mixed(outputs, seed=2))
        if strides != (1, 1):
            trunk = net.carrier(net.conv(a, outputs, (1, 1), strides), offset=True)
        trunk = net.add(
            net.carrier(net.conv(b, outputs, (3, 3), pads=pad), offset=True), trunk, relu=True
        )
    files["relu-behind"] = net.text(net.requantize(trunk, [8] * 20), trunk)
    return files
