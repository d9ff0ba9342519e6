//===- Passes.td - Passes of the hetprec dialect ----------*- tablegen -*-===//

#ifndef SYSMOL_DIALECT_HETPREC_TRANSFORMS_PASSES_TD
#define SYSMOL_DIALECT_HETPREC_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def SortChannelsPass : Pass<"hetprec-sort-channels", "::mlir::func::FuncOp"> {
  let summary = "Sort the channels of every activation by precision";
  let description = [{
    Gives every activation that feeds a dot product at most three contiguous
    segments, lowest precision first, and moves the permutation to where it
    costs nothing: into the rows of the producing filter where the accumulator
    has no other reader, else in front of the requantization (which reads
    carrier planes by number). Residual sums keep their order, so that all
    their readers may sort as they need. Grouped filters cannot be reordered
    across groups; their inputs keep the order of the channels.

    ```mlir
    %q = hetprec.requantize %acc ... to tensor<1x3x4x4xi8, bits = [2, 1, 2]>
    ```
    becomes
    ```mlir
    %p = hetprec.permute %acc axis = 1 permutation = [1, 0, 2]
    %q = hetprec.requantize %p ... to tensor<1x3x4x4xi8, bits = [1, 2, 2]>
    ```
    and the permute is folded into the filter that computes `%acc`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
  let statistics = [
    Statistic<"numSorted", "activations-sorted", "Activations that were reordered">,
    Statistic<"numFolded", "permutes-folded", "Permutations folded into a filter">];
}

def ChooseLanesPass : Pass<"hetprec-choose-lanes", "::mlir::func::FuncOp"> {
  let summary = "Choose what the lanes of a dot product are";
  let description = [{
    With lanes that are pixels (or rows of a batch), a register of 64 lanes does
    the work of as many pixels as there are; with lanes that are outputs, that
    of as many outputs, for one pixel after the other. For each `matmul`, and
    each ungrouped 1x1 `conv_2d` of an image of one pixel, counts both in
    registers multiplied for each word of channels: `N * ceil(M / 64)` against
    `M * ceil(N / 64)`, and marks the op where outputs are fewer, with the
    reason. Weights for lanes that are outputs are padded to 64 of them; where
    that adds more than half of their bytes, lanes stay pixels.

    The same for each ungrouped `conv_2d` of larger images, whose lanes also lie
    between and behind their rows: `lanes * ceil(M / 64)` registers against
    `M * ceil(lanes / 64)`, each by the cycles that its words take, and for outputs
    `turn-cycles` more. What is not at least 5 % cheaper with outputs stays with
    pixels, whose weights are read less often. The cycles of words are those of
    the compiler's cost table: built in for Zen 4, or measured (`sysmol tune`).

    An ungrouped 3x3 `conv_2d` of neighbouring pixels, all of whose channels have 4
    bits, may have tiles of 2x2 pixels as lanes (`winograd_contract`), 16
    products a channel instead of 36. It has them where that, with what
    transforming input, weights and sums takes, is at least 5 % cheaper than
    what was chosen of the others, and the transformed patches are no more than
    `most-patch-bytes`: all outputs read them, eight at a time.

    ```mlir
    %acc = hetprec.matmul %x, %w : ... -> tensor<1x1000xi32>
    ```
    becomes
    ```mlir
    %acc = hetprec.matmul %x, %w {hetprec.lanes = #hetprec.lane_role<outputs>,
        hetprec.lanes_reason = "16 registers of outputs, 1000 of rows"}
        : ... -> tensor<1x1000xi32>
    ```
  }];
  let options = [
    ListOption<"pixelCycles", "pixel-cycles", "double",
      "cycles of a word of level 1, 2, 4, 8 for a register of 64 pixels, of "
      "several; default: Zen 4">,
    ListOption<"lonePixelCycles", "lone-pixel-cycles", "double",
      "the same where there is one register of pixels">,
    ListOption<"outputCycles", "output-cycles", "double",
      "cycles of a word of level 1, 2, 4, 8 for a register of 64 outputs, of "
      "several; default: Zen 4">,
    ListOption<"loneOutputCycles", "lone-output-cycles", "double",
      "the same where there is one register of outputs">,
    Option<"turnCycles", "turn-cycles", "double", /*default=*/"48",
      "cycles of turning a register of sums of outputs round into planes">,
    // 64 channels of 128x128 pixels have 4.2 MB: the most that is faster by
    // tiles on Zen 4, and no slower on Zen 3; of 200x200 nothing is gained.
    Option<"mostPatchBytes", "most-patch-bytes", "int64_t", /*default=*/"4718592",
      "bytes of transformed patches that tiles may take">];
  let statistics = [
    Statistic<"numOutputs", "outputs", "Dot products with outputs as lanes">,
    Statistic<"numTiles", "tiles", "Windows with tiles of pixels as lanes">];
}

def VerifyPhasePass : Pass<"hetprec-verify-phase", "::mlir::func::FuncOp"> {
  let summary = "Check the contract of a phase and name the culprit";
  let description = [{
    `model`: nothing but model ops, constants and reshapes; shapes are static,
    without zeros, of at most 2^31 elements; codes are `[N, C]` or
    `[N, C, H, W]` with one scale, their channels on axis 1; weights are
    constants on their levels (HP24). `plan`: besides, every
    input of an ungrouped dot product is sorted into segments. `packed`: no
    model op and no encoding is left. `loops`: memrefs only, every `contract`
    tiled to whole registers. `vectors`: no lane op is left, only `mac`.
  }];
  let options = [
    Option<"phase", "phase", "::sysmol::hetprec::Phase",
           "::sysmol::hetprec::Phase::Model", "the phase whose contract to check",
           [{::llvm::cl::values(
             clEnumValN(::sysmol::hetprec::Phase::Model, "model", "as imported"),
             clEnumValN(::sysmol::hetprec::Phase::Plan, "plan", "sorted and legal"),
             clEnumValN(::sysmol::hetprec::Phase::Packed, "packed", "planes of lanes"),
             clEnumValN(::sysmol::hetprec::Phase::Loops, "loops", "tiles on memrefs"),
             clEnumValN(::sysmol::hetprec::Phase::Vectors, "vectors", "vectors and mac"))}]>];
}

def PackPass : Pass<"hetprec-pack", "::mlir::func::FuncOp"> {
  let summary = "Model ops on channels to packed ops on lanes";
  let description = [{
    Chooses a layout of lanes for every value (`LaneLayout`), packs weights into
    row words, turns requantizations into thresholds (HP16) and fuses what
    follows a dot product into its `hetprec.contract`: requantization, carrier
    and residual sum, conversion to reals. The constants that working on
    unsigned codes leaves over become `lane_bias` (one plane a layer, not one
    an output) and `row_bias`.

    A dot product that reads an activation of three segments and writes one of
    two becomes two `contract`s, one for each precision written.

    A depthwise convolution or a pool reads planes of bytes (`spread_lanes`) where
    these are fewer products (`ByteLanes`).

    Where `hetprec-choose-lanes` said that lanes are outputs, the dot product
    becomes a `hetprec.gemv` instead, one for whole tiles of outputs and one for
    what is left. Its input and result are plain, [rows, channels]; what else
    reads or writes them packs and unpacks.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect",
    "::mlir::bufferization::BufferizationDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numContracts", "contracts", "Dot products written as contract">,
    Statistic<"numRepacked", "repacked", "Activations unpacked and packed again">];
}

def SpreadNibblesPass : Pass<"hetprec-spread-nibbles", "::mlir::func::FuncOp"> {
  let summary = "Spread 4-bit words to bytes once a layer";
  let description = [{
    A level-4 word is four nibbles (i16). A `contract` would spread a row's word
    to bytes for every tile of lanes, and a lane's word for every tile of rows.
    This pass spreads both once a layer, rows in front of the `contract` that
    reads them, lanes behind their definition; what is stored between layers and
    in the file stays packed. Worth it where a multiply-accumulate takes bytes
    straight from memory (VPDPBUSD). A coefficient of up to 4 becomes part of the
    rows' bytes.

    ```mlir
    %r = hetprec.contract codes lanes(%x : tensor<4x1024xi16>)
        rows(%w : tensor<16x36xi16>) ...
    ```
    becomes
    ```mlir
    %a = linalg.generic ... ins(%x) outs(%d : tensor<4x1024xi32>) {...}
    %b = linalg.generic ... ins(%w) outs(%e : tensor<16x36xi32>) {...}
    %r = hetprec.contract codes lanes(%a : tensor<4x1024xi32>)
        rows(%b : tensor<16x36xi32>) ...
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numSpread", "spread", "Tensors spread">];
}

def TileLanesPass : Pass<"hetprec-tile-lanes", "::mlir::func::FuncOp"> {
  let summary = "Tile packed ops to what fits into registers";
  let description = [{
    Tiles `contract`, `requantize_lanes` and `gemv` through `TilingInterface`:
    lanes to `lane-blocks` blocks of 64, rows to `row-tile` rows, to more where
    there are fewer blocks, and to whole words of codes. Sums of windows, which need
    no registers for it, have tiles of up to 16 blocks, by how far windows reach. The lanes of a `contract`
    that would leave its last tile short are split off before. `gemv` goes to one
    tile of outputs.
  }];
  let options = [
    Option<"rowTile", "row-tile", "int64_t", "4",
           "rows of a tile of all its blocks (rows)">,
    Option<"laneBlocks", "lane-blocks", "int64_t", "2",
           "lanes of a tile (blocks of 64)">];
  let dependentDialects = ["::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect", "::mlir::affine::AffineDialect",
    "::mlir::arith::ArithDialect"];
}

def ProfileLayersPass : Pass<"hetprec-profile-layers", "::mlir::func::FuncOp"> {
  let summary = "Read a clock at the borders of layers";
  let description = [{
    For measuring only: `sysmol-compile --profile`. The ops at the top of a
    function (phase `loops`) that belong to one layer, by the `layer` of a
    `contract` or else by their location, are a stretch; ops that name no layer
    belong to the next one that does; `pack_lanes` and `unpack_lanes`, which take
    and give plain tensors, are layers `pack` and `unpack`. The machine's counter
    (`llvm.readcyclecounter`) is stored at the beginning of each stretch and at
    the end of the last into a new last argument, marked `hetprec.profile`,
    which `hetprec-plan-arena` gives a place that outlives the run. The
    function's attribute `hetprec.profile` lists the layers in order; one that
    runs in several stretches comes several times.

    ```mlir
    scf.for ... { hetprec.contract ... {layer = "a"} ... }
    scf.for ... { hetprec.contract ... {layer = "b"} ... }
    return
    ```
    becomes
    ```mlir
    %t0 = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
    memref.store %t0, %profile[%c0] : memref<3xi64>
    scf.for ... { hetprec.contract ... {layer = "a"} ... }
    %t1 = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
    memref.store %t1, %profile[%c1] : memref<3xi64>
    scf.for ... { hetprec.contract ... {layer = "b"} ... }
    %t2 = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
    memref.store %t2, %profile[%c2] : memref<3xi64>
    return
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::memref::MemRefDialect", "::mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"numClocks", "clocks", "Clocks read in a run">];
}

def VectorizeLanesPass : Pass<"hetprec-vectorize-lanes", "::mlir::func::FuncOp"> {
  let summary = "Tiles on memrefs to vectors, loops and mac";
  let description = [{
    A `contract` tile becomes loops over groups and the window's rows whose
    body, the taps of one row, is unrolled: per tap one vector load of lanes for
    each block and one `mac` for each row and block. Level-1 and level-2 products
    are summed in bytes and widened to 16 bits before a byte can overflow (31 and
    9 products, 14 that are centred, or as many as `byte_words` says). One segment after the other leaves its sums in scratch memory (a
    `memref.alloca` of the function, or of a parallel loop's body), so that each
    has all registers; the epilogue is a loop over the rows that adds them up.
  }];
  let options = [
    Option<"byteSums", "byte-sums", "int64_t", /*default=*/"8",
      "registers of 64 sums of levels 1 and 2 that are kept at once">,
    Option<"dotSums", "dot-sums", "int64_t", /*default=*/"16",
      "registers of 16 sums of levels 4 and 8 that are kept at once">];
  let dependentDialects = ["::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::LLVM::LLVMDialect"];
}

def OutlineKernelsPass
    : Pass<"hetprec-outline-kernels", "::mlir::ModuleOp"> {
  let summary = "A planned network to a sequence of calls, each one GPU kernel";
  let description = [{
    A function that does not begin with a product of its arguments is a network:
    its ops become private functions with the attribute `hetprec.kernel`, called
    in order; weights are passed to them. A kernel is

    - a product for tensor cores (no groups, no padding where the grid has no
      zero), with the flatten in front of it, and what reads its result alone:
      `to_real`, `requantize` to sorted channels, or `to_carrier` and the `add`
      of a carrier that is there before; then also the one `requantize` of that
      carrier, in another order of at most 128 channels, so that the kernel has
      two results;
    - any other op, with the permutes of sums and reals that it reads;
    - nothing but a tensor that the network takes or gives: all that it takes but
      reals, and the sorted codes that it gives.

    Arguments and results that are the network's, and so lie in an order of
    their own, have the attribute `hetprec.boundary`.

    ```mlir
    func.func @main(%x: tensor<1x4xf32>) -> tensor<1x8xf32> {
      %w = arith.constant dense<1> : tensor<8x4xi8, #w>
      %q = hetprec.quantize %x : tensor<1x4xf32> to tensor<1x4xi8, #a>
      %acc = hetprec.matmul %q, %w : tensor<1x4xi8, #a>, tensor<8x4xi8, #w>
          -> tensor<1x8xi32>
      %y = hetprec.to_real %acc multiplier = [0.5] offset = [1.0]
          : tensor<1x8xi32> to tensor<1x8xf32>
      return %y : tensor<1x8xf32>
    }
    // becomes
    func.func @main(%x: tensor<1x4xf32>) -> tensor<1x8xf32> {
      %w = arith.constant dense<1> : tensor<8x4xi8, #w>
      %q = call @main_0_quantize(%x)
          : (tensor<1x4xf32>) -> tensor<1x4xi8, #a>
      %y = call @main_1_matmul(%q, %w)
          : (tensor<1x4xi8, #a>, tensor<8x4xi8, #w>) -> tensor<1x8xf32>
      return %y : tensor<1x8xf32>
    }
    func.func private @main_0_quantize(%x: tensor<1x4xf32> {hetprec.boundary})
        -> tensor<1x4xi8, #a> attributes {hetprec.kernel}
    func.func private @main_1_matmul(...) attributes {hetprec.kernel}
    ```
  }];
  let dependentDialects = ["::mlir::func::FuncDialect"];
  let statistics = [
    Statistic<"numKernels", "kernels", "Functions made of ops">];
}

def OutlineConstantsPass
    : Pass<"hetprec-outline-constants", "::mlir::ModuleOp"> {
  let summary = "Constants out of the code into one blob of weights";
  let description = [{
    Every constant `memref.global` of the module's one public function becomes a
    view of a new first argument, `memref<?xi8>` of the blob's size; the blob is
    left on the module as `hetprec.weights` (a dense i8 tensor), in the order in
    which the code reads them first. Equal constants share their bytes. A blob
    that is there already (of another target of the same network) is kept and
    searched first, so that one blob serves all. Tables are read word by word, so
    that 8 bytes of alignment are enough; constants of 4 KiB and more, which
    kernels stream, are aligned to cache lines (64 bytes).
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::memref::MemRefDialect"];
  let statistics = [
    Statistic<"numBytes", "bytes", "Bytes of the blob">];
}

def PlanArenaPass : Pass<"hetprec-plan-arena", "::mlir::func::FuncOp"> {
  let summary = "All buffers in one static arena";
  let description = [{
    Replaces every `memref.alloc` by a view of a new argument (behind the
    weights), an arena of fixed size: buffers that live at the same time do not
    overlap, others may. Offsets are multiples of 64. First fit, the largest
    buffer first. The function then allocates nothing; its attribute
    `hetprec.arena_bytes` says how much it needs. An argument marked
    `hetprec.profile` (`hetprec-profile-layers`) becomes a view of the arena's
    end, where nothing else is written; `hetprec.profile_offset` says where.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::memref::MemRefDialect"];
  let statistics = [
    Statistic<"numBuffers", "buffers", "Buffers placed">,
    Statistic<"numBytes", "bytes", "Bytes of the arena">];
}

def ExpandCopiesPass : Pass<"hetprec-expand-copies", "::mlir::func::FuncOp"> {
  let summary = "Copies of parts of buffers as loops";
  let description = [{
    Bufferization copies the tile of a buffer that is added onto and read again
    later. A `memref.copy` whose source or target does not lie in one piece would
    become a call of a library function, which compiled networks do not have; it
    becomes a `linalg.generic` here. Copies in one piece stay: they are a `memcpy`.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
  let statistics = [Statistic<"numExpanded", "copies", "Copies expanded">];
}

def OutlineParallelPass
    : Pass<"hetprec-outline-parallel", "::mlir::ModuleOp"> {
  let summary = "Loops of a network as tasks that a team of threads may share";
  let description = [{
    Runs on loops over memrefs, when weights and arena are arguments already.
    Loops that may run in any order (`scf.parallel`, `scf.for` marked
    `hetprec.parallel`) are cut into parts of about `grain` estimated cycles;
    their number depends on the network alone, so that code and results are the
    same for any number of threads. Which loops may run at the same time follows
    from the bytes of the arguments that each reads and writes: statements get
    levels, and those of one level are one set of tasks, with a barrier behind
    it. The parts of each statement are spread over all tasks: a thread, which
    takes tasks that follow each other, has the same share of each statement, and
    mostly reads what it wrote. Of a loop in a loop both are cut; what stands
    before the one inside is repeated by each part, if it is little and writes
    scratch memory only. A level of less than two grains stays one piece:
    a function that is called, or, where it has few ops, as it is.
    Nothing moves past a clock (`llvm.readcyclecounter`).

    The function gets one more argument (behind the arena): null, or a pointer to

    ```c
    struct sysmol_parallel {
      void *self;
      void (*parallel_for)(void *self, uint32_t tasks,
                           void (*body)(void *frame, uint32_t task),
                           void *frame);
    };
    ```
    `parallel_for` returns when all tasks have run; null runs them in turn. The
    frame is an array of the function's other arguments. No library is needed.

    ```mlir
    scf.for %i = %c0 to %c64 step %c1 {
      ...
    } {hetprec.parallel}
    ```
    becomes a call of the runtime with 64 (or fewer) tasks, and
    ```mlir
    func.func private @network_body0(%weights, %arena, ..., %task: index) {
      %last = arith.addi %task, %c1
      scf.for %i = %task to %last step %c1 {...}
    }
    ```
  }];
  let options = [
    Option<"grain", "grain", "int64_t", "4000",
           "estimated cycles of a task, about; a loop is cut into four at least">,
    Option<"maxTasks", "max-tasks", "int64_t", "64",
           "most tasks made of one loop nest; 1: statements stay in order, and none "
           "becomes a function">,
    Option<"fewestOps", "fewest-ops", "int64_t", "200",
           "ops of a level that is called as one piece; what has fewer stays">];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numForks", "forks", "Sets of tasks">,
    Statistic<"numTasks", "tasks", "Tasks">];
}

def ShareBodiesPass : Pass<"hetprec-share-bodies", "::mlir::ModuleOp"> {
  let summary = "Equal layers as one function";
  let description = [{
    Private functions of one block without results that are nothing but called,
    call nothing, and are equal but for the constants that views of memory begin
    at, become the first of them. Where the
    others' views begin, from its own on, are further arguments: one for all views
    that lie equally far off in each. Runs behind `hetprec-outline-parallel`: a
    network's layers of one shape are compiled once. The function is never
    inlined.

    ```mlir
    func.func private @network_body0(%weights: memref<4096xi8>, %task: index) {
      %c64 = arith.constant 64 : index
      %w = memref.view %weights[%c64][] : memref<4096xi8> to memref<64xi8>
      ...
    }
    func.func private @network_body1(%weights: memref<4096xi8>, %task: index) {
      %c512 = arith.constant 512 : index
      %w = memref.view %weights[%c512][] : memref<4096xi8> to memref<64xi8>
      ...
    }
    ```
    becomes, with calls of `@network_body0` that give 0 and those of
    `@network_body1` that give 448:
    ```mlir
    func.func private @network_body0(%weights: memref<4096xi8>, %task: index,
                                     %from: index) {
      %c64 = arith.constant 64 : index
      %at = arith.addi %c64, %from : index
      %w = memref.view %weights[%at][] : memref<4096xi8> to memref<64xi8>
      ...
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
  let statistics = [
    Statistic<"numShared", "shared", "Functions that became others">];
}

#endif
