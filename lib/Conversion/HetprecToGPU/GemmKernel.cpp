//===- GemmKernel.cpp - Products in tiles of shared memory ----------------===//
//
// A block of eight warps, two by four, computes 128 rows of weights times 128
// of activations, or fewer rows of weights where there are no more. Stages of
// four steps flow through shared memory, all segments in one pipeline. Every
// product ends in registers: segments go from coarse to fine, and what is
// summed is multiplied by the ratio of their product counts in between, so that
// one set of accumulators serves all. Level 2 has three while it lasts, for the
// plane pairs that count 1, 2 and 4. Level 4 is of nibbles, or of bytes that
// are spread from them; level 8 is of signed bytes.
//
// A warpgroup's MMA (wgmma) reads activations from shared memory itself, as
// they lie in their stage. Nibbles are spread into bytes behind all stages
// first.
//
// A convolution is the same product: its activations come into the stages from
// wherever their windows are in the image (WindowCopies.h).
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"

#include "WindowCopies.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

/// Warps that share the rows of a block.
static constexpr int64_t kWarpRows = 2;
/// In shared memory one step of all columns, and 32 bytes so that the copies of
/// neighbouring steps fall into different banks.
static constexpr int64_t kStepStride = kBlockColumns * kStepWords + 8;
/// For wgmma a step's left and right halves (16 bytes a column) lie apart, in
/// core matrices of eight columns; again 16 bytes more than a power of two.
static constexpr int64_t kHalfStride = kStepStride / 2;

/// Of a stage in shared memory: weights, then activations.
static int64_t getSlotWords(const FragmentLayout &layout) {
  return layout.getStageWords() + kStageSteps * kStepStride;
}

/// Of the bytes that a stage of nibbles is spread to: two steps for one.
static int64_t getSpreadWords(const FragmentLayout &layout) {
  bool hasNibbles =
      llvm::any_of(layout.segments, [](const FragmentSegment &segment) {
        return segment.level == 4;
      });
  return layout.isByWarpgroup() && hasNibbles ? 2 * kStageSteps * kStepStride
                                              : 0;
}

static int64_t getSharedWords(const FragmentLayout &layout,
                              const GemmOptions &options) {
  return options.stages * getSlotWords(layout) + getSpreadWords(layout) +
         (layout.window ? WindowCopies::kTableWords : 0);
}

int64_t sysmol::getGemmSharedBytes(const FragmentLayout &layout,
                                   const GemmOptions &options) {
  return getSharedWords(layout, options) * 4;
}

namespace {

/// One kernel while it is written.
class Gemm {
public:
  Gemm(KernelBuilder &k, const FragmentLayout &layout,
       const GemmOptions &options, const KernelArguments &args);
  void emit(KernelResult result, const PackedLayout *packed);

private:
  /// Copies stage `stage` (the last one, if there is none) into its slot.
  Value copyStage(Value stage);
  /// Makes copies one group, which may be empty.
  Value commitCopies(ValueRange tokens);
  /// 16 bytes, past L1: each is read once a block.
  Value copyFour(Value from, Value at, Value to);
  void copyActivations(Value stage, Value slot, SmallVectorImpl<Value> &tokens);
  /// Calls `emit` with each of a thread's accumulators, `factor` times the sums
  /// of products of codes and corrected, and its row and column in the block.
  void forEachResult(
      ValueRange totals, int64_t factor,
      llvm::function_ref<void(Value acc, Value row, Value column)> emit);
  /// Codes of the accumulators, or of the carriers, which are stored, too.
  void storeCodes(KernelResult result, const PackedLayout &packed,
                  ValueRange totals, int64_t factor);
  /// The carrier, 0 where the block has no such row or column.
  Value storeCarrier(Value acc, Value row, Value batch);
  bool isWhole() const {
    return layout.rows == layout.paddedRows &&
           layout.batch == layout.paddedBatch;
  }
  /// Whether there is such an output.
  Value isResult(Value row, Value batch) {
    return arith::AndIOp::create(k.b, k.loc, k.less(row, layout.rows),
                                 k.less(batch, layout.batch));
  }
  /// `sums` behind the first `steps` of a stage of `segment`; starts copies of
  /// a later stage, if there are `more`.
  SmallVector<Value> sumStage(const FragmentSegment &segment, ValueRange sums,
                              Value stage, int64_t steps, bool more = true);
  /// The same of what lies in the slot that begins at word `slot`.
  SmallVector<Value> sumSlot(const FragmentSegment &segment, ValueRange sums,
                             Value slot, int64_t steps);
  SmallVector<Value> loadA(Value slot, int64_t rowTile, int64_t step);
  SmallVector<Value> loadB(Value slot, int64_t columnTile, int64_t step);
  /// Sets of accumulators that a level sums at the same time.
  static int64_t getNumSets(int8_t level) { return level == 2 ? 3 : 1; }

  /// `sumSlot` by wgmma.
  SmallVector<Value> sumSlotByWarpgroup(const FragmentSegment &segment,
                                        ValueRange sums, Value slot,
                                        int64_t steps);
  /// Makes bytes of the activations' nibbles in the slot; a barrier must
  /// follow.
  void spreadNibbles(Value slot, int64_t steps);
  /// What threads wrote to shared memory, wgmma will read.
  void fenceForWarpgroup();

  KernelBuilder &k;
  const FragmentLayout &layout;
  const GemmOptions &options;
  const KernelArguments &args;
  int64_t stageWords, slotWords;
  /// A warp's tile, in fragments: of 128 rows 64 x 32, or as a warpgroup's MMA
  /// has it 16 x 128, of 64 rows 16 x 64.
  int64_t rowTiles, columnTiles;
  int64_t getNumTiles() const { return rowTiles * columnTiles; }
  Value thread, rowBlock, columnBlock, warpRow, warpColumn, group, place, lane;
  Value shared, rawShared;
  /// Token of the last copies before the first stage is read.
  Value copied;
  std::optional<WindowCopies> windows;
};

} // namespace

Gemm::Gemm(KernelBuilder &k, const FragmentLayout &layout,
           const GemmOptions &options, const KernelArguments &args)
    : k(k), layout(layout), options(options), args(args),
      stageWords(layout.getStageWords()), slotWords(getSlotWords(layout)),
      rowTiles(layout.isByWarpgroup()
                   ? 1
                   : layout.blockRows / kWarpRows / kFragmentRows),
      columnTiles(layout.isByWarpgroup() ? layout.blockRows / kFragmentColumns
                                         : 4) {
  thread = gpu::ThreadIdOp::create(k.b, k.loc, gpu::Dimension::x);
  Value block = gpu::BlockIdOp::create(k.b, k.loc, gpu::Dimension::x);
  int64_t rowBlocks = layout.paddedRows / layout.blockRows;
  rowBlock = k.rem(block, rowBlocks);
  columnBlock = k.div(block, rowBlocks);
  Value warp = k.div(thread, 32);
  lane = k.rem(thread, 32);
  group = k.div(lane, 4);
  place = k.rem(lane, 4);
  int64_t warpRows = layout.blockRows / kFragmentRows / rowTiles;
  warpRow = k.rem(warp, warpRows);
  warpColumn = k.div(warp, warpRows);
  auto space = gpu::AddressSpaceAttr::get(k.b.getContext(),
                                          gpu::AddressSpace::Workgroup);
  auto bytes = MemRefType::get({ShapedType::kDynamic}, k.b.getI8Type(),
                               AffineMap(), space);
  auto words = MemRefType::get({getSharedWords(layout, options)},
                               k.b.getI32Type(), AffineMap(), space);
  rawShared = gpu::DynamicSharedMemoryOp::create(k.b, k.loc, bytes);
  shared = memref::ViewOp::create(k.b, k.loc, words, rawShared, k.index(0),
                                  ValueRange());
  if (layout.window)
    windows.emplace(k, layout, args, shared,
                    options.stages * slotWords + getSpreadWords(layout));
}

Value Gemm::copyFour(Value from, Value at, Value to) {
  return nvgpu::DeviceAsyncCopyOp::create(
      k.b, k.loc, shared, to, from, at, llvm::APInt(64, 4),
      /*srcElements=*/Value(), k.b.getUnitAttr());
}

Value Gemm::copyStage(Value stage) {
  // A stage behind the last goes to a slot that nobody reads any more.
  Value slot = k.mul(k.rem(stage, options.stages), slotWords);
  Value real = k.min(stage, layout.stages - 1);
  SmallVector<Value> tokens;
  Value weights =
      k.add(k.mul(k.add(k.mul(rowBlock, layout.stages), real), stageWords),
            k.mul(thread, 4));
  Value to = k.add(slot, k.mul(thread, 4));
  for (int64_t at = 0; at < stageWords; at += kGemmThreads * 4)
    tokens.push_back(copyFour(args.weights, k.add(weights, at), k.add(to, at)));
  copyActivations(real, slot, tokens);
  return commitCopies(tokens);
}

Value Gemm::commitCopies(ValueRange tokens) {
  return nvgpu::DeviceAsyncCreateGroupOp::create(
      k.b, k.loc, nvgpu::DeviceAsyncTokenType::get(k.b.getContext()), tokens);
}

void Gemm::copyActivations(Value stage, Value slot,
                           SmallVectorImpl<Value> &tokens) {
  // Eight threads a column of a stage: four steps of two halves.
  constexpr int64_t units = WindowCopies::kUnits;
  constexpr int64_t columnsApart = kGemmThreads / units;
  Value unit = k.rem(thread, units), first = k.div(thread, units);
  // Words between neighbouring columns, and between halves.
  int64_t columnStride = layout.isByWarpgroup() ? 4 : kStepWords;
  int64_t halfStride = layout.isByWarpgroup() ? kHalfStride : 4;
  Value to = k.add(k.add(slot, stageWords),
                   k.add(k.mul(k.div(unit, 2), kStepStride),
                         k.add(k.mul(first, columnStride),
                               k.mul(k.rem(unit, 2), halfStride))));
  if (windows)
    return windows->copy(thread, stage, to, columnsApart,
                         columnsApart * columnStride);
  constexpr int64_t columnWords = kStageSteps * kStepWords;
  Value column = k.add(k.mul(columnBlock, kBlockColumns), first);
  Value activations =
      k.add(k.mul(k.add(k.mul(column, layout.stages), stage), columnWords),
            k.mul(unit, 4));
  for (int64_t columns = 0; columns < kBlockColumns; columns += columnsApart)
    tokens.push_back(
        copyFour(args.activations,
                 k.add(activations, columns * layout.stages * columnWords),
                 k.add(to, columns * columnStride)));
}

SmallVector<Value> Gemm::loadA(Value slot, int64_t rowTile, int64_t step) {
  Value at =
      k.add(k.add(k.mul(warpRow, rowTiles * kStageSteps * kFragmentWords),
                  k.mul(lane, 4)),
            slot);
  return k.load(shared,
                k.add(at, (rowTile * kStageSteps + step) * kFragmentWords), 4);
}

SmallVector<Value> Gemm::loadB(Value slot, int64_t columnTile, int64_t step) {
  Value column =
      k.add(k.mul(warpColumn, columnTiles * kFragmentColumns), group);
  Value at = k.add(k.add(k.mul(column, kStepWords), k.mul(place, 2)), slot);
  return k.load(shared,
                k.add(at, stageWords + step * kStepStride +
                              columnTile * kFragmentColumns * kStepWords),
                2);
}

SmallVector<Value> Gemm::sumSlot(const FragmentSegment &segment,
                                 ValueRange sums, Value slot, int64_t steps) {
  SmallVector<Value> result(sums);
  // Set `set` of the tile (row, column) += a x b.
  auto accumulate = [&](int64_t set, int64_t row, int64_t column, ValueRange a,
                        ValueRange b) {
    auto at =
        result.begin() + 4 * (set * getNumTiles() + row * columnTiles + column);
    SmallVector<Value> c(at, at + 4);
    llvm::copy(k.mma(layout.grid, segment.level, a, b, c), at);
  };
  int64_t planes = segment.getNumPlanes();
  for (int64_t step = 0; step < steps; step += planes) {
    SmallVector<SmallVector<Value>> b;
    for (int64_t column = 0; column < columnTiles; ++column)
      for (int64_t plane = 0; plane < planes; ++plane)
        b.push_back(loadB(slot, column, step + plane));
    for (int64_t row = 0; row < rowTiles; ++row) {
      SmallVector<SmallVector<Value>> a;
      for (int64_t plane = 0; plane < planes; ++plane)
        a.push_back(loadA(slot, row, step + plane));
      for (int64_t i = 0; i < planes; ++i)
        for (int64_t j = 0; j < planes; ++j)
          for (int64_t column = 0; column < columnTiles; ++column)
            accumulate(i + j, row, column, a[i], b[column * planes + j]);
    }
  }
  return result;
}

void Gemm::fenceForWarpgroup() {
  MLIRContext *context = k.b.getContext();
  NVVM::FenceProxyOp::create(
      k.b, k.loc,
      NVVM::ProxyKindAttr::get(context, NVVM::ProxyKind::async_shared),
      NVVM::SharedSpaceAttr::get(context, NVVM::SharedSpace::shared_cta));
}

void Gemm::spreadNibbles(Value slot, int64_t steps) {
  // A thread takes 16 bytes of a column's step, and the same in every step.
  Value half = k.div(thread, kBlockColumns),
        column = k.rem(thread, kBlockColumns);
  Value at = k.add(k.mul(half, kHalfStride), k.mul(column, 4));
  Value from = k.add(k.add(slot, stageWords), at);
  Value to = k.add(at, options.stages * slotWords);
  auto type = VectorType::get(4, k.b.getI32Type());
  for (int64_t step = 0; step < steps; ++step) {
    SmallVector<Value> words =
        k.load(shared, k.add(from, step * kStepStride), 4);
    for (int64_t part : {0, 1}) {
      SmallVector<Value> bytes;
      for (Value word : words)
        bytes.push_back(
            k.bitAnd(part ? k.shiftRight(word, 4) : word, 0x0f0f0f0f));
      Value all = vector::FromElementsOp::create(k.b, k.loc, type, bytes);
      vector::StoreOp::create(k.b, k.loc, all, shared,
                              k.add(to, (2 * step + part) * kStepStride),
                              /*nontemporal=*/false, llvm::MaybeAlign(16));
    }
  }
}

SmallVector<Value> Gemm::sumSlotByWarpgroup(const FragmentSegment &segment,
                                            ValueRange sums, Value slot,
                                            int64_t steps) {
  int64_t planes = segment.getNumPlanes(), count = sums.size();
  // A's fragments, then as many descriptors of B; of nibbles low ones and high
  // ones in turn.
  SmallVector<SmallVector<Value>> a;
  for (int64_t step = 0; step < steps; ++step) {
    a.push_back(loadA(slot, 0, step));
    if (segment.level != 4)
      continue;
    SmallVector<Value> high;
    for (Value &word : a.back()) {
      high.push_back(k.bitAnd(k.shiftRight(word, 4), 0x0f0f0f0f));
      word = k.bitAnd(word, 0x0f0f0f0f);
    }
    a.push_back(high);
  }
  int64_t numSteps = a.size();
  SmallVector<Value> operands(sums);
  for (ValueRange words : a)
    llvm::append_range(operands, words);
  // Descriptor of the first step's activations, in units of 16 bytes: start,
  // from one half to the other, from eight columns to the next; no swizzle.
  constexpr int64_t strides = kHalfStride * 4 / 16 << 16 | int64_t(8) << 32;
  Value base =
      memref::ExtractAlignedPointerAsIndexOp::create(k.b, k.loc, shared);
  Value first = segment.level == 4 ? k.index(options.stages * slotWords)
                                   : k.add(slot, stageWords);
  first = k.add(first, k.mul(warpColumn, columnTiles * kFragmentColumns * 4));
  Value start = k.add(k.mul(first, 4), base);
  start = k.add(k.bitAnd(k.shiftRight(start, 4), 0x3fff), strides);
  for (int64_t step = 0; step < numSteps; ++step)
    operands.push_back(
        arith::IndexCastOp::create(k.b, k.loc, k.b.getI64Type(),
                                   k.add(start, step * kStepStride * 4 / 16)));
  Value adds = arith::ConstantOp::create(k.b, k.loc, k.b.getBoolAttr(true));
  operands.push_back(adds);
  // All in one statement: nobody may touch a register before the wait.
  std::string text;
  llvm::raw_string_ostream os(text);
  StringRef types = segment.level <= 2             ? "k256.s32.b1.b1.and.popc"
                    : segment.level == 4           ? "k32.s32.u8.u8"
                    : layout.grid == Grid::Midrise ? "k32.s32.s8.s8"
                                                   : "k32.s32.s8.u8";
  os << "wgmma.fence.sync.aligned; ";
  int64_t firstA = 2 * count, descriptors = firstA + 4 * numSteps;
  for (int64_t step = 0; step < numSteps; step += planes)
    for (int64_t j = 0; j < planes; ++j)
      for (int64_t i = 0; i < planes; ++i) {
        os << "wgmma.mma_async.sync.aligned.m64n"
           << columnTiles * kFragmentColumns << types << " {";
        for (int64_t r = 0; r < 4 * getNumTiles(); ++r)
          os << (r ? ", $" : "$") << (i + j) * 4 * getNumTiles() + r;
        os << "}, {";
        for (int64_t r = 0; r < 4; ++r)
          os << (r ? ", $" : "$") << firstA + 4 * (step + i) + r;
        os << "}, $" << descriptors + step + j << ", $"
           << descriptors + numSteps << "; ";
      }
  os << "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;";
  std::string constraints;
  for (int64_t i = 0; i < count; ++i)
    constraints += "=r,";
  for (int64_t i = 0; i < count; ++i)
    constraints += std::to_string(i) + ",";
  for (int64_t i = 0; i < 4 * numSteps; ++i)
    constraints += "r,";
  for (int64_t i = 0; i < numSteps; ++i)
    constraints += "l,";
  constraints += "b"; // a predicate
  SmallVector<Type> words(count, k.b.getI32Type());
  auto type = LLVM::LLVMStructType::getLiteral(k.b.getContext(), words);
  auto statement = LLVM::InlineAsmOp::create(
      k.b, k.loc, TypeRange(type), operands, text, constraints,
      /*has_side_effects=*/true, /*is_align_stack=*/false,
      LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(k.b.getContext(), LLVM::AsmDialect::AD_ATT),
      ArrayAttr());
  SmallVector<Value> result;
  for (int64_t i = 0; i < count; ++i)
    result.push_back(
        LLVM::ExtractValueOp::create(k.b, k.loc, statement.getResult(0), i));
  return result;
}

SmallVector<Value> Gemm::sumStage(const FragmentSegment &segment,
                                  ValueRange sums, Value stage, int64_t steps,
                                  bool more) {
  nvgpu::DeviceAsyncWaitOp::create(k.b, k.loc, copied,
                                   k.b.getI32IntegerAttr(options.stages - 2));
  if (layout.isByWarpgroup())
    fenceForWarpgroup();
  // Behind it everybody sees this stage, and nobody reads the last.
  gpu::BarrierOp::create(k.b, k.loc);
  if (more)
    copyStage(k.add(stage, options.stages - 1));
  else
    commitCopies({});
  Value slot = k.mul(k.rem(stage, options.stages), slotWords);
  if (!layout.isByWarpgroup())
    return sumSlot(segment, sums, slot, steps);
  if (segment.level == 4) {
    spreadNibbles(slot, steps);
    fenceForWarpgroup();
    gpu::BarrierOp::create(k.b, k.loc);
  }
  return sumSlotByWarpgroup(segment, sums, slot, steps);
}

void Gemm::emit(KernelResult result, const PackedLayout *packed) {
  if (windows) {
    windows->prepare(thread, columnBlock);
    gpu::BarrierOp::create(k.b, k.loc);
  }
  // All but one slot are filled in advance.
  for (int64_t stage = 0; stage < options.stages - 1; ++stage)
    copied = copyStage(k.index(stage));

  SmallVector<Value> totals(4 * getNumTiles(), k.i32(0));
  // What turns sums of products of codes into those of values; level 8, the
  // last, has them already.
  int64_t count = 0, factor = layout.hasRowBias() ? 4 : 2;
  for (const FragmentSegment &segment : layout.segments) {
    int64_t ratio = count == 0 ? 1 : count / segment.productCount;
    count = segment.productCount;
    if (!segment.hasSums())
      ratio *= std::exchange(factor, 1);
    SmallVector<Value> sums;
    for (Value total : totals)
      sums.push_back(k.mul(total, ratio));
    sums.resize(getNumSets(segment.level) * totals.size(), k.i32(0));
    // The last stage has fewer steps where channels leave some empty.
    int64_t rest = segment.usedSteps % kStageSteps;
    int64_t end = segment.firstStage + segment.usedSteps / kStageSteps;
    if (end > segment.firstStage) {
      auto loop = scf::ForOp::create(
          k.b, k.loc, k.index(segment.firstStage), k.index(end), k.index(1),
          sums, [&](OpBuilder &, Location, Value stage, ValueRange iterSums) {
            scf::YieldOp::create(
                k.b, k.loc, sumStage(segment, iterSums, stage, kStageSteps));
          });
      sums = loop.getResults();
    }
    if (rest)
      sums = sumStage(segment, sums, k.index(end), rest,
                      /*more=*/end + options.stages - 1 < layout.stages);
    for (auto [i, total] : llvm::enumerate(totals)) {
      auto set = [&](int64_t s) { return sums[s * totals.size() + i]; };
      total = set(0);
      if (segment.level == 2)
        total = k.add(total, k.add(k.mul(set(1), 2), k.mul(set(2), 4)));
    }
  }

  if (windows) {
    windows->sumPixels(thread);
    gpu::BarrierOp::create(k.b, k.loc);
  }
  if (packed)
    return storeCodes(result, *packed, totals, factor);
  forEachResult(totals, factor, [&](Value acc, Value row, Value column) {
    Value n = k.add(k.mul(rowBlock, layout.blockRows), row);
    Value batch = k.add(k.mul(columnBlock, kBlockColumns), column);
    auto store = [&] { (void)k.store(layout, args, result, acc, batch, n); };
    if (isWhole())
      return store();
    scf::IfOp::create(k.b, k.loc, isResult(n, batch),
                      [&](OpBuilder &, Location) {
                        store();
                        scf::YieldOp::create(k.b, k.loc);
                      });
  });
}

void Gemm::forEachResult(
    ValueRange totals, int64_t factor,
    llvm::function_ref<void(Value acc, Value row, Value column)> emit) {
  // Lane (g, t) holds rows g and g + 8, columns 2t and 2t + 1 of each tile.
  for (int64_t columnTile = 0; columnTile < columnTiles; ++columnTile)
    for (int64_t q = 0; q < 2; ++q) {
      Value column =
          k.add(k.add(k.mul(warpColumn, columnTiles * kFragmentColumns),
                      k.mul(place, 2)),
                columnTile * kFragmentColumns + q);
      Value sum = windows
                      ? windows->getSum(column)
                      : memref::LoadOp::create(
                            k.b, k.loc, args.sums,
                            k.add(k.mul(columnBlock, kBlockColumns), column))
                            .getResult();
      for (int64_t rowTile = 0; rowTile < rowTiles; ++rowTile)
        for (int64_t half = 0; half < 2; ++half) {
          int64_t index =
              4 * (rowTile * columnTiles + columnTile) + 2 * half + q;
          emit(k.sub(k.mul(totals[index], factor), sum),
               k.add(k.add(k.mul(warpRow, rowTiles * kFragmentRows), group),
                     rowTile * kFragmentRows + 8 * half),
               column);
        }
    }
}

Value Gemm::storeCarrier(Value acc, Value row, Value batch) {
  auto store = [&] {
    return k.store(layout, args, KernelResult::Carrier, acc, batch, row);
  };
  if (isWhole())
    return store();
  auto carrier = scf::IfOp::create(
      k.b, k.loc, isResult(row, batch),
      [&](OpBuilder &, Location) { scf::YieldOp::create(k.b, k.loc, store()); },
      [&](OpBuilder &, Location) {
        scf::YieldOp::create(k.b, k.loc, k.i32(0));
      });
  return carrier.getResult(0);
}

void Gemm::storeCodes(KernelResult result, const PackedLayout &packed,
                      ValueRange totals, int64_t factor) {
  KernelArguments ofCodes = args;
  if (result == KernelResult::Carrier) {
    ofCodes.rowBias = {};
    ofCodes.multiplier = args.codeMultiplier;
    ofCodes.offset = args.codeOffset;
    ofCodes.output = args.codes;
  }
  PackedResults results(k, packed, ofCodes, rowBlock, columnBlock);
  // Codes lie where stages were: nobody reads or fills those any more.
  nvgpu::DeviceAsyncWaitOp::create(k.b, k.loc, commitCopies({}),
                                   k.b.getI32IntegerAttr(0));
  gpu::BarrierOp::create(k.b, k.loc);
  auto space = gpu::AddressSpaceAttr::get(k.b.getContext(),
                                          gpu::AddressSpace::Workgroup);
  auto type = MemRefType::get({kBlockColumns * PackedResults::kColumnBytes},
                              k.b.getI8Type(), AffineMap(), space);
  Value bytes = memref::ViewOp::create(k.b, k.loc, type, rawShared, k.index(0),
                                       ValueRange());
  forEachResult(totals, factor, [&](Value acc, Value row, Value column) {
    Value n = k.add(k.mul(rowBlock, layout.blockRows), row);
    if (result == KernelResult::Carrier)
      acc = storeCarrier(acc, n,
                         k.add(k.mul(columnBlock, kBlockColumns), column));
    if (args.channel)
      n = k.toIndex(memref::LoadOp::create(k.b, k.loc, args.channel, n));
    Value code = results.requantize(acc, n);
    code = arith::TruncIOp::create(k.b, k.loc, k.b.getI8Type(), code);
    memref::StoreOp::create(
        k.b, k.loc, code, bytes,
        k.add(k.mul(column, PackedResults::kColumnBytes), results.getPlace(n)));
  });
  gpu::BarrierOp::create(k.b, k.loc);
  results.store(thread, kGemmThreads, shared, layout.batch);
}

void sysmol::emitGemm(KernelBuilder &k, const FragmentLayout &layout,
                      const GemmOptions &options, const KernelArguments &args,
                      KernelResult result, const PackedLayout *packed) {
  Gemm(k, layout, options, args).emit(result, packed);
}

//===----------------------------------------------------------------------===//
// Sums of activations
//===----------------------------------------------------------------------===//

int64_t sysmol::getSumsGridSize(const FragmentLayout &layout) {
  return llvm::divideCeil(layout.paddedBatch, kSumRows);
}

void sysmol::emitSums(KernelBuilder &k, const FragmentLayout &layout,
                      const KernelArguments &args) {
  Value thread = gpu::ThreadIdOp::create(k.b, k.loc, gpu::Dimension::x);
  Value block = gpu::BlockIdOp::create(k.b, k.loc, gpu::Dimension::x);
  Value lane = k.rem(thread, 32);
  Value row = k.add(k.mul(block, kSumRows), k.div(thread, 32));
  // A stage of a row is eight units of four words, two a step; a lane keeps
  // its step, and with it its plane.
  constexpr int64_t units = kStageSteps * kStepWords / 4;
  Value start = k.mul(row, layout.stages * units * 4);
  Value total = k.i32(0);
  for (const FragmentSegment &segment : layout.segments) {
    if (!segment.hasSums())
      continue;
    int64_t first = segment.firstStage * units;
    auto loop = scf::ForOp::create(
        k.b, k.loc, k.add(lane, first), k.index(first + segment.stages * units),
        k.index(32), k.i32(0),
        [&](OpBuilder &, Location, Value unit, ValueRange sums) {
          Value sum = sums.front();
          for (Value word :
               k.load(args.activations, k.add(start, k.mul(unit, 4)), 4))
            sum = k.add(sum, k.sumCodes(segment.level, word));
          scf::YieldOp::create(k.b, k.loc, sum);
        });
    Value sum = loop.getResult(0);
    if (segment.level == 2) {
      Value plane = arith::IndexCastOp::create(k.b, k.loc, k.b.getI32Type(),
                                               k.rem(k.div(lane, 2), 2));
      sum = arith::ShLIOp::create(k.b, k.loc, sum, plane);
    }
    // What `correct` subtracts: no products, minus the sums.
    total = k.sub(total, k.correct(layout.grid, segment, k.i32(0), sum));
  }
  for (int64_t distance = 16; distance > 0; distance /= 2) {
    auto other = gpu::ShuffleOp::create(k.b, k.loc, total, distance, 32,
                                        gpu::ShuffleMode::XOR);
    total = k.add(total, other.getShuffleResult());
  }
  Value isFirst = k.less(lane, 1);
  scf::IfOp::create(k.b, k.loc, isFirst, [&](OpBuilder &, Location) {
    memref::StoreOp::create(k.b, k.loc, total, args.sums, row);
    scf::YieldOp::create(k.b, k.loc);
  });
}
