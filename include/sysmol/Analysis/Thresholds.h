//===- Thresholds.h - Requantization as integer thresholds ------*- C++ -*-===//
//
// HP16: for at most 4 bits the float rule of HP15 is 2^p - 1 integer
// thresholds.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_ANALYSIS_THRESHOLDS_H
#define SYSMOL_ANALYSIS_THRESHOLDS_H

#include "llvm/ADT/SmallVector.h"
#include <cstdint>

namespace sysmol {

/// The code of accumulator `acc` by HP15, for p <= 4 bits: `multiplier` and
/// `offset` in binary32; `isMidrise` picks the floor rule of the mid-rise grid.
int64_t requantizeByRule(int64_t acc, float multiplier, float offset,
                         int64_t precision, bool isMidrise);

/// The thresholds `t_1 <= t_2 <= ...` (2^p - 1 of them) with
/// `code = #{ j : acc > t_j }` for every `acc` in [-bound, bound]. The
/// multiplier must be positive (the caller negates the accumulator where it is
/// not). A threshold is in [-bound - 1, bound]: `bound` is never passed,
/// `-bound - 1` always.
llvm::SmallVector<int64_t> findThresholds(float multiplier, float offset,
                                          int64_t precision, bool isMidrise,
                                          int64_t bound);

} // namespace sysmol

#endif // SYSMOL_ANALYSIS_THRESHOLDS_H
