//===- HetprecDialect.cpp - Registration of the hetprec dialect -----------===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace sysmol::hetprec;

#include "sysmol/Dialect/Hetprec/IR/HetprecDialect.cpp.inc"

void HetprecDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "sysmol/Dialect/Hetprec/IR/HetprecOps.cpp.inc"
      >();
  registerAttributes();
}

Operation *HetprecDialect::materializeConstant(OpBuilder &builder,
                                               Attribute value, Type type,
                                               Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}
