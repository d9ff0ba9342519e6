//===- HetprecAttrs.td - Encodings and enums --------------*- tablegen -*-===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPRECATTRS_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPRECATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/TensorEncoding.td"
include "sysmol/Dialect/Hetprec/IR/HetprecDialect.td"

def Hetprec_Grid : I32EnumAttr<"Grid", "value grid of a quantized tensor", [
    I32EnumAttrCase<"Unsigned", 0, "unsigned">,
    I32EnumAttrCase<"Midrise", 1, "midrise">]> {
  let cppNamespace = "::sysmol::hetprec";
  let genSpecializedAttr = 0;
}

def Hetprec_EpilogueEnum : I32EnumAttr<"Epilogue",
    "what becomes of an accumulator while it is in registers", [
    I32EnumAttrCase<"Accumulator", 0, "accumulator">,
    I32EnumAttrCase<"Real", 1, "real">,
    I32EnumAttrCase<"Carrier", 2, "carrier">,
    I32EnumAttrCase<"CarrierAdd", 3, "carrier_add">,
    I32EnumAttrCase<"Codes", 4, "codes">]> {
  let cppNamespace = "::sysmol::hetprec";
  let genSpecializedAttr = 0;
}

def Hetprec_CentredEnum : I32EnumAttr<"Centred",
    "the operand of a product whose 2-bit codes count from 1", [
    I32EnumAttrCase<"Row", 0, "row">,
    I32EnumAttrCase<"Lanes", 1, "lanes">]> {
  let cppNamespace = "::sysmol::hetprec";
  let genSpecializedAttr = 0;
}

def Hetprec_LaneRoleEnum : I32EnumAttr<"LaneRole",
    "what the lanes of a dot product's registers are", [
    I32EnumAttrCase<"Pixels", 0, "pixels">,
    I32EnumAttrCase<"Outputs", 1, "outputs">,
    I32EnumAttrCase<"Tiles", 2, "tiles">]> {
  let cppNamespace = "::sysmol::hetprec";
  let genSpecializedAttr = 0;
}

class Hetprec_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<Hetprec_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Hetprec_EpilogueAttr
    : EnumAttr<Hetprec_Dialect, Hetprec_EpilogueEnum, "epilogue"> {
  let assemblyFormat = "$value";
}

def Hetprec_CentredAttr
    : EnumAttr<Hetprec_Dialect, Hetprec_CentredEnum, "centred"> {
  let assemblyFormat = "`<` $value `>`";
}

def Hetprec_LaneRoleAttr
    : EnumAttr<Hetprec_Dialect, Hetprec_LaneRoleEnum, "lane_role"> {
  let assemblyFormat = "`<` $value `>`";
}

def Hetprec_ChannelsAttr : Hetprec_Attr<"Channels", "channels",
    [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "precision of each input channel, grid and scale of a tensor";
  let description = [{
    Encoding of a tensor of codes (`i8`). `bits` gives the precision of each
    channel along `axis` (HP1, at most three different ones, HP2); equal
    neighbours are written `bits x count`. `grid` is `unsigned` (HP5) or
    `midrise` (HP3, its 8-bit channels HP4). `scale` is `alpha` or `d` (HP6): one
    number, or for weights one per output channel (dimension 0).

    `groups` (weights of a grouped convolution only): the tensor's dimension
    `axis` has `bits.size() / groups` channels, and row block `g` of dimension
    0 reads the channels from `g * bits.size() / groups` on.

    ```mlir
    // 12 channels in three sorted segments, activations after a ReLU:
    tensor<1x12x28x28xi8,
        #hetprec.channels<axis = 1, grid = unsigned, scale = 4.0,
                          bits = [1 x 6, 2 x 4, 4 x 2]>>
    ```
  }];
  let parameters = (ins
    "int64_t":$axis,
    EnumParameter<Hetprec_Grid>:$grid,
    "::mlir::DenseF64ArrayAttr":$scaleAttr,
    ArrayRefParameter<"int8_t">:$bits,
    "int64_t":$groups);
  let builders = [
    AttrBuilder<(ins "int64_t":$axis, "Grid":$grid, "double":$scale,
                     "::llvm::ArrayRef<int8_t>":$bits), [{
      return $_get($_ctxt, axis, grid,
                   ::mlir::DenseF64ArrayAttr::get($_ctxt, scale), bits,
                   int64_t(1));
    }]>
  ];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// One scale, or one per output channel (HP6).
    ::llvm::ArrayRef<double> getScale() const {
      return getScaleAttr().asArrayRef();
    }
    /// The different precisions, ascending: at most three (HP2).
    ::llvm::SmallVector<int8_t> getLevels() const;
    /// Largest precision present: its unit is the accumulator's (HP11).
    int8_t getFinestLevel() const;
    /// Number of channels of precision `level`.
    int64_t getNumChannels(int8_t level) const;
    /// True when channels of one precision are neighbours and the precisions
    /// ascend: at most three segments.
    bool isSegmented() const;
    /// Step between neighbouring codes of a channel (HP19), in double.
    double getStep(int64_t channel) const;
    ChannelsAttr withBits(::llvm::ArrayRef<int8_t> bits) const;
    ChannelsAttr withScale(::llvm::ArrayRef<double> scale) const;
  }];
}

def Hetprec_CarrierAttr : Hetprec_Attr<"Carrier", "carrier",
    [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "16-bit residual values of step `delta` (HP17)";
  let description = [{
    Encoding of an `i16` tensor: integer `k` in [-32767, 32767] means
    `delta * k`.

    ```mlir
    tensor<1x16x28x28xi16, #hetprec.carrier<delta = 0.00390625>>
    ```
  }];
  let parameters = (ins "::mlir::FloatAttr":$deltaAttr);
  let builders = [
    AttrBuilder<(ins "double":$delta), [{
      return $_get($_ctxt, ::mlir::FloatAttr::get(
          ::mlir::Float64Type::get($_ctxt), delta));
    }]>
  ];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    double getDelta() const { return getDeltaAttr().getValueAsDouble(); }
  }];
}

def Hetprec_LanesAttr : Hetprec_Attr<"Lanes", "lanes"> {
  let summary = "where the pixels of an image batch lie in a plane of lanes";
  let description = [{
    Pixel (n, y, x) of every plane is lane
    `base + n * image_stride + y * row_stride + x` (all in lanes); `size` lanes
    in all. Rows and images share their zero padding: a row's right border is
    the next row's left one. All lanes that are no pixel hold code 0.

    ```mlir
    #hetprec.lanes<1 x 28 x 28, row_stride = 29, image_stride = 841,
                   base = 64, size = 1024>
    ```
  }];
  let parameters = (ins "int64_t":$images, "int64_t":$height, "int64_t":$width,
    "int64_t":$rowStride, "int64_t":$imageStride, "int64_t":$base,
    "int64_t":$size);
  let assemblyFormat = [{
    `<` $images `x` $height `x` $width `,` `row_stride` `=` $rowStride `,`
    `image_stride` `=` $imageStride `,` `base` `=` $base `,` `size` `=` $size `>`
  }];
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    int64_t laneOf(int64_t n, int64_t y, int64_t x) const {
      return getBase() + n * getImageStride() + y * getRowStride() + x;
    }
    bool isPixel(int64_t lane) const;
    /// Lanes from the first pixel to the last.
    int64_t getUsedLanes() const {
      return laneOf(getImages() - 1, getHeight() - 1, getWidth() - 1) + 1 -
             getBase();
    }
  }];
}

#endif
