//===- PackPool.cpp - Max pools of packed words ---------------------------===//

#include "Packer.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

LogicalResult Packer::visitMaxPool(MaxPool2DOp op) {
  FailureOr<PackedCodes> input = getCodes(op, op.getInput());
  if (failed(input))
    return failure();
  Window window = Window::get(op);
  PackedCodes read = *input;
  if (window.isStrided())
    read =
        splitPhases(op, read, window.getPhases(), layouts.getPhaseLayout(op));
  LaneTaps taps = window.getLaneTaps(read.layout.getRowStride());
  Value result = op.getResult();
  // Words and slots stay those of the input.
  PackedCodes pooled = *input;
  pooled.layout = layouts.getLayout(result);
  Value mask = makeMask(op.getLoc(), pooled.layout);
  for (auto [to, from] : llvm::zip_equal(pooled.segments, read.segments)) {
    Value init =
        makeCodePlanes(op.getLoc(), to.getNumWords(), result, to.level);
    to.plane =
        MaxPoolLanesOp::create(
            b, op.getLoc(), TypeRange{init.getType()}, from.plane, mask, init,
            to.level, taps.taps, taps.phases, taps.origin,
            pooled.layout.getBase(), layouts.getLaneCount(result), getLayer(op))
            ->getResult(0);
  }
  codes[result] = pooled;
  return success();
}
