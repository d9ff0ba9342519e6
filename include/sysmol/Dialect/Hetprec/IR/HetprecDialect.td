//===- HetprecDialect.td - The hetprec dialect ------------*- tablegen -*-===//
//
// Networks whose input channels each have their own precision.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPRECDIALECT_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPRECDIALECT_TD

include "mlir/IR/DialectBase.td"

def Hetprec_Dialect : Dialect {
  let name = "hetprec";
  let cppNamespace = "::sysmol::hetprec";
  let summary = "Tensors with a precision per input channel";
  let description = [{
    The dialect keeps quantized values as *codes* in builtin tensors and puts
    the meaning of a code (grid, scale, bits of each channel) into the tensor's
    encoding, so that upstream passes see ordinary tensors. The numbered rules
    HP1... of `Spec.md` fix every integer and the order of every float
    operation.

    The ops come in two families. The *model* ops (`quantize`, `conv_2d`,
    `matmul`, `requantize`, ...) speak of channels. The *packed* ops
    (`contract`, `pack_lanes`, `requantize_lanes`, `mac`) speak of lanes: packed
    codes of a group of channels, one lane a pixel. `hetprec-pack` goes from
    the first to the second.
  }];
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = "void registerAttributes();";
  let hasConstantMaterializer = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

#endif
