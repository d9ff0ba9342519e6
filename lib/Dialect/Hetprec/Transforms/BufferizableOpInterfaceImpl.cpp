//===- BufferizableOpInterfaceImpl.cpp - Packed ops on memrefs ------------===//

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace sysmol::hetprec;

namespace {
/// A destination-style lane op on tensors is the same op on buffers.
template <typename OpTy>
struct LaneOpInterface
    : DstBufferizableOpInterfaceExternalModel<LaneOpInterface<OpTy>, OpTy> {
  // Words outside the computed lanes keep what the init holds.
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const AnalysisState &) const {
    return true;
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto dst = cast<DestinationStyleOpInterface>(op);
    SmallVector<Value> buffers;
    for (Value operand : op->getOperands()) {
      if (!isa<TensorType>(operand.getType())) {
        buffers.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      buffers.push_back(*buffer);
    }
    Value init = buffers[dst.getDpsInitOperand(0)->getOperandNumber()];
    OperationState newOp(op->getLoc(), op->getName(), buffers, TypeRange(),
                         op->getAttrs());
    newOp.propertiesAttr = op->getPropertiesAsAttribute();
    rewriter.setInsertionPoint(op);
    rewriter.create(newOp);
    replaceOpWithBufferizedValues(rewriter, op, init);
    return success();
  }
};
} // namespace

void sysmol::hetprec::registerBufferizableOpInterfaceExternalModels(
    DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, HetprecDialect *) {
    ContractOp::attachInterface<LaneOpInterface<ContractOp>>(*context);
    ContractOutputsOp::attachInterface<LaneOpInterface<ContractOutputsOp>>(
        *context);
    RequantizeLanesOp::attachInterface<LaneOpInterface<RequantizeLanesOp>>(
        *context);
    PackLanesOp::attachInterface<LaneOpInterface<PackLanesOp>>(*context);
    UnpackLanesOp::attachInterface<LaneOpInterface<UnpackLanesOp>>(*context);
    SplitPhasesOp::attachInterface<LaneOpInterface<SplitPhasesOp>>(*context);
    SpreadLanesOp::attachInterface<LaneOpInterface<SpreadLanesOp>>(*context);
    FoldTapsOp::attachInterface<LaneOpInterface<FoldTapsOp>>(*context);
    MaxPoolLanesOp::attachInterface<LaneOpInterface<MaxPoolLanesOp>>(*context);
    GemvOp::attachInterface<LaneOpInterface<GemvOp>>(*context);
    PackRowsOp::attachInterface<LaneOpInterface<PackRowsOp>>(*context);
    SumRowsOp::attachInterface<LaneOpInterface<SumRowsOp>>(*context);
    WinogradInputOp::attachInterface<LaneOpInterface<WinogradInputOp>>(
        *context);
    WinogradContractOp::attachInterface<LaneOpInterface<WinogradContractOp>>(
        *context);
  });
}
