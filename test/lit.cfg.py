"""Configuration of the Sysmol test suite (lit)."""

# ruff: noqa: F821 (lit defines config)

import os
import platform
import subprocess

import lit.formats
from lit.llvm import llvm_config
from lit.llvm.subst import ToolSubst

config.name = "SYSMOL"
config.test_format = lit.formats.ShTest()
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "CMakeLists.txt", "benchmark", "python"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.sysmol_obj_root, "test")

config.substitutions.append(("%shlibext", config.llvm_shlib_ext))
config.substitutions.append(("%sysmol_src", config.sysmol_src_root))
config.substitutions.append(("%sysmol_libs", config.sysmol_libs_dir))

llvm_config.with_system_environment(["HOME", "TMP", "TEMP"])
llvm_config.with_environment("PATH", config.llvm_tools_dir, append_path=True)
llvm_config.with_environment("PYTHONPATH", os.path.join(config.sysmol_src_root, "python"))
llvm_config.use_default_substitutions()
# Before the default one, which is the Python that runs lit.
config.substitutions.insert(0, ("%python", f'"{config.python_executable}"'))
llvm_config.add_tool_substitutions(
    [
        ToolSubst("sysmol-opt"),
        ToolSubst("sysmol-translate", unresolved="ignore"),
        ToolSubst("sysmol-compile", unresolved="ignore"),
        ToolSubst("sysmol-run", unresolved="ignore"),
        ToolSubst("sysmol-lsp-server", unresolved="ignore"),
        ToolSubst("sysmol-gpu-emulate", unresolved="ignore"),
        ToolSubst("mlir-opt", unresolved="ignore"),
    ],
    [config.sysmol_tools_dir, config.llvm_tools_dir],
)

# Features: what a test may ask for with REQUIRES.
for tool in [
    "sysmol-translate",
    "sysmol-compile",
    "sysmol-run",
    "sysmol-lsp-server",
    "sysmol-gpu-emulate",
]:
    if os.path.exists(os.path.join(config.sysmol_tools_dir, tool)):
        config.available_features.add(tool)
for module in ["onnx", "numpy", "torch"]:
    # onnx is imported for good: without protobuf it is there but useless.
    probe = (
        f"import {module}"
        if module == "onnx"
        else f"import sys, importlib.util as u; sys.exit(not u.find_spec('{module}'))"
    )
    if not subprocess.run(
        [config.python_executable, "-c", probe], capture_output=True, check=False
    ).returncode:
        config.available_features.add(module)
# NVIDIA's assembler: that of the pinned nvidia-cuda-nvcc (registers and spills differ by
# version), else CUDA's; without it its tests say UNSUPPORTED.
probe = (
    "import glob, shutil, sysconfig; "
    "print((glob.glob(sysconfig.get_path('purelib') + '/nvidia/*/bin/ptxas') or [''])[-1] "
    "or shutil.which('ptxas') or '')"
)
ptxas = subprocess.run(
    [config.python_executable, "-c", probe], capture_output=True, check=False, text=True
).stdout.strip()
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
config.available_features.add(platform.machine().lower())
