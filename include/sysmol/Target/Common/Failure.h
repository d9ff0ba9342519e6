//===- Failure.h - Errors of the compilers ----------------------*- C++ -*-===//
//
// An error is one line: where, what is wrong, what is allowed.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_TARGET_COMMON_FAILURE_H
#define SYSMOL_TARGET_COMMON_FAILURE_H

#include "mlir/IR/Diagnostics.h"
#include "sysmol/Runtime/Error.h"
#include "llvm/Support/Error.h"

namespace sysmol {

/// What an error means to a caller: the exit codes of the tools and the
/// `sysmol_status` of the C API.
enum class FailureKind : int {
  Refused = 1,   ///< the input is not allowed
  Usage = 2,     ///< an option is wrong
  Limit = 3,     ///< memory, disk or files ran out
  Internal = 70, ///< a fault of the compiler; a reproducer was written
};
FailureKind getFailureKind(std::error_code code);

llvm::Error makeError(const llvm::Twine &message,
                      FailureKind kind = FailureKind::Refused);
/// The runtime's kinds have the same numbers.
llvm::Error makeError(const runtime::Error &error);
/// The same error, of the same kind, about `input`.
llvm::Error atInput(const std::string &input, llvm::Error error);

/// A file that appears complete or not at all.
llvm::Error writeText(const std::string &path, llvm::StringRef text);

/// While it lives it keeps the first error that a context has on this thread,
/// as one line that begins with the layer or the place; nothing is printed.
class ErrorCollector {
public:
  explicit ErrorCollector(mlir::MLIRContext *context);
  /// What was collected, or `otherwise` if nothing was.
  llvm::Error take(const llvm::Twine &otherwise,
                   FailureKind kind = FailureKind::Refused) const;

private:
  std::string text;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace sysmol

#endif // SYSMOL_TARGET_COMMON_FAILURE_H
