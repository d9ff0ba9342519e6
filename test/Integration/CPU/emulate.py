"""Runs what `--target=x86-64-avx512` makes on a CPU with AVX2 only.

`emulate(NETWORK, OPTIONS, BUNDLE, COMPILE)` replaces the AVX-512 code of a bundle: the optimized
LLVM IR of the same program is compiled for AVX2, its AVX-512 intrinsics being calls of the
functions in Inputs/avx512.c. That tests all but the last step, LLVM's choice of instructions.
"""

import functools
import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

TARGET = "x86-64-avx512"
STAND_IN = "x86-64-v3"  # the CPU that code is made for: has AVX2, BMI2 and FMA
NEEDED = ["avx2", "fma", "bmi2"]
INTRINSICS = Path(__file__).parent / "Inputs" / "avx512.c"
HEADER, ENTRY, HASH, ALIGNMENT = 16, 88, 32, 64  # bytes, see Runtime/Bundle.h


def has_avx512() -> bool:
    flags = Path("/proc/cpuinfo").read_text()
    return all(flag in flags for flag in ("avx512_vnni", "avx512vbmi", "avx512_bitalg", "gfni"))


def run(*command: object) -> str:
    """What a command says; `RuntimeError` with that if it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr[-2000:]}")
    return done.stdout


def stand_in(name: str, result: str, operands: list[str]) -> str:
    """LLVM IR of a function that passes vectors by memory, as C functions take them."""
    function = "avx512_" + name.removesuffix(".512").replace(".", "_")
    parameters = ", ".join(f"{type_} %x{i}" for i, type_ in enumerate(operands))
    lines = [
        f"declare void @{function}({', '.join(['ptr'] * (len(operands) + 1))})",
        # Of the callers' CPU, or vectors would be passed in other registers.
        f"define internal {result} @emulated.{name}({parameters}) "
        f'noinline "target-cpu"="{STAND_IN}" {{',
        f"  %r = alloca {result}, align 64",
    ]
    for i, type_ in enumerate(operands):
        lines.append(f"  %p{i} = alloca {type_}, align 64")
        lines.append(f"  store {type_} %x{i}, ptr %p{i}, align 64")
    pointers = ["ptr %r", *(f"ptr %p{i}" for i in range(len(operands)))]
    lines.append(f"  call void @{function}({', '.join(pointers)})")
    lines.append(f"  %v = load {result}, ptr %r, align 64")
    lines.append(f"  ret {result} %v\n}}")
    return "\n".join(lines)


def without_avx512(ir: str) -> str:
    """The same program for `STAND_IN`."""
    functions = []

    def replaced(match: re.Match[str]) -> str:
        result, name, operands = match.groups()
        functions.append(stand_in(name, result, re.findall(r"<[^>]*>|i8", operands)))
        return ""

    # As it is written for a network's own object; a bundle calls it so.
    ir = re.sub(r"(define [^@\n]*@)\w+_run\(", r"\1sysmol_entry(", ir)
    name = r"@llvm\.x86\.(?:avx512\.)?([\w.]+\.512)\("
    declaration = rf"^declare (<[^>]*>) {name}([^)]*)\).*$"
    ir = re.sub(declaration, replaced, ir, flags=re.MULTILINE)
    ir = re.sub(name, r"@emulated.\1(", ir)
    for attribute, value in (
        ("min-legal-vector-width", "0"),
        ("prefer-vector-width", "256"),
        ("target-cpu", STAND_IN),
        ("target-features", ""),
    ):
        ir = re.sub(f'"{attribute}"="[^"]*"', f'"{attribute}"="{value}"', ir)
    return "\n".join([ir, *functions, ""])


@functools.cache
def intrinsics() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "avx512.o"
        run("clang-22", "-std=c11", "-Wall", "-Werror", "-O2", "-fPIC", "-fvisibility=hidden",
            f"-march={STAND_IN}", "-ffreestanding", "-c", INTRINSICS, "-o", out)  # fmt: skip
        return out.read_bytes()


def shared_object(ir: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "code.ll").write_text(without_avx512(ir))
        (place / "avx512.o").write_bytes(intrinsics())
        # No passes: the code that is tested is the code that a CPU with AVX-512 would get.
        run("clang-22", "-O1", "-fPIC", "-Xclang", "-disable-llvm-passes", "-c",
            place / "code.ll", "-o", place / "code.o")  # fmt: skip
        run("ld.lld-22", "-shared", "--gc-sections", "--strip-all", "-z", "noexecstack",
            place / "code.o", place / "avx512.o", "-o", place / "code.so")  # fmt: skip
        return (place / "code.so").read_bytes()


def with_code(bundle: bytes, code: bytes) -> bytes:
    """The bundle with other AVX-512 code, which says that it needs AVX2."""
    count = int.from_bytes(bundle[12:HEADER], "little")
    sections = []
    for i in range(count):
        entry = bundle[HEADER + i * ENTRY :][:ENTRY]
        offset, size = (int.from_bytes(entry[at : at + 8], "little") for at in (40, 48))
        content = bundle[offset : offset + size]
        name = entry[:32].rstrip(b"\0").decode()
        if name == f"code/{TARGET}":
            content = code
        elif name == "metadata":
            metadata = json.loads(content)
            for target in metadata["code"]:
                if target["target"] == TARGET:
                    target["cpu_features"] = NEEDED
            content = json.dumps(metadata, separators=(",", ":"), sort_keys=True).encode()
        sections.append((entry[:40], content))
    head = bundle[:HEADER]
    end = HEADER + count * ENTRY + HASH
    placed = []
    for kind, content in sections:
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        head += kind + offset.to_bytes(8, "little") + len(content).to_bytes(8, "little")
        head += hashlib.sha256(content).digest()
        end = offset + len(content)
        placed.append((offset, content))
    out = bytearray(head + hashlib.sha256(head).digest())
    for offset, content in placed:
        out += bytes(offset - len(out)) + content
    return bytes(out)


def emulate(network: Path, options: list[str], bundle: Path, compile_: str) -> None:
    ir = bundle.with_suffix(".ll")
    run(compile_, network, f"--target={TARGET}", "--emit=llvm", *options, "-o", ir)
    bundle.write_bytes(with_code(bundle.read_bytes(), shared_object(ir.read_text())))
    ir.unlink()
