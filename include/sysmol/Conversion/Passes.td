//===- Passes.td - Conversions out of the hetprec dialect -*- tablegen -*-===//

#ifndef SYSMOL_CONVERSION_PASSES_TD
#define SYSMOL_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConvertHetprecToVectorPass : Pass<"convert-hetprec-to-vector"> {
  let summary = "hetprec.mac, join_codes, narrow_lanes and spare_word to arith, math and vector";
  let description = [{
    Level 1 is AND and a population count, which LLVM turns into VPOPCNTB where
    there is one. Level 2 masks the three 2-bit fields by the bits of the row,
    levels 4 and 8 multiply the four bytes of a lane. Codes are clamped, shifted
    and put together. This runs on any target.

    ```mlir
    %s = hetprec.mac %acc, %a, %w level = 1 : vector<64xi8>, vector<64xi8>, i8
    ```
    becomes
    ```mlir
    %b = vector.broadcast %w : i8 to vector<64xi8>
    %p = arith.andi %a, %b : vector<64xi8>
    %n = math.ctpop %p : vector<64xi8>
    %s = arith.addi %acc, %n : vector<64xi8>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::vector::VectorDialect"];
}

def ConvertHetprecToX86Pass : Pass<"convert-hetprec-to-x86", "::mlir::ModuleOp"> {
  let summary = "hetprec.mac, join_codes, narrow_lanes and spare_word to AVX-512";
  let description = [{
    Level 2: a byte holds three 2-bit codes, so 64 possible row words choose one
    of 64 rows of a constant 64 x 64 table of products (4 KiB, in L1), and one
    VPERMB looks up 64 lanes' sums of three products. Levels 4 and 8: VPDPBUSD.
    Level 1 stays what `convert-hetprec-to-vector` makes of it: AND, VPOPCNTB
    (AVX-512 BITALG) and VPADDB are what the machine does best. `join_codes`:
    VPACKSSDW and VPACKUSWB, which clamp, and a VPSHUFB; `narrow_lanes`:
    VPACKSSDW and VPERMW; `spare_word`: VGF2P8AFFINEQB, which moves bits within
    bytes. It needs AVX-512 BW, VBMI and VNNI, and GFNI.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::vector::VectorDialect"];
}

def ConvertHetprecToAVX2Pass : Pass<"convert-hetprec-to-avx2", "::mlir::ModuleOp"> {
  let summary = "mac to AVX2";
  let description = [{
    Registers of lanes are two of 256 bits. Levels 1 and 2 take two VPSHUFB for
    each: the low nibbles of 32 lanes choose from the products of the row's word
    with all nibbles, the bits above them from those of its upper bits. A table of
    32 bytes for each word (8 and 2 KiB) has both.

    Level 8 takes two VPMADDWD of bytes widened to 16 bits; where the products of
    pairs are known to be small (`pair_bound`), VPMADDUBSW of the bytes
    themselves, and one VPMADDWD by ones for as many macs of a chain as 16 bits
    hold. What is left is lowered as by `convert-hetprec-to-vector`.

    ```mlir
    %s = hetprec.mac %acc, %a, %w level = 2 : vector<64xi8>, i8
    ```
    becomes, for each half,
    ```mlir
    %n = arith.andi %h, dense<15>
    %p = llvm.call_intrinsic "llvm.x86.avx2.pshuf.b"(%low, %n)
    ```
    and the same for the upper bits, both added to the half of `%acc`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::vector::VectorDialect"];
}

def ConvertHetprecToGPUPass : Pass<"convert-hetprec-to-gpu", "::mlir::ModuleOp"> {
  let summary = "products and networks to kernels of gpu and nvvm ops";
  let description = [{
    Every function becomes a `gpu.func` of bare memrefs in `gpu.module
    @kernels`. A function is one `hetprec.matmul` or `hetprec.conv_2d` of
    sorted channels, both operands arguments, and at most what reads it:
    `to_real`, `to_carrier` and the `add` of an argument, or behind a
    convolution `requantize` to sorted channels. In a network `requantize` may
    read the carrier, too, in another order of at most 128 channels; the
    function then returns both, or the codes alone. Levels 1 and 2 are products of
    bit planes by `mma.m16n8k256.b1 and.popc`, a pair of planes (i, j) counting
    `2^(i+j)`; level 4 spreads nibbles to bytes for `mma.m16n8k32.u8`, level 8
    is signed bytes. The sums of the activations' codes, which turn codes into
    level values, are one more MMA with a fragment of ones.

    What hetprec-outline-kernels made of a network becomes kernels in the same
    way, linear layers as convolutions whose window is the image; any other op
    is a kernel with a thread for an element or for 32 codes of a pixel. The
    module then has the attributes `hetprec.network` (launches in order and the
    buffers between them) and `hetprec.constants` (weights as kernels read them,
    and tables).

    A `gemm` computes blocks of 128 x 128 from stages in shared memory; all
    segments share one set of accumulators, multiplied by the ratio of product
    counts between them. The sums of the activations' codes come from a small
    kernel in front of it; a convolution whose windows are few words sums them
    itself.

    A convolution is a `gemm` whose activations are copied from their windows;
    `requantize` packs codes into pixels as the next convolution reads them.

    A `gemv` streams the weights once, 16 bytes a lane, in the order of its
    fragments. The attribute `hetprec.launch` of a kernel says how to launch it
    and at which bit of which buffer each code lies.

    ```mlir
    func.func @f(%x: tensor<1x256xi8, #a>, %w: tensor<16x256xi8, #w>)
        -> tensor<1x16xi32> {
      %acc = hetprec.matmul %x, %w : tensor<1x256xi8, #a>,
          tensor<16x256xi8, #w> -> tensor<1x16xi32>
      return %acc : tensor<1x16xi32>
    }
    ```
  }];
  let options = [
    Option<"kernel", "kernel", "::sysmol::GPUKernelKind",
      "::sysmol::GPUKernelKind::Auto", "which kernel computes a product",
      [{::llvm::cl::values(
        clEnumValN(::sysmol::GPUKernelKind::Auto, "auto",
                   "gemv for at most 8 rows of activations, else gemm"),
        clEnumValN(::sysmol::GPUKernelKind::Gemv, "gemv",
                   "stream the weights once"),
        clEnumValN(::sysmol::GPUKernelKind::Gemm, "gemm",
                   "tiles in shared memory"))}]>,
    Option<"warps", "warps", "int64_t", "8", "gemv: warps of a block, 4 to 32">,
    Option<"unroll", "unroll", "int64_t", "8",
      "gemv: 16-byte loads of weights in flight in a thread, 1 to 32">,
    Option<"threads", "threads", "int64_t", "1024",
      "gemv: threads that an SM must be able to hold, which bounds registers">,
    Option<"stages", "stages", "int64_t", "3",
      "gemm: stages in shared memory (20 to 33 KiB each), 2 to 6">,
    Option<"warpgroups", "warpgroups", "bool", "false",
      "gemm: wgmma where there are more than 32 rows of weights, sm_90a only">,
    Option<"nibbleMMA", "nibble-mma", "bool", "false",
      "one 4-bit MMA for level 4, which sm_80 and sm_89 have, for two of bytes">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::nvgpu::NVGPUDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

#endif
