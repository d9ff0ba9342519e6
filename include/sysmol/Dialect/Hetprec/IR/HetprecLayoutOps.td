//===- HetprecLayoutOps.td - How packed codes lie in memory -*- tablegen -*-===//
//
// Codes into words and planes, out of them, and from one order to another.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPRECLAYOUTOPS_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPRECLAYOUTOPS_TD

include "sysmol/Dialect/Hetprec/IR/HetprecPackedOps.td"

def Hetprec_PackLanesOp : Hetprec_LaneOp<"pack_lanes"> {
  let summary = "codes [N, C, H, W] to the words of one segment, or sums to planes";
  let description = [{
    Slot `i` of group `g` is channel `channels[g * slots + i]` (-1: code 0). The
    8-bit level of a signed grid is stored with 128 added. Rank 2 inputs are
    images of one pixel. Level 0 writes wide planes (i16, i32) of sums of that type,
    one a channel (none is -1); lanes that are no pixel stay as they are there, and
    are 0 otherwise.

    Inputs of reals [N, C, H, W] become codes on the way (HP7 to HP10): `multiplier`
    is what they are multiplied with. With `phases`, what would be `split_phases` of
    the words is written at once: plane `i * G + g` is group `g` in `phases[i]`, and
    `layout` is that of the phases.

    ```mlir
    %p = hetprec.pack_lanes %image : tensor<1x3x8x8xf32>
      outs(%i : tensor<2x64xi32>)
      {level = 8, channels = array<i64: 0, 1, 2, -1>, multiplier = 255.0 : f32,
       strides = array<i64: 2, 2>, pads = array<i64: 0, 0>,
       phases = array<i64: 0, 1>, layout = #hetprec.lanes<1 x 4 x 4,
         row_stride = 4, image_stride = 16, base = 0, size = 64>}
      -> tensor<2x64xi32>
    ```
  }];
  let arguments = (ins Hetprec_AnyShaped:$input, Hetprec_Packed:$init,
    I64Attr:$level, DefaultValuedAttr<BoolAttr, "false">:$is_signed,
    DenseI64ArrayAttr:$channels, Hetprec_LanesAttr:$layout,
    OptionalAttr<F32Attr>:$multiplier,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$strides,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$pads,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$phases);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Hetprec_UnpackLanesOp : Hetprec_LaneOp<"unpack_lanes"> {
  let summary = "planes to [N, C, H, W] (or [N, C])";
  let description = [{
    Level 0 reads wide planes (i16, i32, f32); 1, 2, 4, 8 read packed codes, slot
    `i` of group `g` being channel `channels[g * slots + i]`.
  }];
  let arguments = (ins Hetprec_AnyShaped:$input, Hetprec_AnyShaped:$init,
    I64Attr:$level, DefaultValuedAttr<BoolAttr, "false">:$is_signed,
    DenseI64ArrayAttr:$channels, Hetprec_LanesAttr:$layout);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Hetprec_SplitPhasesOp : Hetprec_LaneOp<"split_phases"> {
  let summary = "padded planes to one plane for each phase of a strided window";
  let description = [{
    Plane `i * G + g` of the result holds pixel `(y * strides[0] + py - pads[0],
    x * strides[1] + px - pads[1])` of plane `g` at `(y, x)`, where `phases[i] = py
    * strides[1] + px`, and 0 in all other lanes. A strided window is then an
    unstrided one.
  }];
  let arguments = (ins Hetprec_Packed:$input, Hetprec_Packed:$init,
    DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
    DenseI64ArrayAttr:$phases, Hetprec_LanesAttr:$from, Hetprec_LanesAttr:$to);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Hetprec_SpreadLanesOp : Hetprec_LaneOp<"spread_lanes"> {
  let summary = "planes of words to one plane of bytes for each channel";
  let description = [{
    Byte `l` of plane `first + g * slots + s` of the result is the code in slot `s`
    of lane `l` in plane `g` of the input, for the first `channels` slots. What a
    `contract` with `lane_bytes` reads.

    For a window whose rows are strided, `row_phases` make planes of each of these
    phases, as in `split_phases` without strides of columns: byte `(y, x)` of plane
    `i * P + first + g * slots + s`, of `P` a phase, is the code of pixel `(y *
    stride + row_phases[i] - pads[0], x - pads[1])`. All other bytes of these planes
    are 0. Pixels lie as in `from` before and as in `to` behind.

    ```mlir
    %b = hetprec.spread_lanes %x : tensor<2x128xi8> outs(%a : tensor<6x128xi8>)
      {level = 2, first = 0, channels = 4} -> tensor<6x128xi8>
    ```
    gives, for lane 5, planes 0 to 3 the bytes

    ```
    x[0, 5] & 3, x[0, 5] >> 2 & 3, x[0, 5] >> 4 & 3, x[1, 5] & 3
    ```
  }];
  let arguments = (ins Hetprec_Packed:$input, Hetprec_Packed:$init,
    I64Attr:$level, I64Attr:$first, I64Attr:$channels,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$row_phases,
    DefaultValuedAttr<I64Attr, "1">:$stride,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$pads,
    OptionalAttr<Hetprec_LanesAttr>:$from, OptionalAttr<Hetprec_LanesAttr>:$to);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = dps # [{
    int64_t getNumPhases() { return getTo() ? getRowPhases().size() : 1; }
  }];
}

def Hetprec_MaxPoolLanesOp : Hetprec_LaneOp<"max_pool_lanes"> {
  let summary = "the largest codes of windows, word by word (HP25)";
  let description = [{
    Slot by slot, the largest of the codes in plane `tap_phases[t] * G + g` of the
    input at lane `l + origin + taps[t]`, for each plane `g` of the `G` of the
    result and each lane `l` in `[lane_begin, lane_begin + lane_count)`; 0 in lanes
    outside `mask`. Codes are stored so that they compare as unsigned numbers, and
    lanes that are no pixel hold 0, which is never the larger one. `tap_phases`,
    `taps` and `origin` are those of `contract`.

    ```mlir
    %m = hetprec.max_pool_lanes %x : tensor<2x192xi8>
      mask(%k : tensor<192xi8>) outs(%i : tensor<2x192xi8>)
      {level = 2, taps = array<i64: 0, 1, 8, 9>, origin = 0, lane_begin = 64,
       lane_count = 64} -> tensor<2x192xi8>
    ```
  }];
  let arguments = (ins Hetprec_Packed:$input, Hetprec_Table:$mask,
    Hetprec_Packed:$init, I64Attr:$level, DenseI64ArrayAttr:$taps,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$tap_phases, I64Attr:$origin,
    I64Attr:$lane_begin, I64Attr:$lane_count, OptionalAttr<StrAttr>:$layer);
  let assemblyFormat = [{
    $input `:` type($input) `mask` `(` $mask `:` type($mask) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Hetprec_FoldTapsOp : Hetprec_LaneOp<"fold_taps"> {
  let summary = "the taps of a window side by side in words";
  let description = [{
    A word of which few slots hold channels is multiplied for every tap of a
    window. Here the slots of all taps fill words of their own, one tap's behind
    the other's: the first `channels[t]` slots of plane `tap_phases[t]` (0 where
    there are none) at lane `l + taps[t]`, for lane `l` in `[lane_begin, lane_begin +
    lane_count)`. Slots beyond the last tap are 0; other lanes of `init` stay as
    they are.

    One 2-bit channel under a 3x3 window, of which three words instead of nine are
    multiplied:

    ```mlir
    %f = hetprec.fold_taps %x : tensor<1x192xi8> outs(%i : tensor<3x192xi8>)
      {level = 2, channels = array<i64: 1, 1, 1, 1, 1, 1, 1, 1, 1>,
       taps = array<i64: 0, 1, 2, 8, 9, 10, 16, 17, 18>, lane_begin = 55,
       lane_count = 64} -> tensor<3x192xi8>
    ```
    gives plane 0, for lane 60,

    ```
    (x[0, 60] & 3) | (x[0, 61] & 3) << 2 | (x[0, 62] & 3) << 4
    ```
  }];
  let arguments = (ins Hetprec_Packed:$input, Hetprec_Packed:$init,
    I64Attr:$level, DenseI64ArrayAttr:$channels, DenseI64ArrayAttr:$taps,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$tap_phases,
    I64Attr:$lane_begin, I64Attr:$lane_count);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

#endif
