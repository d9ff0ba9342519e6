//===- OutlineParallel.cpp - Loops of a network as tasks of a team --------===//
//
// Statements of the network's block (loops, mostly) get a level: one more than
// the highest level of an earlier statement that they must wait for. What has
// one level runs as one set of tasks, with a barrier behind it. Quadratic in
// the number of statements.
//
//===----------------------------------------------------------------------===//

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "mlir/Transforms/RegionUtils.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_OUTLINEPARALLELPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

//===----------------------------------------------------------------------===//
// Memory that a statement touches
//===----------------------------------------------------------------------===//

namespace {
/// Bytes `[begin, end)` behind an argument of the function.
struct Access {
  BlockArgument base;
  int64_t begin, end;
  bool isWrite;

  bool operator==(const Access &) const = default;
  bool conflictsWith(const Access &other) const {
    return (isWrite || other.isWrite) && base == other.base &&
           begin < other.end && other.begin < end;
  }
};

struct Accesses {
  SmallVector<Access> list;
  bool unknown = false; // may touch anything

  bool conflictWith(const Accesses &other) const {
    if (unknown || other.unknown)
      return true;
    return llvm::any_of(list, [&](const Access &a) {
      return llvm::any_of(other.list,
                          [&](const Access &b) { return a.conflictsWith(b); });
    });
  }
};
} // namespace

/// Scratch memory of one iteration (hetprec-vectorize-lanes): nothing is kept
/// in it, so that every task may have its own.
static bool isScratch(Operation *op) {
  auto alloca = dyn_cast_or_null<memref::AllocaOp>(op);
  return alloca && alloca->getNumOperands() == 0;
}

/// The value that a view of memory was made from.
static Value getSource(Value view) {
  Operation *op = view.getDefiningOp();
  if (!op)
    return {};
  if (auto metadata = dyn_cast<memref::ExtractStridedMetadataOp>(op))
    return metadata.getSource();
  if (auto viewLike = dyn_cast<ViewLikeOpInterface>(op))
    return viewLike.getViewSource();
  return {};
}

static void addAccess(Value memory, bool isWrite, Accesses &accesses) {
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  int64_t begin = 0, end = kAll;
  for (Value source; (source = getSource(memory)); memory = source) {
    // Arguments are byte arrays where something is cut out of them.
    auto view = memory.getDefiningOp<memref::ViewOp>();
    if (!view || !isa<BlockArgument>(source))
      continue;
    std::optional<int64_t> offset = getConstantIntValue(view.getByteShift());
    auto type = view.getType();
    if (offset && type.hasStaticShape()) {
      begin = *offset;
      end = begin + type.getNumElements() *
                        llvm::divideCeil(type.getElementTypeBitWidth(), 8);
    }
  }
  // Of the network: what a loop carries may be any of them.
  auto base = dyn_cast<BlockArgument>(memory);
  if (base && isa<func::FuncOp>(base.getOwner()->getParentOp())) {
    Access access{base, begin, end, isWrite};
    if (!llvm::is_contained(accesses.list, access))
      accesses.list.push_back(access);
    return;
  }
  if (isScratch(memory.getDefiningOp()))
    return;
  // A constant of the code is only read.
  if (isWrite || !memory.getDefiningOp<memref::GetGlobalOp>())
    accesses.unknown = true;
}

static bool hasMemoryOperands(Operation *op) {
  return llvm::any_of(op->getOperandTypes(), [](Type type) {
    return isa<BaseMemRefType, LLVM::LLVMPointerType>(type);
  });
}

static Accesses getAccesses(Operation *statement) {
  Accesses accesses;
  statement->walk([&](Operation *op) {
    if (op->hasTrait<OpTrait::HasRecursiveMemoryEffects>() ||
        isMemoryEffectFree(op) || op->hasTrait<OpTrait::IsTerminator>())
      return;
    // A hint, which upstream gives no effects: it changes nothing.
    if (isa<memref::PrefetchOp>(op))
      return;
    if (auto intrinsic = dyn_cast<LLVM::CallIntrinsicOp>(op)) {
      // Nothing passes a clock (hetprec-profile-layers); other intrinsics on
      // registers reach no memory.
      if (intrinsic.getIntrin() == "llvm.readcyclecounter")
        accesses.unknown = true;
      if (!hasMemoryOperands(op))
        return;
    }
    auto interface = dyn_cast<MemoryEffectOpInterface>(op);
    if (!interface) {
      accesses.unknown = true;
      return;
    }
    SmallVector<MemoryEffects::EffectInstance> effects;
    interface.getEffects(effects);
    for (const MemoryEffects::EffectInstance &effect : effects) {
      bool isRead = isa<MemoryEffects::Read>(effect.getEffect());
      bool isWrite = isa<MemoryEffects::Write>(effect.getEffect());
      if ((isRead || isWrite) && effect.getValue())
        addAccess(effect.getValue(), isWrite, accesses);
      else
        accesses.unknown = true;
    }
  });
  return accesses;
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

/// Iterations of a loop of constant bounds, else nothing.
static std::optional<int64_t> getTrips(scf::ForOp loop) {
  auto lower = getConstantIntValue(loop.getLowerBound());
  auto upper = getConstantIntValue(loop.getUpperBound());
  auto step = getConstantIntValue(loop.getStep());
  if (!lower || !upper || !step || *step <= 0)
    return std::nullopt;
  return std::max<int64_t>(0, llvm::divideCeilSigned(*upper - *lower, *step));
}

static bool isParallel(Operation *op) {
  auto loop = dyn_cast<scf::ForOp>(op);
  return loop && loop->hasAttr(kParallelAttrName) &&
         loop->getNumResults() == 0 && getTrips(loop);
}

/// The loops of an scf.parallel, marked.
static void makeLoops(IRRewriter &b, scf::ParallelOp op) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(op);
  SmallVector<Value> ivs;
  Block *inner = nullptr;
  for (auto [lower, upper, step] :
       llvm::zip_equal(op.getLowerBound(), op.getUpperBound(), op.getStep())) {
    auto loop = scf::ForOp::create(b, op.getLoc(), lower, upper, step);
    loop->setAttr(kParallelAttrName, b.getUnitAttr());
    ivs.push_back(loop.getInductionVar());
    inner = loop.getBody();
    b.setInsertionPointToStart(inner);
  }
  Block *body = op.getBody();
  b.eraseOp(body->getTerminator());
  b.inlineBlockBefore(body, inner->getTerminator(), ivs);
  b.eraseOp(op);
}

/// Cycles that `op` takes, roughly: half a cycle for 64 bytes of a vector, a
/// quarter for a scalar. Good to a factor of two, which is all that choosing a
/// grain needs.
static double estimateCycles(Operation *op) {
  if (op->getNumRegions() > 0) {
    double cycles = 0;
    for (Region &region : op->getRegions())
      for (Operation &inner : region.getOps())
        cycles += estimateCycles(&inner);
    constexpr int64_t kUnknownTrips = 8;
    if (auto loop = dyn_cast<scf::ForOp>(op))
      cycles = (cycles + 1) * getTrips(loop).value_or(kUnknownTrips);
    return cycles;
  }
  if (op->hasTrait<OpTrait::ConstantLike>() || isa<ViewLikeOpInterface>(op) ||
      isa<memref::ExtractStridedMetadataOp, memref::GetGlobalOp>(op) ||
      op->hasTrait<OpTrait::IsTerminator>())
    return 0;
  double cycles = 0.25;
  auto count = [&](Type type) {
    auto vector = dyn_cast<VectorType>(type);
    if (!vector || !vector.getElementType().isIntOrFloat())
      return;
    double bits = double(vector.getNumElements()) *
                  vector.getElementType().getIntOrFloatBitWidth();
    cycles = std::max(cycles, 0.5 * std::max(1.0, bits / 512));
  };
  llvm::for_each(op->getResultTypes(), count);
  llvm::for_each(op->getOperandTypes(), count);
  return cycles;
}

/// As many as latency is usually divided among.
static constexpr int64_t kManyThreads = 4;

namespace {
/// A statement, and how it is cut into parts: a range of iterations of the
/// major loop each, and where those are not enough also one of the minor loop.
struct Statement {
  scf::ForOp outer, inner;
  Accesses accesses;
  double cycles = 0;
  int64_t level = 0;
  int64_t outerParts = 1, innerParts = 1; // powers of two
  bool innerIsMajor = false;
  int64_t firstTask = 0; // that has a part

  int64_t getParts() const { return outerParts * innerParts; }
};

/// Whether `op` may be repeated: it writes nothing but scratch memory.
bool isRepeatable(Operation *op) {
  if (isMemoryEffectFree(op))
    return true;
  Accesses accesses = getAccesses(op);
  return !accesses.unknown &&
         llvm::none_of(accesses.list,
                       [](const Access &access) { return access.isWrite; });
}

/// The parallel loop that is all of `loop`'s body, up to what stands before it
/// and may be repeated, `repeated` cycles; null if there is none.
scf::ForOp findInner(scf::ForOp loop, double *repeated = nullptr) {
  scf::ForOp inner;
  SmallVector<Operation *> before;
  for (Operation &op : loop.getBody()->without_terminator()) {
    if (isParallel(&op)) {
      if (inner)
        return {};
      inner = cast<scf::ForOp>(op);
    } else if (!isMemoryEffectFree(&op)) {
      if (inner || !isRepeatable(&op))
        return {};
      before.push_back(&op);
    }
  }
  if (!inner || before.empty())
    return inner;
  // Not where one part writes what another one begins with.
  Accesses ofInner = getAccesses(inner);
  double cycles = 0;
  for (Operation *op : before) {
    if (getAccesses(op).conflictWith(ofInner))
      return {};
    cycles += estimateCycles(op);
  }
  if (repeated)
    *repeated = cycles;
  return inner;
}

/// Cuts a statement into at most `wanted` parts, a power of two.
///
/// A line that one core wrote and another read takes 5 ns to write again, ten
/// times what it takes otherwise (measured on Zen 4), so threads should read
/// what they wrote. Most statements have lanes inside: ranges of these come
/// first, and windows leave them only at their borders. They are few, for what
/// a row begins with is done for each. Where lanes are few, as in the last
/// layers, loops over outputs do most of the work.
void cut(Statement &s, int64_t wanted) {
  auto floor = [](int64_t count) {
    return int64_t(llvm::bit_floor(uint64_t(std::max<int64_t>(1, count))));
  };
  int64_t outerTrips = floor(*getTrips(s.outer)), innerTrips = 1;
  double repeated = 0;
  s.inner = findInner(s.outer, &repeated);
  if (s.inner) {
    // What each part repeats takes little of its time.
    constexpr double kLittle = 1.0 / 32;
    innerTrips = floor(*getTrips(s.inner));
    if (repeated > 0)
      innerTrips = std::min(
          innerTrips, floor(int64_t(std::min(
                          1e6, kLittle * estimateCycles(s.inner) / repeated))));
  }
  s.innerIsMajor = innerTrips >= kManyThreads;
  if (s.innerIsMajor) {
    s.innerParts = std::clamp<int64_t>(wanted / 16, 2, kManyThreads);
    s.outerParts = std::min(wanted / s.innerParts, outerTrips);
    // Few outputs leave more of them to the lanes.
    s.innerParts =
        std::max(s.innerParts, std::min(wanted / s.outerParts, innerTrips));
  } else {
    s.outerParts = std::min(wanted, outerTrips);
    s.innerParts = std::min(wanted / s.outerParts, innerTrips);
  }
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

class Outliner {
public:
  Outliner(func::FuncOp network, double grain, int64_t maxTasks,
           int64_t fewestOps)
      : b(network.getContext()), network(network), grain(grain),
        maxTasks(maxTasks), fewestOps(fewestOps),
        block(network.getBody().front()) {}

  LogicalResult run();
  int64_t getNumForks() const { return forks.size(); }
  int64_t getNumTasks() const { return numTasks; }

private:
  struct Fork {
    func::FuncOp task; // (frame, number of the task)
    int64_t tasks;
    Operation *position;
  };

  void collectStatements();
  bool isFree(Operation *op);
  void wrap(ArrayRef<Operation *> ops);
  void assignLevels();
  /// Makes the functions of one level's tasks, if it is worth a fork.
  void outline(ArrayRef<Statement *> level);
  /// Moves a level that is no fork into a function, if that is worth it.
  void call(ArrayRef<Statement *> level);
  func::FuncOp makeBody(ArrayRef<Statement *> level, int64_t tasks);
  func::FuncOp makeTask(func::FuncOp body);
  /// Gives a loop the bounds of one of its `parts`, alike up to an iteration.
  void setPart(scf::ForOp loop, Value part, int64_t parts);
  Value cloneFree(Value value, IRMapping &mapping);
  void makeFrame();
  func::FuncOp makeSerialRuntime();
  Value getAddress(func::FuncOp function);
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  }
  Type getPointer() { return LLVM::LLVMPointerType::get(b.getContext()); }

  IRRewriter b;
  func::FuncOp network;
  Location loc = network.getLoc();
  double grain;
  int64_t maxTasks, fewestOps;
  Block &block;
  DenseMap<Operation *, bool> freeOps;
  std::vector<Statement> statements;
  SmallVector<Fork> forks;
  Value runtime;
  int64_t numTasks = 0, numBodies = 0;
};
} // namespace

/// Whether an op of the network's block may be repeated anywhere: it touches no
/// memory (or makes scratch memory), and neither does what it is made from.
bool Outliner::isFree(Operation *op) {
  auto [entry, inserted] = freeOps.try_emplace(op, false);
  if (!inserted)
    return entry->second;
  bool result = op->getNumRegions() == 0 &&
                (isMemoryEffectFree(op) || isScratch(op)) &&
                llvm::all_of(op->getOperands(), [&](Value operand) {
                  Operation *source = operand.getDefiningOp();
                  return !source || isFree(source);
                });
  return freeOps[op] = result;
}

/// Ops that follow each other as a loop that runs once.
void Outliner::wrap(ArrayRef<Operation *> ops) {
  b.setInsertionPointAfter(ops.back());
  auto loop = scf::ForOp::create(b, loc, index(0), index(1), index(1));
  loop->setAttr(kParallelAttrName, b.getUnitAttr());
  for (Operation *op : ops)
    op->moveBefore(loop.getBody()->getTerminator());
}

void Outliner::collectStatements() {
  SmallVector<scf::ParallelOp> parallel(block.getOps<scf::ParallelOp>());
  for (scf::ParallelOp op : parallel)
    if (op.getNumResults() == 0)
      makeLoops(b, op);
  // Loops that ran once have been folded away: give what is left of them, and
  // everything else that is no parallel loop, statements of their own.
  std::vector<SmallVector<Operation *>> loose(1);
  DenseMap<Operation *, size_t> runOf;
  for (Operation &op : block.without_terminator()) {
    if (isFree(&op))
      continue;
    if (isParallel(&op)) {
      loose.emplace_back();
    } else {
      runOf[&op] = loose.size();
      loose.back().push_back(&op);
    }
  }
  for (auto &[op, run] : runOf)
    for (Operation *user : op->getUsers())
      if (runOf.lookup(block.findAncestorOpInBlock(*user)) != run)
        return; // a value of one statement that another uses: all stays serial
  for (ArrayRef<Operation *> run : loose)
    if (!run.empty())
      wrap(run);
  for (scf::ForOp loop : block.getOps<scf::ForOp>()) {
    Statement &s = statements.emplace_back();
    s.outer = loop;
    s.accesses = getAccesses(loop);
    s.cycles = estimateCycles(loop);
  }
}

void Outliner::assignLevels() {
  for (size_t i = 0; i < statements.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (statements[i].level <= statements[j].level &&
          statements[i].accesses.conflictWith(statements[j].accesses))
        statements[i].level = statements[j].level + 1;
}

/// A copy of `value` (and of what it is made from) at the insertion point.
Value Outliner::cloneFree(Value value, IRMapping &mapping) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    cloneFree(operand, mapping);
  b.clone(*op, mapping);
  return mapping.lookup(value);
}

void Outliner::setPart(scf::ForOp loop, Value part, int64_t parts) {
  int64_t trips = *getTrips(loop);
  auto toBound = [&](Value number) -> Value {
    Value scaled = arith::MulIOp::create(b, loc, number, index(trips));
    Value first = arith::DivUIOp::create(b, loc, scaled, index(parts));
    Value offset = arith::MulIOp::create(b, loc, first, loop.getStep());
    return arith::AddIOp::create(b, loc, offset, loop.getLowerBound());
  };
  // The last bound may lie behind the loop's own by less than a step.
  Value lower = toBound(part);
  Value upper = toBound(arith::AddIOp::create(b, loc, part, index(1)));
  loop.setUpperBound(upper);
  loop.setLowerBound(lower);
}

/// The function of a level's tasks, on the network's own arguments and the
/// number of the task. Every statement's parts are spread over all tasks, so
/// that a thread's tasks, which follow each other, have the same share of each.
func::FuncOp Outliner::makeBody(ArrayRef<Statement *> level, int64_t tasks) {
  SmallVector<Type> types;
  for (BlockArgument argument : network.getArguments())
    if (isa<MemRefType>(argument.getType()))
      types.push_back(argument.getType());
  types.push_back(b.getIndexType());
  b.setInsertionPointAfter(network);
  auto body = func::FuncOp::create(
      b, loc, (network.getName() + "_body" + Twine(numBodies++)).str(),
      b.getFunctionType(types, {}));
  body.setPrivate();
  auto internal =
      LLVM::LinkageAttr::get(b.getContext(), LLVM::Linkage::Internal);
  body->setAttr("llvm.linkage", internal);
  Block *entry = body.addEntryBlock();
  IRMapping arguments;
  unsigned number = 0;
  for (BlockArgument argument : network.getArguments()) {
    if (!isa<MemRefType>(argument.getType()))
      continue;
    body.setArgAttr(number, LLVM::LLVMDialect::getNoAliasAttrName(),
                    b.getUnitAttr());
    arguments.map(argument, body.getArgument(number++));
  }
  b.setInsertionPointToStart(entry);
  auto exit = func::ReturnOp::create(b, loc);
  Value task = body.getArgument(number);
  for (Statement *s : level) {
    b.setInsertionPoint(exit);
    int64_t tasksPerPart = tasks / s->getParts();
    Value part = task;
    if (tasksPerPart > 1) {
      part = arith::DivUIOp::create(b, loc, task, index(tasksPerPart));
      Value rest = arith::RemUIOp::create(b, loc, task, index(tasksPerPart));
      Value isOurs = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                           rest, index(s->firstTask));
      auto choice = scf::IfOp::create(b, loc, isOurs, /*withElse=*/false);
      b.setInsertionPoint(choice.thenBlock()->getTerminator());
    }
    IRMapping mapping(arguments);
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(s->outer->getRegions(), captured);
    captured.insert(s->outer->operand_begin(), s->outer->operand_end());
    for (Value value : captured)
      cloneFree(value, mapping);
    int64_t minorParts = s->innerIsMajor ? s->outerParts : s->innerParts;
    Value major = part, minor;
    if (minorParts > 1) {
      major = arith::DivUIOp::create(b, loc, part, index(minorParts));
      minor = arith::RemUIOp::create(b, loc, part, index(minorParts));
    }
    auto outer = cast<scf::ForOp>(b.clone(*s->outer, mapping));
    auto inner = s->innerParts > 1 ? findInner(outer) : scf::ForOp();
    b.setInsertionPoint(outer);
    if (inner) {
      // Its bounds are constants; those inside the loop come out of it.
      for (Value bound : {inner.getLowerBound(), inner.getStep()})
        if (Operation *op = bound.getDefiningOp(); op && outer->isAncestor(op))
          op->moveBefore(outer);
      setPart(inner, s->innerIsMajor ? major : minor, s->innerParts);
    }
    if (s->outerParts > 1)
      setPart(outer, s->innerIsMajor ? minor : major, s->outerParts);
  }
  return body;
}

/// What the runtime calls: takes the network's arguments out of the frame.
func::FuncOp Outliner::makeTask(func::FuncOp body) {
  b.setInsertionPointAfter(body);
  auto task = func::FuncOp::create(
      b, loc, (network.getName() + "_task" + Twine(forks.size())).str(),
      b.getFunctionType({getPointer(), b.getI32Type()}, {}));
  task.setPrivate();
  task->setAttr("llvm.linkage", body->getAttr("llvm.linkage"));
  Block *entry = task.addEntryBlock();
  b.setInsertionPointToStart(entry);
  LLVMTypeConverter converter(b.getContext());
  SmallVector<Value> arguments;
  for (auto [i, type] : llvm::enumerate(body.getArgumentTypes().drop_back())) {
    Value slot = LLVM::GEPOp::create(b, loc, getPointer(), getPointer(),
                                     task.getArgument(0),
                                     ArrayRef<LLVM::GEPArg>{int32_t(i)});
    Value pointer = LLVM::LoadOp::create(b, loc, getPointer(), slot);
    Value descriptor = MemRefDescriptor::fromStaticShape(
        b, loc, converter, cast<MemRefType>(type), pointer);
    arguments.push_back(
        UnrealizedConversionCastOp::create(b, loc, type, descriptor)
            .getResult(0));
  }
  arguments.push_back(arith::IndexCastUIOp::create(b, loc, b.getIndexType(),
                                                   task.getArgument(1)));
  func::CallOp::create(b, loc, body, arguments);
  func::ReturnOp::create(b, loc);
  return task;
}

void Outliner::call(ArrayRef<Statement *> level) {
  int64_t ops = 0;
  for (Statement *s : level) {
    s->outer->walk([&](Operation *) { ++ops; });
    s->outerParts = s->innerParts = 1;
  }
  if (ops < fewestOps)
    return;
  func::FuncOp body = makeBody(level, /*tasks=*/1);
  body->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  b.setInsertionPoint(level.front()->outer);
  SmallVector<Value> arguments;
  for (BlockArgument argument : network.getArguments())
    if (isa<MemRefType>(argument.getType()))
      arguments.push_back(argument);
  arguments.push_back(index(0));
  func::CallOp::create(b, loc, body, arguments);
  for (Statement *s : level)
    b.eraseOp(s->outer);
}

void Outliner::outline(ArrayRef<Statement *> level) {
  double cycles = 0;
  for (Statement *s : level)
    cycles += s->cycles;
  // Below some 2 us both threads take as long as one.
  if (cycles < 2 * grain)
    return call(level);
  int64_t most = llvm::bit_floor(uint64_t(maxTasks)), tasks = 1;
  for (Statement *s : level) {
    // A small statement is also cut: each thread has its lines.
    int64_t grains =
        std::max<int64_t>(kManyThreads, std::llround(s->cycles / grain));
    cut(*s, std::min(most, int64_t(llvm::bit_floor(uint64_t(grains)))));
    tasks = std::max(tasks, s->getParts());
  }
  SmallVector<Statement *> whole;
  llvm::copy_if(level, std::back_inserter(whole),
                [](Statement *s) { return s->getParts() == 1; });
  tasks =
      std::max(tasks, std::min(most, int64_t(llvm::bit_floor(whole.size()))));
  if (tasks < 2)
    return call(level);
  for (auto [i, s] : llvm::enumerate(whole))
    s->firstTask = int64_t(i) * tasks / int64_t(whole.size());
  func::FuncOp body = makeBody(level, tasks);
  func::FuncOp task = makeTask(body);
  numTasks += tasks;
  b.setInsertionPoint(level.front()->outer);
  // Stands for the fork until the frame is there.
  Value here = index(tasks);
  forks.push_back({task, tasks, here.getDefiningOp()});
  for (Statement *s : level)
    b.eraseOp(s->outer);
}

Value Outliner::getAddress(func::FuncOp function) {
  Value address =
      func::ConstantOp::create(b, loc, function.getFunctionType(),
                               FlatSymbolRefAttr::get(function.getNameAttr()));
  return UnrealizedConversionCastOp::create(b, loc, getPointer(), address)
      .getResult(0);
}

/// What runs the tasks where the caller gave no runtime.
func::FuncOp Outliner::makeSerialRuntime() {
  b.setInsertionPointAfter(network);
  Type pointer = getPointer(), i32 = b.getI32Type();
  auto serial = func::FuncOp::create(
      b, loc, (network.getName() + "_serial").str(),
      b.getFunctionType({pointer, i32, pointer, pointer}, {}));
  serial.setPrivate();
  serial->setAttr("llvm.linkage", LLVM::LinkageAttr::get(
                                      b.getContext(), LLVM::Linkage::Internal));
  Block *entry = serial.addEntryBlock();
  b.setInsertionPointToStart(entry);
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
  };
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {pointer, i32});
  scf::ForOp::create(
      b, loc, constant(0), serial.getArgument(1), constant(1), ValueRange(),
      [&](OpBuilder &builder, Location, Value task, ValueRange) {
        LLVM::CallOp::create(
            builder, loc, type,
            ValueRange{serial.getArgument(2), serial.getArgument(3), task});
        scf::YieldOp::create(builder, loc);
      });
  func::ReturnOp::create(b, loc);
  return serial;
}

/// Writes the arguments where tasks find them, and calls the runtime.
void Outliner::makeFrame() {
  func::FuncOp serial = makeSerialRuntime();
  b.setInsertionPointToStart(&block);
  Type pointer = getPointer(), i32 = b.getI32Type(), i64 = b.getI64Type();
  int64_t slots = network.getNumArguments() - 1;
  Value count =
      LLVM::ConstantOp::create(b, loc, i64, b.getI64IntegerAttr(slots));
  Value frame = LLVM::AllocaOp::create(b, loc, pointer, pointer, count);
  int32_t slot = 0;
  for (BlockArgument argument : network.getArguments()) {
    if (!isa<MemRefType>(argument.getType()))
      continue;
    Value address =
        memref::ExtractAlignedPointerAsIndexOp::create(b, loc, argument);
    Value bits = arith::IndexCastOp::create(b, loc, i64, address);
    Value place = LLVM::GEPOp::create(b, loc, pointer, pointer, frame,
                                      ArrayRef<LLVM::GEPArg>{slot++});
    LLVM::StoreOp::create(
        b, loc, LLVM::IntToPtrOp::create(b, loc, pointer, bits), place);
  }
  Value null = LLVM::ZeroOp::create(b, loc, pointer);
  Value isNull =
      LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, runtime, null);
  auto choice = scf::IfOp::create(b, loc, TypeRange{pointer, pointer}, isNull,
                                  /*addThenBlock=*/true, /*addElseBlock=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(choice.thenBlock());
    scf::YieldOp::create(b, loc, ValueRange{null, getAddress(serial)});
    b.setInsertionPointToStart(choice.elseBlock());
    Value self = LLVM::LoadOp::create(b, loc, pointer, runtime);
    Value place = LLVM::GEPOp::create(b, loc, pointer, pointer, runtime,
                                      ArrayRef<LLVM::GEPArg>{1});
    Value call = LLVM::LoadOp::create(b, loc, pointer, place);
    scf::YieldOp::create(b, loc, ValueRange{self, call});
  }
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                  {pointer, i32, pointer, pointer});
  for (Fork &fork : forks) {
    b.setInsertionPoint(fork.position);
    Value tasks =
        arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(fork.tasks));
    LLVM::CallOp::create(b, loc, type,
                         ValueRange{choice.getResult(1), choice.getResult(0),
                                    tasks, getAddress(fork.task), frame});
    b.eraseOp(fork.position);
  }
}

LogicalResult Outliner::run() {
  // Behind the arena, which follows the weights.
  unsigned position = std::min<unsigned>(2, network.getNumArguments());
  if (failed(network.insertArgument(position, getPointer(), {}, loc)))
    return failure();
  runtime = network.getArgument(position);
  for (BlockArgument argument : network.getArguments()) {
    auto type = dyn_cast<MemRefType>(argument.getType());
    if (argument != runtime &&
        (!type || !type.hasStaticShape() || !type.getLayout().isIdentity()))
      return network.emitError("arguments must be arrays of static shape, "
                               "found ")
             << argument.getType();
  }
  if (maxTasks == 1)
    return success(); // no forks: statements stay in their order
  collectStatements();
  assignLevels();
  int64_t levels = 0;
  for (Statement &s : statements)
    levels = std::max(levels, s.level + 1);
  std::vector<SmallVector<Statement *>> byLevel(levels);
  for (Statement &s : statements)
    byLevel[s.level].push_back(&s);
  for (ArrayRef<Statement *> level : byLevel)
    for (Statement *s : level)
      s->outer->moveBefore(block.getTerminator());
  for (ArrayRef<Statement *> level : byLevel)
    outline(level);
  if (!forks.empty())
    makeFrame();
  return success();
}

namespace {
struct OutlineParallelPass
    : sysmol::hetprec::impl::OutlineParallelPassBase<OutlineParallelPass> {
  using OutlineParallelPassBase::OutlineParallelPassBase;

  void runOnOperation() override {
    if (grain < 1 || maxTasks < 1 || maxTasks > INT32_MAX || fewestOps < 0) {
      getOperation().emitError(
          "grain and max-tasks must be at least 1, max-tasks below 2^31, "
          "fewest-ops at least 0");
      return signalPassFailure();
    }
    SmallVector<func::FuncOp> networks;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function.isPublic() && !function.isDeclaration())
        networks.push_back(function);
    for (func::FuncOp network : networks) {
      if (!network.getBody().hasOneBlock()) {
        network.emitError("must be one block of loops; run before they are "
                          "lowered to branches");
        return signalPassFailure();
      }
      Outliner outliner(network, double(grain), maxTasks, fewestOps);
      if (failed(outliner.run()))
        return signalPassFailure();
      numForks += outliner.getNumForks();
      numTasks += outliner.getNumTasks();
    }
  }
};
} // namespace
