//===- Memory.h - Page-aligned memory and whole-file writes -----*- C++ -*-===//
//
// The two things the runtime asks of the operating system besides code:
// zeroed, page-aligned memory whose failure can be reported, and files that
// appear complete or not at all.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_MEMORY_H
#define SYSMOL_RUNTIME_MEMORY_H

#include "sysmol/Runtime/Error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sysmol::runtime {

/// Owns zeroed anonymous pages; the data is aligned to at least 4096 bytes.
class PageBuffer {
public:
  /// Allocates `Bytes` bytes (zero is allowed). Fails with ErrorKind::Limit
  /// when the machine cannot give them; `What` names the use in the message.
  static Result<PageBuffer> create(uint64_t Bytes, std::string_view What);

  PageBuffer() = default;
  PageBuffer(PageBuffer &&Other) noexcept;
  PageBuffer &operator=(PageBuffer &&Other) noexcept;
  ~PageBuffer();

  uint8_t *data() const { return Data; }
  size_t size() const { return Size; }
  std::span<uint8_t> bytes() const { return {Data, Size}; }

  /// Makes every later write to the memory fault.
  Status makeReadOnly();

private:
  uint8_t *Data = nullptr;
  size_t Size = 0;
  size_t Mapped = 0;
};

/// Writes `Content` to `Path` through a temporary file in the same directory,
/// fsync and rename: after any failure `Path` is as it was before.
Status writeFileAtomically(const std::string &Path,
                           std::span<const uint8_t> Content);

/// A regular file open for reading; its size is the one at opening.
class InputFile {
public:
  static Result<InputFile> open(const std::string &Path);
  InputFile(InputFile &&Other) noexcept
      : Path(std::move(Other.Path)), Fd(std::exchange(Other.Fd, -1)),
        Bytes(Other.Bytes) {}
  InputFile &operator=(InputFile &&) = delete;
  ~InputFile();

  /// Size in bytes.
  uint64_t size() const { return Bytes; }

  /// Fills `Into` from `Offset` on; fails when the file ends before.
  Status read(uint64_t Offset, std::span<uint8_t> Into) const;

private:
  InputFile(std::string Path, int Fd, uint64_t Bytes)
      : Path(std::move(Path)), Fd(Fd), Bytes(Bytes) {}
  std::string Path;
  int Fd;
  uint64_t Bytes;
};

/// The content of a regular file.
Result<PageBuffer> readFile(const std::string &Path);

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_MEMORY_H
