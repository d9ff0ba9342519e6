//===- PackedResults.cpp - Accumulators to codes of pixels ----------------===//

#include "PackedResults.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

PackedLayout PackedLayout::get(ChannelsAttr channels) {
  return {channels.getGrid(), PixelLayout::get(channels),
          int64_t(channels.getBits().size())};
}

ArrayAttr PackedLayout::describe(MLIRContext *context, int64_t pixels) const {
  Builder b(context);
  SmallVector<Attribute> list;
  for (const FragmentSegment &segment : pixel.segments) {
    auto entry = [&](StringRef name, Attribute value) {
      return b.getNamedAttr(name, value);
    };
    int64_t field = segment.getFieldBits(), words = segment.tapWords;
    CodePlaces places = {segment.activationBase * 32,
                         {{pixels, pixel.words * 32}},
                         {{words * 32 / field, field}},
                         {{segment.level, field > 1 ? 1 : words * 32}}};
    Attribute codes = describePlaces(b, "output", places, "m");
    list.push_back(b.getDictionaryAttr(
        {entry("channels", b.getI64IntegerAttr(segment.channels)),
         entry("bits", b.getI64IntegerAttr(segment.level)),
         entry("pieces", describePieces(b, segment)), entry("codes", codes)}));
  }
  return b.getArrayAttr(list);
}

PackedResults::PackedResults(KernelBuilder &k, const PackedLayout &packed,
                             const KernelArguments &args, Value rowBlock,
                             Value columnBlock)
    : k(k), packed(packed), args(args), columnBlock(columnBlock) {
  Value block = k.toI32(rowBlock);
  Value begin = k.mul(block, kBlockRows), group = k.i32(0);
  for (const FragmentSegment &segment : packed.pixel.segments) {
    auto create = [&](auto op, Value lhs, Value rhs) -> Value {
      return decltype(op)::create(k.b, k.loc, lhs, rhs);
    };
    int64_t first = segment.firstChannel, end = first + segment.channels;
    Value low = create(arith::MaxSIOp(), begin, k.i32(first));
    Value high = create(arith::MinSIOp(), k.add(begin, kBlockRows), k.i32(end));
    Part part;
    part.channels = create(arith::MaxSIOp(), k.sub(high, low), k.i32(0));
    part.groups = k.div(k.add(part.channels, kGroupRows - 1), kGroupRows);
    part.firstGroup = group;
    part.shift = k.sub(k.mul(group, kGroupRows), low);
    group = k.add(group, part.groups);
    // Behind the first piece all are whole blocks.
    Value later = k.add(k.mul(k.add(block, -(first / kBlockRows) - 1),
                              segment.getWords(kBlockRows)),
                        segment.getWords(segment.getFirstPiece()));
    part.firstWord =
        k.select(k.less(block, first / kBlockRows + 1), k.i32(0), later);
    parts.push_back(part);
  }
}

Value PackedResults::pick(Value row, ValueRange choices) {
  Value picked = choices.back();
  for (size_t i = choices.size() - 1; i > 0; --i)
    picked = k.select(k.less(row, packed.pixel.segments[i].firstChannel),
                      choices[i - 1], picked);
  return picked;
}

Value PackedResults::getPlace(Value row) {
  SmallVector<Value> shifts;
  for (const Part &part : parts)
    shifts.push_back(part.shift);
  return k.toIndex(k.add(k.toI32(row), pick(row, shifts)));
}

Value PackedResults::requantize(Value acc, Value row) {
  if (args.rowBias)
    acc = k.add(acc, memref::LoadOp::create(k.b, k.loc, args.rowBias, row));
  // What the row's level decides.
  auto pickByLevel = [&](llvm::function_ref<float(int8_t level)> of) {
    SmallVector<Value> choices;
    for (const FragmentSegment &segment : packed.pixel.segments)
      choices.push_back(k.real(of(segment.level)));
    return pick(row, choices);
  };
  return k.toCode(packed.grid, k.scale(args, acc, row), pickByLevel);
}

SmallVector<Value> PackedResults::packWords(int8_t level, int64_t plane,
                                            ValueRange bytes) {
  SmallVector<Value> words;
  auto append = [&](Value part, int64_t shift) {
    Value placed = k.shiftLeft(part, shift);
    if (shift == 0)
      words.push_back(placed);
    else
      words.back() = arith::OrIOp::create(k.b, k.loc, words.back(), placed);
  };
  auto orShifted = [&](Value x, int64_t shift, int64_t mask) {
    return k.bitAnd(arith::OrIOp::create(k.b, k.loc, x, k.shiftRight(x, shift)),
                    mask);
  };
  if (level == 8)
    return SmallVector<Value>(bytes);
  for (auto [i, four] : llvm::enumerate(bytes)) {
    if (level == 4) {
      append(orShifted(orShifted(four, 4, 0x00ff00ff), 8, 0xffff),
             16 * (i % 2));
      continue;
    }
    // One bit of four bytes: the product has them in its four top bits.
    Value bits = k.bitAnd(k.shiftRight(four, plane), 0x01010101);
    append(k.shiftRight(k.mul(bits, 0x10204080), 28), 4 * i);
  }
  return words;
}

void PackedResults::emitIf(Value condition, llvm::function_ref<void()> emit) {
  scf::IfOp::create(k.b, k.loc, condition, [&](OpBuilder &, Location) {
    emit();
    scf::YieldOp::create(k.b, k.loc);
  });
}

Value PackedResults::isPositive(Value value) {
  return arith::CmpIOp::create(k.b, k.loc, arith::CmpIPredicate::sgt, value,
                               k.i32(0));
}

void PackedResults::storeGroup(const FragmentSegment &segment, const Part &part,
                               Value group, Value pixel, ValueRange bytes) {
  int64_t codes = 32 / segment.getFieldBits();
  for (int64_t plane = 0; plane < segment.getNumPlanes(); ++plane) {
    SmallVector<Value> words = packWords(segment.level, plane, bytes);
    Value first = k.add(k.mul(group, words.size()), part.firstWord);
    first = k.add(k.toIndex(first),
                  segment.activationBase + plane * segment.tapWords);
    for (auto [i, word] : llvm::enumerate(words)) {
      // Behind the last channel are no codes: zeros, as sums of codes count
      // all that is there.
      Value rest = k.sub(part.channels, k.mul(group, kGroupRows));
      rest = k.add(rest, -int64_t(i) * codes);
      Value bits = k.mul(rest, segment.getFieldBits());
      Value mask = k.add(arith::ShLIOp::create(k.b, k.loc, k.i32(1), bits), -1);
      Value isWhole = isPositive(k.add(rest, 1 - codes));
      Value masked = k.select(isWhole, word,
                              arith::AndIOp::create(k.b, k.loc, word, mask));
      emitIf(isPositive(rest), [&, i = i] {
        memref::StoreOp::create(k.b, k.loc, masked, args.output,
                                k.add(k.add(pixel, first), i));
      });
    }
  }
}

void PackedResults::store(Value thread, int64_t threads, Value shared,
                          int64_t batch) {
  Value column = k.rem(thread, kBlockColumns);
  Value m = k.add(k.mul(columnBlock, kBlockColumns), column);
  Value pixel = k.mul(m, packed.pixel.words);
  int64_t apart = threads / kBlockColumns;
  emitIf(k.less(m, batch), [&] {
    // A thread packs every second group of a column.
    for (int64_t i = 0; i < kGroups; i += apart) {
      Value place = k.add(k.div(thread, kBlockColumns), i);
      Value at =
          k.add(k.mul(column, kColumnBytes / 4), k.mul(place, kGroupRows / 4));
      SmallVector<Value> bytes;
      for (int64_t word = 0; word < kGroupRows / 4; ++word)
        bytes.push_back(
            memref::LoadOp::create(k.b, k.loc, shared, k.add(at, word)));
      for (auto [segment, part] :
           llvm::zip_equal(packed.pixel.segments, parts)) {
        // Groups in front of the part are large numbers here.
        Value group = k.sub(k.toI32(place), part.firstGroup);
        Value isOwn = arith::CmpIOp::create(
            k.b, k.loc, arith::CmpIPredicate::ult, group, part.groups);
        emitIf(isOwn, [&, &segment = segment, &part = part] {
          storeGroup(segment, part, group, pixel, bytes);
        });
      }
    }
  });
}
