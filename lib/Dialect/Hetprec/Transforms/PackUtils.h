//===- PackUtils.h - Packed values and dot products -------------*- C++ -*-===//
//
// Private to hetprec-pack.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_PACKUTILS_H
#define SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_PACKUTILS_H

#include "mlir/IR/Builders.h"
#include "sysmol/Analysis/ByteLanes.h"
#include "sysmol/Analysis/ByteStream.h"
#include "sysmol/Analysis/LaneLayout.h"
#include "sysmol/Analysis/TapFold.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

namespace sysmol::hetprec {

/// The channels of one precision of an activation. Word `g` holds the channels
/// `channels[g * perWord ...]`; -1 is an empty slot.
struct Segment {
  int64_t level;
  llvm::SmallVector<int64_t> channels;
  mlir::Value plane; // tensor<words x lanes x iN>
  /// Channels of a last word whose taps are, or will be, folded; see `TapFold`.
  bool isFolded = false;
  llvm::SmallVector<int64_t> slotTaps = {}; // folded: the tap of each slot

  int64_t getNumWords() const {
    return channels.size() / getChannelsPerWord(level);
  }
};

/// An activation as packed words.
struct PackedCodes {
  llvm::SmallVector<Segment, 3> segments;
  ChannelsAttr encoding;
  LanesAttr layout;

  bool isSigned() const { return encoding.getGrid() == Grid::Midrise; }
};

/// Accumulators, carrier or reals as one wide plane a channel.
struct WidePlanes {
  mlir::Value plane;                  // tensor<rows x lanes x T>
  llvm::SmallVector<int64_t> planeOf; // channel -> plane
  LanesAttr layout;

  llvm::SmallVector<int64_t> getChannelOfPlanes() const {
    llvm::SmallVector<int64_t> channels(planeOf.size());
    for (auto [channel, plane] : llvm::enumerate(planeOf))
      channels[plane] = channel;
    return channels;
  }
};

/// Segments (without planes) of an encoding, each padded to whole words.
llvm::SmallVector<Segment, 3> makeSegments(ChannelsAttr encoding);

/// A dot product over a window: conv_2d, matmul, or sum_pool_2d (whose weights
/// are the number 1).
struct DotProduct {
  mlir::Operation *op;
  Window window;
  int64_t outputs, groups, channelsPerGroup;
  std::optional<mlir::DenseIntElementsAttr> filter; // none: sum_pool_2d

  /// Fails with a diagnostic on `op` when the weights are no constant.
  static mlir::FailureOr<DotProduct> get(mlir::Operation *op);

  int64_t getNumTaps() const { return window.kernel[0] * window.kernel[1]; }
  mlir::Value getInput() const { return op->getOperand(0); }
};

/// The most that a code of a weight of level 1 or 2 adds to a sum in a byte.
int64_t getLargestOfCode(int64_t level, int64_t code);

/// How many words of a row one after the other a byte holds the sums of.
class ByteWords {
public:
  /// The words of a row, by the most that each adds.
  void addRow(llvm::ArrayRef<int64_t> largest);
  int64_t get() const { return fewest - 1; }

private:
  static constexpr int64_t kMost = 255;
  int64_t fewest = kMost + 1; // that may be too many
};

/// Packs one dot product, given its input, into `contract` ops.
class ContractBuilder {
public:
  /// `input` has the phases of a strided window, or the planes of a stream of
  /// bytes, or one plane of bytes a channel, already.
  ContractBuilder(mlir::OpBuilder &builder, const DotProduct &dot,
                  PackedCodes input, LanesAttr imageLayout, int64_t laneCount,
                  mlir::StringAttr layer);

  /// Largest magnitude of the accumulator (HP12).
  int64_t getBound() const { return bound; }

  /// Before the codes of each of `segments`, in their order: where outputs are
  /// lanes, the sums of all are made at once.
  void prepareCodes(llvm::ArrayRef<Segment> segments,
                    llvm::ArrayRef<float> multiplier);
  /// Codes of the output channels `rows` (-1: empty slot), into `init`.
  mlir::Value makeCodes(llvm::ArrayRef<int64_t> rows, int64_t level,
                        ChannelsAttr encoding, llvm::ArrayRef<float> multiplier,
                        llvm::ArrayRef<float> offset, mlir::Value mask,
                        mlir::Value init);
  /// Any other epilogue: one plane for each output channel, in the order of
  /// `channels` (empty: as they are).
  mlir::Value makePlanes(Epilogue epilogue, llvm::ArrayRef<float> multiplier,
                         llvm::ArrayRef<float> offset, mlir::Value init,
                         llvm::ArrayRef<int64_t> channels = {},
                         bool relu = false);

private:
  struct RowTables {
    llvm::SmallVector<mlir::Value, 3> rows, starts;
    mlir::Value rowBias, biasRows;
    llvm::SmallVector<int64_t> byteWords;
  };

  /// Fills `taps`, of a strided window `tapPhases`, of bytes `tapBytes`.
  void findTaps();
  /// Folds the taps of the segments that are to be.
  void foldTaps();
  void foldTaps(Segment &segment);
  void foldStream(Segment &segment);
  mlir::Value createFold(const Segment &segment,
                         llvm::ArrayRef<int64_t> channels,
                         llvm::ArrayRef<int64_t> lanes,
                         llvm::ArrayRef<int64_t> planes);
  /// Columns of a word of segment `s`.
  int64_t getNumTaps(const Segment &s) const {
    return s.isFolded ? 1 : taps.size();
  }
  /// One entry for each of `segments`; none where none is folded.
  static llvm::SmallVector<bool> getFolded(llvm::ArrayRef<Segment> segments);
  /// Words of a lane that hold the channels of segment `s`.
  int64_t getNumWords(const Segment &s) const {
    if (byteLanes)
      return s.channels.size();
    return stream && !s.isFolded ? stream->foldedFrom : s.getNumWords();
  }
  /// Channels of a plane of segment `s`.
  int64_t getChannelsPerPlane(const Segment &s) const {
    return byteLanes ? 1 : getChannelsPerWord(s.level);
  }
  int64_t getCode(int64_t output, int64_t channel, int64_t tap) const;
  /// What lanes are multiplied with; negated mid-rise codes are their
  /// complement.
  static int64_t getFactor(int64_t level, int64_t code, bool negated);
  /// The same for planes of bytes: what the code means, as a multiple of the
  /// segment's coefficient.
  int64_t getByteFactor(const Segment &s, int64_t channel, int64_t code,
                        bool negated) const;
  /// The finest of the levels of a segment of bytes.
  int8_t getFinestLevel(const Segment &s) const;
  /// The channel and tap of the model that a slot of a word holds; channel -1:
  /// none. `tap` is one of `taps`.
  std::pair<int64_t, int64_t> getSlot(const Segment &s, int64_t word,
                                      int64_t slot, int64_t tap) const;
  /// Whether a word of a row is the same for all taps.
  bool isUniform() const { return !dot.filter && !byteLanes; }
  int64_t getGroup(int64_t output) const {
    return output / (dot.outputs / dot.groups);
  }
  /// Words of segment `s` that hold a channel of `group`: first and number.
  std::pair<int64_t, int64_t> getWordRange(const Segment &s,
                                           int64_t group) const;
  /// The first of `numWords` words that a group's rows read; -1: none, there
  /// are no channels of it in `s`.
  int64_t getStart(const Segment &s, int64_t group, int64_t numWords) const;
  RowTables makeRows(llvm::ArrayRef<int64_t> rows, llvm::ArrayRef<bool> negated,
                     bool hasBias);
  /// What is to be added to an output's sum, since each code 0 of a centred
  /// segment adds 3 too much.
  int64_t getCentredPart(int64_t output, bool negated) const;
  /// What a slot of word `word` of an output's row holds (output -1: none), for
  /// tap `tap` of `taps`.
  int64_t getSlotFactor(const Segment &s, int64_t output, bool negated,
                        int64_t word, int64_t slot, int64_t tap) const;
  /// Whether 2-bit codes of weights count from 1 (`centred` of `contract`).
  bool areCentred() const {
    return dot.filter && !byteLanes && llvm::is_contained(levels, 2);
  }
  /// `byte_words` of rows that hold these weights.
  llvm::SmallVector<int64_t> getByteWords(llvm::ArrayRef<int64_t> rows,
                                          llvm::ArrayRef<bool> negated) const;
  mlir::Value makeRowBias(llvm::ArrayRef<int64_t> rows,
                          llvm::ArrayRef<bool> negated);
  mlir::Value makeLaneBias();
  ContractOp create(const RowTables &tables, int64_t numRows, Epilogue epilogue,
                    mlir::Value thresholds, mlir::Value multiplier,
                    mlir::Value offset, mlir::Value mask, mlir::Value init);
  /// Whether sums are made by ops of their own.
  bool areSumsApart() const { return role != LaneRole::Pixels; }
  /// Where they are: the sums of `rows`, for `takeSums`.
  void makeSums(llvm::ArrayRef<int64_t> rows, llvm::ArrayRef<bool> negated);
  void makeOutputSums(llvm::ArrayRef<int64_t> rows,
                      llvm::ArrayRef<bool> negated);
  void makeTileSums(llvm::ArrayRef<int64_t> rows, llvm::ArrayRef<bool> negated);
  /// Those of the next `count` rows.
  mlir::Value takeSums(int64_t count);
  /// The weights of `rows`, and of as many more as fill the tiles.
  mlir::Value makeOutputWeights(llvm::ArrayRef<int64_t> rows,
                                llvm::ArrayRef<bool> negated, int64_t tiles,
                                int64_t tileBlocks);

  mlir::OpBuilder &b;
  mlir::Location loc;
  const DotProduct &dot;
  PackedCodes input;
  LanesAttr imageLayout;
  int64_t laneCount;
  mlir::StringAttr layer;
  std::optional<ByteStream> stream;
  std::optional<ByteLanes> byteLanes;
  llvm::SmallVector<int64_t> taps, tapPhases, tapBytes, coefficients, levels;
  llvm::SmallVector<int64_t> wordCounts; // words a row reads, per segment
  int64_t origin, phases, bound;
  std::vector<int8_t> codes;
  mlir::Value laneBias;
  LaneRole role;
  mlir::Value sums; // [rows, lanes], of which `sumsTaken` rows are used up
  int64_t sumsTaken = 0;
};

/// What a `gemv` makes of its sums; one multiplier and offset for each output,
/// or one for all.
struct GemvEpilogue {
  Epilogue kind;
  llvm::ArrayRef<float> multiplier = {}, offset = {};
  ChannelsAttr encoding = {}; // of codes
  mlir::Value init = {};      // of `carrier_add`
  bool relu = false;          // of carriers
};

/// Packs one dot product on rows, its lanes outputs, into `gemv` ops.
class GemvBuilder {
public:
  /// `rows` are the input's codes, [rows, channels], sorted by precision.
  GemvBuilder(mlir::OpBuilder &builder, const DotProduct &dot, mlir::Value rows,
              ChannelsAttr encoding, mlir::StringAttr layer);
  /// The result, [rows, outputs].
  mlir::Value make(const GemvEpilogue &epilogue);

private:
  /// Outputs `[first, first + count)`, which fill `tiles` tiles.
  mlir::Value makePart(const GemvEpilogue &epilogue, int64_t first,
                       int64_t count, int64_t tiles, int64_t tileBlocks,
                       mlir::Value init);
  mlir::Value makeWeights(int64_t first, int64_t tiles, int64_t tileBlocks);
  /// The part of output `n`'s sum that its weights alone make.
  int64_t getLaneBias(int64_t n) const;
  int64_t getCode(int64_t output, int64_t channel) const {
    return codes[output * dot.channelsPerGroup + channel];
  }
  /// Slot `slot` of the word `word` of `words` of a segment of level 1 or 2.
  int64_t getSlotCode(int64_t output, int64_t segment, int64_t words,
                      int64_t word, int64_t slot) const;
  bool areCentred() const { return llvm::is_contained(levels, 2); }
  /// `byte_words` of outputs `[first, first + count)`.
  llvm::SmallVector<int64_t> getByteWords(int64_t first, int64_t count) const;

  mlir::OpBuilder &b;
  mlir::Location loc;
  const DotProduct &dot;
  ChannelsAttr encoding;
  mlir::StringAttr layer;
  int64_t numRows;
  std::vector<int8_t> codes;
  llvm::SmallVector<int64_t> levels, firsts, counts, coefficients;
  llvm::SmallVector<mlir::Value> rowWords;
  mlir::Value rowBias;
};

/// Whether no `v * multiplier + offset` of a sum `v` up to `bound` leaves the
/// range where it is rounded before it is clamped (`in_range` of `contract`).
bool areInRange(int64_t bound, llvm::ArrayRef<float> multiplier,
                llvm::ArrayRef<float> offset);
/// Codes of `op`'s reals, one a byte (HP7-HP10).
mlir::Value quantizeReals(mlir::OpBuilder &b, QuantizeOp op);
/// Codes of the sums `rows`, [rows, channels], by the float rule (HP15).
mlir::Value requantizeRows(mlir::OpBuilder &b, RequantizeOp op,
                           mlir::Value rows);
/// The reals that `codes`, one a byte, mean (HP3-HP5).
mlir::Value dequantizeCodes(mlir::OpBuilder &b, DequantizeOp op,
                            mlir::Value codes);

/// Sum of two carriers, in the order of `base`.
mlir::Value addPlanes(mlir::OpBuilder &b, mlir::Location loc,
                      const WidePlanes &base, const WidePlanes &rhs, bool relu);
/// HP17 of planes (`offset` may be empty).
mlir::Value scaleToCarrier(mlir::OpBuilder &b, mlir::Location loc,
                           const WidePlanes &wide,
                           llvm::ArrayRef<float> multiplier,
                           llvm::ArrayRef<float> offset, bool relu);
/// HP18 of planes.
mlir::Value scaleToReal(mlir::OpBuilder &b, mlir::Location loc,
                        const WidePlanes &wide,
                        llvm::ArrayRef<float> multiplier,
                        llvm::ArrayRef<float> offset);

/// A constant table of `T` (int8_t, int16_t, int32_t or float).
template <typename T>
mlir::Value makeTable(mlir::OpBuilder &b, mlir::Location loc,
                      llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<T> values) {
  mlir::Type element;
  if constexpr (std::is_same_v<T, float>)
    element = b.getF32Type();
  else
    element = b.getIntegerType(sizeof(T) * 8);
  auto type = mlir::RankedTensorType::get(shape, element);
  return mlir::arith::ConstantOp::create(
      b, loc, mlir::DenseElementsAttr::get(type, values));
}

/// The same with `bits` 8, 16 or 32 from 64-bit values that fit.
mlir::Value makeIntTable(mlir::OpBuilder &b, mlir::Location loc,
                         llvm::ArrayRef<int64_t> shape,
                         llvm::ArrayRef<int64_t> values, int64_t bits);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_PACKUTILS_H
