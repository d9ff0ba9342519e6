"""Few rows and many outputs: dot products whose lanes are outputs, and what stands around them."""

from networks import Network, largest_input, mixed

LEVELS = [
    (1,),
    (2,),
    (4,),
    (8,),
    (1, 2),
    (1, 4),
    (1, 8),
    (2, 4),
    (2, 8),
    (4, 8),
    (1, 2, 4),
    (1, 2, 8),
    (1, 4, 8),
    (2, 4, 8),
]


def level_sets() -> dict[str, str]:
    """Every set of levels in, and out, on both grids; negative multipliers."""
    files = {}
    for i, inner in enumerate(LEVELS):
        for grid in ("unsigned", "midrise"):
            for out in ("unsigned", "midrise"):
                net = Network(i)
                rows = 1 + i % 3
                x = net.argument([rows, 53], mixed(53, inner), grid)
                outputs = LEVELS[(3 * i + 1) % len(LEVELS)]
                y = net.requantize(net.matmul(x, 64), mixed(64, outputs, 2), out, turned=0.5)
                z = net.requantize(net.matmul(y, 70), mixed(70, inner, 3), grid)
                tag = "".join(map(str, inner)), "".join(map(str, outputs))
                files[f"levels-{grid}-{tag[0]}-to-{out}-{tag[1]}"] = net.text(z, y)
    return files


def shapes() -> dict[str, str]:
    """Sizes around words, units of words, blocks and tiles; 1 to 9 rows, and more."""
    files = {}
    sizes = [
        (1, 1, 64),
        (1, 7, 63),
        (2, 65, 65),
        (3, 24, 1000),
        (4, 25, 256),
        (5, 12, 257),
        (6, 36, 128),
        (7, 37, 130),
        (8, 130, 191),
        (9, 96, 300),
        (17, 31, 100),
        (1, 300, 513),
        (2, 4, 960),
    ]
    for i, (m, k, n) in enumerate(sizes):
        for grid in ("unsigned", "midrise"):
            net = Network(i)
            x = net.argument([m, k], mixed(k), grid)
            acc = net.matmul(x, n)
            files[f"shape-{grid}-{m}x{k}x{n}"] = net.text(
                acc, net.real(acc), net.requantize(net.matmul(x, n), mixed(n), grid)
            )
    # One level and every remainder of its words and units.
    for level, most in ((1, 17), (2, 13), (4, 9), (8, 5)):
        for k in range(1, most):
            net = Network(k)
            x = net.argument([1 + k % 2, k], [level] * k, "unsigned" if k % 3 else "midrise")
            files[f"remainder-{level}-{k}"] = net.text(net.real(net.matmul(x, 50)))
    return files


def largest() -> dict[str, str]:
    """Every partial sum as large as the weights let it be: what a byte holds is counted by them."""
    files = {}
    cases: list[tuple[int, tuple[int, ...], int]] = [
        *((1, (1,), k) for k in (248, 249, 65600)),
        *((2, (3,), k) for k in (24, 36, 7281, 14600)),
        *((1, (0, 1), k) for k in (600, 1000)),
        *((2, codes, k) for codes in ((0,), (0, 3), (0, 1, 2, 3), (1, 2)) for k in (400, 1001)),
    ]
    for level, codes, k in cases:
        net = Network(k)
        row = [net.random.choice(codes) for _ in range(k)]
        full = net.codes(largest_input(row, level), [1, k], level)
        weights = net.codes(row * 44, [44, k], level, "midrise")
        type_ = net.plain_type([1, 44], "i32")
        acc = net.emit(
            f"hetprec.matmul {full.name}, {weights.name} : {full.type}, {weights.type} -> {type_}",
            type_,
            [1, 44],
        )
        name = f"largest-{level}-{''.join(map(str, codes))}-{k}"
        files[name] = net.text(acc, net.argument([1, 1], [1]))
    return files


def neighbours() -> dict[str, str]:
    """Convolutions before and behind, residual sums, several readers, values returned twice."""
    files = {}
    for rows in (1, 3):
        net = Network(rows)
        x = net.quantized([rows, 5, 6, 6], [8] * 5)
        a = net.requantize(net.conv(x, 40, (3, 3)), mixed(40))
        b = net.requantize(net.conv(a, 48, (4, 4)), mixed(48, (1, 2, 8)))
        c = net.requantize(net.conv(b, 100, (1, 1)), mixed(100, (2, 4)), "midrise")  # one pixel
        d = net.requantize(net.conv(c, 90, (1, 1)), [1] * 90)
        files[f"convolutions-{rows}"] = net.text(
            net.real(net.matmul(net.flatten(d), 10)), net.real(net.conv(d, 77, (1, 1))), c
        )

        net = Network(rows)
        x = net.argument([rows, 60], mixed(60))
        trunk = net.carrier(net.matmul(x, 130))
        for step in range(3):
            y = net.requantize(trunk, mixed(130, seed=step))
            z = net.requantize(net.matmul(y, 80), mixed(80, seed=step))
            trunk = net.add(net.carrier(net.matmul(z, 130)), trunk)
        files[f"residual-{rows}"] = net.text(
            trunk, net.requantize(trunk, mixed(130, (1, 8))), net.real(trunk)
        )

        # Both sides of a sum, one by lanes of pixels; saturated.
        net = Network(rows)
        x = net.argument([rows, 9, 2, 2], mixed(9))
        left = net.carrier(net.conv(x, 70, (2, 2)), spread=40000.0)
        row = net.requantize(net.conv(x, 50, (2, 2)), mixed(50))
        right = net.carrier(net.conv(row, 70, (1, 1)), spread=40000.0)
        both = net.add(left, right)
        files[f"both-{rows}"] = net.text(both, net.add(both, left), right)

        net = Network(rows)
        x = net.quantized([rows, 30], mixed(30))
        acc = net.matmul(x, 64)
        y = net.requantize(acc, mixed(64))
        files[f"readers-{rows}"] = net.text(
            y, y, acc, acc, x, net.dequantize(y), net.dequantize(x), net.carrier(acc), net.real(acc)
        )

        net = Network(rows)
        x = net.argument([rows, 33, 1, 1], mixed(33))
        y = net.requantize(net.conv(x, 64, (1, 1)), mixed(64, seed=1))
        z = net.requantize(net.matmul(net.flatten(y), 64), mixed(64, (1, 8)), "midrise")
        files[f"one-pixel-{rows}"] = net.text(y, z, net.dequantize(y))
    return files


def gemv() -> dict[str, str]:
    return level_sets() | shapes() | largest() | neighbours()
