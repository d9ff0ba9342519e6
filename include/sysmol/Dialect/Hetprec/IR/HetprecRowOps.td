//===- HetprecRowOps.td - Packed ops on few rows ----------*- tablegen -*-===//
//
// Where a batch has too few rows to fill a register's lanes, the lanes are
// output channels.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPRECROWOPS_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPRECROWOPS_TD

include "sysmol/Dialect/Hetprec/IR/HetprecPackedOps.td"

def Hetprec_PlainCodes : AnyTypeOf<[
    RankedTensorOf<[I8]>, StridedMemRefRankOf<[I8], [2]>],
    "codes [rows, channels], one a byte">;

def Hetprec_GemvOp : Hetprec_LaneOp<"gemv", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<TilingInterface, ["getLoopIteratorTypes",
      "getIterationDomain", "getTiledImplementation", "getResultTilePosition"]>]> {
  let summary = "dot products of a few rows of codes with lanes of outputs";
  let description = [{
    The matrix product of the packed phase where lanes are output channels: the
    weights, each read once, are one stream of registers; a row's words are
    broadcast. For each row `m` and output `n`

    ```
    v = sum over segments s of coefficients[s] * dot(rows[s][m], weights of n)
        + row_bias[m] + lane_bias[n]
    ```

    and `init[m, n]` becomes by `epilogue` (see `contract`): `accumulator`,
    `real`, `carrier`, `carrier_add` (both with or without `relu`) or `codes`, one
    code a byte, by HP15 for the precision `out_bits[n]` (where all outputs have
    one: `out_levels`).

    Row words hold the channels of a segment of `C` channels in `W` words so that
    packing them shifts and ORs whole registers:

    | level | word | channels a word | channel in slot i of word w |
    |---|---|---|---|
    | 1 | i8 | 8 | i * W + w |
    | 2 | i8 | 3 | i * W + w |
    | 4, 8 | i32 | 4, a byte each | 4 * w + i |

    `weights` has one line of bytes a tile of `tile_blocks` blocks of 64 outputs;
    the last tile may be partly empty. A line holds its segments one after the
    other:

    | level | order | 64 outputs take | in each byte |
    |---|---|---|---|
    | 1 | word, block | 64 bytes a word | the word |
    | 2 | four words, block | 192 bytes for four words | the first three words' 6 bits; the fourth's bits in pairs above them |
    | 4 | block, two words | 256 bytes for two words | a nibble of each word, the first one low |
    | 8 | block, word | 256 bytes a word | a signed byte |

    so 2-bit weights take 2 bits each. With `centred` their codes count from 1, and
    `byte_words` are the words of a segment whose sums a byte holds, of level 2 a
    multiple of four (see `contract`). What is left over of four 2-bit words are
    64 bytes a word. Levels 4 and 8 have the four bytes of an output together.

    In a block, 64 bytes of levels 1 and 2 hold output `i` in byte `2i` and output
    `32 + i` in byte `2i + 1`: unpacked to 16 bits by an AND and a shift, they
    are in order.
  }];
  let arguments = (ins
    Variadic<Hetprec_Packed>:$rows, Hetprec_Packed:$weights,
    Optional<Hetprec_Table>:$row_bias, Optional<Hetprec_Table>:$lane_bias,
    Optional<Hetprec_Table>:$multiplier, Optional<Hetprec_Table>:$offset,
    Optional<Hetprec_Table>:$out_bits, Hetprec_AnyShaped:$init,
    DenseI64ArrayAttr:$levels, DenseI64ArrayAttr:$coefficients,
    UnitAttr:$centred, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$byte_words,
    I64Attr:$tile_blocks, Hetprec_EpilogueAttr:$epilogue,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$out_levels,
    DefaultValuedAttr<BoolAttr, "false">:$out_signed, UnitAttr:$relu,
    OptionalAttr<StrAttr>:$layer);
  let assemblyFormat = [{
    $epilogue `rows` `(` $rows `:` type($rows) `)`
    `weights` `(` $weights `:` type($weights) `)`
    (`row_bias` `(` $row_bias^ `:` type($row_bias) `)`)?
    (`lane_bias` `(` $lane_bias^ `:` type($lane_bias) `)`)?
    (`multiplier` `(` $multiplier^ `:` type($multiplier) `)`)?
    (`offset` `(` $offset^ `:` type($offset) `)`)?
    (`out_bits` `(` $out_bits^ `:` type($out_bits) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = dps # [{
    /// Bytes of segment `s` for one block of 64 outputs.
    int64_t getSegmentBytes(int64_t s);
    int64_t getNumTiles();
    /// Outputs that a tile computes, at most.
    int64_t getTileOutputs();
  }];
}

def Hetprec_PackRowsOp : Hetprec_LaneOp<"pack_rows"> {
  let summary = "plain codes to the row words of one segment of a gemv";
  let description = [{
    The segment is the `count` channels from `first` on; slots past the last
    are 0. Symmetric 8-bit codes (`is_signed`) get 128 added.

    ```mlir
    %r = hetprec.pack_rows %x : tensor<1x20xi8> outs(%e : tensor<1x3xi8>)
        {level = 1 : i64, first = 0 : i64, count = 20 : i64} -> tensor<1x3xi8>
    ```
  }];
  let arguments = (ins Hetprec_PlainCodes:$input, Hetprec_Packed:$init,
    I64Attr:$level, DefaultValuedAttr<BoolAttr, "false">:$is_signed,
    I64Attr:$first, I64Attr:$count);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Hetprec_SumRowsOp : Hetprec_LaneOp<"sum_rows"> {
  let summary = "what unsigned weight codes leave over, a number a row";
  let description = [{
    `init[m] = sum over s of coefficients[s] * (sum of the counts[s] codes of row
    m from firsts[s] on)`: a `gemv`'s `row_bias`.
  }];
  let arguments = (ins Hetprec_PlainCodes:$input, Hetprec_Table:$init,
    DenseI64ArrayAttr:$firsts, DenseI64ArrayAttr:$counts,
    DenseI64ArrayAttr:$coefficients);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

#endif
