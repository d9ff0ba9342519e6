//===- Support.h - Small helpers of the runtime -----------------*- C++ -*-===//

#ifndef SYSMOL_LIB_RUNTIME_SUPPORT_H
#define SYSMOL_LIB_RUNTIME_SUPPORT_H

#include "sysmol/Runtime/Error.h"

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

namespace sysmol::runtime {

/// `Value` rounded up to a multiple of `Align`, a power of two. The caller
/// knows that it does not overflow.
constexpr uint64_t alignUp(uint64_t Value, uint64_t Align) {
  return (Value + Align - 1) & ~(Align - 1);
}

/// A * B, or the largest number when that does not fit.
constexpr uint64_t multiplySaturated(uint64_t A, uint64_t B) {
  uint64_t Product;
  return __builtin_mul_overflow(A, B, &Product)
             ? std::numeric_limits<uint64_t>::max()
             : Product;
}

/// Fails only when libcrypto itself does.
Result<std::array<uint8_t, 32>> sha256(std::span<const uint8_t> Bytes);

/// `Err` with "Prefix: " in front of its message.
Error withPrefix(const std::string &Prefix, const Error &Err);

/// Text of an errno value, thread-safe.
std::string errnoText(int Errno);

} // namespace sysmol::runtime

#endif // SYSMOL_LIB_RUNTIME_SUPPORT_H
