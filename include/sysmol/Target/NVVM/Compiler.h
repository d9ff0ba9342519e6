//===- Compiler.h - From networks and products to PTX -----------*- C++ -*-===//
//
// The launch description is one JSON object, all numbers plain integers:
//
//   {"format": "sysmol-gpu-kernel", "version": 1, "name", "arch",
//    "ptx": file, "llvm_ir": file,
//    "launches": [{"entry", "grid": [x, y, z], "block": [x, y, z],
//                  "shared_bytes", "arguments": [buffer, ...]}],
//    "buffers": {name: {"bytes", "role",
//                       "element", "shape", "strides" (outputs)}},
//    "operation": {"kind": "gemm", "m", "n", "k", "activation_grid",
//                  "weight_grid", "result", "strategy", "segments": [...]}}
//
// Launches run in order on one stream. All arguments are device pointers;
// "shared_bytes" is dynamic shared memory. Roles: weights, activations,
// row_bias (i32 [n], what mid-rise activations leave over: the sum over
// channels of c(p) ((2^p - 1)^2 - 2 (2^p - 1) k_w)), multiplier and offset (f32
// [n], HP18), output. A segment says where bit b of code (row, channel) lies in
// its buffer, in bits: "base" plus the sum of digit times stride over the
// digits of each of row, channel and b, given as [size, stride] with the least
// significant digit first. Bits that no code owns are 0.
//
// A network has "format": "sysmol-gpu-network", no "operation", and instead
//
//   "data": file, "arena_bytes",
//   "buffers": {name: {"bytes", "role": input, output, constant or scratch,
//                      "offset" (constants: in the file of data; scratch: in
//                      the arena), "element", "shape", "strides" (inputs and
//                      outputs, in elements)}},
//   "inputs": [name, ...], "outputs": [name, ...],
//   "golden": [{"inputs": [offset, ...], "outputs": [offset, ...]}]
//
// where a golden pair's tensors lie in the file of data in C order, as the
// reference has them. No buffer, neither the arena nor the constants have more
// than `kMaxNetworkBytes` (Limits.h).
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_TARGET_NVVM_COMPILER_H
#define SYSMOL_TARGET_NVVM_COMPILER_H

#include "sysmol/Target/Native/Compiler.h"

namespace sysmol {

/// Names of the GPU targets, newest first.
std::vector<std::string> getGPUTargets();
/// Whether a target's name can only mean a GPU, known or not.
bool isGPUTargetName(const std::string &name);

struct GPUCompileOptions {
  /// `sm_80`, `sm_89` or `sm_90`.
  std::string chip = "sm_90";
  /// Bundle: the launch description, a .json file, and PTX, LLVM IR and data
  /// beside it, all of them or none; Assembly: PTX; LLVMIR: optimized; Object:
  /// a cubin; MLIR: after `phase`.
  EmitKind emit = EmitKind::Bundle;
  /// For `EmitKind::MLIR`: gpu or nvvm.
  std::string phase = "gpu";
  /// Options of `convert-hetprec-to-gpu`, as on its command line.
  std::string kernelOptions;
  /// In the description; empty: the stem of the output.
  std::string name;
  /// Of a network: images of one call, golden pairs and their seed.
  unsigned batch = 1, goldenPairs = 2;
  uint64_t seed = 0;
  /// For `EmitKind::Object`: path of ptxas; empty: the one in PATH.
  std::string ptxas;
};

/// Compiles `input` into `output`: a network (`.onnx`, or `.mlir` of
/// model-phase ops with constants), or `.mlir` of functions that
/// `convert-hetprec-to-gpu` takes. Errors as those of `compileFile`.
llvm::Expected<CompileReport> compileGPUFile(const std::string &input,
                                             const std::string &output,
                                             const GPUCompileOptions &options);

} // namespace sysmol

#endif // SYSMOL_TARGET_NVVM_COMPILER_H
