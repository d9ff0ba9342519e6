//===- Report.h - What sysmol-run prints ------------------------*- C++ -*-===//

#ifndef SYSMOL_TOOLS_SYSMOL_RUN_REPORT_H
#define SYSMOL_TOOLS_SYSMOL_RUN_REPORT_H

#include "sysmol/Runtime/Bundle.h"
#include "sysmol/Runtime/Profile.h"

#include <iosfwd>
#include <string>
#include <vector>

namespace sysmol::run {

/// Rows of text in aligned columns: the first one to the left, columns that
/// hold numbers to the right.
class Table {
public:
  explicit Table(std::vector<std::string> Titles) : Rows{std::move(Titles)} {}
  void add(std::vector<std::string> Row) { Rows.push_back(std::move(Row)); }
  void print(std::ostream &OS) const;

private:
  std::vector<std::vector<std::string>> Rows;
};

/// "12345678" as "12 345 678".
std::string grouped(uint64_t Number);

/// Sections, code, layers and sizes; runs nothing of the bundle.
void printInspection(std::ostream &OS, const runtime::Bundle &B);

/// Each layer's time and multiply-accumulates, at all and a cycle.
void printProfile(std::ostream &OS, const runtime::Metadata &M,
                  const runtime::Profile &P, double CyclesPerSecond);

/// The first values of one output for one image.
void printOutput(std::ostream &OS, const runtime::TensorInfo &T, uint64_t Image,
                 std::span<const uint8_t> Bytes);

} // namespace sysmol::run

#endif // SYSMOL_TOOLS_SYSMOL_RUN_REPORT_H
