//===- GemvKernel.h - Products that stream the weights once -----*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_GEMVKERNEL_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_GEMVKERNEL_H

#include "KernelBuilder.h"

namespace sysmol {

/// Most rows of activations that one MMA's columns hold.
inline constexpr int64_t kMaxGemvBatch = 8;

struct GemvOptions {
  int64_t warps;  ///< of one block: they share the inner dimension
  int64_t unroll; ///< 16-byte loads of weights in flight in a thread
};

/// Blocks of `warps` warps, one for each 16 rows of weights.
int64_t getGemvGridSize(const FragmentLayout &layout);
/// Words of shared memory: partial sums of all warps.
int64_t getGemvSharedWords(const FragmentLayout &layout,
                           const GemvOptions &options);
void emitGemv(KernelBuilder &k, const FragmentLayout &layout,
              const GemvOptions &options, const KernelArguments &args,
              KernelResult result, mlir::Value shared);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_GEMVKERNEL_H
