//===- HetprecPackedOps.td - Packed ops -------------------*- tablegen -*-===//
//
// Ops on planes of lanes, as a network is computed.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPRECPACKEDOPS_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPRECPACKEDOPS_TD

include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/TilingInterface.td"
include "sysmol/Dialect/Hetprec/IR/HetprecOps.td"

def Hetprec_Packed : AnyTypeOf<[
    RankedTensorOf<[I8, I16, I32]>, StridedMemRefRankOf<[I8, I16, I32], [1, 2]>],
    "plane of packed codes">;
def Hetprec_Table : AnyTypeOf<[
    RankedTensorOf<[I8, I16, I32, F32]>,
    StridedMemRefRankOf<[I8, I16, I32, F32], [1, 2]>],
    "table">;
def Hetprec_AnyShaped : AnyTypeOf<[AnyRankedTensor, AnyStridedMemRef],
    "tensor or memref">;

class Hetprec_LaneOp<string mnemonic, list<Trait> traits = []>
    : Hetprec_Op<mnemonic, !listconcat([
        DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>], traits)> {
  let results = (outs Variadic<AnyRankedTensor>:$results);
  code dps = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      return getInitMutable();
    }
  }];
  let extraClassDeclaration = dps;
}

def Hetprec_ContractOp : Hetprec_LaneOp<"contract", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<TilingInterface, ["getLoopIteratorTypes",
      "getIterationDomain", "getTiledImplementation", "getResultTilePosition"]>]> {
  let summary = "dot products of rows of codes with shifted lanes of codes";
  let description = [{
    The one dot product of the packed phase; convolution (rows are output
    channels, lanes are pixels, `taps` are the window's lane offsets), matrix
    product (one tap) and pooling all become it. For each row `r` and each lane
    `l` in `[lane_begin, lane_begin + lane_count)`

    ```
    v = sum over segments s of coefficients[s] *
          sum over groups g, taps t of
            dot(lanes[s][tap_phases[t] * G + g, l + origin + taps[t]],
                rows[s][r, g * T + t])
        + lane_bias[bias_rows[r], l] + row_bias[r] (or row_bias[r, l])
    ```

    where `dot` multiplies and adds the codes that share a word. A *group* is the
    channels in one word of a lane:

    | level | word | channels a group | place of channel i |
    |---|---|---|---|
    | 1 | i8 | 8 | bit i |
    | 2 | i8 | 3 | bits 2i, 2i + 1 |
    | 4 | i16 | 4 | bits 4i to 4i + 3 (in rows channels 1 and 2 swapped) |
    | 8 | i32 | 4 | byte i; lanes unsigned, rows signed |

    Codes of 1, 2 and 4 bits are unsigned on both sides; the constants that this
    leaves over (`sum a (2k + 1 - 2^p) = 2 sum a k - (2^p - 1) sum a`) are in
    the biases. With `starts`, row `r` of segment `s` reads the groups from
    `starts[s][r]` on, or nothing of the segment where that is negative (grouped
    convolution; `bias_rows` then names the row of `lane_bias`). `tap_phases` names the phase of a strided window's tap (see
    `split_phases`); taps are not negative, `origin` may be.

    With `lane_bytes` the lanes are *planes of bytes*, one a channel
    (`spread_lanes`): a group is one plane, `taps` and `origin * lane_bytes` count
    bytes, and the word of lane `l` is the four bytes from `(l + origin) *
    lane_bytes + taps[t]` on, pixels of one row of the window. Levels are 8; rows
    of finer codes hold the values that these mean, `2k + 1 - 2^p`. Of a row's word
    for tap `t`, bytes from `tap_bytes[t]` on are 0: where that leaves room for a
    lane, one load serves it and the next.

    With `centred` the 2-bit codes of rows count from 1: a channel's product is
    `(k - 1) a`, and `3 - a` where `k` is 0, 3 more than that, so that none is
    negative. Sums are smaller by a third than those of `k a`, and a byte holds
    more of them; what they leave out is in the biases, too.

    `byte_words` says for each segment how many of a row's words, one after the
    other and on into a folded segment, give sums that fit in a byte whatever the
    lanes hold. Without it nothing is known of the rows.

    A *folded* segment (`fold_taps`) has a whole window of the channels that leave
    slots of a level's last word empty in its words: it has one tap, the first,
    and one phase. It follows its level's other segment, if there is one, and has
    the same coefficient: both are summed together.

    `epilogue` says what is written to `init` at `[row, lane]`:
    `accumulator` (`v`), `real` (HP18), `carrier` (HP17), `carrier_add` (HP17,
    onto what `init` holds), `codes` (`#{t : v > t}` of the row's `thresholds`
    for 1 and 2 bits, HP15 by `multiplier` and `offset` for 4 and 8, where that
    is fewer instructions than 15 compares; the codes of one group of rows
    packed into one word of level `out_level`, lanes outside `mask` zero; slots of
    the last word that have no row are zero).

    Lanes and rows of level 4 may also be spread to bytes, one i32 a word
    (`hetprec-spread-nibbles`), rows as up to four times their codes.

    - `uniform_rows`: a row has one word for each group, the same for all taps. A
      single such row of many words, written as an `accumulator`, is summed in two
      steps: each lane's words, then the taps of these sums.
    - `shared_starts`: the rows of a tile read the same groups.
    - `prefetch_rows`: few tiles of lanes read a row, which then comes from far
      memory; that of the next tile is asked for while this one is used.
    - `in_range`: no `v * multiplier + offset` reaches 2^30, so that rounding it to
      an i32 before it is clamped is safe, and clamping it then is free.
    - `relu`: what `carrier` or `carrier_add` writes is not below 0. A `carrier` may
      do without `offset`.

    Instead of lanes and rows there may be `sums`, one i32 for each row and lane
    (lanes in order): the sums over the segments, which `contract_outputs` made.

    *Wide planes* (i16, i32, f32) hold each block of 64 lanes with the even ones
    first: unpacking bytes into 16 bits then costs an AND and a shift, and
    nothing that reads or writes such a plane shifts lanes.
  }];
  let arguments = (ins
    Variadic<Hetprec_Packed>:$lanes, Variadic<Hetprec_Packed>:$rows,
    Variadic<Hetprec_Table>:$starts,
    Optional<Hetprec_Table>:$lane_bias, Optional<Hetprec_Table>:$bias_rows,
    Optional<Hetprec_Table>:$row_bias,
    Optional<Hetprec_Table>:$thresholds, Optional<Hetprec_Table>:$multiplier,
    Optional<Hetprec_Table>:$offset, Optional<Hetprec_Table>:$mask,
    Optional<Hetprec_Table>:$sums, Hetprec_AnyShaped:$init,
    DenseI64ArrayAttr:$levels, DenseI64ArrayAttr:$coefficients,
    DenseI64ArrayAttr:$taps,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$tap_phases,
    DefaultValuedAttr<I64Attr, "1">:$phases, I64Attr:$origin,
    DefaultValuedAttr<I64Attr, "0">:$lane_bytes,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$tap_bytes,
    DefaultValuedAttr<DenseBoolArrayAttr, "{}">:$folded,
    UnitAttr:$centred, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$byte_words,
    I64Attr:$lane_begin, I64Attr:$lane_count,
    Hetprec_EpilogueAttr:$epilogue,
    DefaultValuedAttr<I64Attr, "0">:$out_level,
    DefaultValuedAttr<BoolAttr, "false">:$out_signed,
    DefaultValuedAttr<I64Attr, "32">:$sum_bits,
    UnitAttr:$uniform_rows, UnitAttr:$shared_starts, UnitAttr:$prefetch_rows,
    UnitAttr:$in_range, UnitAttr:$relu, OptionalAttr<StrAttr>:$layer);
  let assemblyFormat = [{
    $epilogue (`lanes` `(` $lanes^ `:` type($lanes) `)`
    `rows` `(` $rows `:` type($rows) `)`)?
    (`sums` `(` $sums^ `:` type($sums) `)`)?
    (`starts` `(` $starts^ `:` type($starts) `)`)?
    (`lane_bias` `(` $lane_bias^ `:` type($lane_bias) `)`)?
    (`bias_rows` `(` $bias_rows^ `:` type($bias_rows) `)`)?
    (`row_bias` `(` $row_bias^ `:` type($row_bias) `)`)?
    (`thresholds` `(` $thresholds^ `:` type($thresholds) `)`)?
    (`multiplier` `(` $multiplier^ `:` type($multiplier) `)`)?
    (`offset` `(` $offset^ `:` type($offset) `)`)?
    (`mask` `(` $mask^ `:` type($mask) `)`)?
    `outs` `(` $init `:` type($init) `)`
    attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = dps # [{
    /// Rows that make one word of the output: 1 but for `codes`.
    int64_t getRowsPerWord();
    int64_t getNumRows();
    /// Loads per multiply: the reduction's length in words, all segments.
    int64_t getReductionSize();
    /// Whether the words of segment `s` hold whole windows.
    bool isFolded(int64_t s) { return !getFolded().empty() && getFolded()[s]; }
    int64_t getNumTaps(int64_t s) { return isFolded(s) ? 1 : getTaps().size(); }
    int64_t getNumPhases(int64_t s) { return isFolded(s) ? 1 : getPhases(); }
    /// The lanes that windows reach behind the last one's.
    int64_t getReach();
    /// Most lanes that a window's sum may reach, and most phases: what it needs
    /// of scratch memory.
    static constexpr int64_t kMostReach = 1024, kMostPhases = 4;
    /// Lanes of a tile of a window's sum: it needs no registers for them, and
    /// the pixels that its windows reach behind them are summed again by the
    /// next tile.
    int64_t getWindowSumLanes();
    /// Whether this is the sum of a window, the same for all outputs (one row
    /// of the same words at every tap, nothing done with it), and less work in
    /// two steps: pixels', then windows'.
    bool isWindowSum();
  }];
}

def Hetprec_ContractOutputsOp : Hetprec_LaneOp<"contract_outputs", [
    DeclareOpInterfaceMethods<TilingInterface, ["getLoopIteratorTypes",
      "getIterationDomain", "getTiledImplementation", "getResultTilePosition"]>]> {
  let summary = "the sums of a contract, in registers of outputs";
  let description = [{
    Where the lanes of an image leave registers of 64 in part empty (7x7: 55
    lanes), registers of 64 outputs are full: weights are vectors here, and a
    lane's words are broadcast. For each output `n` and each lane `l` in
    `[lane_begin, lane_begin + lane_count)`

    ```
    init[n, l] = sum over segments s of coefficients[s] *
        sum over groups g, taps t of
          dot(lanes[s][tap_phases[t] * G + g, l + origin + taps[t]],
              weights of n in column g * T + t)
    ```

    with groups, levels, folded segments, codes (`centred`: those of weights) and
    `byte_words` as in `contract`, which goes on from these sums. Lanes from `lane_begin + used_lanes` on are not specified,
    nor, where there is a `layout`, those that are no pixel of it.

    `tap_pixels` says for each tap of segments that are not folded which row and
    column of the image pixel (0, 0) of `layout` reads; pixel (y, x) reads
    `strides[0] * y` rows and `strides[1] * x` columns on. Where that is no pixel
    of an image of size `image` (height, width), the lane that is read is promised
    to hold zeros, so that the product is known: 0, or what centred codes give.
    Without it nothing is known.

    ```mlir
    %sums = hetprec.contract_outputs lanes(%a : tensor<2x192xi8>)
      weights(%w : tensor<1x1152xi8>) outs(%i : tensor<64x192xi32>)
      {levels = array<i64: 1>, coefficients = array<i64: 2>,
       taps = array<i64: 0, 1, 2, 8, 9, 10, 16, 17, 18>, origin = -9,
       lane_begin = 64, lane_count = 64, used_lanes = 55, tile_blocks = 1}
      -> tensor<64x192xi32>
    ```

    `weights` has one line of bytes for each tile of `tile_blocks` blocks of 64
    outputs; `init` has a row for each output of all tiles. A line holds the
    segments one after the other, a segment its columns, a column its blocks:

    | level | 64 outputs of a column take | in each byte |
    |---|---|---|
    | 1, 2 | 64 bytes | the word of output `i` in byte `2i`, of `32 + i` in byte `2i + 1` |
    | 4 | 128 bytes | nibbles: of the first 64 bytes, byte `4i + j` has the code in slot `j` of output `i`, and of output `16 + i` above it; outputs from 32 on follow |
    | 8 | 256 bytes | signed: byte `4i + j` has the code in slot `j` of output `i` |
  }];
  let arguments = (ins
    Variadic<Hetprec_Packed>:$lanes, Hetprec_Packed:$weights,
    Hetprec_AnyShaped:$init,
    DenseI64ArrayAttr:$levels, DenseI64ArrayAttr:$coefficients,
    DenseI64ArrayAttr:$taps,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$tap_phases,
    DefaultValuedAttr<I64Attr, "1">:$phases, I64Attr:$origin,
    DefaultValuedAttr<DenseBoolArrayAttr, "{}">:$folded,
    UnitAttr:$centred, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$byte_words,
    I64Attr:$lane_begin, I64Attr:$lane_count, I64Attr:$used_lanes,
    I64Attr:$tile_blocks, OptionalAttr<Hetprec_LanesAttr>:$layout,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$tap_pixels,
    DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$strides,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$image,
    OptionalAttr<StrAttr>:$layer);
  let assemblyFormat = [{
    `lanes` `(` $lanes `:` type($lanes) `)`
    `weights` `(` $weights `:` type($weights) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = dps # [{
    int64_t getNumTiles();
    int64_t getTileOutputs() { return int64_t(getTileBlocks()) * 64; }
    /// Columns of segment `s`: its groups times the taps.
    int64_t getNumColumns(int64_t s);
    /// Whether the words of segment `s` hold whole windows.
    bool isFolded(int64_t s) { return !getFolded().empty() && getFolded()[s]; }
    int64_t getNumTaps(int64_t s) { return isFolded(s) ? 1 : getTaps().size(); }
    int64_t getNumPhases(int64_t s) { return isFolded(s) ? 1 : getPhases(); }
    /// Whether the codes of segment `s`'s weights count from 1.
    bool isCentred(int64_t s) { return getCentred() && getLevels()[s] == 2; }
    /// Bytes of 64 outputs in one column of `level`.
    static int64_t getColumnBytes(int64_t level);
  }];
}

def Hetprec_RequantizeLanesOp : Hetprec_LaneOp<"requantize_lanes", [
    AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<TilingInterface, ["getLoopIteratorTypes",
      "getIterationDomain", "getTiledImplementation", "getResultTilePosition"]>]> {
  let summary = "planes of carrier or accumulators to packed codes (HP15, HP16)";
  let description = [{
    Slot `i` of output word `w` is the code of plane `channels[n]`, `n = w * (slots
    a word) + i`: the permutation that sorts the channels costs nothing here.
    `codes = #{t : x * signs[n] > t}` over the `thresholds[n]`, with `signs` -1
    where the multiplier is negative and 1 elsewhere; or by `multiplier` and
    `offset` for 4 and 8 bits (`in_range`: see `contract`).
  }];
  let arguments = (ins
    Hetprec_Packed:$planes, Hetprec_Table:$channels,
    Optional<Hetprec_Table>:$thresholds, Optional<Hetprec_Table>:$signs,
    Optional<Hetprec_Table>:$multiplier, Optional<Hetprec_Table>:$offset,
    Hetprec_Table:$mask, Hetprec_Packed:$init,
    I64Attr:$out_level, DefaultValuedAttr<BoolAttr, "false">:$out_signed,
    I64Attr:$lane_begin, I64Attr:$lane_count, UnitAttr:$in_range,
    OptionalAttr<StrAttr>:$layer);
  let assemblyFormat = [{
    $planes `channels` `(` $channels `:` type($channels) `)`
    (`thresholds` `(` $thresholds^ `:` type($thresholds) `)`)?
    (`signs` `(` $signs^ `:` type($signs) `)`)?
    (`multiplier` `(` $multiplier^ `:` type($multiplier) `)`)?
    (`offset` `(` $offset^ `:` type($offset) `)`)?
    `mask` `(` $mask `:` type($mask) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict `:` type($planes)
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Hetprec_MacOp : Hetprec_Op<"mac", [Pure,
    AllTypesMatch<["acc", "result"]>]> {
  let summary = "multiply-accumulate of a register of packed codes with one word";
  let description = [{
    The instruction of the paper, and with `join_codes`, `narrow_lanes` and
    `spare_word` all that a target must lower: each lane of `acc` grows by the dot
    product of the codes in that lane's word of `lanes` with those of `row` (word
    layouts: see `contract`).

    - level 1 and 2: `vector<64xi8>`, `row` i8, sums modulo 256 (the caller
      widens in time: a level-1 product adds at most 8, a level-2 one 27); bits 6
      and 7 of a lane's level-2 word may be anything;
    - `centred` (level 2) names the operand whose codes `k` count from 1: a slot
      adds `(k - 1) a`, and `3 - a` where `k` is 0, at most 18 in all (see
      `contract`);
    - level 8: `vector<16xi32>`, four unsigned bytes of `lanes` times four
      signed bytes of `row`, i32; level 4 the same with byte i of `lanes` and
      nibble i of `row`, i16 (spreading nibbles to bytes takes two
      instructions when it swaps the middle ones; rows are packed to match);
    - with `signed_lanes` (level 8), the bytes of `lanes` are the signed ones and
      those of `row` the unsigned ones;
    - `pair_bound` (level 8): the products of two bytes that share 16 bits are
      known to sum to no more than that, either sign; machines that multiply bytes
      to 16 bits may then add several such sums before they widen them.

    ```mlir
    %s1 = hetprec.mac %s0, %a, %w level = 2 : vector<64xi8>, i8
    ```
  }];
  let arguments = (ins AnyTypeOf<[VectorOfAnyRankOf<[I8, I32]>]>:$acc,
    AnyTypeOf<[VectorOfAnyRankOf<[I8, I32]>]>:$lanes, AnyTypeOf<[I8, I16, I32]>:$row,
    I64Attr:$level, UnitAttr:$signed_lanes, OptionalAttr<I64Attr>:$pair_bound,
    OptionalAttr<Hetprec_CentredAttr>:$centred);
  let results = (outs AnyTypeOf<[VectorOfAnyRankOf<[I8, I32]>]>:$result);
  let builders = [
    /// Level 1, or 2, with the codes of one operand centred or not.
    OpBuilder<(ins "::mlir::Value":$acc, "::mlir::Value":$lanes,
      "::mlir::Value":$row, "int64_t":$level,
      "std::optional<Centred>":$centred)>,
    OpBuilder<(ins "::mlir::Value":$acc, "::mlir::Value":$lanes,
      "::mlir::Value":$row, "int64_t":$level, "bool":$signed_lanes,
      "::mlir::IntegerAttr":$pair_bound)>];
  let extraClassDeclaration = [{
    /// The most that a byte grows by one product of level 1 or 2.
    static int64_t getLargestProduct(int64_t level, bool centred);
    /// The product of two 2-bit codes, of a row's word and of a lane's.
    static int64_t getProduct(int64_t row, int64_t lane,
                              std::optional<Centred> centred);
  }];
  let assemblyFormat = [{
    $acc `,` $lanes `,` $row `level` `=` $level attr-dict `:` type($acc) `,`
    type($lanes) `,` type($row)
  }];
  let hasVerifier = 1;
}

def Hetprec_JoinCodesOp : Hetprec_Op<"join_codes", [Pure,
    AllTypesMatch<["slot0", "slot1", "slot2", "slot3"]>]> {
  let summary = "integers for the four slots of words to words of codes, clamped";
  let description = [{
    Lane `l` of the result is the word (see `contract`) of level 4, i16, or 8, i32,
    whose slots hold the operands' lanes `l`, clamped to `[0, 2^level - 1]`. An op,
    because machines clamp where they narrow.

    ```mlir
    %w = hetprec.join_codes %a, %b, %c, %d level = 8
      : vector<32xi32> -> vector<32xi32>
    // is, with %x, %y, %z and %u clamped to [0, 255],
    %w = %x | %y << 8 | %z << 16 | %u << 24
    ```
  }];
  let arguments = (ins FixedVectorOfRankAndType<[1], [I32]>:$slot0,
    FixedVectorOfRankAndType<[1], [I32]>:$slot1,
    FixedVectorOfRankAndType<[1], [I32]>:$slot2,
    FixedVectorOfRankAndType<[1], [I32]>:$slot3, I64Attr:$level);
  let results = (outs FixedVectorOfRankAndType<[1], [I16, I32]>:$result);
  let assemblyFormat = [{
    $slot0 `,` $slot1 `,` $slot2 `,` $slot3 `level` `=` $level attr-dict `:`
    type($slot0) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_NarrowLanesOp : Hetprec_Op<"narrow_lanes", [Pure,
    AllTypesMatch<["low", "high"]>]> {
  let summary = "lanes in turn to 16 bits, saturated, even ones first";
  let description = [{
    What a wide plane of carrier holds of the lanes of `low` and those that follow,
    of `high`. An op, because machines saturate where they narrow, in an order of
    their own.

    ```mlir
    %w = hetprec.narrow_lanes %x, %y : vector<16xi32> -> vector<32xi16>
    // is
    %c = arith.minsi (arith.maxsi %x, -32768), 32767 // alike %d of %y
    %t = arith.trunci %c : vector<16xi32> to vector<16xi16> // alike %u of %d
    %w = vector.shuffle %t, %u [0, 2, ..., 30, 1, 3, ..., 31]
    ```
  }];
  let arguments = (ins FixedVectorOfRankAndType<[1], [I32]>:$low,
    FixedVectorOfRankAndType<[1], [I32]>:$high);
  let results = (outs FixedVectorOfRankAndType<[1], [I16]>:$result);
  let assemblyFormat = [{
    $low `,` $high attr-dict `:` type($low) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Hetprec_SpareWordOp : Hetprec_Op<"spare_word", [Pure,
    SameOperandsAndResultType]> {
  let summary = "the level-2 word in the spare bits of three others";
  let description = [{
    A level-2 word has six bits; the weights of `gemv` keep a fourth one in bits 6
    and 7 of three bytes, its slot `i` in operand `i`. Bits 6 and 7 of the result are
    zero. An op, because machines differ in how they move bits within bytes.

    ```mlir
    %w = hetprec.spare_word %a, %b, %c : vector<64xi8>
    // is
    %w = %a >> 6 | %b >> 6 << 2 | %c >> 6 << 4
    ```
  }];
  let arguments = (ins FixedVectorOfRankAndType<[1], [I8]>:$slot0,
    FixedVectorOfRankAndType<[1], [I8]>:$slot1,
    FixedVectorOfRankAndType<[1], [I8]>:$slot2);
  let results = (outs FixedVectorOfRankAndType<[1], [I8]>:$result);
  let assemblyFormat = [{
    $slot0 `,` $slot1 `,` $slot2 attr-dict `:` type($result)
  }];
  let hasVerifier = 1;
}

#endif
