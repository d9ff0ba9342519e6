//===- ByteStream.h - Few channels as a stream of bytes ---------*- C++ -*-===//
//
// An image of three 8-bit channels fills three of the four bytes of a word.
// Read as one stream of bytes, pixel after pixel, a window's row of 7 pixels is
// 21 bytes: 6 words instead of 7. Word j of a lane begins at byte 4j of its
// window; planes repeat after `planes` words, `step` lanes on. The last word of
// a row is not full: the bytes of its plane are folded, of all rows one behind
// the other (37 words instead of 42).
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_ANALYSIS_BYTESTREAM_H
#define SYSMOL_ANALYSIS_BYTESTREAM_H

#include "mlir/IR/Operation.h"
#include <cstdint>
#include <optional>
#include <utility>

namespace sysmol {

struct ByteStream {
  static constexpr int64_t kWordBytes = 4;

  /// Where a byte of the stream comes from: byte `slot` of the word of the
  /// pixel `column` columns on.
  struct Source {
    int64_t slot, column;
  };

  int64_t channels, columns, stride;
  /// Word `p + planes * r` of a lane lies in plane `p`, `r * step` lanes on,
  /// for `r` below `repeats`.
  int64_t planes, step, repeats;
  /// Planes from here on are folded; `planes`: none.
  int64_t foldedFrom;

  /// How `op` reads its input: none where that saves no words. One to three
  /// channels, all of 8 bits, unsigned: signed ones have a bias for each tap
  /// that padding cuts off (HP13).
  static std::optional<ByteStream> get(mlir::Operation *op);

  /// None: beyond the window's row. A plane holds what its first repeat reads.
  std::optional<Source> getSource(int64_t plane, int64_t byte,
                                  int64_t repeat = 0) const;
  /// Bytes of a word that are the window's.
  int64_t getNumBytes(int64_t plane, int64_t repeat) const;
  /// Of a row, words that are folded, and their bytes.
  std::pair<int64_t, int64_t> countFolded() const;
  /// Lanes that a word of a plane reads on: as many behind a buffer's last one
  /// have no words.
  int64_t getReach() const;
};

} // namespace sysmol

#endif // SYSMOL_ANALYSIS_BYTESTREAM_H
