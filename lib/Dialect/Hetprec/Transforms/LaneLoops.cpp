//===- LaneLoops.cpp - Loops over planes, rows and pixels -----------------===//

#include "LaneLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

Value sysmol::hetprec::openLoop(OpBuilder &b, Location loc, int64_t lower,
                                int64_t upper) {
  auto index = [&](int64_t i) -> Value {
    return arith::ConstantIndexOp::create(b, loc, i);
  };
  auto loop = scf::ForOp::create(b, loc, index(lower), index(upper), index(1));
  loop->setAttr(kParallelAttrName, b.getUnitAttr());
  b.setInsertionPointToStart(loop.getBody());
  return loop.getInductionVar();
}

Value sysmol::hetprec::makeIndex(OpBuilder &b, Location loc,
                                 ArrayRef<Value> values,
                                 ArrayRef<int64_t> factors, int64_t constant) {
  Value sum = arith::ConstantIndexOp::create(b, loc, constant);
  for (auto [value, factor] : llvm::zip_equal(values, factors)) {
    Value f = arith::ConstantIndexOp::create(b, loc, factor);
    sum = arith::AddIOp::create(b, loc, sum,
                                arith::MulIOp::create(b, loc, value, f));
  }
  return sum;
}

SmallVector<LoopPart>
sysmol::hetprec::splitIntoLoops(ArrayRef<LoopPoint> points, int64_t unit) {
  auto count = int64_t(points.size());
  SmallVector<LoopPart> parts;
  for (int64_t first = 0, size; first < count; first += size) {
    size = std::min(unit, count - first);
    LoopPart part{first, size};
    // Loops around it for as long as what follows is what is there, moved.
    while (first + 2 * size <= count) {
      LoopStep step = points[first + size] - points[first];
      int64_t end = first + size;
      while (end < count && points[end].kind == points[end - size].kind &&
             points[end] - points[end - size] == step)
        ++end;
      int64_t runs = (end - first) / size;
      if (runs == 1)
        break;
      part.loops.insert(part.loops.begin(), {runs, size, step});
      size *= runs;
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

void sysmol::hetprec::coverLanes(OpBuilder &b, Location loc, Value first,
                                 int64_t count, int64_t most, int64_t unrolled,
                                 function_ref<void(Value, int64_t)> body) {
  if (count <= 0)
    return;
  int64_t lanes = llvm::bit_floor<uint64_t>(std::min(count, most));
  auto at = [&](int64_t lane) {
    return lane == 0 ? first : makeIndex(b, loc, {first}, {1}, lane);
  };
  if (count / lanes <= unrolled) {
    for (int64_t i = 0; i < count / lanes; ++i)
      body(at(i * lanes), lanes);
  } else {
    OpBuilder::InsertionGuard guard(b);
    Value chunk = openLoop(b, loc, 0, count / lanes);
    body(makeIndex(b, loc, {first, chunk}, {1, lanes}, 0), lanes);
  }
  if (count % lanes)
    body(at(count - lanes), lanes);
}

Value sysmol::hetprec::loadStrided(OpBuilder &b, Location loc, int64_t count,
                                   int64_t stride,
                                   function_ref<Value(int64_t, int64_t)> load) {
  if (stride == 1 || count == 1)
    return load(0, count);
  if (stride != 2) {
    SmallVector<Value> single;
    for (int64_t i = 0; i < count; ++i)
      single.push_back(
          vector::ExtractOp::create(b, loc, load(i * stride, 1), 0));
    auto type = VectorType::get({count}, single.front().getType());
    return vector::FromElementsOp::create(b, loc, type, single);
  }
  // The second half begins at the last element of the first: nothing is read
  // behind the last one that counts.
  SmallVector<int64_t> picks;
  for (int64_t i = 0; i < count; ++i)
    picks.push_back(2 * i < count ? 2 * i : 2 * i + 1);
  Value low = load(0, count), high = load(count - 1, count);
  return vector::ShuffleOp::create(b, loc, low, high, picks);
}

void sysmol::hetprec::clearLanes(OpBuilder &b, Location loc, Value memref,
                                 Value plane, Value lane, int64_t lanes) {
  Type word = cast<MemRefType>(memref.getType()).getElementType();
  auto type = VectorType::get({lanes}, word);
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  vector::StoreOp::create(b, loc, zero, memref, ValueRange{plane, lane});
}

void sysmol::hetprec::forWords(
    OpBuilder &b, Location loc, ArrayRef<int64_t> channels, int64_t perWord,
    function_ref<void(Value word, function_ref<Value(int64_t slot)>)> body) {
  constexpr int64_t kShortestLoop = 4;
  int64_t numWords = channels.size() / perWord;
  auto countsOn = [&](int64_t word) {
    return llvm::all_of(llvm::seq(perWord), [&](int64_t slot) {
      int64_t channel = channels[word * perWord + slot];
      return channel >= 0 &&
             channels[(word + 1) * perWord + slot] == channel + perWord;
    });
  };
  for (int64_t first = 0; first < numWords;) {
    int64_t last = first + 1;
    while (last < numWords && countsOn(last - 1))
      ++last;
    if (last - first < kShortestLoop)
      last = first + 1;
    OpBuilder::InsertionGuard guard(b);
    Value word;
    if (last - first == 1)
      word = arith::ConstantIndexOp::create(b, loc, first);
    else
      word = openLoop(b, loc, first, last);
    body(word, [&](int64_t slot) -> Value {
      int64_t channel = channels[first * perWord + slot];
      if (channel < 0)
        return {};
      if (last - first == 1)
        return arith::ConstantIndexOp::create(b, loc, channel);
      return makeIndex(b, loc, {word}, {perWord}, channel - first * perWord);
    });
    first = last;
  }
}

//===----------------------------------------------------------------------===//
// Phases
//===----------------------------------------------------------------------===//

Value sysmol::hetprec::getLane(OpBuilder &b, Location loc, LanesAttr layout,
                               const Pixels &pixels, int64_t move) {
  return makeIndex(b, loc, {pixels.n, pixels.y, pixels.x},
                   {layout.getImageStride(), layout.getRowStride(), 1},
                   layout.getBase() + move);
}

/// The first `i` with `i * stride + move` in `[0, size)`, and the one behind
/// the last, of `count`.
static std::pair<int64_t, int64_t> getInside(int64_t move, int64_t stride,
                                             int64_t size, int64_t count) {
  int64_t first = llvm::divideCeil(std::max<int64_t>(0, -move), stride);
  int64_t last = llvm::divideCeil(std::max<int64_t>(0, size - move), stride);
  last = std::min(last, count);
  return {first, std::max(first, last)};
}

PhasePixels::PhasePixels(LanesAttr from, LanesAttr to,
                         std::array<int64_t, 2> strides, ArrayRef<int64_t> pads,
                         int64_t row, int64_t column)
    : moveY(row - pads[0]), moveX(column - pads[1]) {
  std::tie(y0, y1) =
      getInside(moveY, strides[0], from.getHeight(), to.getHeight());
  std::tie(x0, x1) =
      getInside(moveX, strides[1], from.getWidth(), to.getWidth());
}

namespace {
/// Opens the loops over images and rows, and writes the phases' rows in them.
class PhaseWriter {
public:
  using Copy = function_ref<void(Value, const Pixels &)>;
  using Clear = function_ref<void(Value, Value, int64_t)>;

  PhaseWriter(OpBuilder &b, Location loc, LanesAttr to, int64_t most,
              int64_t unrolled, Copy copy, Clear clear)
      : b(b), loc(loc), to(to), most(most), unrolled(unrolled), copy(copy),
        clear(clear) {}

  void run(std::array<int64_t, 2> strides, ArrayRef<PhasePixels> phases);

private:
  using Body = function_ref<void()>;

  Value index(int64_t i) { return arith::ConstantIndexOp::create(b, loc, i); }
  Value is(arith::CmpIPredicate predicate, Value value, int64_t other) {
    return arith::CmpIOp::create(b, loc, predicate, value, index(other));
  }
  void when(Value test, Body then, Body otherwise = nullptr);
  /// As `when` for image `wanted`, of which there may be no other.
  void whenImage(int64_t wanted, Body then, Body otherwise = nullptr) {
    if (to.getImages() == 1)
      return then();
    when(is(arith::CmpIPredicate::eq, n, wanted), then, otherwise);
  }
  /// A phase, and where its pixel (0, 0) is in the image.
  struct Phase {
    Value phase, moveY, moveX;
  };
  void zero(Value phase, Value first, int64_t count) {
    coverLanes(b, loc, first, count, most, unrolled,
               [&](Value lane, int64_t lanes) { clear(phase, lane, lanes); });
  }
  /// Runs `body` for all phases, in loops where they are many; with a phase
  /// that is like it.
  void forPhases(ArrayRef<PhasePixels> phases,
                 function_ref<void(const PhasePixels &, const Phase &)> body);
  void writeRow(const PhasePixels &p, const Phase &phase,
                std::array<int64_t, 2> strides);

  OpBuilder &b;
  Location loc;
  LanesAttr to;
  int64_t most, unrolled;
  Copy copy;
  Clear clear;
  Value n, y;
};
} // namespace

void PhaseWriter::when(Value test, Body then, Body otherwise) {
  OpBuilder::InsertionGuard guard(b);
  auto branch = scf::IfOp::create(b, loc, test, bool(otherwise));
  b.setInsertionPointToStart(branch.thenBlock());
  then();
  if (!otherwise)
    return;
  b.setInsertionPointToStart(branch.elseBlock());
  otherwise();
}

/// Phases that are written out.
static constexpr int64_t kUnrolledPhases = 16;

void PhaseWriter::forPhases(
    ArrayRef<PhasePixels> phases,
    function_ref<void(const PhasePixels &, const Phase &)> body) {
  SmallVector<LoopPoint> points;
  for (auto [i, p] : llvm::enumerate(phases))
    points.push_back({{int64_t(i), p.moveY, p.moveX}});
  if (points.size() <= kUnrolledPhases) {
    for (auto [p, point] : llvm::zip_equal(phases, points))
      body(p, {index(point.at[0]), index(point.at[1]), index(point.at[2])});
    return;
  }
  // Those that are alike, side by side.
  SmallVector<const PhasePixels *> kinds;
  for (auto [p, point] : llvm::zip_equal(phases, points)) {
    auto *kind = llvm::find_if(
        kinds, [&](const PhasePixels *kind) { return kind->isLike(p); });
    point.kind = kind - kinds.begin();
    if (kind == kinds.end())
      kinds.push_back(&p);
  }
  llvm::sort(points, [](const LoopPoint &a, const LoopPoint &b) {
    return std::tie(a.kind, a.at) < std::tie(b.kind, b.at);
  });
  for (const LoopPart &part : splitIntoLoops(points, /*unit=*/1)) {
    const LoopPoint &first = points[part.first];
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Value> counters;
    for (const LoopPart::Loop &loop : part.loops)
      counters.push_back(openLoop(b, loc, 0, loop.count));
    std::array<Value, 3> at;
    for (auto [axis, value] : llvm::enumerate(at)) {
      auto steps = llvm::map_to_vector(
          part.loops, [&](const LoopPart::Loop &l) { return l.step[axis]; });
      value = makeIndex(b, loc, counters, steps, first.at[axis]);
    }
    body(phases[first.at[0]], {at[0], at[1], at[2]});
  }
}

void PhaseWriter::writeRow(const PhasePixels &p, const Phase &phase,
                           std::array<int64_t, 2> strides) {
  int64_t count = p.x1 - p.x0, images = to.getImages();
  Value target =
      makeIndex(b, loc, {n, y}, {to.getImageStride(), to.getRowStride()},
                to.getBase() + p.x0);
  Value sourceY = makeIndex(b, loc, {y, phase.moveY}, {strides[0], 1}, 0);
  coverLanes(
      b, loc, index(0), count, most, unrolled, [&](Value x, int64_t lanes) {
        Value sourceX = makeIndex(b, loc, {x, phase.moveX}, {strides[1], 1},
                                  strides[1] * p.x0);
        copy(phase.phase, {n, sourceY, sourceX,
                           makeIndex(b, loc, {target, x}, {1, 1}, 0), lanes});
      });

  // Each row clears what lies between it and the next one: rows may be written
  // in any order.
  Value end = makeIndex(b, loc, {target}, {1}, count);
  int64_t first = to.laneOf(0, p.y0, p.x0);
  int64_t behind = to.laneOf(images - 1, p.y1 - 1, p.x0) + count;
  int64_t nextImage =
      to.getImageStride() - (p.y1 - p.y0 - 1) * to.getRowStride() - count;
  if (first > 0)
    when(is(arith::CmpIPredicate::eq, y, p.y0),
         [&] { whenImage(0, [&] { zero(phase.phase, index(0), first); }); });
  when(
      is(arith::CmpIPredicate::eq, y, p.y1 - 1),
      [&] {
        whenImage(
            images - 1, [&] { zero(phase.phase, end, to.getSize() - behind); },
            [&] { zero(phase.phase, end, nextImage); });
      },
      [&] { zero(phase.phase, end, to.getRowStride() - count); });
}

void PhaseWriter::run(std::array<int64_t, 2> strides,
                      ArrayRef<PhasePixels> phases) {
  int64_t y0 = to.getHeight(), y1 = 0;
  for (const PhasePixels &p : phases) {
    if (p.isEmpty())
      continue;
    y0 = std::min(y0, p.y0);
    y1 = std::max(y1, p.y1);
  }
  if (y0 >= y1) {
    forPhases(phases, [&](const PhasePixels &, const Phase &phase) {
      zero(phase.phase, index(0), to.getSize());
    });
    return;
  }
  OpBuilder::InsertionGuard guard(b);
  n = openLoop(b, loc, 0, to.getImages());
  y = openLoop(b, loc, y0, y1);
  forPhases(phases, [&](const PhasePixels &p, const Phase &phase) {
    if (p.isEmpty())
      return when(is(arith::CmpIPredicate::eq, y, y0), [&] {
        whenImage(0, [&] { zero(phase.phase, index(0), to.getSize()); });
      });
    auto write = [&] { writeRow(p, phase, strides); };
    auto writeToLast = [&] {
      if (p.y1 == y1)
        write();
      else
        when(is(arith::CmpIPredicate::ult, y, p.y1), write);
    };
    if (p.y0 == y0)
      writeToLast();
    else
      when(is(arith::CmpIPredicate::uge, y, p.y0), writeToLast);
  });
}

void sysmol::hetprec::writePhases(
    OpBuilder &b, Location loc, LanesAttr to, std::array<int64_t, 2> strides,
    ArrayRef<PhasePixels> phases, int64_t most, int64_t unrolled,
    function_ref<void(Value, const Pixels &)> copy,
    function_ref<void(Value, Value, int64_t)> clear) {
  PhaseWriter(b, loc, to, most, unrolled, copy, clear).run(strides, phases);
}
