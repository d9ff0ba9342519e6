//===- PlanArena.cpp - All buffers in one static arena --------------------===//
//
// Quadratic in the number of buffers.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/Support/CheckedArithmetic.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_PLANARENAPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

static constexpr int64_t kAlignment = 64;

namespace {
struct Buffer {
  memref::AllocOp alloc;
  int64_t bytes, first, last; // live from op `first` to op `last`
  int64_t offset = -1;

  bool liveWith(const Buffer &other) const {
    return first <= other.last && other.first <= last;
  }
};

struct PlanArenaPass : sysmol::hetprec::impl::PlanArenaPassBase<PlanArenaPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isDeclaration())
      return;
    Block &entry = function.getBody().front();
    DenseMap<Operation *, int64_t> position;
    for (auto [i, op] : llvm::enumerate(entry))
      position[&op] = i;

    std::vector<Buffer> buffers;
    WalkResult walk = function.walk([&](memref::AllocOp alloc) {
      if (alloc->getBlock() != &entry || !alloc.getType().hasStaticShape()) {
        alloc.emitOpError("only buffers of static shape at the top of the "
                          "function can be placed in the arena");
        return WalkResult::interrupt();
      }
      std::optional<int64_t> bytes = getBytes(alloc.getType());
      if (!bytes) {
        alloc.emitOpError("buffer is larger than 2^62 bytes");
        return WalkResult::interrupt();
      }
      Buffer buffer{alloc, *bytes, position[alloc], position[alloc]};
      extend(buffer, alloc.getResult(), entry, position);
      buffers.push_back(buffer);
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();

    std::vector<Buffer *> order;
    order.reserve(buffers.size());
    for (Buffer &buffer : buffers)
      order.push_back(&buffer);
    llvm::stable_sort(order, [](const Buffer *a, const Buffer *b) {
      return a->bytes > b->bytes;
    });
    int64_t size = 0;
    for (Buffer *buffer : order) {
      place(*buffer, buffers);
      size = std::max(size, buffer->offset + buffer->bytes);
    }
    size = std::max(size, kAlignment);
    BlockArgument profile = getProfile(function);
    int64_t profileOffset = size;
    if (profile)
      size += *getBytes(cast<MemRefType>(profile.getType()));

    OpBuilder b(function);
    auto type = MemRefType::get({size}, b.getI8Type());
    unsigned index = std::min<unsigned>(1, function.getNumArguments());
    if (failed(function.insertArgument(index, type, {}, function.getLoc())))
      return signalPassFailure();
    for (Buffer &buffer : buffers) {
      b.setInsertionPoint(buffer.alloc);
      Location loc = buffer.alloc.getLoc();
      Value offset = arith::ConstantIndexOp::create(b, loc, buffer.offset);
      Value view = memref::ViewOp::create(b, loc, buffer.alloc.getType(),
                                          function.getArgument(index), offset,
                                          ValueRange());
      for (Operation *user :
           llvm::make_early_inc_range(buffer.alloc->getUsers()))
        if (isa<memref::DeallocOp>(user))
          user->erase();
      buffer.alloc.replaceAllUsesWith(view);
      buffer.alloc.erase();
    }
    if (profile) {
      b.setInsertionPointToStart(&entry);
      Location loc = profile.getLoc();
      Value offset = arith::ConstantIndexOp::create(b, loc, profileOffset);
      profile.replaceAllUsesWith(memref::ViewOp::create(
          b, loc, cast<MemRefType>(profile.getType()),
          function.getArgument(index), offset, ValueRange()));
      if (failed(function.eraseArgument(profile.getArgNumber())))
        return signalPassFailure();
      function->setAttr("hetprec.profile_offset",
                        b.getI64IntegerAttr(profileOffset));
    }
    function->setAttr("hetprec.arena_bytes", b.getI64IntegerAttr(size));
    numBuffers += buffers.size();
    numBytes += size;
  }

  /// The argument that `hetprec-profile-layers` added, if it ran.
  static BlockArgument getProfile(func::FuncOp function) {
    for (unsigned i = 0, e = function.getNumArguments(); i < e; ++i)
      if (function.getArgAttr(i, "hetprec.profile"))
        return function.getArgument(i);
    return {};
  }

  static std::optional<int64_t> getBytes(MemRefType type) {
    int64_t bytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
    for (int64_t size : type.getShape()) {
      std::optional<int64_t> product = llvm::checkedMul(bytes, size);
      if (!product || *product > (int64_t(1) << 62))
        return std::nullopt;
      bytes = *product;
    }
    return llvm::alignTo(bytes, kAlignment);
  }

  /// The buffer lives as long as anything made of it is used.
  static void extend(Buffer &buffer, Value value, Block &entry,
                     const DenseMap<Operation *, int64_t> &position) {
    for (Operation *user : value.getUsers()) {
      buffer.last = std::max(
          buffer.last, position.lookup(entry.findAncestorOpInBlock(*user)));
      for (Value result : user->getResults())
        if (isa<BaseMemRefType>(result.getType()))
          extend(buffer, result, entry, position);
    }
  }

  /// The lowest gap between the buffers that are live with this one.
  static void place(Buffer &buffer, ArrayRef<Buffer> buffers) {
    SmallVector<std::pair<int64_t, int64_t>> taken;
    for (const Buffer &other : buffers)
      if (other.offset >= 0 && buffer.liveWith(other))
        taken.push_back({other.offset, other.offset + other.bytes});
    llvm::sort(taken);
    int64_t offset = 0;
    for (auto [begin, end] : taken) {
      if (offset + buffer.bytes <= begin)
        break;
      offset = std::max(offset, end);
    }
    buffer.offset = offset;
  }
};
} // namespace
