//===- Explain.h - What was decided, layer by layer -------------*- C++ -*-===//

#ifndef SYSMOL_TOOLS_SYSMOL_COMPILE_EXPLAIN_H
#define SYSMOL_TOOLS_SYSMOL_COMPILE_EXPLAIN_H

#include "sysmol/Target/Native/Compiler.h"
#include "llvm/Support/raw_ostream.h"

namespace sysmol {

/// A table of the layers of `report` with their strategies and what the cost
/// table predicts; the last line is the total.
void printExplanation(llvm::raw_ostream &os, const CompileReport &report);

} // namespace sysmol

#endif // SYSMOL_TOOLS_SYSMOL_COMPILE_EXPLAIN_H
