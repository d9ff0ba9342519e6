//===- Arrays.h - Inputs and outputs of sysmol-run --------------*- C++ -*-===//
//
// Tensors in files: NumPy's `.npy` (versions 1 to 3, C order, little endian),
// and raw bytes for every other ending.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_TOOLS_SYSMOL_RUN_ARRAYS_H
#define SYSMOL_TOOLS_SYSMOL_RUN_ARRAYS_H

#include "sysmol/Runtime/Memory.h"
#include "sysmol/Runtime/Metadata.h"

#include <string>
#include <vector>

namespace sysmol::run {

/// The bytes of one input for one or more images, aligned to 64 bytes.
struct Array {
  runtime::PageBuffer Storage;
  /// How many times the tensor of the model it holds.
  uint64_t Count = 0;
};

/// Reads a file for the input `T`. An `.npy` must have T's element type and
/// T's shape, or that shape with a batch in front (in place of a leading 1).
runtime::Result<Array> readArray(const std::string &Path,
                                 const runtime::TensorInfo &T);

/// What a file of that name holds of `Count` tensors `T`: `.npy`, or raw.
std::vector<uint8_t> formatArray(const std::string &Path,
                                 const runtime::TensorInfo &T, uint64_t Count,
                                 std::span<const uint8_t> Bytes);

/// "[1, 28, 28]"
std::string shapeText(const std::vector<uint64_t> &Shape);

} // namespace sysmol::run

#endif // SYSMOL_TOOLS_SYSMOL_RUN_ARRAYS_H
