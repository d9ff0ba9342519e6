//===- CostModel.h - What a layer should take -------------------*- C++ -*-===//
//
// A table of rates of one machine and what follows from it for an op of the
// packed phase: multiply-accumulates as they are executed (words are full,
// lanes are whole blocks), at the rate of each level's strategy; or the bytes
// of the weights, where streaming them takes longer; the epilogue; and what is
// around the loops of a tile.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_ANALYSIS_COSTMODEL_H
#define SYSMOL_ANALYSIS_COSTMODEL_H

#include "mlir/IR/Operation.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <map>
#include <string>

namespace sysmol {

/// Level -> a number.
using ByLevel = std::map<int64_t, double>;
/// Bytes -> a number.
using ByBytes = std::map<int64_t, double>;

/// Rates of one machine for code of one target.
struct CostTable {
  /// Where the numbers come from, for people.
  std::string source;
  /// LLVM's name of the CPU that was measured.
  std::string cpu;
  /// Level -> multiply-accumulates a cycle, data in registers and L1.
  ByLevel macsPerCycle;
  /// Level written (0: a wide plane) -> cycles for a row of 64 outputs.
  ByLevel epilogueCycles;
  /// Level -> cycles that a word of channels takes for a register of 64 lanes:
  /// pixels, or outputs, where there are several registers of them, or one
  /// (what is broadcast, or selects products, is loaded for each register
  /// then).
  ByLevel pixelCycles, lonePixelCycles, outputCycles, loneOutputCycles;
  /// Bytes -> bytes a cycle that one thread reads of so many, read again and
  /// again.
  ByBytes streamRates;
  double cyclesPerSecond = 0;

  /// The rate of any number of bytes: between two that were measured, linear
  /// in the logarithm of their number; beyond them, the nearest one's.
  double getStreamRate(double bytes) const;
};

/// The table for a machine that nobody has measured: AMD Zen 4 for AVX-512 and
/// AVX2, a careful guess for the rest.
CostTable getBuiltinCostTable(llvm::StringRef target);

/// JSON of one object, and back. Every rate must be positive.
std::string printCostTable(const CostTable &table);
llvm::Expected<CostTable> parseCostTable(llvm::StringRef text);

/// What executing an op costs.
struct OpCost {
  double cycles = 0;
  /// Of these, of the multiply-accumulates.
  double products = 0;
  /// Multiply-accumulates executed, those on padding too.
  double macs = 0;
  OpCost &operator+=(const OpCost &other);
};

/// Cycles of a 3x3 window by tiles.
struct TileCosts {
  double products; ///< of the bytes of 16 places
  double sums;     ///< around them, and to the pixels
  double weights;  ///< transforming them
  double patches;  ///< transforming the input
  double getTotal() const { return products + sums + weights + patches; }
};

/// Of `words` words of channels and `outputs` outputs, where a word of level 4
/// takes `wordCycles` for a register of 64 pixels.
TileCosts predictTiles(const hetprec::WinogradTiles &tiles, int64_t words,
                       int64_t outputs, double wordCycles);

/// Cost of an op of the packed phase on tensors; nothing for ops that the model
/// does not know.
OpCost predictCost(mlir::Operation *op, const CostTable &table);

} // namespace sysmol

#endif // SYSMOL_ANALYSIS_COSTMODEL_H
