//===- Passes.td - Conversions out of the hetprec dialect -*- tablegen -*-===//

#ifndef SYSMOL_CONVERSION_PASSES_TD
#define SYSMOL_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConvertHetprecToVectorPass : Pass<"convert-hetprec-to-vector"> {
  let summary = "hetprec.mac to arith, math and vector: runs on any target";
  let description = [{
    Level 1 is AND and a population count, which LLVM turns into VPOPCNTB where
    there is one. Level 2 masks the three 2-bit fields by the bits of the row,
    levels 4 and 8 multiply the four bytes of a lane.

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
  let summary = "hetprec.mac to AVX-512 VBMI and VNNI";
  let description = [{
    Level 2: a byte holds three 2-bit codes, so 64 possible row words choose one
    of 64 rows of a constant 64 x 64 table of products (4 KiB, in L1), and one
    VPERMB looks up 64 lanes' sums of three products. Levels 4 and 8: VPDPBUSD.
    Level 1 stays what `convert-hetprec-to-vector` makes of it: AND, VPOPCNTB
    (AVX-512 BITALG) and VPADDB are what the machine does best.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::vector::VectorDialect"];
}

#endif
