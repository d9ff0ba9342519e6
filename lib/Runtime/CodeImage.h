//===- CodeImage.h - Loaded machine code ------------------------*- C++ -*-===//

#ifndef SYSMOL_LIB_RUNTIME_CODEIMAGE_H
#define SYSMOL_LIB_RUNTIME_CODEIMAGE_H

#include "sysmol/Runtime/Model.h"

#include <memory>

namespace sysmol::runtime {

/// Refuses what is not a little-endian 64-bit ELF shared object.
Status checkElf(std::span<const uint8_t> Elf);

/// True when the ELF file, which passed checkElf(), is for this machine's
/// architecture.
bool isHostElf(std::span<const uint8_t> Elf);

/// A shared object loaded from memory; unloaded when destroyed.
class CodeImage {
public:
  static Result<std::unique_ptr<CodeImage>> load(std::span<const uint8_t> Elf);
  ~CodeImage();

  SysmolEntryFn entry() const { return Entry; }

private:
  CodeImage() = default;
  int Fd = -1;
  void *Handle = nullptr;
  SysmolEntryFn Entry = nullptr;
};

} // namespace sysmol::runtime

#endif // SYSMOL_LIB_RUNTIME_CODEIMAGE_H
