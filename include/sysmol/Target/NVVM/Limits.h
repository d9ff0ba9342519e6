//===- Limits.h - What GPUs and networks on them can have -------*- C++ -*-===//
//
// What compiles, what emulates and `sysmol.gpu.network` must agree upon.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_TARGET_NVVM_LIMITS_H
#define SYSMOL_TARGET_NVVM_LIMITS_H

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"

namespace sysmol {

struct GPUChip {
  llvm::StringLiteral name;
  /// Most shared memory of a block, in bytes (CUDA programming guide, compute
  /// capabilities).
  int64_t sharedBytes;
  /// The oldest PTX that has all that its kernels use.
  llvm::StringLiteral ptx;
  /// 4-bit MMAs; later chips emulate them.
  bool hasNibbleMMA;
};

/// Chips whose MMAs are those that the kernels use, native; newest first.
inline constexpr GPUChip kGPUChips[] = {
    {"sm_90a", 227 * 1024, "ptx84", /*hasNibbleMMA=*/false}, // wgmma of s8, u8
    {"sm_90", 227 * 1024, "ptx80", /*hasNibbleMMA=*/false},
    {"sm_89", 99 * 1024, "ptx80", /*hasNibbleMMA=*/true},
    {"sm_80", 163 * 1024, "ptx80", /*hasNibbleMMA=*/true}};

/// Null: none of ours.
inline const GPUChip *findGPUChip(llvm::StringRef name) {
  const GPUChip *found = llvm::find_if(
      kGPUChips, [&](const GPUChip &chip) { return chip.name == name; });
  return found == std::end(kGPUChips) ? nullptr : found;
}

/// Most bytes of a network's arena, of its constants, and of a buffer.
inline constexpr uint64_t kMaxNetworkBytes = uint64_t(1) << 32;

} // namespace sysmol

#endif // SYSMOL_TARGET_NVVM_LIMITS_H
