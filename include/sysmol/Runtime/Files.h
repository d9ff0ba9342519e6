//===- Files.h - Whole-file writes ------------------------------*- C++ -*-===//
//
// Several files that appear complete or not at all.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_FILES_H
#define SYSMOL_RUNTIME_FILES_H

#include "sysmol/Runtime/Error.h"

#include <cstdint>
#include <span>
#include <string>

namespace sysmol::runtime {

struct FileContent {
  std::string Path;
  std::span<const uint8_t> Content;
};

/// writeFileAtomically() for several files: after any failure every path is as
/// it was before. What exists must be a regular file; a symbolic link to one is
/// followed.
Status writeFilesAtomically(std::span<const FileContent> Files);

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_FILES_H
