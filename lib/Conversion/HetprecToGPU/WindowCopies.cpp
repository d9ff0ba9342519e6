//===- WindowCopies.cpp - A convolution's activations to stages -----------===//

#include "WindowCopies.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol;

/// A y of no pixel, whatever the tap: for columns behind the batch.
static constexpr int64_t kNowhere = -(int64_t(1) << 30);

void WindowCopies::prepare(Value thread, Value columnBlock) {
  const Window &window = *layout.window;
  Value isColumn = k.less(thread, kBlockColumns);
  scf::IfOp::create(k.b, k.loc, isColumn, [&](OpBuilder &, Location) {
    Value m = k.toI32(k.add(k.mul(columnBlock, kBlockColumns), thread));
    Value row = k.div(m, window.outWidth);
    Value image = k.div(row, window.outHeight);
    Value y = k.add(k.mul(k.rem(row, window.outHeight), window.strides[0]),
                    -window.pads[0]);
    Value x = k.add(k.mul(k.rem(m, window.outWidth), window.strides[1]),
                    -window.pads[1]);
    y = k.select(k.less(m, layout.batch), y, k.i32(kNowhere));
    Value words[] = {y, x, k.mul(image, window.height), k.i32(0)};
    Value at = k.add(k.mul(thread, kColumnWords), tableAt);
    auto type = VectorType::get(kColumnWords, k.b.getI32Type());
    Value all = vector::FromElementsOp::create(k.b, k.loc, type, words);
    vector::StoreOp::create(k.b, k.loc, all, shared, at, /*nontemporal=*/false,
                            llvm::MaybeAlign(16));
    scf::YieldOp::create(k.b, k.loc);
  });
}

WindowCopies::Place WindowCopies::loadPlace(Value column) {
  SmallVector<Value> words =
      k.load(shared, k.add(k.mul(column, kColumnWords), tableAt), kColumnWords);
  return {words[0], words[1], words[2]};
}

std::pair<Value, Value> WindowCopies::findPixel(const Place &place, Value tapY,
                                                Value tapX) {
  const Window &window = *layout.window;
  // Negative numbers are large ones here.
  Value y = k.add(place.y, k.mul(tapY, window.dilations[0]));
  Value x = k.add(place.x, k.mul(tapX, window.dilations[1]));
  Value inside = arith::AndIOp::create(k.b, k.loc, k.less(y, window.height),
                                       k.less(x, window.width));
  Value pixel = k.add(k.mul(k.add(place.firstRow, y), window.width), x);
  return {k.select(inside, pixel, k.i32(0)), inside};
}

void WindowCopies::copySegment(size_t index, Value thread, Value stage,
                               Value to, int64_t columnsApart,
                               int64_t columnStride) {
  const Window &window = *layout.window;
  const FragmentSegment &segment = layout.segments[index];
  int64_t planes = segment.getNumPlanes();
  int64_t piece = segment.copyWords, taps = window.getNumTaps();
  Value unit = k.toI32(k.rem(thread, kUnits));
  Value step = k.div(unit, 2);
  Value first = k.add(
      k.mul(k.add(k.toI32(stage), -segment.firstStage), kStageSteps / planes),
      k.div(step, planes));
  first = k.add(k.mul(first, kStepWords), k.mul(k.rem(unit, 2), 4));
  Value base = k.add(k.mul(k.rem(step, planes), segment.tapWords),
                     segment.activationBase);
  for (int64_t word = 0; word < 4; word += piece) {
    Value at = k.add(first, word);
    Value tap = k.div(at, segment.tapWords);
    Value from = k.add(base, k.rem(at, segment.tapWords));
    Value tapY = k.div(tap, window.taps[1]), tapX = k.rem(tap, window.taps[1]);
    Value isTap = k.less(tap, taps);
    for (int64_t column = 0; column < kBlockColumns; column += columnsApart) {
      // Loaded again for every piece: accumulators need the registers.
      Place place = loadPlace(k.add(k.div(thread, kUnits), column));
      auto [pixel, isInside] = findPixel(place, tapY, tapX);
      Value isRead = arith::AndIOp::create(k.b, k.loc, isTap, isInside);
      Value source = k.add(k.mul(pixel, layout.pixelWords), from);
      source = k.toIndex(k.select(isRead, source, k.i32(0)));
      nvgpu::DeviceAsyncCopyOp::create(
          k.b, k.loc, shared,
          k.add(to, column / columnsApart * columnStride + word),
          args.activations, source, llvm::APInt(64, piece),
          k.select(isRead, k.index(piece), k.index(0)),
          /*bypassL1=*/UnitAttr()); // neighbouring windows read it again
    }
  }
}

void WindowCopies::copy(Value thread, Value stage, Value to,
                        int64_t columnsApart, int64_t columnStride) {
  // All threads of a block go the same way.
  std::function<void(size_t)> emitFrom = [&](size_t segment) {
    auto emit = [&] {
      copySegment(segment, thread, stage, to, columnsApart, columnStride);
    };
    if (segment + 1 == layout.segments.size())
      return emit();
    Value isThis = k.less(stage, layout.segments[segment + 1].firstStage);
    scf::IfOp::create(
        k.b, k.loc, isThis,
        [&](OpBuilder &, Location) {
          emit();
          scf::YieldOp::create(k.b, k.loc);
        },
        [&](OpBuilder &, Location) {
          emitFrom(segment + 1);
          scf::YieldOp::create(k.b, k.loc);
        });
  };
  emitFrom(0);
}

/// What `pixel` takes from the accumulators that it is part of.
static Value sumPixel(KernelBuilder &k, const FragmentLayout &layout,
                      Value activations, Value pixel) {
  Value start = k.mul(pixel, layout.pixelWords);
  Value total = k.i32(0);
  for (const FragmentSegment &segment : layout.segments) {
    if (!segment.hasSums())
      continue;
    for (int64_t plane = 0; plane < segment.getNumPlanes(); ++plane) {
      int64_t first = segment.activationBase + plane * segment.tapWords;
      auto loop = scf::ForOp::create(
          k.b, k.loc, k.index(0), k.index(segment.tapWords),
          k.index(segment.copyWords), k.i32(0),
          [&](OpBuilder &, Location, Value word, ValueRange sums) {
            Value sum = sums.front();
            for (Value codes :
                 k.load(activations, k.add(k.add(start, word), first),
                        segment.copyWords))
              sum = k.add(sum, k.sumCodes(segment.level, codes));
            scf::YieldOp::create(k.b, k.loc, sum);
          });
      Value sum = k.mul(loop.getResult(0), int64_t(1) << plane);
      // What `correct` subtracts: no products, minus the sums.
      total = k.sub(total, k.correct(layout.grid, segment, k.i32(0), sum));
    }
  }
  return total;
}

void WindowCopies::sumPixels(Value thread) {
  const Window &window = *layout.window;
  Value isColumn = k.less(thread, kBlockColumns);
  scf::IfOp::create(k.b, k.loc, isColumn, [&](OpBuilder &, Location) {
    Place place = loadPlace(thread);
    auto loop = scf::ForOp::create(
        k.b, k.loc, k.index(0), k.index(window.getNumTaps()), k.index(1),
        k.i32(0), [&](OpBuilder &, Location, Value tap, ValueRange sums) {
          Value tap32 = k.toI32(tap);
          auto [pixel, isInside] =
              findPixel(place, k.div(tap32, window.taps[1]),
                        k.rem(tap32, window.taps[1]));
          Value at = k.toIndex(pixel);
          Value sum = args.sums
                          ? memref::LoadOp::create(k.b, k.loc, args.sums, at)
                                .getResult()
                          : sumPixel(k, layout, args.activations, at);
          sum = k.select(isInside, sum, k.i32(0));
          Value next = k.add(sums.front(), sum);
          scf::YieldOp::create(k.b, k.loc, next);
        });
    memref::StoreOp::create(
        k.b, k.loc, loop.getResult(0), shared,
        k.add(thread, tableAt + kBlockColumns * kColumnWords));
    scf::YieldOp::create(k.b, k.loc);
  });
}

Value WindowCopies::getSum(Value column) {
  return memref::LoadOp::create(
      k.b, k.loc, shared,
      k.add(column, tableAt + kBlockColumns * kColumnWords));
}

//===----------------------------------------------------------------------===//
// Sums of pixels
//===----------------------------------------------------------------------===//

bool sysmol::sumsOwnPixels(const FragmentLayout &layout) {
  constexpr int64_t kMostWords = 128;
  // As many as run at a time: more blocks would sum most pixels again.
  constexpr int64_t kMostBlocks = 256;
  if (layout.getNumBlocks() > kMostBlocks)
    return false;
  int64_t words = 0;
  for (const FragmentSegment &segment : layout.segments)
    if (segment.hasSums())
      words += segment.getNumPlanes() * segment.tapWords;
  return words * layout.window->getNumTaps() <= kMostWords;
}

int64_t sysmol::getPixelSumsGridSize(const FragmentLayout &layout) {
  return llvm::divideCeil(layout.window->getNumPixels(), kPixelSumThreads);
}

void sysmol::emitPixelSums(KernelBuilder &k, const FragmentLayout &layout,
                           const KernelArguments &args) {
  Value thread = gpu::ThreadIdOp::create(k.b, k.loc, gpu::Dimension::x);
  Value block = gpu::BlockIdOp::create(k.b, k.loc, gpu::Dimension::x);
  Value pixel = k.add(k.mul(block, kPixelSumThreads), thread);
  Value isPixel = k.less(pixel, layout.window->getNumPixels());
  scf::IfOp::create(k.b, k.loc, isPixel, [&](OpBuilder &, Location) {
    Value total = sumPixel(k, layout, args.activations, pixel);
    memref::StoreOp::create(k.b, k.loc, total, args.sums, pixel);
    scf::YieldOp::create(k.b, k.loc);
  });
}
