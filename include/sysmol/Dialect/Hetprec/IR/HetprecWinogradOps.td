//===- HetprecWinogradOps.td - 3x3 windows by tiles -------*- tablegen -*-===//
//
// Ops on tiles of 2x2 pixels: fewer products than a window's.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPRECWINOGRADOPS_TD
#define SYSMOL_DIALECT_HETPREC_IR_HETPRECWINOGRADOPS_TD

include "sysmol/Dialect/Hetprec/IR/HetprecPackedOps.td"

def Hetprec_WinogradInputOp : Hetprec_LaneOp<"winograd_input"> {
  let summary = "what tiles of a 3x3 window read, transformed";
  let description = [{
    Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308, section 4.1) of
    4-bit codes. `layout` has the pixels that the window computes, in lanes of
    the input's planes. Tile `t = (n * ceil(height / 2) + y) * ceil(width / 2) + x`
    has pixels `(2y, 2x)` to `(2y + 1, 2x + 1)` and reads the patch `d` of 4x4
    pixels from `(2y - pads[0], 2x - pads[1])` on. A chunk is some rows of tiles
    (`WinogradTiles`), whose patches lie together, so that a thread writes and
    reads a piece of memory of its own. Plane `(16c + 4i + j) * G + g` of the
    result, of `G` planes of the input, holds in lane `k`, in bytes, for the
    `k`-th tile of chunk `c` and of the four codes of word `g`

    ```
    (B d B^T)[i, j] + 32         B = |1  0 -1  0|
    (without the 32: i = j = 1)      |0  1  1  0|
                                     |0 -1  1  0|
                                     |0  1  0 -1|
    ```

    which is 2 to 62, or 0 to 60. The bytes come in the order of slots 0, 2, 1, 3.
    Lanes behind a chunk's last tile are not specified.

    ```mlir
    %u = hetprec.winograd_input %x : tensor<1x128xi16> outs(%i : tensor<16x16xi32>)
      {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 4 x 4,
         row_stride = 5, image_stride = 25, base = 64, size = 128>}
      -> tensor<16x16xi32>
    ```
  }];
  let arguments = (ins Hetprec_Packed:$input, Hetprec_Packed:$init,
    DenseI64ArrayAttr:$pads, Hetprec_LanesAttr:$layout);
  let assemblyFormat = [{
    $input `:` type($input) `outs` `(` $init `:` type($init) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
}

def Hetprec_WinogradContractOp : Hetprec_LaneOp<"winograd_contract", [
    DeclareOpInterfaceMethods<TilingInterface, ["getLoopIteratorTypes",
      "getIterationDomain", "getTiledImplementation", "getResultTilePosition"]>]> {
  let summary = "the sums of a contract under a 3x3 window, by tiles";
  let description = [{
    For each row `r` and each pixel of `layout` the sum over the window's taps and
    all channels of `coefficient * code * (weight - 8)`, as `contract` goes on
    from; other lanes of `init` are not specified. `lanes` are those of
    `winograd_input`; word `t * G + g` of a row has the 4-bit codes of tap `t`
    (`3 ky + kx`) for the channels of word `g`, 8 in empty slots.

    With `w = weight - 8` of one channel, `m[i, j]` is the product of the input's
    place `(i, j)` and of

    ```
    (4 G w G^T)[i, j]        2G = |2  0  0|        A^T = |1  1  1  0|
    (-8 w: at most 72)            |1  1  1|              |0  1 -1  1|
                                  |1 -1  1|
                                  |0  0 -2|
    ```

    summed over the channels, and `A^T m A` is four times the sums of a tile's
    pixels: 16 products where windows have 36. `seeds` has, for each row, what
    the sums at `(1, 1)`, `(1, 2)`, `(2, 1)` and `(2, 2)` begin with, so that the 32
    of `winograd_input` are made up for.

    ```mlir
    %s = hetprec.winograd_contract lanes(%u : tensor<16x16xi32>)
      rows(%w : tensor<8x9xi16>) seeds(%c : tensor<8x4xi32>)
      outs(%i : tensor<8x128xi32>) {coefficient = 2, layout = #hetprec.lanes<
         1 x 4 x 4, row_stride = 5, image_stride = 25, base = 64, size = 128>}
      -> tensor<8x128xi32>
    ```
  }];
  let arguments = (ins
    Hetprec_Packed:$lanes, Hetprec_Packed:$rows, Hetprec_Table:$seeds,
    Hetprec_AnyShaped:$init, I64Attr:$coefficient, Hetprec_LanesAttr:$layout,
    OptionalAttr<StrAttr>:$layer);
  let assemblyFormat = [{
    `lanes` `(` $lanes `:` type($lanes) `)` `rows` `(` $rows `:` type($rows) `)`
    `seeds` `(` $seeds `:` type($seeds) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = dps # [{
    /// Words of channels.
    int64_t getNumWords();
    int64_t getNumTiles();
  }];
}

#endif
