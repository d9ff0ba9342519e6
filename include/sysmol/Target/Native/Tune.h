//===- Tune.h - Measuring a machine -----------------------------*- C++ -*-===//

#ifndef SYSMOL_TARGET_NATIVE_TUNE_H
#define SYSMOL_TARGET_NATIVE_TUNE_H

#include "sysmol/Analysis/CostModel.h"

namespace sysmol {

/// Measures this machine (a few seconds) by small kernels that go through our
/// pipeline. Refuses a target whose code this machine cannot run. What only
/// whole layers show, the epilogues, is taken from the built-in table.
llvm::Expected<CostTable> measureCostTable(llvm::StringRef target);

/// The table in the user's cache folder when it was measured on a CPU like
/// this one, else the built-in one.
CostTable loadCostTable(llvm::StringRef target);

/// Writes it there; returns the path.
llvm::Expected<std::string> saveCostTable(llvm::StringRef target,
                                          const CostTable &table);

} // namespace sysmol

#endif // SYSMOL_TARGET_NATIVE_TUNE_H
