//===- Report.cpp - What sysmol-run prints --------------------------------===//

#include "Report.h"

#include "Arrays.h"

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <ostream>
#include <sstream>

namespace sysmol::run {

using namespace sysmol::runtime;

/// Number of characters, not bytes, so that UTF-8 names stay in their column.
static size_t width(const std::string &Text) {
  return std::count_if(Text.begin(), Text.end(),
                       [](char C) { return (C & 0xc0) != 0x80; });
}

static bool isNumber(const std::string &Text) {
  return Text.find_first_not_of("0123456789 .%x-") == Text.npos;
}

void Table::print(std::ostream &OS) const {
  for (size_t R = 0; R < Rows.size(); ++R) {
    std::string Line = " ";
    for (size_t C = 0; C < Rows[0].size(); ++C) {
      size_t Width = 0;
      bool Numbers = C > 0;
      for (size_t I = 0; I < Rows.size(); ++I) {
        Width = std::max(Width, width(Rows[I][C]));
        Numbers &= I == 0 || isNumber(Rows[I][C]);
      }
      std::string Pad(Width - width(Rows[R][C]), ' ');
      Line += " " + (Numbers ? Pad + Rows[R][C] : Rows[R][C] + Pad) + " ";
    }
    OS << Line.substr(0, Line.find_last_not_of(' ') + 1) << '\n';
  }
}

std::string grouped(uint64_t Number) {
  std::string Text = std::to_string(Number);
  for (size_t At = Text.size(); At > 3; At -= 3)
    Text.insert(At - 3, " ");
  return Text;
}

static std::string fixed(double Value, int Digits) {
  std::ostringstream OS;
  OS << std::fixed << std::setprecision(Digits) << Value;
  return OS.str();
}

static std::string hexPrefix(const std::array<uint8_t, 32> &Hash) {
  std::ostringstream OS;
  for (size_t I = 0; I < 8; ++I)
    OS << std::hex << std::setw(2) << std::setfill('0') << unsigned(Hash[I]);
  return OS.str();
}

static void printTensors(std::ostream &OS, const char *Title,
                         const std::vector<TensorInfo> &Tensors) {
  Table T({Title, "type", "shape", "bytes"});
  for (const TensorInfo &Info : Tensors)
    T.add({Info.Name, std::string(dtypeName(Info.Type)), shapeText(Info.Shape),
           grouped(Info.bytes())});
  T.print(OS);
  OS << '\n';
}

static void printLayers(std::ostream &OS, const Metadata &M) {
  // A column for each level that some layer has.
  std::vector<unsigned> Levels;
  for (unsigned Bits : {1u, 2u, 4u, 8u, 32u})
    if (std::any_of(M.Layers.begin(), M.Layers.end(),
                    [&](const LayerInfo &L) { return L.Levels.count(Bits); }))
      Levels.push_back(Bits);
  std::vector<std::string> Titles = {"layer", "op", "shape"};
  for (unsigned Bits : Levels)
    Titles.push_back(std::to_string(Bits) + "-bit");
  for (const char *Title : {"strategy", "MACs", "weights B", "tables B"})
    Titles.push_back(Title);
  Table T(std::move(Titles));
  uint64_t Macs = 0, Weights = 0, Tables = 0;
  // The strategies of the first code; the titles say so.
  std::vector<std::string> Strategies = M.Code.front().Strategies;
  Strategies.resize(M.Layers.size(), "-");
  for (size_t I = 0; I < M.Layers.size(); ++I) {
    const LayerInfo &L = M.Layers[I];
    std::vector<std::string> Row = {L.Name, L.Op, shapeText(L.Shape)};
    for (unsigned Bits : Levels) {
      auto It = L.Levels.find(Bits);
      Row.push_back(It == L.Levels.end() ? "-" : grouped(It->second));
    }
    Row.insert(Row.end(), {Strategies[I], grouped(L.Macs),
                           grouped(L.WeightBytes), grouped(L.TableBytes)});
    T.add(std::move(Row));
    Macs += L.Macs;
    Weights += L.WeightBytes;
    Tables += L.TableBytes;
  }
  std::vector<std::string> Total(3 + Levels.size() + 1);
  Total[0] = "total";
  Total.insert(Total.end(), {grouped(Macs), grouped(Weights), grouped(Tables)});
  T.add(std::move(Total));
  OS << "Layers (channels per precision; strategy of " << M.Code.front().Target
     << ")\n";
  T.print(OS);
  OS << '\n';
}

void printInspection(std::ostream &OS, const Bundle &B) {
  const Metadata &M = B.metadata();
  OS << M.Model << ", written by " << M.Producer << "\n\n";
  printTensors(OS, "input", M.Inputs);
  printTensors(OS, "output", M.Outputs);

  Table Sections({"section", "offset", "bytes", "sha256"});
  for (const Section &S : B.sections())
    Sections.add({inQuotes(S.Name).substr(1, S.Name.size()), grouped(S.Offset),
                  grouped(S.Size), hexPrefix(S.Sha256) + "..."});
  Sections.print(OS);
  OS << '\n';

  Table Code({"target", "needs"});
  for (const CodeInfo &C : M.Code) {
    std::string Features;
    for (const std::string &Feature : C.CpuFeatures)
      Features += (Features.empty() ? "" : ", ") + Feature;
    Code.add({C.Target,
              Features.empty() ? "nothing beyond the baseline" : Features});
  }
  Code.print(OS);
  OS << '\n';
  if (!M.Layers.empty())
    printLayers(OS, M);

  OS << "Weights and tables: " << grouped(M.WeightsBytes)
     << " bytes; the same parameters as float: " << grouped(M.FloatBytes)
     << " bytes";
  if (M.WeightsBytes)
    OS << "; ratio "
       << fixed(static_cast<double>(M.FloatBytes) / M.WeightsBytes, 2) << "x";
  OS << "\nScratch memory of one run: " << grouped(M.ArenaBytes)
     << " bytes; golden pairs: " << M.GoldenPairs
     << "; file: " << grouped(B.fileBytes()) << " bytes\n";
}

/// The multiply-accumulates of a layer at each level: channels share them
/// evenly.
static std::map<unsigned, double> getMacsByLevel(const LayerInfo &L) {
  uint64_t Channels = 0;
  for (auto [Bits, Count] : L.Levels)
    Channels += Count;
  std::map<unsigned, double> Macs;
  for (auto [Bits, Count] : L.Levels)
    if (L.Macs)
      Macs[Bits] =
          static_cast<double>(L.Macs) * static_cast<double>(Count) / Channels;
  return Macs;
}

void printProfile(std::ostream &OS, const Metadata &M, const Profile &P,
                  double CyclesPerSecond) {
  std::map<unsigned, double> Sums;
  for (const LayerInfo &L : M.Layers)
    for (auto [Bits, Macs] : getMacsByLevel(L))
      Sums[Bits] += Macs;
  std::vector<std::string> Titles = {"layer", "min us", "median us", "share"};
  for (auto [Bits, Macs] : Sums)
    Titles.push_back(std::to_string(Bits) + "-bit kMAC");
  Titles.push_back("MAC/cycle");
  Table T(std::move(Titles));
  auto Add = [&](const LayerTime &Time,
                 const std::map<unsigned, double> &Macs) {
    std::vector<std::string> Row = {
        Time.Name, fixed(Time.Minimum * 1e6, 1), fixed(Time.Median * 1e6, 1),
        fixed(100 * Time.Median / P.Total.Median, 1) + "%"};
    double All = 0;
    for (auto [Bits, Sum] : Sums) {
      auto It = Macs.find(Bits);
      Row.push_back(It == Macs.end() ? "-" : fixed(It->second / 1e3, 0));
      All += It == Macs.end() ? 0 : It->second;
    }
    Row.push_back(All == 0 ? "-"
                           : fixed(All / (Time.Minimum * CyclesPerSecond), 1));
    T.add(std::move(Row));
  };
  for (const LayerTime &Time : P.Layers) {
    auto L = std::ranges::find(M.Layers, Time.Name, &LayerInfo::Name);
    Add(Time, L == M.Layers.end() ? std::map<unsigned, double>()
                                  : getMacsByLevel(*L));
  }
  Add(P.Total, Sums);
  T.print(OS);
  OS << "at " << fixed(CyclesPerSecond / 1e9, 2) << " GHz, measured\n";
}

template <typename T> static T element(std::span<const uint8_t> Bytes) {
  T Value;
  std::memcpy(&Value, Bytes.data(), sizeof(T));
  return Value;
}

static void printElement(std::ostream &OS, DType Type,
                         std::span<const uint8_t> Bytes) {
  switch (Type) {
  case DType::F32:
    OS << element<float>(Bytes);
    break;
  case DType::U8:
    OS << unsigned(element<uint8_t>(Bytes));
    break;
  case DType::I32:
    OS << element<int32_t>(Bytes);
    break;
  case DType::I16:
    OS << element<int16_t>(Bytes);
    break;
  case DType::I8:
    OS << int(element<int8_t>(Bytes));
    break;
  }
}

void printOutput(std::ostream &OS, const TensorInfo &T, uint64_t Image,
                 std::span<const uint8_t> Bytes) {
  constexpr size_t Shown = 16;
  uint64_t Size = dtypeBytes(T.Type);
  size_t Count = Bytes.size() / Size;
  OS << "  " << Image << "  " << T.Name << " ";
  for (size_t I = 0; I < std::min(Count, Shown); ++I) {
    OS << ' ';
    printElement(OS, T.Type, Bytes.subspan(I * Size, Size));
  }
  OS << (Count > Shown ? " ...\n" : "\n");
}

} // namespace sysmol::run
