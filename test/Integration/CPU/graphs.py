"""Random networks: ops on whatever values there are, until a few are made."""

import random

from networks import Bits, Network, Value

LEVELS = [(1, 2, 4), (1, 2), (2, 4, 8), (1,), (2,), (8,), (4,), (1, 4, 8), (1, 2, 8)]


class Graph:
    def __init__(self, seed: int, network: type[Network] = Network) -> None:
        self.random = random.Random(seed)
        self.net = network(seed)
        self.sums: list[Value] = []
        self.carriers: list[Value] = []
        self.reals: list[Value] = []
        shape = [self.random.choice([1, 1, 2]), *(self.random.randint(1, n) for n in (13, 9, 9))]
        if self.random.randrange(3) == 0:
            shape = [self.random.randint(1, 5), self.random.randint(1, 40)]
        make = self.random.choice([self.net.argument, self.net.quantized])
        self.codes = [make(shape, self.bits(shape[1]), self.grid())]

    def bits(self, channels: int) -> Bits:
        levels = self.random.choice(LEVELS)
        return [self.random.choice(levels) for _ in range(channels)]

    def grid(self) -> str:
        return self.random.choice(["unsigned", "unsigned", "midrise"])

    def flip(self) -> bool:
        return self.random.randrange(2) == 0

    def dot(self) -> None:
        x = self.random.choice(self.codes)
        if len(x.shape) == 2:
            # Many outputs: they are the lanes then.
            outputs = self.random.choice([(1, 12), (1, 12), (48, 140)])
            self.sums.append(self.net.matmul(x, self.random.randint(*outputs)))
            return
        _, channels, height, width = x.shape
        choice = self.random.choice
        kernel = (self.random.randint(1, min(height, 4)), self.random.randint(1, min(width, 4)))
        strides = choice([(1, 1), (1, 1), (2, 2), (3, 1), (1, 2)])
        pads = (choice([0, 0, 1]), choice([0, 1, 2]), choice([0, 0, 1]), choice([0, 1, 2]))
        dilations = choice([(1, 1), (1, 1), (2, 1), (2, 2)])
        spans = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        if spans[0] >= height + pads[0] + pads[2] or spans[1] >= width + pads[1] + pads[3]:
            dilations = (1, 1)
        groups = choice([g for g in range(1, channels + 1) if channels % g == 0] + [1] * 4)
        outputs = groups * self.random.randint(1, max(1, 12 // groups))
        self.sums.append(self.net.conv(x, outputs, kernel, strides, pads, dilations, groups))

    def layer(self) -> None:
        """A dot product that one op reads, which is fused into it."""
        self.dot()
        x = self.sums.pop()
        kind = self.random.randrange(4)
        if kind == 0:
            self.carriers.append(self.net.carrier(x, offset=self.flip(), relu=self.flip()))
        elif kind == 1:
            self.reals.append(self.net.real(x))
        else:
            self.codes.append(self.net.requantize(x, self.bits(x.shape[1]), self.grid()))

    def pool(self) -> None:
        for x in self.codes:
            if len(x.shape) == 4 and x.grid == "unsigned" and len(set(x.bits)) == 1:
                kernel = (min(x.shape[2], 2), min(x.shape[3], 3))
                self.sums.append(self.net.pool(x, kernel, self.random.choice([(1, 1), (2, 1)])))
                return

    def max_pool(self) -> None:
        images = [x for x in self.codes if len(x.shape) == 4]
        if images:
            x = self.random.choice(images)
            kernel = [self.random.randint(1, min(size, 4)) for size in x.shape[2:]]
            pads = [self.random.randint(0, k - 1) for k in kernel * 2]
            strides = self.random.choice([(1, 1), (2, 2), (3, 1), (1, 2)])
            self.codes.append(
                self.net.max_pool(x, (kernel[0], kernel[1]), strides, tuple(pads))  # type: ignore[arg-type]
            )

    def requantize(self) -> None:
        if self.sums or self.carriers:
            x = self.random.choice(self.sums + self.carriers)
            self.codes.append(self.net.requantize(x, self.bits(x.shape[1]), self.grid()))

    def carrier(self) -> None:
        if self.sums:
            x = self.random.choice(self.sums)
            self.carriers.append(self.net.carrier(x, offset=self.flip(), relu=self.flip()))

    def add(self) -> None:
        if self.carriers:
            x = self.random.choice(self.carriers)
            y = self.random.choice([c for c in self.carriers if c.shape == x.shape])
            self.carriers.append(self.net.add(x, y, relu=self.flip()))

    def real(self) -> None:
        if self.sums or self.carriers:
            self.reals.append(self.net.real(self.random.choice(self.sums + self.carriers)))

    def dequantize(self) -> None:
        self.reals.append(self.net.dequantize(self.random.choice(self.codes)))

    def flatten(self) -> None:
        x = self.random.choice(self.codes)
        if len(x.shape) == 4 and x.shape[1] * x.shape[2] * x.shape[3] < 200:
            if "scale = 1.0" in x.type:
                self.codes.append(self.net.flatten(x))

    def permute(self) -> None:
        x = self.random.choice(self.codes)
        order = self.random.sample(range(x.shape[1]), x.shape[1])
        bits = [x.bits[i] for i in order]
        type_ = self.net.codes_type(x.shape, bits, x.grid)
        op = f"hetprec.permute {x.name} axis = 1 permutation = {order} : {x.type} to {type_}"
        self.codes.append(self.net.emit(op, type_, x.shape, bits=bits, grid=x.grid))

    def permute_carrier(self) -> None:
        if self.carriers:
            x = self.random.choice(self.carriers)
            order = self.random.sample(range(x.shape[1]), x.shape[1])
            op = f"hetprec.permute {x.name} axis = 1 permutation = {order} : {x.type} to {x.type}"
            self.carriers.append(self.net.emit(op, x.type, x.shape))

    def text(self) -> str:
        ops = [self.dot, self.dot, self.requantize, self.requantize, self.pool, self.carrier]
        ops += [self.add, self.real, self.dequantize, self.flatten, self.permute]
        ops += [self.permute_carrier, self.max_pool, self.layer, self.layer, self.layer]
        self.dot()
        for _ in range(self.random.randint(2, 8)):
            self.random.choice(ops)()
        values = self.codes + self.sums + self.carriers + self.reals
        body = "\n".join(self.net.lines)
        # What nothing reads is a result, and anything else may be one, too.
        results = [v for v in values if body.count(v.name + " ") + body.count(v.name + ",") < 2]
        return self.net.text(*results, self.random.choice(values))


def graphs(count: int = 40) -> dict[str, str]:
    return {f"graph-{seed}": Graph(seed).text() for seed in range(count)}
