//===- CAPISupport.h - Errors and exceptions of the C API -------*- C++ -*-===//

#ifndef SYSMOL_LIB_RUNTIME_CAPISUPPORT_H
#define SYSMOL_LIB_RUNTIME_CAPISUPPORT_H

#include "sysmol-c/Runtime.h"
#include "sysmol/Runtime/Error.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

namespace sysmol::runtime {

inline void copyMessage(std::string_view Text, char *Message, size_t Bytes) {
  if (!Message || !Bytes)
    return;
  size_t Length = std::min(Text.size(), Bytes - 1);
  std::memcpy(Message, Text.data(), Length);
  Message[Length] = 0;
}

/// Runs `Body`, which returns a Status, and reports its outcome.
template <typename BodyT>
sysmol_status guarded(char *Message, size_t Bytes, BodyT Body) {
  // Built without allocating: it must work when there is no memory left.
  const char *Fault;
  sysmol_status Code;
  try {
    Status S = Body();
    copyMessage(S ? "" : S.error().Message, Message, Bytes);
    return S ? SYSMOL_OK : static_cast<sysmol_status>(S.error().Kind);
  } catch (const std::bad_alloc &) {
    Fault = "out of memory; free some or use fewer threads";
    Code = SYSMOL_LIMIT;
  } catch (...) {
    Fault = "unexpected exception in the runtime; report this";
    Code = SYSMOL_INTERNAL;
  }
  copyMessage(Fault, Message, Bytes);
  return Code;
}

inline Error nullArgument() {
  return misused("a required pointer is NULL; pass a valid object");
}

} // namespace sysmol::runtime

#endif // SYSMOL_LIB_RUNTIME_CAPISUPPORT_H
