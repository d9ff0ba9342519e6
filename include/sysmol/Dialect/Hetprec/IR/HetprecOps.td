//===- HetprecOps.td - Model ops --------------------------*- tablegen -*-===//
//
// Ops on tensors of codes, as a network is written. See HetprecPackedOps.td for
// what they become.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPRECOPS_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPRECOPS_TD

include "mlir/IR/OpBase.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "sysmol/Dialect/Hetprec/IR/HetprecAttrs.td"
include "sysmol/Dialect/Hetprec/IR/HetprecDialect.td"

class Hetprec_Op<string mnemonic, list<Trait> traits = []>
    : Op<Hetprec_Dialect, mnemonic, traits>;

class Hetprec_EncodedTensorOf<list<Type> types, string attr, string summary>
    : Type<And<[RankedTensorOf<types>.predicate,
        CPred<"::llvm::isa_and_present<" # attr # ">("
              "::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding())">]>,
        summary, "::mlir::RankedTensorType">;

def Hetprec_Codes : Hetprec_EncodedTensorOf<[I8],
    "::sysmol::hetprec::ChannelsAttr", "tensor of i8 codes with a #hetprec.channels encoding">;
def Hetprec_Carrier : Hetprec_EncodedTensorOf<[I16],
    "::sysmol::hetprec::CarrierAttr", "tensor of i16 with a #hetprec.carrier encoding">;
def Hetprec_Accumulators : Type<
    And<[RankedTensorOf<[I32]>.predicate,
         CPred<"!::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding()">]>,
    "tensor of i32 accumulators without encoding", "::mlir::RankedTensorType">;
def Hetprec_Sums : AnyTypeOf<[Hetprec_Accumulators, Hetprec_Carrier],
    "accumulators or carrier", "::mlir::RankedTensorType">;
def Hetprec_Reals : RankedTensorOf<[F32]>;

def Hetprec_QuantizeOp : Hetprec_Op<"quantize", [Pure,
    AllShapesMatch<["input", "result"]>]> {
  let summary = "real numbers to codes (HP7-HP10)";
  let description = [{
    ```mlir
    %q = hetprec.quantize %x : tensor<1x1x28x28xf32> to tensor<1x1x28x28xi8,
        #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>>
    ```
  }];
  let arguments = (ins Hetprec_Reals:$input);
  let results = (outs Hetprec_Codes:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `to` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Hetprec_DequantizeOp : Hetprec_Op<"dequantize", [Pure,
    AllShapesMatch<["input", "result"]>]> {
  let summary = "codes to the real numbers they mean (HP3-HP5)";
  let description = [{
    Each value is computed in double and rounded once to binary32. Folds the
    codes of a constant; `quantize` of a `dequantize` with the same encoding is
    the codes themselves.

    ```mlir
    %x = hetprec.dequantize %q : tensor<4x4xi8, #enc> to tensor<4x4xf32>
    ```
  }];
  let arguments = (ins Hetprec_Codes:$input);
  let results = (outs Hetprec_Reals:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `to` type($result)";
  let hasFolder = 1;
}

class Hetprec_ConvBase<string mnemonic, list<Trait> traits = []>
    : Hetprec_Op<mnemonic, !listconcat([Pure], traits)> {
  let results = (outs Hetprec_Accumulators:$result);
  let hasVerifier = 1;
}

def Hetprec_Conv2DOp : Hetprec_ConvBase<"conv_2d"> {
  let summary = "2-D convolution of codes to exact accumulators (HP11-HP13)";
  let description = [{
    Input `[N, C, H, W]`, filter `[O, C / groups, KH, KW]`, result
    `[N, O, OH, OW]`. `strides`, `dilations` are `[y, x]`, `pads` is
    `[top, left, bottom, right]`. The filter's precision of a channel equals the
    input's. The accumulator's unit is that of the finest level (HP11); a
    convolution whose bound passes 2^31 - 1 is refused (HP12).

    ```mlir
    %acc = hetprec.conv_2d %x, %w strides = [1, 1] pads = [1, 1, 1, 1]
        : tensor<1x16x28x28xi8, #a>, tensor<32x16x3x3xi8, #w>
        -> tensor<1x32x28x28xi32>
    ```
  }];
  let arguments = (ins Hetprec_Codes:$input, Hetprec_Codes:$filter,
    DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$strides,
    DefaultValuedAttr<DenseI64ArrayAttr, "{0, 0, 0, 0}">:$pads,
    DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$dilations,
    DefaultValuedAttr<I64Attr, "1">:$groups);
  let assemblyFormat = [{
    $input `,` $filter oilist(`strides` `=` $strides | `pads` `=` $pads
    | `dilations` `=` $dilations | `groups` `=` $groups) attr-dict `:`
    type($input) `,` type($filter) `->` type($result)
  }];
}

def Hetprec_DepthwiseConv2DOp : Hetprec_ConvBase<"depthwise_conv_2d"> {
  let summary = "convolution of each channel by itself";
  let description = [{
    `conv_2d` with `groups = C`, into which it canonicalizes: filter
    `[C * M, 1, KH, KW]` makes `M` outputs of every channel.

    ```mlir
    %acc = hetprec.depthwise_conv_2d %x, %w pads = [1, 1, 1, 1]
        : tensor<1x8x9x9xi8, #a>, tensor<8x1x3x3xi8, #w> -> tensor<1x8x9x9xi32>
    ```
  }];
  let arguments = (ins Hetprec_Codes:$input, Hetprec_Codes:$filter,
    DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$strides,
    DefaultValuedAttr<DenseI64ArrayAttr, "{0, 0, 0, 0}">:$pads,
    DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$dilations);
  let assemblyFormat = [{
    $input `,` $filter oilist(`strides` `=` $strides | `pads` `=` $pads
    | `dilations` `=` $dilations) attr-dict `:`
    type($input) `,` type($filter) `->` type($result)
  }];
  let hasCanonicalizer = 1;
}

def Hetprec_MatmulOp : Hetprec_Op<"matmul", [Pure]> {
  let summary = "matrix product of codes to exact accumulators (HP11, HP12)";
  let description = [{
    `[M, K] x [N, K] -> [M, N]`: rows of `rhs` are output features, as linear
    layers store them. The channels are those of `K`.

    ```mlir
    %acc = hetprec.matmul %x, %w : tensor<8x64xi8, #a>, tensor<10x64xi8, #w>
        -> tensor<8x10xi32>
    ```
  }];
  let arguments = (ins Hetprec_Codes:$lhs, Hetprec_Codes:$rhs);
  let results = (outs Hetprec_Accumulators:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_SumPool2DOp : Hetprec_Op<"sum_pool_2d", [Pure]> {
  let summary = "sum of the codes in each window (HP14)";
  let description = [{
    `[N, C, H, W] -> [N, C, OH, OW]`; the mean's divisor is in the multiplier of
    what follows (HP19).

    ```mlir
    %s = hetprec.sum_pool_2d %x kernel = [7, 7]
        : tensor<1x64x7x7xi8, #a> -> tensor<1x64x1x1xi32>
    ```
  }];
  let arguments = (ins Hetprec_Codes:$input, DenseI64ArrayAttr:$kernel,
    DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$strides,
    DefaultValuedAttr<DenseI64ArrayAttr, "{0, 0, 0, 0}">:$pads);
  let results = (outs Hetprec_Accumulators:$result);
  let assemblyFormat = [{
    $input `kernel` `=` $kernel oilist(`strides` `=` $strides
    | `pads` `=` $pads) attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_MaxPool2DOp : Hetprec_Op<"max_pool_2d", [Pure]> {
  let summary = "the largest code in each window (HP25)";
  let description = [{
    `[N, C, H, W] -> [N, C, OH, OW]`, with the encoding of the input. Padding is
    in no window, and smaller than the kernel.

    ```mlir
    %m = hetprec.max_pool_2d %x kernel = [3, 3] strides = [2, 2]
        pads = [1, 1, 1, 1]
        : tensor<1x64x56x56xi8, #a> -> tensor<1x64x28x28xi8, #a>
    ```
  }];
  let arguments = (ins Hetprec_Codes:$input, DenseI64ArrayAttr:$kernel,
    DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$strides,
    DefaultValuedAttr<DenseI64ArrayAttr, "{0, 0, 0, 0}">:$pads);
  let results = (outs Hetprec_Codes:$result);
  let assemblyFormat = [{
    $input `kernel` `=` $kernel oilist(`strides` `=` $strides
    | `pads` `=` $pads) attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_RequantizeOp : Hetprec_Op<"requantize", [Pure,
    AllShapesMatch<["input", "result"]>]> {
  let summary = "accumulators or carrier to codes (HP15)";
  let description = [{
    `multiplier` and `offset` have one binary32 per channel (dimension 1), or
    one for all.

    ```mlir
    %q = hetprec.requantize %acc multiplier = [0.5] offset = [0.0]
        : tensor<1x16x28x28xi32> to tensor<1x16x28x28xi8, #a>
    ```
  }];
  let arguments = (ins Hetprec_Sums:$input, DenseF32ArrayAttr:$multiplier,
    DenseF32ArrayAttr:$offset);
  let results = (outs Hetprec_Codes:$result);
  let assemblyFormat = [{
    $input `multiplier` `=` custom<Floats>($multiplier)
    `offset` `=` custom<Floats>($offset) attr-dict `:` type($input) `to`
    type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_ToCarrierOp : Hetprec_Op<"to_carrier", [Pure,
    AllShapesMatch<["input", "result"]>]> {
  let summary = "accumulators to 16-bit residual values (HP17)";
  let description = [{
    `multiplier` has one binary32 per channel (dimension 1), or one for all; so
    has `offset`, which may be left out where it is 0. With `relu` no value is
    below 0.

    ```mlir
    %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x16x28x28xi32>
        to tensor<1x16x28x28xi16, #hetprec.carrier<delta = 0.00390625>>
    %s = hetprec.to_carrier %acc multiplier = [0.25] offset = [3.0] relu
        : tensor<1x16x28x28xi32>
        to tensor<1x16x28x28xi16, #hetprec.carrier<delta = 0.00390625>>
    ```
  }];
  let arguments = (ins Hetprec_Accumulators:$input,
    DenseF32ArrayAttr:$multiplier,
    DefaultValuedAttr<DenseF32ArrayAttr, "{}">:$offset, UnitAttr:$relu);
  let results = (outs Hetprec_Carrier:$result);
  let assemblyFormat = [{
    $input `multiplier` `=` custom<Floats>($multiplier)
    (`offset` `=` custom<Floats>($offset)^)? (`relu` $relu^)? attr-dict `:`
    type($input) `to` type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_AddOp : Hetprec_Op<"add", [Pure, Commutative,
    SameOperandsAndResultType]> {
  let summary = "saturating sum of two carriers (HP17)";
  let description = [{
    With `relu` no sum is below 0.

    ```mlir
    %s = hetprec.add %r, %b : tensor<1x16x28x28xi16, #hetprec.carrier<delta = 0.5>>
    %t = hetprec.add %r, %b relu
        : tensor<1x16x28x28xi16, #hetprec.carrier<delta = 0.5>>
    ```
  }];
  let arguments = (ins Hetprec_Carrier:$lhs, Hetprec_Carrier:$rhs,
    UnitAttr:$relu);
  let results = (outs Hetprec_Carrier:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs (`relu` $relu^)? attr-dict `:` type($result)
  }];
}

def Hetprec_ToRealOp : Hetprec_Op<"to_real", [Pure,
    AllShapesMatch<["input", "result"]>]> {
  let summary = "accumulators or carrier to real numbers (HP18)";
  let description = [{
    ```mlir
    %y = hetprec.to_real %acc multiplier = [0.5] offset = [1.0]
        : tensor<1x10xi32> to tensor<1x10xf32>
    ```
  }];
  let arguments = (ins Hetprec_Sums:$input, DenseF32ArrayAttr:$multiplier,
    DenseF32ArrayAttr:$offset);
  let results = (outs Hetprec_Reals:$result);
  let assemblyFormat = [{
    $input `multiplier` `=` custom<Floats>($multiplier)
    `offset` `=` custom<Floats>($offset) attr-dict `:` type($input) `to`
    type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_PermuteOp : Hetprec_Op<"permute", [Pure,
    AllShapesMatch<["input", "result"]>,
    AllElementTypesMatch<["input", "result"]>]> {
  let summary = "reorder the slices along one axis";
  let description = [{
    Slice `i` of the result is slice `permutation[i]` of the input; along the
    encoding's axis the bits move along. The rows of a grouped filter may move
    inside their group, or groups as a whole. Consecutive permutes fold into
    one, the identity vanishes, a permuted constant is a constant.

    ```mlir
    %p = hetprec.permute %x axis = 1 permutation = [2, 0, 1]
        : tensor<1x3x4x4xi8, #a> to tensor<1x3x4x4xi8, #b>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$input, I64Attr:$axis,
    DenseI64ArrayAttr:$permutation);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $input `axis` `=` $axis `permutation` `=` $permutation attr-dict `:`
    type($input) `to` type($result)
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Hetprec_FlattenOp : Hetprec_Op<"flatten", [Pure,
    AllElementTypesMatch<["input", "result"]>]> {
  let summary = "[N, C, H, W] to [N, C * H * W], each pixel a channel";
  let description = [{
    The bits of a channel are repeated `H * W` times. Folds a constant.

    ```mlir
    %f = hetprec.flatten %x : tensor<1x64x1x1xi8, #a> to tensor<1x64xi8, #a>
    ```
  }];
  let arguments = (ins Hetprec_Codes:$input);
  let results = (outs Hetprec_Codes:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `to` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

#endif
