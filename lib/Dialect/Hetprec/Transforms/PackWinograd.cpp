//===- PackWinograd.cpp - Dot products whose lanes are tiles --------------===//

#include "PackUtils.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Codes become signed bytes.
static constexpr int64_t kMiddle = 8;

/// `(4 G w G^T)[i, j]` of 3x3 weights (see `winograd_contract`).
static int64_t transformWeights(ArrayRef<int64_t> w, int64_t i, int64_t j) {
  constexpr int64_t g[4][3] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, -2}};
  int64_t sum = 0;
  for (int64_t y = 0; y < 3; ++y)
    for (int64_t x = 0; x < 3; ++x)
      sum += g[i][y] * g[j][x] * w[3 * y + x];
  return sum;
}

/// What the sums at (1, 1), (1, 2), (2, 1) and (2, 2) begin with, given the sum
/// of the weights at each place: a tile's pixels get `a + b + c + d`, `a - b +
/// c
/// - d`, `a + b - c - d` and `a - b - c + d` of these.
static std::array<int64_t, 4> makeSeeds(ArrayRef<int64_t> weights) {
  constexpr int64_t a[2][4] = {{1, 1, 1, 0}, {0, 1, -1, 1}};
  constexpr int64_t patch = WinogradTiles::kPatch;
  int64_t missing[2][2] = {};
  for (int64_t y = 0; y < 2; ++y)
    for (int64_t x = 0; x < 2; ++x)
      for (int64_t i = 0; i < patch; ++i)
        for (int64_t j = 0; j < patch; ++j)
          if (i != 1 || j != 1)
            missing[y][x] -= a[y][i] * a[x][j] * WinogradTiles::kInputOffset *
                             weights[patch * i + j];
  auto [p, q] = missing[0];
  auto [r, s] = missing[1];
  return {(p + q + r + s) / 4, (p - q + r - s) / 4, (p + q - r - s) / 4,
          (p - q - r + s) / 4};
}

void ContractBuilder::makeTileSums(ArrayRef<int64_t> rows,
                                   ArrayRef<bool> negated) {
  const Segment &s = input.segments.front();
  auto tiles = *WinogradTiles::get(imageLayout);
  int64_t words = s.getNumWords(), perWord = getChannelsPerWord(s.level);
  int64_t numTaps = dot.getNumTaps(), positions = WinogradTiles::kPositions;
  int64_t numRows = llvm::alignTo(rows.size(), WinogradTiles::kOutputs);

  Value planes = tensor::EmptyOp::create(
      b, loc, {tiles.getNumPlanes(words), tiles.getPlaneLanes()},
      b.getI32Type());
  Value lanes = WinogradInputOp::create(
                    b, loc, TypeRange{planes.getType()}, s.plane, planes,
                    ArrayRef(dot.window.pads).take_front(2), imageLayout)
                    ->getResult(0);

  SmallVector<int64_t> codes, seeds;
  for (int64_t r = 0; r < numRows; ++r) {
    int64_t output = r < int64_t(rows.size()) ? rows[r] : -1;
    SmallVector<int64_t> line(numTaps * words, 0), sums(positions, 0);
    for (auto [slot, channel] : llvm::enumerate(s.channels)) {
      SmallVector<int64_t> weights;
      for (int64_t tap = 0; tap < numTaps; ++tap) {
        bool isEmpty = output < 0 || channel < 0;
        int64_t code =
            isEmpty
                ? kMiddle
                : getFactor(s.level, getCode(output, channel, tap), negated[r]);
        weights.push_back(code - kMiddle);
        line[tap * words + slot / perWord] |= code
                                              << (slot % perWord * s.level);
      }
      for (int64_t i = 0; i < positions; ++i)
        sums[i] += transformWeights(weights, i / WinogradTiles::kPatch,
                                    i % WinogradTiles::kPatch);
    }
    llvm::append_range(codes, line);
    llvm::append_range(seeds, makeSeeds(sums));
  }
  sums = tensor::EmptyOp::create(b, loc, {numRows, imageLayout.getSize()},
                                 b.getI32Type());
  sums = WinogradContractOp::create(
             b, loc, TypeRange{sums.getType()}, lanes,
             makeIntTable(b, loc, {numRows, numTaps * words}, codes,
                          getWordBits(s.level)),
             makeIntTable(b, loc, {numRows, 4}, seeds, 32), sums,
             coefficients.front(), imageLayout, layer)
             ->getResult(0);
}
