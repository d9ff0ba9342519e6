//===- GemmKernel.h - Products in tiles of shared memory --------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_GEMMKERNEL_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_GEMMKERNEL_H

#include "PackedResults.h"

namespace sysmol {

inline constexpr int64_t kGemmThreads = 256;
/// Rows of activations whose sums one block computes: one a warp.
inline constexpr int64_t kSumRows = 8;

struct GemmOptions {
  int64_t stages; ///< in shared memory at a time
};

int64_t getGemmSharedBytes(const FragmentLayout &layout,
                           const GemmOptions &options);
/// `packed` is that of codes, or null; with carriers as the result both are
/// written.
void emitGemm(KernelBuilder &k, const FragmentLayout &layout,
              const GemmOptions &options, const KernelArguments &args,
              KernelResult result, const PackedLayout *packed);

/// Writes to `args.sums` what every row of activations takes from its
/// accumulators (the `A` of `KernelBuilder::correct`, of all segments).
int64_t getSumsGridSize(const FragmentLayout &layout);
void emitSums(KernelBuilder &k, const FragmentLayout &layout,
              const KernelArguments &args);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_GEMMKERNEL_H
