//===- HetprecDialect.cpp - Registration of the hetprec dialect -----------===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sysmol::hetprec;

#include "sysmol/Dialect/Hetprec/IR/HetprecDialect.cpp.inc"

namespace {
/// Prints encodings as `#channels`, `#carrier`, ...: types stay readable.
struct HetprecAsmInterface : OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;
  AliasResult getAlias(Attribute attribute, raw_ostream &os) const override {
    return TypeSwitch<Attribute, AliasResult>(attribute)
        .Case<ChannelsAttr, CarrierAttr, LanesAttr>([&](auto encoding) {
          os << encoding.getMnemonic();
          return AliasResult::OverridableAlias;
        })
        .Default(AliasResult::NoAlias);
  }
};
} // namespace

void HetprecDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "sysmol/Dialect/Hetprec/IR/HetprecOps.cpp.inc"
      >();
  registerAttributes();
  addInterfaces<HetprecAsmInterface>();
}

Operation *HetprecDialect::materializeConstant(OpBuilder &builder,
                                               Attribute value, Type type,
                                               Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}
