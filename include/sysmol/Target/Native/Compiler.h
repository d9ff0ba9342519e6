//===- Compiler.h - From a network to native code ---------------*- C++ -*-===//
//
// The one way in for tools, the C API and Python: file in, file out.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_TARGET_NATIVE_COMPILER_H
#define SYSMOL_TARGET_NATIVE_COMPILER_H

#include "sysmol/Runtime/Metadata.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

namespace sysmol {

/// What to write.
enum class EmitKind {
  Bundle,   ///< `.smol`: code for every target, weights, golden vectors
  Object,   ///< `.o` for one target, and a C header beside it
  LLVMIR,   ///< optimized LLVM IR of one target
  Assembly, ///< assembly of one target
  MLIR,     ///< the program after `phase`
};

struct CompileOptions {
  /// Best first; see `getNativeTargets()`. Kinds but `Bundle` take the first.
  std::vector<std::string> targets = {"x86-64-avx512", "x86-64-avx2"};
  EmitKind emit = EmitKind::Bundle;
  /// For `EmitKind::MLIR`: model, plan, packed, loops, vectors or llvm.
  std::string phase = "packed";
  /// Model name; empty: the input's file name without its ending.
  std::string name;
  /// Images a call; replaces the ONNX batch dimension.
  int64_t batch = 1;
  /// Least estimated cycles of a task that threads may share.
  int64_t grain = 4000;
  /// Input/output pairs computed by the reference and stored for `verify`.
  unsigned goldenPairs = 2;
  /// Seed of the golden inputs.
  uint64_t seed = 0;
  /// Bundles only: code that reads a clock at the borders of layers.
  bool profile = false;
  /// Activations that are unpacked and packed again between two layers are an
  /// error that names the layer.
  bool forbidFallback = false;
  /// Verify the program behind each pass, not only behind each phase.
  bool verifyEach = false;
};

/// Seconds spent in one phase of a compilation.
struct PhaseTime {
  std::string phase;
  double seconds;
};

struct CompileReport {
  std::vector<PhaseTime> times;
  uint64_t arenaBytes = 0, weightBytes = 0, floatBytes = 0;
  /// Of the first target, with what the cost table predicts.
  std::vector<runtime::LayerInfo> layers;
  /// How the first target computes each of them.
  std::vector<std::string> strategies;
  /// Where the cost table comes from.
  std::string costSource;
};

/// Names of the targets there are, best first.
std::vector<std::string> getNativeTargets();

/// Compiles `input` (`.onnx`, or `.mlir` with one public function of
/// model-phase ops) into `output`, which appears complete or not at all. Errors
/// are one line: where, what is wrong, what is allowed.
llvm::Expected<CompileReport> compileFile(const std::string &input,
                                          const std::string &output,
                                          const CompileOptions &options);

/// Runs `input` through the reference interpreter: `images` calls, `inputs` and
/// the result are raw little-endian tensors, one call after the other.
llvm::Expected<std::vector<uint8_t>>
runReference(const std::string &input, const std::vector<uint8_t> &inputs,
             uint64_t calls, const CompileOptions &options);

} // namespace sysmol

#endif // SYSMOL_TARGET_NATIVE_COMPILER_H
