//===- KernelBuilder.h - Short names of a kernel's parts --------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_KERNELBUILDER_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_KERNELBUILDER_H

#include "FragmentLayout.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace sysmol {

/// What a kernel writes of an accumulator.
enum class KernelResult {
  Accumulator, ///< i32
  Real,        ///< f32 (HP18)
  Carrier,     ///< i16 (HP17), of a sum where there is an addend
  Codes,       ///< words of pixels (HP15), see PackedResults.h
};

/// Arguments of a kernel, all memrefs in global memory; null where not used.
struct KernelArguments {
  mlir::Value weights, activations, rowBias, multiplier, offset, output;
  /// Of a gemm: what every row of activations, or every pixel, takes from its
  /// accumulators.
  mlir::Value sums;
  /// A carrier that lies as the output does.
  mlir::Value addend;
  /// Where codes of carriers are made, too: their words, what scales them, and
  /// the channel of codes of each row. The output may be missing then.
  mlir::Value codes, codeMultiplier, codeOffset, channel;
  /// Carriers are not below 0.
  bool relu = false;
};

/// Emits index arithmetic, loads and MMAs at the builder's place.
class KernelBuilder {
public:
  KernelBuilder(mlir::OpBuilder &b, mlir::Location loc, bool nibbleMMA = false)
      : b(b), loc(loc), nibbleMMA(nibbleMMA) {}
  mlir::OpBuilder &b;
  mlir::Location loc;
  /// Level 4 is one MMA of nibbles, not two of bytes.
  bool nibbleMMA;

  mlir::Value index(int64_t value);
  mlir::Value i32(int64_t value);
  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value add(mlir::Value lhs, int64_t rhs);
  mlir::Value sub(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mul(mlir::Value lhs, int64_t rhs);
  /// Of unsigned values.
  mlir::Value div(mlir::Value lhs, int64_t rhs);
  mlir::Value rem(mlir::Value lhs, int64_t rhs);
  mlir::Value min(mlir::Value lhs, int64_t rhs);
  mlir::Value less(mlir::Value lhs, int64_t rhs);
  mlir::Value select(mlir::Value condition, mlir::Value then,
                     mlir::Value otherwise);
  /// Between index and i32; signed.
  mlir::Value toI32(mlir::Value value);
  mlir::Value toIndex(mlir::Value value);

  /// `words` neighbouring words, one aligned instruction.
  llvm::SmallVector<mlir::Value> load(mlir::Value buffer, mlir::Value at,
                                      int64_t words);
  /// `C + A x B` of one inner step at `level`: one b1 MMA, one of u4 or two of
  /// u8 for nibbles, or one s8 MMA, whose B is of `grid`. Four words of A, two
  /// of B, four of C.
  llvm::SmallVector<mlir::Value> mma(hetprec::Grid grid, int8_t level,
                                     mlir::ValueRange a, mlir::ValueRange b,
                                     mlir::ValueRange c);
  /// The same of bytes below 128.
  llvm::SmallVector<mlir::Value> byteMMA(mlir::ValueRange a, mlir::ValueRange b,
                                         mlir::ValueRange c);
  mlir::Value bitAnd(mlir::Value lhs, int64_t rhs);
  mlir::Value shiftRight(mlir::Value lhs, int64_t rhs);
  mlir::Value shiftLeft(mlir::Value lhs, int64_t rhs);
  /// Sum of the codes in one word; of a plane, the number of its bits.
  mlir::Value sumCodes(int8_t level, mlir::Value word);
  /// The A operand whose codes are all 1: its product is the sum of B's codes.
  /// Of levels whose weights need that sum (`FragmentSegment::hasSums`).
  llvm::SmallVector<mlir::Value> ones(int8_t level);
  /// `c (alpha S - beta A)`, of level 8 `c S`: a segment's part of the
  /// accumulator, from the sum `S` of products of codes and the sum `A` of
  /// activation codes.
  mlir::Value correct(hetprec::Grid grid, const FragmentSegment &segment,
                      mlir::Value products, mlir::Value sums);
  /// HP18 of an accumulator of the row; without an offset the product alone.
  mlir::Value scale(const KernelArguments &args, mlir::Value acc,
                    mlir::Value row);
  /// HP8, HP9, HP15 of a real that is no NaN: the code as an i32. `pick` makes
  /// a value of a number that the level decides.
  mlir::Value toCode(
      hetprec::Grid grid, mlir::Value real,
      llvm::function_ref<mlir::Value(llvm::function_ref<float(int8_t level)>)>
          pick);
  /// HP17 of a real that is no NaN, and of a sum, not below `lowest`; i32.
  mlir::Value toCarrier(mlir::Value real, int64_t lowest);
  mlir::Value addCarriers(mlir::Value lhs, mlir::Value rhs, int64_t lowest);
  mlir::Value real(float value);
  /// `real`, but at least or at most a bound.
  mlir::Value clamp(mlir::Value real, mlir::arith::CmpFPredicate keeps,
                    mlir::Value bound);
  /// Adds the row's bias, applies the result's rule and stores at
  /// `[batch, row]`, if there is an output; gives the carrier as an i32.
  mlir::Value store(const FragmentLayout &layout, const KernelArguments &args,
                    KernelResult result, mlir::Value acc, mlir::Value batch,
                    mlir::Value row);
};

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_KERNELBUILDER_H
