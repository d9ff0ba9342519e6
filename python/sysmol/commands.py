"""What the commands of ``sysmol`` do; each imports what it needs when it runs."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sysmol import results
from sysmol.errors import InternalError, SysmolError, UsageError
from sysmol.files import write_json

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "bench",
    "compile_",
    "demo",
    "explain_",
    "export_",
    "inspect_",
    "run",
    "tune_",
    "verify",
]


def demo(options: Any) -> int:
    """``sysmol demo``."""
    from sysmol import demo, zoo
    from sysmol.tables import console

    if (options.network is None) != (options.twin is None):
        raise UsageError("give --network and --twin together")
    settings = demo.Settings(
        options.network or zoo.NETWORK,
        options.twin or zoo.FLOAT,
        options.output,
        options.images,
        options.runs,
        options.threads,
    )
    demo.run(settings, options.json, console())
    return 0


def _built(name: str, weights: Path | None) -> nn.Module:
    """The model that ``MODULE:FUNCTION`` makes, with the weights of a file."""
    import torch
    from torch import nn

    module_name, separator, function_name = name.partition(":")
    if not separator:
        raise UsageError(f"'{name}' is not MODULE:FUNCTION, for example mynet:build")
    sys.path.insert(0, str(Path.cwd()))
    try:
        model = getattr(importlib.import_module(module_name), function_name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise SysmolError(f"cannot call {name}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(model, nn.Module):
        raise SysmolError(f"{name} gives no torch.nn.Module but {type(model).__name__}")
    if weights is not None:
        try:
            state = torch.load(weights, weights_only=True)
            model.load_state_dict(state.get("model", state))
        except Exception as error:  # unpickling a damaged file raises almost anything
            raise SysmolError(f"{weights}: cannot load these weights: {error}") from error
    return model


def export_(options: Any) -> int:
    """``sysmol export``."""
    from sysmol.export import export

    export(_built(options.model, options.weights), options.output, options.shape)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")
    return 0


def compile_(options: Any) -> int:
    """``sysmol compile``."""
    from sysmol.compile import EMIT, GPU_EMIT, compile

    is_gpu = any(target.startswith("sm_") for target in options.target)
    if is_gpu and options.explain:
        raise UsageError("--explain is for CPUs; for a GPU: sysmol bench --gpu --predict")
    endings = GPU_EMIT if is_gpu else EMIT
    output = options.output or Path(options.model.with_suffix(endings[options.emit]).name)
    if output.resolve() == options.model.resolve():
        raise UsageError(f"the output would replace the input {options.model}; give -o FILE")
    report = compile(
        options.model,
        output,
        targets=options.target,
        emit=options.emit,
        phase=options.phase,
        name=options.name,
        batch=options.batch,
        golden_pairs=options.golden_pairs,
        seed=options.seed,
        profile=options.profile,
        forbid_fallback=options.forbid_fallback,
    )
    print(f"{output}: {output.stat().st_size:,} bytes in {report.seconds:.2f} s")
    if report.weight_bytes:
        against = ""
        if report.compression >= 1:
            against = f", {report.compression:.1f} times smaller than float32"
        elif report.float_bytes:  # padding outweighs the weights of a very small network
            against = f", {1 / report.compression:.1f} times larger than float32"
        print(
            f"weights with scales and tables: {report.weight_bytes:,} bytes{against}; "
            f"scratch memory: {report.arena_bytes:,} bytes"
        )
    if options.verbose:
        from sysmol.tables import console, phase_table

        console().print(phase_table(report.phases))
    if options.explain:
        from sysmol.explain import explain
        from sysmol.runtime import inspect
        from sysmol.tables import console, explain_table

        if options.emit != "bundle":
            raise UsageError("--explain reads the bundle; use it with --emit bundle")
        console().print(explain_table(explain(inspect(output))))
    return 0


def explain_(options: Any) -> int:
    """``sysmol explain``."""
    from sysmol.explain import as_json, check, explain
    from sysmol.runtime import inspect, load
    from sysmol.tables import console, explain_table

    if options.forbid_fallback and options.threads > 1:
        raise UsageError("--forbid-fallback compares with one thread's times: leave --threads out")
    bundle = inspect(options.bundle)
    measurable = any("profile" in code for code in bundle.metadata["code"])
    if measurable or options.target:
        model = load(options.bundle, options.target, options.threads, pinned=options.threads > 1)
        found = explain(model, options.runs)
    else:
        if options.threads > 1:
            raise UsageError("--threads is of measured layers: compile the bundle with --profile")
        found = explain(bundle, options.runs)
    if options.json:
        print(json.dumps(as_json(found), indent=1))
    else:
        console().print(explain_table(found))
        if found.total is None:
            print("nothing was measured: compile with --profile to see where the time goes")
    if options.forbid_fallback:
        check(found, options.factor)
    return 0


def tune_(options: Any) -> int:
    """``sysmol tune``."""
    from sysmol.costs import cost_table, tune
    from sysmol.measure import pinned
    from sysmol.suites.ours import best_target

    names = options.target or [best_target()]
    for name in names:
        if options.show:
            table = cost_table(name)
        else:
            with pinned():
                table = tune(name)
        if options.json:
            print(json.dumps(dict(table.raw), indent=1))
            continue
        rates = ", ".join(f"{p} bit {rate:.0f}" for p, rate in table.macs_per_cycle.items())
        streams = ", ".join(
            f"{rate:.1f} of {size / 2**20:g} MiB" for size, rate in table.bytes_per_cycle.items()
        )
        print(
            f"{name} ({table.source}, {table.cycles_per_second / 1e9:.2f} GHz)\n"
            f"  MAC per cycle: {rates}\n  bytes per cycle: {streams}"
        )
    return 0


def run(options: Any) -> int:
    """``sysmol run``."""
    from sysmol import arrays
    from sysmol.runtime import load

    model = load(options.bundle, options.target, options.threads)
    if len(options.inputs) != len(model.inputs):
        wanted = "; ".join(map(str, model.inputs))
        raise UsageError(f"{len(options.inputs)} input files given; the model takes {wanted}")
    if options.output and len(options.output) != len(model.outputs):
        wanted = "; ".join(map(str, model.outputs))
        raise UsageError(f"{len(options.output)} output files given; the model gives {wanted}")
    inputs = [
        arrays.read(path, info) for path, info in zip(options.inputs, model.inputs, strict=True)
    ]
    # Threads share the images, or the work of a single one.
    single = all(
        array.shape == info.shape for array, info in zip(inputs, model.inputs, strict=True)
    )
    found = model.run(*inputs) if single else model.run_batch(*inputs, threads=options.threads)
    outputs = found if isinstance(found, tuple) else (found,)
    if options.output:
        arrays.write(options.output, outputs)
    print(f"{model.name} ({model.target})")
    for info, output in zip(model.outputs, outputs, strict=True):
        for index, row in enumerate(output[: options.show]):
            flat = row.reshape(-1)
            values = " ".join(f"{value:.6g}" for value in flat[:16])
            more = " ..." if flat.size > 16 else ""
            best = f", largest at {int(flat.argmax())}" if flat.size > 1 else ""
            print(f"  {info.name}[{index}]: {values}{more}{best}")
        if len(output) > options.show:
            print(f"  ... {len(output) - options.show:,} more (--show N, or all with -o FILE)")
    return 0


def bench(options: Any) -> int:
    """``sysmol bench``."""
    if options.chart is not None:
        return _chart(options)
    if options.gpu:
        return _bench_gpu(options)
    if options.predict is not None:
        raise UsageError("--predict is for --gpu")
    from sysmol import bench
    from sysmol.tables import bench_table, console

    if len(options.bundle) != len(options.twin):
        raise UsageError("give one --twin for each bundle, in the same order")
    if options.bundle:
        if options.suite not in (None, "networks"):
            raise UsageError("bundles are measured by themselves; leave --suite out")
        pairs = list(zip(options.bundle, options.twin, strict=True))
        result = bench.networks(pairs, options.runs)
    else:
        suite = options.suite or "networks"
        result = bench.run_suites(
            bench.SUITES if suite == "all" else (suite,),
            threads=options.threads,
            peers=options.peers,
            filter=options.filter,
            scale=options.scale,
            note=lambda text: print(f"measuring {text}", file=sys.stderr, flush=True),
        )
        if not result["rows"]:
            raise UsageError(f"no case of the suite fits --filter '{options.filter}'")
    console().print(bench_table(result, options.all_rows))
    for case, reason in {
        row["case"]: row["explanation"] for row in result["rows"] if "explanation" in row
    }.items():
        print(f"{case}: {reason}")
    for peer, reason in result.get("missing", {}).items():
        print(f"not measured: {peer}: {reason}")
    if options.json is not None:
        write_json(options.json, result)
        print(f"written: {options.json}")
    return 0


def _chart(options: Any) -> int:
    from sysmol.chart import draw

    if not options.output:
        raise UsageError("give -o FILE for the chart: .png, .svg or .pdf")
    draw(results.read(options.chart), options.output)
    print("written: " + ", ".join(map(str, options.output)))
    return 0


def _bench_gpu(options: Any) -> int:
    """``sysmol bench --gpu``: fails where a kernel's result is wrong or it could not run."""
    from sysmol.gpu.bench import bench, table

    if options.bundle or options.twin:
        raise UsageError("--gpu takes launch descriptions; bundles are measured without it")
    if options.predict is not None:
        from sysmol.gpu import predict

        result = predict.rows(options.gpu, options.predict)
        print(predict.table(result))
        if options.json is not None:
            write_json(options.json, result)
            print(f"written: {options.json}")
        return 0
    result = bench(options.gpu, options.seconds)
    print(table(result))
    if options.json is not None:
        write_json(options.json, result)
        print(f"written: {options.json}")
    wrong = [row for row in result["rows"] if row.get("check") != "exact"]
    if wrong:
        raise InternalError(f"{len(wrong)} of {len(result['rows'])} kernels failed")
    return 0


def inspect_(options: Any) -> int:
    """``sysmol inspect``."""
    if all(path.is_dir() for path in options.file):
        return _inspect_runs(options)
    if len(options.file) > 1:
        for path in options.file:
            if not path.exists():
                raise SysmolError(f"{path}: there is no such folder")
        raise UsageError("give one file, or folders that 'sysmol train' wrote")
    if options.bench:
        raise UsageError("--bench is for folders of runs")
    [path] = options.file
    if path.suffix == ".onnx":
        return _inspect_onnx(path, options)
    if options.picture:
        raise UsageError(
            "--picture draws .onnx files, which know the bits of every channel, and runs' folders"
        )
    from sysmol import tables
    from sysmol.runtime import inspect

    bundle = inspect(path)
    if options.json:
        print(json.dumps(bundle.metadata, indent=1))
    else:
        console = tables.console()
        for table in tables.bundle_tables(bundle, tables.is_narrow(console)):
            console.print(table)
    return 0


def _inspect_onnx(path: Path, options: Any) -> int:
    """``sysmol inspect`` of an ONNX file: bits of every channel."""
    from sysmol import picture, tables

    layers = picture.layer_bits(path)
    if options.json:
        print(json.dumps({layer.name: layer.bits.tolist() for layer in layers}))
    else:
        tables.console().print(tables.bits_table(layers))
        print(f"mean bits per weight: {picture.mean_bits(layers):.3f}")
    if options.picture:
        picture.draw(layers, options.picture, f"Bits per input channel: {path.stem}")
    return 0


def _inspect_runs(options: Any) -> int:
    """``sysmol inspect`` of training runs: what they reached, and how precisions moved."""
    from sysmol import curves

    logs = curves.read_all(options.file, options.bench, options.picture)
    if options.json:
        print(json.dumps([dataclasses.asdict(log) for log in logs], indent=1))
    else:
        print(curves.table(logs), end="")
    return 0


def verify(options: Any) -> int:
    """``sysmol verify``."""
    if options.against == "simulation":
        from sysmol import check

        return check.run(options, options.bundle)
    if options.bundle is None:
        raise UsageError("give a bundle, or --against simulation for the network of the zoo")
    if options.bundle.suffix == ".json":
        return _verify_gpu(options)
    if options.emulate:
        raise UsageError("--emulate is for networks of GPUs, which are .json files")
    from sysmol.runtime import load

    for target in options.target or [None]:
        model = load(options.bundle, target)
        pairs = model.verify()
        print(f"{model.name} ({model.target}): {pairs} test vectors, every byte equal")
    return 0


def _verify_gpu(options: Any) -> int:
    """``sysmol verify`` of a network for a GPU."""
    from sysmol.gpu import Network
    from sysmol.gpu.network import read, verify_emulated

    if options.target or options.threads or options.reference_images:
        raise UsageError(
            "--target, --threads and --reference-images are for CPUs, not for a network for a GPU"
        )
    description = read(options.bundle)
    if options.emulate:
        pairs, where = verify_emulated(options.bundle), "emulated"
    else:
        network = Network(options.bundle)
        pairs, where = network.verify(), network.device.name
    print(
        f"{description.name} ({description.arch}, {where}): {pairs} test vectors, every bit equal"
    )
    return 0
