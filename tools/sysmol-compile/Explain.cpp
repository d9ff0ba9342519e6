//===- Explain.cpp - What was decided, layer by layer ---------------------===//

#include "Explain.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"

using namespace llvm;
using namespace sysmol;

using Row = std::vector<std::string>;

static std::string fixed(double value, int digits) {
  std::string text;
  raw_string_ostream(text) << format("%.*f", digits, value);
  return text;
}

/// Columns with titles that begin with a space hold numbers, to the right.
static void printTable(raw_ostream &os, ArrayRef<Row> rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const Row &row : rows)
    for (auto [width, cell] : zip_equal(widths, row))
      width = std::max(width, cell.size());
  for (const Row &row : rows) {
    std::string line;
    for (auto [i, cell] : enumerate(row)) {
      std::string pad(widths[i] - cell.size(), ' ');
      bool isNumber = StringRef(rows.front()[i]).starts_with(" ");
      line += (isNumber ? pad + cell : cell + pad) + "  ";
    }
    os << StringRef(line).rtrim() << "\n";
  }
}

void sysmol::printExplanation(raw_ostream &os, const CompileReport &report) {
  std::vector<Row> rows = {{"layer", "output", "channels", "strategy", " kMAC",
                            " filled", " predicted us", " share", " bytes"}};
  double total = 0, macs = 0, needed = 0, executed = 0;
  uint64_t bytes = 0;
  for (const runtime::LayerInfo &layer : report.layers) {
    total += double(layer.PredictedNs);
    macs += double(layer.Macs);
    needed += double(layer.NeededMacs);
    executed += double(layer.Macs ? layer.ExecutedMacs : 0);
    bytes += layer.WeightBytes + layer.TableBytes;
  }
  auto fill = [](double needed, double executed) {
    return executed > 0 && needed > 0
               ? fixed(100 * std::min(1.0, needed / executed), 0) + "%"
               : std::string("-");
  };
  for (const auto &[layer, strategy] :
       zip_equal(report.layers, report.strategies)) {
    std::string shape, levels;
    for (uint64_t size : layer.Shape)
      shape += (shape.empty() ? "" : "x") + std::to_string(size);
    for (auto [bits, count] : layer.Levels)
      levels += (levels.empty() ? "" : " ") + std::to_string(count) + "x" +
                std::to_string(bits) + "b";
    double predicted = double(layer.PredictedNs);
    rows.push_back({layer.Name, shape, levels, strategy,
                    fixed(double(layer.Macs) / 1e3, 0),
                    fill(double(layer.NeededMacs), double(layer.ExecutedMacs)),
                    fixed(predicted / 1e3, 1),
                    total > 0 ? fixed(100 * predicted / total, 1) + "%" : "-",
                    std::to_string(layer.WeightBytes + layer.TableBytes)});
  }
  rows.push_back({"total", "", "", "", fixed(macs / 1e3, 0),
                  fill(needed, executed), fixed(total / 1e3, 1), "100.0%",
                  std::to_string(bytes)});
  printTable(os, rows);
  os << "cost table: " << report.costSource << "\n";
}
