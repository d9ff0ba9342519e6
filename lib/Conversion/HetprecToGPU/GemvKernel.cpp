//===- GemvKernel.cpp - Products that stream the weights once -------------===//
//
// A block computes 16 rows; its warps take turns along the inner dimension, so
// that a block reads one contiguous stream. The columns of the MMAs are rows of
// activations, at level 2 pairs of bit planes of a row: lane (g, t) holds the
// sums of batch rows t and t + 4 after every segment, whatever its level.
// Columns that stand for no row repeat the last one and are ignored.
//
//===----------------------------------------------------------------------===//

#include "GemvKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace sysmol;

/// Batch rows of one lane: t, and t + 4 where the batch has more than 4.
static int64_t getRowsPerLane(const FragmentLayout &layout) {
  return layout.batch > 4 ? 2 : 1;
}

int64_t sysmol::getGemvGridSize(const FragmentLayout &layout) {
  return layout.paddedRows / kFragmentRows;
}

int64_t sysmol::getGemvSharedWords(const FragmentLayout &layout,
                                   const GemvOptions &options) {
  return options.warps * kFragmentRows * 4 * getRowsPerLane(layout);
}

namespace {

/// One kernel while it is written.
class Gemv {
public:
  Gemv(KernelBuilder &k, const FragmentLayout &layout,
       const GemvOptions &options, const KernelArguments &args)
      : k(k), layout(layout), options(options), args(args),
        perLane(getRowsPerLane(layout)) {
    thread = gpu::ThreadIdOp::create(k.b, k.loc, gpu::Dimension::x);
    rowTile = gpu::BlockIdOp::create(k.b, k.loc, gpu::Dimension::x);
    warp = k.div(thread, 32);
    lane = k.rem(thread, 32);
    group = k.div(lane, 4);
    place = k.rem(lane, 4);
  }

  /// Sums of this warp's share: rows g and g + 8, times `perLane`.
  SmallVector<Value> sumSegments() {
    SmallVector<Value> totals(2 * perLane, k.i32(0));
    for (const FragmentSegment &segment : layout.segments)
      sumSegment(segment, totals);
    return totals;
  }
  /// Adds the warps' sums and stores the results.
  void finish(ArrayRef<Value> totals, KernelResult result, Value shared);

private:
  void sumSegment(const FragmentSegment &segment, SmallVector<Value> &totals);
  /// Accumulators behind the steps `first + u * warps`, u < count.
  SmallVector<Value> sumSteps(const FragmentSegment &segment, ValueRange sums,
                              Value first, int64_t count);

  KernelBuilder &k;
  const FragmentLayout &layout;
  const GemvOptions &options;
  const KernelArguments &args;
  int64_t perLane;
  Value thread, rowTile, warp, lane, group, place;
  /// Of the segment being written: first word of this lane's weights, and of
  /// its column of activations in each tile of columns.
  Value weightStart;
  SmallVector<Value> columnStarts;
};

} // namespace

SmallVector<Value> Gemv::sumSteps(const FragmentSegment &segment,
                                  ValueRange sums, Value first, int64_t count) {
  int64_t planes = segment.getNumPlanes(), tiles = columnStarts.size();
  // All loads first: they are what has to be in flight.
  SmallVector<SmallVector<Value>> a, b;
  for (int64_t u = 0; u < count; ++u) {
    Value step = k.add(first, u * options.warps);
    Value at = k.add(weightStart, k.mul(step, planes * kFragmentWords));
    for (int64_t plane = 0; plane < planes; ++plane)
      a.push_back(k.load(args.weights, k.add(at, plane * kFragmentWords), 4));
    for (Value start : columnStarts)
      b.push_back(
          k.load(args.activations, k.add(start, k.mul(step, kStepWords)), 2));
  }
  SmallVector<Value> result(sums);
  SmallVector<Value> ones = k.ones(segment.level);
  int64_t products = segment.hasSums() ? planes + 1 : planes;
  for (int64_t u = 0; u < count; ++u)
    for (int64_t tile = 0; tile < tiles; ++tile)
      // The last of these sums is that of the activations alone.
      for (int64_t plane = 0; plane < products; ++plane) {
        auto place = result.begin() + 4 * (tile * (planes + 1) + plane);
        SmallVector<Value> c(place, place + 4);
        llvm::copy(k.mma(layout.grid, segment.level,
                         plane < planes ? a[u * planes + plane] : ones,
                         b[u * tiles + tile], c),
                   place);
      }
  return result;
}

void Gemv::sumSegment(const FragmentSegment &segment,
                      SmallVector<Value> &totals) {
  int64_t planes = segment.getNumPlanes();
  int64_t tiles = segment.level == 2 ? perLane : 1;
  int64_t planeWords = segment.steps * kStepWords;
  weightStart = k.add(k.mul(rowTile, segment.steps * planes * kFragmentWords),
                      k.add(k.mul(lane, 4), segment.weightBase));
  columnStarts.clear();
  for (int64_t tile = 0; tile < tiles; ++tile) {
    Value half = k.div(group, 2), odd = k.rem(group, 2);
    Value row =
        segment.level == 2 ? k.add(half, 4 * tile) : k.add(half, k.mul(odd, 4));
    Value start = k.mul(k.min(row, layout.batch - 1), planes * planeWords);
    if (segment.level == 2)
      start = k.add(start, k.mul(odd, planeWords));
    columnStarts.push_back(
        k.add(start, k.add(k.mul(place, 2), segment.activationBase)));
  }

  int64_t warps = options.warps;
  int64_t count = std::max<int64_t>(1, options.unroll / planes);
  SmallVector<Value> sums(4 * tiles * (planes + 1), k.i32(0));
  int64_t done = segment.steps / (warps * count) * (warps * count);
  if (done > 0) {
    auto loop = scf::ForOp::create(
        k.b, k.loc, warp, k.add(warp, done), k.index(warps * count), sums,
        [&](OpBuilder &, Location, Value step, ValueRange iterSums) {
          scf::YieldOp::create(k.b, k.loc,
                               sumSteps(segment, iterSums, step, count));
        });
    sums.assign(loop.getResults().begin(), loop.getResults().end());
  }
  if (int64_t rest = (segment.steps - done) / warps) {
    sums = sumSteps(segment, sums, k.add(warp, done), rest);
    done += rest * warps;
  }
  if (int64_t rest = segment.steps - done) {
    // Warps without a step repeat their sums: the branch is uniform in a warp.
    auto branch = scf::IfOp::create(
        k.b, k.loc, k.less(warp, rest),
        [&](OpBuilder &, Location) {
          scf::YieldOp::create(k.b, k.loc,
                               sumSteps(segment, sums, k.add(warp, done), 1));
        },
        [&](OpBuilder &, Location) { scf::YieldOp::create(k.b, k.loc, sums); });
    sums.assign(branch.getResults().begin(), branch.getResults().end());
  }

  // One code product a bit: planes count 1, 2, and so do those of columns.
  auto sum = [&](int64_t tile, int64_t plane, int64_t i) {
    return sums[4 * (tile * (planes + 1) + plane) + i];
  };
  for (int64_t half = 0; half < 2; ++half)
    for (int64_t e = 0; e < perLane; ++e) {
      Value products, codes;
      if (segment.level == 2) {
        auto column = [&](int64_t q) {
          return k.add(sum(e, 0, 2 * half + q),
                       k.mul(sum(e, 1, 2 * half + q), 2));
        };
        products = k.add(column(0), k.mul(column(1), 2));
        codes = k.add(sum(e, 2, 0), k.mul(sum(e, 2, 1), 2));
      } else {
        products = sum(0, 0, 2 * half + e);
        codes = sum(0, 1, e);
      }
      Value &total = totals[half * perLane + e];
      total = k.add(total, k.correct(layout.grid, segment, products, codes));
    }
}

void Gemv::finish(ArrayRef<Value> totals, KernelResult result, Value shared) {
  int64_t columns = 4 * perLane;
  for (int64_t half = 0; half < 2; ++half)
    for (int64_t e = 0; e < perLane; ++e) {
      Value column = k.add(place, 4 * e), row = k.add(group, 8 * half);
      Value at =
          k.add(k.mul(k.add(k.mul(warp, columns), column), kFragmentRows), row);
      memref::StoreOp::create(k.b, k.loc, totals[half * perLane + e], shared,
                              at);
    }
  gpu::BarrierOp::create(k.b, k.loc);
  // One thread a result: rows are neighbours.
  Value batch = k.div(thread, kFragmentRows);
  Value row =
      k.add(k.mul(rowTile, kFragmentRows), k.rem(thread, kFragmentRows));
  Value valid = k.less(thread, layout.batch * kFragmentRows);
  if (layout.rows != layout.paddedRows)
    valid = arith::AndIOp::create(k.b, k.loc, valid, k.less(row, layout.rows));
  scf::IfOp::create(k.b, k.loc, valid, [&](OpBuilder &, Location) {
    Value acc;
    for (int64_t w = 0; w < options.warps; ++w) {
      Value part = memref::LoadOp::create(
          k.b, k.loc, shared, k.add(thread, w * columns * kFragmentRows));
      acc = acc ? k.add(acc, part) : part;
    }
    k.store(layout, args, result, acc, batch, row);
    scf::YieldOp::create(k.b, k.loc);
  });
}

void sysmol::emitGemv(KernelBuilder &k, const FragmentLayout &layout,
                      const GemvOptions &options, const KernelArguments &args,
                      KernelResult result, Value shared) {
  Gemv gemv(k, layout, options, args);
  SmallVector<Value> totals = gemv.sumSegments();
  gemv.finish(totals, result, shared);
}
