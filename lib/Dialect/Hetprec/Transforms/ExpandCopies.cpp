//===- ExpandCopies.cpp - Copies of parts of buffers as loops -------------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_EXPANDCOPIESPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

namespace {
struct ExpandCopiesPass
    : sysmol::hetprec::impl::ExpandCopiesPassBase<ExpandCopiesPass> {
  void runOnOperation() override {
    auto isOnePiece = [](Value memory) {
      auto type = dyn_cast<MemRefType>(memory.getType());
      return type && type.getLayout().isIdentity();
    };
    getOperation().walk([&](memref::CopyOp op) {
      if (isOnePiece(op.getSource()) && isOnePiece(op.getTarget()))
        return;
      OpBuilder b(op);
      linalg::makeMemRefCopyOp(b, op.getLoc(), op.getSource(), op.getTarget());
      op.erase();
      ++numExpanded;
    });
  }
};
} // namespace
