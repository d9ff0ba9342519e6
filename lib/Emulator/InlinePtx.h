//===- InlinePtx.h - Reads the PTX of inline assembly -----------*- C++ -*-===//

#ifndef SYSMOL_LIB_EMULATOR_INLINEPTX_H
#define SYSMOL_LIB_EMULATOR_INLINEPTX_H

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace sysmol::emulator {

/// `$N`, a number, or an address `[$N + number]`.
struct PtxOperand {
  bool isPlaceholder = false;
  unsigned placeholder = 0;
  /// The number, or what is added to the placeholder.
  int64_t value = 0;
};

struct PtxInstruction {
  std::string mnemonic;
  /// As separated by commas; `{a, b}` is one of several.
  llvm::SmallVector<llvm::SmallVector<PtxOperand, 4>, 4> operands;
};

/// Instructions one after another, without predicates, labels and registers of
/// their own.
llvm::Expected<llvm::SmallVector<PtxInstruction, 1>>
parseInlinePtx(llvm::StringRef text);

} // namespace sysmol::emulator

#endif // SYSMOL_LIB_EMULATOR_INLINEPTX_H
