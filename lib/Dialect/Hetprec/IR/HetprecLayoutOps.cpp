//===- HetprecLayoutOps.cpp - How packed codes lie in memory: checks ------===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "PackedOpUtils.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace sysmol::hetprec;

HETPREC_PACKED_OP_EFFECTS(PackLanesOp)
HETPREC_PACKED_OP_EFFECTS(UnpackLanesOp)
HETPREC_PACKED_OP_EFFECTS(SplitPhasesOp)
HETPREC_PACKED_OP_EFFECTS(SpreadLanesOp)
HETPREC_PACKED_OP_EFFECTS(FoldTapsOp)
HETPREC_PACKED_OP_EFFECTS(MaxPoolLanesOp)

//===----------------------------------------------------------------------===//
// PackLanesOp, UnpackLanesOp
//===----------------------------------------------------------------------===//

/// Strides and pads of rows and columns, and phases of these strides.
static LogicalResult verifyPhases(Operation *op, ArrayRef<int64_t> strides,
                                  ArrayRef<int64_t> pads,
                                  ArrayRef<int64_t> phases) {
  auto outside = [](int64_t low) {
    return [low](int64_t v) { return v < low || v > INT32_MAX; };
  };
  if (strides.size() != 2 || llvm::any_of(strides, outside(1)) ||
      llvm::any_of(pads, outside(0)))
    return op->emitOpError("needs two positive strides, and pads in [0, 2^31)");
  if (phases.empty() || llvm::any_of(phases, [&](int64_t phase) {
        return phase < 0 || phase >= strides[0] * strides[1];
      }))
    return op->emitOpError("needs phases of its strides");
  return success();
}

/// What pack_lanes and unpack_lanes say of `outside`, [N, C, H, W] or [N, C],
/// and of `planes` of words (level 0: of sums), one in each of `phases`, or in
/// none.
static LogicalResult verifyPlanes(Operation *op, Value outside, Value planes,
                                  int64_t level, ArrayRef<int64_t> channels,
                                  LanesAttr layout,
                                  ArrayRef<int64_t> phases = {}) {
  if (level != 0 && failed(verifyLevel(op, level)))
    return failure();
  auto image = cast<ShapedType>(outside.getType());
  auto words = cast<ShapedType>(planes.getType());
  if (!image.hasStaticShape() || !words.hasStaticShape() ||
      (image.getRank() != 4 && image.getRank() != 2) || words.getRank() != 2)
    return op->emitOpError("needs [N, C, H, W] or [N, C], and planes, of known "
                           "sizes");
  Type word = words.getElementType();
  if (level != 0 && !word.isInteger(getWordBits(level)))
    return op->emitOpError("has planes of the words of its level");
  if (level == 0 && image.getElementType() != word)
    return op->emitOpError("level 0 keeps the type of its elements");
  if (level == 0 && !word.isInteger(16) && !word.isInteger(32) && !word.isF32())
    return op->emitOpError("level 0 has planes of i16, i32 or f32");
  // Even lanes of a block come first: half a block has no place.
  if (level == 0 && layout.getSize() % kLaneBlock != 0)
    return op->emitOpError("wide planes have whole blocks of 64 lanes");
  int64_t slots = level == 0 ? 1 : getChannelsPerWord(level);
  int64_t least = level == 0 ? 0 : -1;
  if (channels.empty() || int64_t(channels.size()) % slots != 0 ||
      llvm::any_of(channels, [&](int64_t channel) {
        return channel < least || channel >= image.getDimSize(1);
      }))
    return op->emitOpError("needs a channel for each slot of its words");
  int64_t perChannel = std::max<int64_t>(1, phases.size());
  if (words.getDimSize(0) != int64_t(channels.size()) / slots * perChannel ||
      words.getDimSize(1) != layout.getSize())
    return op->emitOpError("needs planes of its channels and layout");
  bool isImage = image.getRank() == 4;
  if (layout.getImages() != image.getDimSize(0) ||
      (phases.empty() &&
       (layout.getHeight() != (isImage ? image.getDimSize(2) : 1) ||
        layout.getWidth() != (isImage ? image.getDimSize(3) : 1))))
    return op->emitOpError("needs a layout of as many images and pixels");
  return success();
}

LogicalResult PackLanesOp::verify() {
  auto input = cast<ShapedType>(getInput().getType());
  bool isReal = isa<FloatType>(input.getElementType());
  if (getMultiplier().has_value() != (isReal && getLevel() != 0))
    return emitOpError("needs a multiplier for codes of reals, and only there");
  ArrayRef<int64_t> phases = getPhases();
  bool splits = !phases.empty() || !getStrides().empty() || !getPads().empty();
  if (splits) {
    if (input.getRank() != 4 || getLevel() == 0 || getPads().size() != 2)
      return emitOpError("needs phases, two strides and two pads together, and "
                         "codes [N, C, H, W]");
    if (failed(verifyPhases(*this, getStrides(), getPads(), phases)))
      return failure();
  }
  if (failed(verifyPlanes(*this, getInput(), getInit(), getLevel(),
                          getChannels(), getLayout(), phases)))
    return failure();
  if (getLevel() != 0 && !input.getElementType().isInteger(8) &&
      !(input.getElementType().isF32() && input.getRank() == 4))
    return emitOpError(
        "packs codes of 8 bits, or reals of 32 bits [N, C, H, W]");
  return success();
}

LogicalResult UnpackLanesOp::verify() {
  if (getLevel() != 0 &&
      !getElementTypeOrSelf(getInit().getType()).isInteger(8))
    return emitOpError("unpacks codes of 8 bits");
  return verifyPlanes(*this, getInit(), getInput(), getLevel(), getChannels(),
                      getLayout());
}

//===----------------------------------------------------------------------===//
// SplitPhasesOp
//===----------------------------------------------------------------------===//

LogicalResult SplitPhasesOp::verify() {
  // The pads behind the last row and column are in the layout.
  if (getPads().size() != 2 && getPads().size() != 4)
    return emitOpError("needs two or four pads");
  if (failed(verifyPhases(*this, getStrides(), getPads(), getPhases())))
    return failure();
  auto input = cast<ShapedType>(getInput().getType());
  auto init = cast<ShapedType>(getInit().getType());
  if (!input.hasStaticShape() || !init.hasStaticShape() ||
      input.getRank() != 2 || init.getRank() != 2 ||
      input.getElementType() != init.getElementType() ||
      init.getDimSize(0) != input.getDimSize(0) * int64_t(getPhases().size()))
    return emitOpError("needs planes of known sizes, the same words in each "
                       "phase");
  if (input.getDimSize(1) != getFrom().getSize() ||
      init.getDimSize(1) != getTo().getSize() ||
      getFrom().getImages() != getTo().getImages())
    return emitOpError("needs planes of its layouts, of as many images");
  return success();
}

//===----------------------------------------------------------------------===//
// SpreadLanesOp
//===----------------------------------------------------------------------===//

LogicalResult SpreadLanesOp::verify() {
  if (failed(verifyLevel(*this, getLevel())))
    return failure();
  int64_t channels = getChannels(), first = getFirst();
  int64_t slots = getChannelsPerWord(getLevel());
  auto input = cast<ShapedType>(getInput().getType());
  auto init = cast<ShapedType>(getInit().getType());
  if (input.getElementTypeBitWidth() != getWordBits(getLevel()) ||
      init.getElementTypeBitWidth() != 8)
    return emitOpError("spreads the words of its level to bytes");
  if (!input.hasStaticShape() || !init.hasStaticShape() ||
      input.getRank() != 2 || init.getRank() != 2)
    return emitOpError("needs planes of known sizes");
  if (channels < 1 || first < 0 ||
      input.getDimSize(0) != int64_t(llvm::divideCeil(channels, slots)))
    return emitOpError("needs the words of its channels");
  bool splits = !getRowPhases().empty();
  if (splits != getFrom().has_value() || splits != getTo().has_value() ||
      (splits ? getPads().size() != 2 : !getPads().empty()))
    return emitOpError("needs row_phases, two pads, from and to together");
  int64_t stride = getStride();
  if (stride < 1 || (!splits && stride != 1) ||
      llvm::any_of(getPads(), [](int64_t p) { return p < 0 || p > INT32_MAX; }))
    return emitOpError(
        "needs a positive stride, 1 without row_phases, and pads "
        "in [0, 2^31)");
  if (llvm::any_of(getRowPhases(),
                   [&](int64_t row) { return row < 0 || row >= stride; }))
    return emitOpError("needs row_phases in [0, stride)");
  int64_t phases = getNumPhases();
  if (init.getDimSize(0) % phases != 0 ||
      channels > init.getDimSize(0) / phases ||
      first > init.getDimSize(0) / phases - channels)
    return emitOpError("needs a plane for each channel in each phase");
  if (splits && (getFrom()->getSize() > input.getDimSize(1) ||
                 getTo()->getSize() != init.getDimSize(1) ||
                 getFrom()->getImages() != getTo()->getImages()))
    return emitOpError("needs planes of its layouts, of as many images");
  if (!splits && (input.getDimSize(1) != init.getDimSize(1) ||
                  init.getDimSize(1) % kLaneBlock != 0))
    return emitOpError("needs the same lanes on both sides, in blocks of 64");
  return success();
}

//===----------------------------------------------------------------------===//
// FoldTapsOp
//===----------------------------------------------------------------------===//

LogicalResult FoldTapsOp::verify() {
  if (failed(verifyLevel(*this, getLevel())))
    return failure();
  auto input = cast<ShapedType>(getInput().getType());
  auto init = cast<ShapedType>(getInit().getType());
  int64_t bits = getWordBits(getLevel());
  if (input.getElementTypeBitWidth() != bits ||
      init.getElementTypeBitWidth() != bits)
    return emitOpError("folds the words of its level");
  if (!input.hasStaticShape() || !init.hasStaticShape() ||
      input.getRank() != 2 || init.getRank() != 2 || input.getDimSize(0) < 1)
    return emitOpError("needs planes of known sizes");
  int64_t perWord = getChannelsPerWord(getLevel()), slots = 0;
  for (int64_t channels : getChannels()) {
    if (channels < 1 || channels > perWord)
      return emitOpError() << "folds 1 to " << perWord << " channels of a word";
    slots += channels;
  }
  ArrayRef<int64_t> taps = getTaps(), tapPhases = getTapPhases();
  constexpr int64_t most = int64_t(1) << 40; // sums of these do not overflow
  if (taps.empty() || taps.size() != getChannels().size() ||
      llvm::any_of(taps, [](int64_t t) { return t < 0 || t > most; }))
    return emitOpError("needs taps, in [0, 2^40], and channels for each");
  if (!tapPhases.empty() && (tapPhases.size() != taps.size() ||
                             llvm::any_of(tapPhases, [&](int64_t phase) {
                               return phase < 0 || phase >= input.getDimSize(0);
                             })))
    return emitOpError("needs one tap_phases entry for each tap, a plane");
  if (init.getDimSize(0) != int64_t(llvm::divideCeil(slots, perWord)))
    return emitOpError("needs as many words as the taps of its channels fill");
  int64_t begin = getLaneBegin(), count = getLaneCount();
  if (begin < 0 || begin > most || count < 1 || count > most ||
      count % kLaneBlock != 0 || begin + count > init.getDimSize(1) ||
      begin + count + *llvm::max_element(taps) > input.getDimSize(1))
    return emitOpError("reads and writes blocks of 64 lanes that the planes "
                       "have");
  return success();
}

//===----------------------------------------------------------------------===//
// MaxPoolLanesOp
//===----------------------------------------------------------------------===//

LogicalResult MaxPoolLanesOp::verify() {
  if (failed(verifyLevel(*this, getLevel())))
    return failure();
  auto input = cast<ShapedType>(getInput().getType());
  auto init = cast<ShapedType>(getInit().getType());
  auto mask = cast<ShapedType>(getMask().getType());
  int64_t bits = getWordBits(getLevel());
  if (input.getElementTypeBitWidth() != bits ||
      init.getElementTypeBitWidth() != bits)
    return emitOpError("pools the words of its level");
  if (!input.hasStaticShape() || !init.hasStaticShape() ||
      input.getRank() != 2 || init.getRank() != 2 || init.getDimSize(0) < 1 ||
      input.getDimSize(0) % init.getDimSize(0) != 0)
    return emitOpError("needs planes of known sizes, the same words in each "
                       "phase");
  int64_t phases = input.getDimSize(0) / init.getDimSize(0);
  if (mask.getRank() != 1 || !mask.getElementType().isInteger(8) ||
      mask.getDimSize(0) != init.getDimSize(1))
    return emitOpError("needs a mask byte for each lane of its init");
  ArrayRef<int64_t> taps = getTaps(), tapPhases = getTapPhases();
  constexpr int64_t most = int64_t(1) << 40; // sums of these do not overflow
  if (taps.empty() ||
      llvm::any_of(taps, [](int64_t t) { return t < 0 || t > most; }))
    return emitOpError("needs taps, in [0, 2^40]");
  if (tapPhases.empty() ? phases != 1
                        : tapPhases.size() != taps.size() ||
                              llvm::any_of(tapPhases, [&](int64_t phase) {
                                return phase < 0 || phase >= phases;
                              }))
    return emitOpError("needs one tap_phases entry for each tap, a phase");
  int64_t begin = getLaneBegin(), count = getLaneCount(), origin = getOrigin();
  if (begin < 0 || begin > most || count < 1 || count > most ||
      count % kLaneBlock != 0 || begin + count > init.getDimSize(1) ||
      origin < -most || origin > most || begin + origin < 0 ||
      begin + origin + count + *llvm::max_element(taps) > input.getDimSize(1))
    return emitOpError("reads and writes blocks of 64 lanes that the planes "
                       "have");
  return success();
}
