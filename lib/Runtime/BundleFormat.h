//===- BundleFormat.h - Sizes of the bundle format --------------*- C++ -*-===//

#ifndef SYSMOL_LIB_RUNTIME_BUNDLEFORMAT_H
#define SYSMOL_LIB_RUNTIME_BUNDLEFORMAT_H

#include "sysmol/Runtime/Bundle.h"

#include <cstddef>

namespace sysmol::runtime {

inline constexpr size_t HeaderBytes = 16;
inline constexpr size_t EntryBytes = 88;
inline constexpr size_t EntryNameBytes = 32;
inline constexpr size_t HashBytes = 32;
inline constexpr size_t MaxHeadBytes =
    HeaderBytes + MaxSections * EntryBytes + HashBytes;

} // namespace sysmol::runtime

#endif // SYSMOL_LIB_RUNTIME_BUNDLEFORMAT_H
