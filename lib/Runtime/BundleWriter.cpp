//===- BundleWriter.cpp - Writing compiled models -------------------------===//

#include "BundleFormat.h"
#include "Support.h"

#include <algorithm>

namespace sysmol::runtime {

void BundleWriter::addCode(CodeInfo Info, std::vector<uint8_t> Elf) {
  Meta.Code.push_back(std::move(Info));
  Codes.push_back(std::move(Elf));
}

void BundleWriter::addGolden(
    std::span<const std::span<const uint8_t>> Inputs,
    std::span<const std::span<const uint8_t>> Outputs) {
  auto Append = [&](const char *What, const std::vector<TensorInfo> &Tensors,
                    std::span<const std::span<const uint8_t>> Buffers) {
    bool Fits = Buffers.size() == Tensors.size();
    for (size_t I = 0; Fits && I < Tensors.size(); ++I)
      Fits = Buffers[I].size() == Tensors[I].bytes();
    if (!Fits && GoldenError.empty())
      GoldenError = "the " + std::string(What) + " of golden pair " +
                    std::to_string(Meta.GoldenPairs) +
                    " do not have the number and sizes of the metadata";
    for (auto Bytes : Buffers)
      Golden.insert(Golden.end(), Bytes.begin(), Bytes.end());
  };
  Append("inputs", Meta.Inputs, Inputs);
  Append("outputs", Meta.Outputs, Outputs);
  ++Meta.GoldenPairs;
}

template <typename T>
static void appendLittle(std::vector<uint8_t> &Out, T Value) {
  for (size_t I = 0; I < sizeof(T); ++I)
    Out.push_back(static_cast<uint8_t>(Value >> (8 * I)));
}

Result<std::vector<uint8_t>> BundleWriter::toBytes() const {
  Metadata Full = Meta;
  Full.WeightsBytes = Weights.size();
  if (Status S = Full.check(); !S)
    return S.error();
  if (!GoldenError.empty())
    return refused(GoldenError + "; pass one buffer per tensor, row-major");
  std::string Json = Full.toJson();

  struct Part {
    std::string Name;
    SectionKind Kind;
    uint32_t Flags;
    std::span<const uint8_t> Content;
  };
  auto TextBytes = [](const std::string &Text) {
    return std::span(reinterpret_cast<const uint8_t *>(Text.data()),
                     Text.size());
  };
  // Metadata first, so that a reader of the start of the file knows the model.
  std::vector<Part> Parts;
  Parts.push_back(
      {"metadata", SectionKind::Metadata, SectionMustBeKnown, TextBytes(Json)});
  for (size_t I = 0; I < Codes.size(); ++I)
    Parts.push_back({"code/" + Full.Code[I].Target, SectionKind::Code,
                     SectionMustBeKnown, Codes[I]});
  Parts.push_back(
      {"weights", SectionKind::Weights, SectionMustBeKnown, Weights});
  Parts.push_back({"golden", SectionKind::Golden, SectionMustBeKnown, Golden});
  if (!Source.empty())
    Parts.push_back({"source", SectionKind::Source, 0, TextBytes(Source)});
  if (Parts.size() > MaxSections)
    return refused("the bundle would have " + std::to_string(Parts.size()) +
                   " sections; allowed are " + std::to_string(MaxSections) +
                   "; compile for fewer targets");

  std::vector<uint8_t> Out(BundleMagic.begin(), BundleMagic.end());
  appendLittle(Out, BundleVersion);
  appendLittle(Out, static_cast<uint32_t>(Parts.size()));
  uint64_t End = HeaderBytes + Parts.size() * EntryBytes + HashBytes;
  for (const Part &P : Parts) {
    size_t Entry = Out.size();
    Out.insert(Out.end(), P.Name.begin(), P.Name.end());
    Out.resize(Entry + EntryNameBytes);
    uint64_t Offset = alignUp(End, SectionAlignment);
    appendLittle(Out, static_cast<uint32_t>(P.Kind));
    appendLittle(Out, P.Flags);
    appendLittle(Out, Offset);
    appendLittle(Out, static_cast<uint64_t>(P.Content.size()));
    auto Hash = sha256(P.Content);
    if (!Hash)
      return Hash.error();
    Out.insert(Out.end(), Hash->begin(), Hash->end());
    End = Offset + P.Content.size();
  }
  auto TableHash = sha256(Out);
  if (!TableHash)
    return TableHash.error();
  Out.insert(Out.end(), TableHash->begin(), TableHash->end());
  Out.reserve(End);
  for (const Part &P : Parts) {
    Out.resize(alignUp(Out.size(), SectionAlignment));
    Out.insert(Out.end(), P.Content.begin(), P.Content.end());
  }

  // Nothing leaves that the reader would refuse or read differently.
  auto Back = Bundle::fromBytes(Out);
  if (!Back)
    return withPrefix("cannot make the bundle", Back.error());
  if (Back->metadata() != Full)
    return refused("the metadata contains text that is not UTF-8; names must "
                   "be UTF-8; rename the model, tensor or layer");
  return Out;
}

Status BundleWriter::writeFile(const std::string &Path) const {
  auto Bytes = toBytes();
  if (!Bytes)
    return Bytes.error();
  return writeFileAtomically(Path, *Bytes);
}

} // namespace sysmol::runtime
