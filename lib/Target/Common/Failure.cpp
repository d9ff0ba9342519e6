//===- Failure.cpp - Errors of the compilers ------------------------------===//

#include "sysmol/Target/Common/Failure.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Location.h"
#include "sysmol/Runtime/Memory.h"
#include "llvm/Support/Threading.h"

using namespace mlir;
using namespace sysmol;

FailureKind sysmol::getFailureKind(std::error_code code) {
  for (std::errc limit :
       {std::errc::not_enough_memory, std::errc::no_space_on_device,
        std::errc::file_too_large, std::errc::too_many_files_open})
    if (code == limit)
      return FailureKind::Limit;
  if (code == std::errc::invalid_argument)
    return FailureKind::Usage;
  if (code == std::errc::state_not_recoverable)
    return FailureKind::Internal;
  return FailureKind::Refused; // an error with no code speaks of the input
}

llvm::Error sysmol::makeError(const llvm::Twine &message, FailureKind kind) {
  std::error_code code = llvm::inconvertibleErrorCode();
  if (kind == FailureKind::Usage)
    code = std::make_error_code(std::errc::invalid_argument);
  else if (kind == FailureKind::Limit)
    code = std::make_error_code(std::errc::not_enough_memory);
  else if (kind == FailureKind::Internal)
    code = std::make_error_code(std::errc::state_not_recoverable);
  return llvm::createStringError(code, "%s", message.str().c_str());
}

llvm::Error sysmol::makeError(const runtime::Error &error) {
  return makeError(error.Message, static_cast<FailureKind>(error.Kind));
}

llvm::Error sysmol::atInput(const std::string &input, llvm::Error error) {
  std::error_code code;
  std::string message;
  llvm::handleAllErrors(std::move(error), [&](const llvm::ErrorInfoBase &info) {
    code = info.convertToErrorCode();
    message = info.message();
  });
  return llvm::createStringError(code, "%s: %s", input.c_str(),
                                 message.c_str());
}

llvm::Error sysmol::writeText(const std::string &path, llvm::StringRef text) {
  runtime::Status status = runtime::writeFileAtomically(
      path,
      std::span(reinterpret_cast<const uint8_t *>(text.data()), text.size()));
  return status ? llvm::Error::success() : makeError(status.error());
}

static std::string format(Diagnostic &diagnostic) {
  std::string line;
  llvm::raw_string_ostream os(line);
  Location loc = diagnostic.getLocation();
  if (auto named = dyn_cast<NameLoc>(loc)) {
    os << "layer '" << named.getName().getValue() << "': ";
  } else if (auto place = loc->findInstanceOf<FileLineColLoc>()) {
    os << place.getFilename().getValue() << ":" << place.getLine() << ":"
       << place.getColumn() << ": ";
  }
  std::string message = diagnostic.str();
  llvm::replace(message, '\n', ' ');
  os << message;
  return line;
}

ErrorCollector::ErrorCollector(MLIRContext *context)
    : handler(context,
              [this, owner = llvm::get_threadid()](Diagnostic &diagnostic) {
                // What passes say on other threads, MLIR hands to the one that
                // waits.
                if (llvm::get_threadid() != owner)
                  return failure(); // of another collector
                if (diagnostic.getSeverity() == DiagnosticSeverity::Error &&
                    text.empty())
                  text = format(diagnostic);
                return success(); // nothing is printed
              }) {}

llvm::Error ErrorCollector::take(const llvm::Twine &otherwise,
                                 FailureKind kind) const {
  return makeError(text.empty() ? otherwise.str() : text, kind);
}
