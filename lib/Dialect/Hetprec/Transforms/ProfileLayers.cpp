//===- ProfileLayers.cpp - A clock at the borders of layers ---------------===//
//
// Linear in the number of ops.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_PROFILELAYERSPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

/// Ops that take no time of their own belong to whoever uses them.
static bool isFree(Operation *op) {
  return op->hasTrait<OpTrait::ConstantLike>() ||
         op->hasTrait<OpTrait::IsTerminator>() ||
         isa<memref::AllocOp, memref::GetGlobalOp, memref::SubViewOp,
             memref::CastOp>(op);
}

/// The layer that `op`, or what is nested in it, belongs to; null where nothing
/// says it.
static StringAttr getLayer(Operation *op) {
  Builder b(op->getContext());
  // What a caller of the network pays, not the layer.
  if (isa<PackLanesOp>(op))
    return b.getStringAttr("pack");
  if (isa<UnpackLanesOp>(op))
    return b.getStringAttr("unpack");
  StringAttr layer;
  op->walk<WalkOrder::PreOrder>([&](Operation *inner) {
    if (!isa_and_present<HetprecDialect>(inner->getDialect()))
      return WalkResult::advance();
    layer = inner->getAttrOfType<StringAttr>("layer");
    auto name = dyn_cast<NameLoc>(inner->getLoc());
    if (!layer && name)
      layer = name.getName();
    return layer ? WalkResult::interrupt() : WalkResult::advance();
  });
  return layer;
}

namespace {
/// Ops of the function's top level on end that belong to one layer.
struct Stretch {
  StringAttr layer;
  Operation *first;
};

struct ProfileLayersPass
    : sysmol::hetprec::impl::ProfileLayersPassBase<ProfileLayersPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isDeclaration() || !function.isPublic())
      return;
    if (!function.getBody().hasOneBlock()) {
      function.emitError("hetprec-profile-layers needs one block, which the "
                         "phase loops leaves");
      return signalPassFailure();
    }
    Block &entry = function.getBody().front();
    SmallVector<Stretch> stretches = getStretches(entry);
    if (stretches.empty())
      return;

    Builder attrs(&getContext());
    auto type =
        MemRefType::get({int64_t(stretches.size()) + 1}, attrs.getI64Type());
    unsigned index = function.getNumArguments();
    auto marker = attrs.getDictionaryAttr(
        attrs.getNamedAttr("hetprec.profile", attrs.getUnitAttr()));
    if (failed(function.insertArgument(index, type, marker, function.getLoc())))
      return signalPassFailure();
    Value buffer = function.getArgument(index);
    SmallVector<Attribute> names;
    for (auto [i, stretch] : llvm::enumerate(stretches)) {
      addClock(stretch.first, buffer, i);
      names.push_back(stretch.layer);
    }
    addClock(entry.getTerminator(), buffer, stretches.size());
    function->setAttr("hetprec.profile", attrs.getArrayAttr(names));
    numClocks += stretches.size() + 1;
  }

  /// Ops that name no layer prepare what the next one reads; behind the last
  /// layer they belong to it.
  static SmallVector<Stretch> getStretches(Block &entry) {
    SmallVector<Stretch> stretches;
    Operation *waiting = nullptr; // the first op that waits for a name
    for (Operation &op : entry) {
      if (isFree(&op))
        continue;
      if (!waiting)
        waiting = &op;
      StringAttr layer = getLayer(&op);
      if (!layer)
        continue;
      if (stretches.empty() || stretches.back().layer != layer)
        stretches.push_back({layer, waiting});
      waiting = nullptr;
    }
    return stretches;
  }

  static void addClock(Operation *before, Value buffer, int64_t index) {
    OpBuilder b(before);
    Location loc = b.getUnknownLoc(); // part of no layer
    Value now = LLVM::CallIntrinsicOp::create(
                    b, loc, b.getI64Type(),
                    b.getStringAttr("llvm.readcyclecounter"), ValueRange())
                    .getResult(0);
    Value at = arith::ConstantIndexOp::create(b, loc, index);
    memref::StoreOp::create(b, loc, now, buffer, at);
  }
};
} // namespace
