//===- Metadata.h - What a bundle says about itself -------------*- C++ -*-===//
//
// The `metadata` section of a bundle: UTF-8 JSON, one object. All sizes are in
// bytes, all counts are non-negative integers.
//
//   {
//     "schema": 2,
//     "model": "resnet20",                  name of the model
//     "producer": "sysmol 0.1.0",           program and version that wrote it
//     "inputs":  [{"name": "image", "dtype": "u8", "shape": [1, 28, 28, 1]}],
//     "outputs": [{"name": "logits", "dtype": "f32", "shape": [1, 10]}],
//     "arena_bytes": 65536,                 scratch memory of one run
//     "arena_alignment": 64,                always 64
//     "weights_bytes": 40960,               size of the section `weights`
//     "float_bytes": 1089576,               the same parameters as float32
//     "golden_pairs": 2,                    pairs in the section `golden`
//     "code": [{"target": "x86-64-avx512",  one per section code/<target>,
//               "cpu_features": ["avx512f", "avx512bw"],       best first
//               "strategies": ["popcount"],      of each layer, in this code
//               "profile": {"offset": 65472,     only of `--profile`: where in
//                           "layers": ["conv1"]}}],  the arena the clocks are
//     "layers": [{"name": "conv1", "op": "conv_2d", "shape": [1, 16, 28, 28],
//                 "levels": {"1": 8, "2": 4, "4": 4},  bits -> input channels
//                 "macs": 112896,
//                 "weight_bytes": 144, "table_bytes": 64,
//                 "needed_macs": 112896,        without padding, fewer than
//                                               macs by tiles and where
//                                               products with the image's
//                                               border are left out; of the
//                                               first code; absent: macs
//                 "executed_macs": 131072,      with padding; of the first code
//                 "predicted_ns": 612,          by the compiler's cost table
//                 "product_ns": 500}]           of it, executed_macs
//   }
//
// dtype is one of f32, u8, i32, i16, i8. Unknown keys are ignored, so that
// a newer producer can add facts; a change of meaning, of the keys or of the
// code's entry function, raises "schema". In 2 the entry function takes a
// sysmol_parallel (sysmol/Runtime/Model.h); in 3 strategies are those of a
// code.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_METADATA_H
#define SYSMOL_RUNTIME_METADATA_H

#include "sysmol/Runtime/Error.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sysmol::runtime {

/// Version of the meaning of the metadata keys, and of the code's interface.
inline constexpr uint64_t MetadataSchema = 3;
/// Every arena, and the weights in memory, start at a multiple of this.
inline constexpr uint64_t ArenaAlignment = 64;
/// Most inputs, and most outputs, of one model.
inline constexpr size_t MaxTensors = 64;

enum class DType { F32, U8, I32, I16, I8 };

/// "f32", "u8", "i32", "i16" or "i8".
std::string_view dtypeName(DType Type);
/// Size of one element in bytes.
uint64_t dtypeBytes(DType Type);

/// One input or output: dense, row-major, little endian.
struct TensorInfo {
  std::string Name;
  DType Type = DType::F32;
  /// Every extent is at least 1; an empty shape is a scalar.
  std::vector<uint64_t> Shape;

  /// Size in bytes; only meaningful after Metadata::check() succeeded.
  uint64_t bytes() const;
  bool operator==(const TensorInfo &) const = default;
};

/// Clocks that the code leaves in the arena: `Layers.size() + 1` 64-bit counts
/// from byte `Offset` on; layer i runs from count i to count i + 1. A layer
/// that runs in several stretches comes several times.
struct ProfileInfo {
  uint64_t Offset = 0;
  std::vector<std::string> Layers;
  bool operator==(const ProfileInfo &) const = default;
};

/// One section `code/<Target>`.
struct CodeInfo {
  /// For example "x86-64-avx512" or "generic-x86-64"; see isTargetName().
  std::string Target;
  /// LLVM names of the CPU features that the code needs beyond the baseline
  /// of its architecture, for example "avx512vnni".
  std::vector<std::string> CpuFeatures;
  /// How this code computes each row of the layer table; none: not said.
  std::vector<std::string> Strategies = {};
  /// No layers: compiled without clocks.
  ProfileInfo Profile = {};
  bool operator==(const CodeInfo &) const = default;
};

/// One row of the layer table; for people and tools, not used to run.
struct LayerInfo {
  std::string Name;
  std::string Op;
  std::vector<uint64_t> Shape;
  /// Bits of a precision level -> number of input channels that have it.
  std::map<unsigned, uint64_t> Levels;
  uint64_t Macs = 0;
  uint64_t WeightBytes = 0;
  uint64_t TableBytes = 0;
  /// For the first code: those that its algorithm does without padding, which
  /// are fewer than `Macs` where windows overlap in tiles, and where products
  /// with the border of small images are left out.
  uint64_t NeededMacs = 0;
  /// For the first code; 0 where the compiler has no model.
  uint64_t ExecutedMacs = 0;
  uint64_t PredictedNs = 0;
  /// Of these, for the executed multiply-accumulates.
  uint64_t ProductNs = 0;
  bool operator==(const LayerInfo &) const = default;
};

struct Metadata {
  std::string Model;
  std::string Producer;
  std::vector<TensorInfo> Inputs;
  std::vector<TensorInfo> Outputs;
  uint64_t ArenaBytes = 0;
  uint64_t WeightsBytes = 0;
  uint64_t FloatBytes = 0;
  uint64_t GoldenPairs = 0;
  /// In the order of preference: the first that the CPU supports is run.
  std::vector<CodeInfo> Code;
  std::vector<LayerInfo> Layers;

  bool operator==(const Metadata &) const = default;

  /// Bytes of all inputs, and of all outputs, of one run.
  uint64_t inputBytes() const;
  uint64_t outputBytes() const;

  /// Refuses what no bundle may say: names that are empty, too long or not
  /// printable, no input or output, zero extents, sizes that overflow,
  /// doubled targets, more than MaxTensors inputs or outputs, a code with
  /// strategies for some layers only, precision levels other than 1, 2, 4, 8
  /// (32 for a layer kept in float).
  Status check() const;

  /// The JSON text above: keys in this order, one space of indentation.
  std::string toJson() const;

  /// Parses and checks. Fails with ErrorKind::Refused, naming the key.
  static Result<Metadata> fromJson(std::string_view Text);
};

/// True for 1 to 26 characters of a-z, 0-9, '.', '_', '-'.
bool isTargetName(std::string_view Name);

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_METADATA_H
