//===- Bundle.cpp - Reading compiled models -------------------------------===//
//
// Two steps: the table, checked against the size of the file before memory is
// taken for the rest, then the content.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Runtime/Bundle.h"

#include "BundleFormat.h"
#include "Support.h"

#include <algorithm>
#include <cstring>

namespace sysmol::runtime {

static Error damaged(const std::string &What) {
  return refused(What + "; the file is damaged or incomplete; copy it again "
                        "or compile the model again");
}

template <typename T> static T loadLittle(const uint8_t *From) {
  T Value = 0;
  for (size_t I = 0; I < sizeof(T); ++I)
    Value |= static_cast<T>(From[I]) << (8 * I);
  return Value;
}

static bool isZero(std::span<const uint8_t> Bytes) {
  return std::all_of(Bytes.begin(), Bytes.end(),
                     [](uint8_t Byte) { return Byte == 0; });
}

/// The name that sections of a known kind have; empty for an unknown kind. A
/// trailing slash stands for any target.
static std::string_view nameOfKind(SectionKind Kind) {
  switch (Kind) {
  case SectionKind::Metadata:
    return "metadata";
  case SectionKind::Code:
    return "code/";
  case SectionKind::Weights:
    return "weights";
  case SectionKind::Golden:
    return "golden";
  case SectionKind::Source:
    return "source";
  }
  return "";
}

static Status checkNameAndKind(const Section &S) {
  std::string_view Expected = nameOfKind(S.Kind);
  if (Expected.empty()) {
    if (S.Flags & SectionMustBeKnown)
      return refused("section " + inQuotes(S.Name) + " has the unknown kind " +
                     std::to_string(static_cast<uint32_t>(S.Kind)) +
                     " and must not be skipped; this runtime knows kinds 1 to "
                     "5; use the runtime of the sysmol that wrote the bundle");
    return {};
  }
  bool Matches = S.Name == Expected;
  if (S.Kind == SectionKind::Code)
    Matches = S.Name.starts_with(Expected) &&
              isTargetName(std::string_view(S.Name).substr(Expected.size()));
  if (!Matches)
    return damaged("section " + inQuotes(S.Name) + " has the kind of " +
                   inQuotes(Expected));
  return {};
}

static Result<Section> readEntry(const uint8_t *Entry) {
  Section S;
  const auto *Name = reinterpret_cast<const char *>(Entry);
  S.Name.assign(Name, strnlen(Name, EntryNameBytes));
  if (S.Name.empty() || S.Name.size() == EntryNameBytes ||
      !isZero({Entry + S.Name.size(), EntryNameBytes - S.Name.size()}))
    return damaged("a section name is not 1 to 31 characters padded with "
                   "zeros");
  S.Kind = static_cast<SectionKind>(loadLittle<uint32_t>(Entry + 32));
  S.Flags = loadLittle<uint32_t>(Entry + 36);
  S.Offset = loadLittle<uint64_t>(Entry + 40);
  S.Size = loadLittle<uint64_t>(Entry + 48);
  std::copy_n(Entry + 56, S.Sha256.size(), S.Sha256.begin());
  if (S.Flags & ~SectionMustBeKnown)
    return damaged("section " + inQuotes(S.Name) + " has unknown flags");
  if (Status Named = checkNameAndKind(S); !Named)
    return Named.error();
  return S;
}

/// Reads the table from `Head`, the first bytes of a file of `FileSize` bytes
/// (all of them, or at least MaxHeadBytes).
static Result<std::vector<Section>> readTable(std::span<const uint8_t> Head,
                                              uint64_t FileSize) {
  size_t MagicSize = std::min(Head.size(), BundleMagic.size());
  if (MagicSize == 0 ||
      std::memcmp(Head.data(), BundleMagic.data(), MagicSize) != 0)
    return refused("it is not a Sysmol bundle (wrong first bytes); give a "
                   ".smol file written by sysmol-compile");
  if (Head.size() < HeaderBytes)
    return damaged("the file ends in its header");
  uint32_t Version = loadLittle<uint32_t>(&Head[8]);
  if (Version != BundleVersion)
    return refused("the bundle has format version " + std::to_string(Version) +
                   "; this runtime reads version " +
                   std::to_string(BundleVersion) +
                   "; use the runtime of the sysmol that wrote it");
  uint32_t Count = loadLittle<uint32_t>(&Head[12]);
  if (Count < 1 || Count > MaxSections)
    return damaged("the bundle claims " + std::to_string(Count) +
                   " sections; allowed are 1 to " +
                   std::to_string(MaxSections));
  uint64_t TableEnd = HeaderBytes + uint64_t(Count) * EntryBytes;
  if (Head.size() < TableEnd + HashBytes)
    return damaged("the file ends in its table of sections");
  auto Hash = sha256(Head.first(TableEnd));
  if (!Hash)
    return Hash.error();
  if (!std::equal(Hash->begin(), Hash->end(), &Head[TableEnd]))
    return damaged("the SHA-256 of the table of sections does not match");

  std::vector<Section> Sections;
  // Invariant: End <= FileSize, which is a file size, so nothing below wraps.
  uint64_t End = TableEnd + HashBytes;
  for (uint32_t I = 0; I < Count; ++I) {
    auto S = readEntry(&Head[HeaderBytes + size_t(I) * EntryBytes]);
    if (!S)
      return S.error();
    if (S->Offset != alignUp(End, SectionAlignment) || S->Offset > FileSize ||
        S->Size > FileSize - S->Offset)
      return damaged("section " + inQuotes(S->Name) +
                     " does not follow its predecessor or ends after the file "
                     "(" +
                     std::to_string(FileSize) + " bytes)");
    for (const Section &Other : Sections)
      if (Other.Name == S->Name)
        return damaged("there are two sections " + inQuotes(S->Name));
    End = S->Offset + S->Size;
    Sections.push_back(std::move(*S));
  }
  if (End != FileSize)
    return damaged("the file has " + std::to_string(FileSize) +
                   " bytes, its sections end at " + std::to_string(End));
  return Sections;
}

Result<Bundle> Bundle::open(const std::string &Path) {
  auto Prefixed = [&](const Error &Err) {
    return withPrefix(inQuotes(Path), Err);
  };
  Result<InputFile> File = InputFile::open(Path);
  if (!File)
    return File.error();

  std::array<uint8_t, MaxHeadBytes> HeadStorage;
  std::span<uint8_t> Head = HeadStorage;
  Head = Head.first(std::min<uint64_t>(Head.size(), File->size()));
  if (Status S = File->read(0, Head); !S)
    return S.error();
  auto Sections = readTable(Head, File->size());
  if (!Sections)
    return Prefixed(Sections.error());

  Bundle B;
  B.Sections = std::move(*Sections);
  auto Content = PageBuffer::create(File->size(), "the bundle");
  if (!Content)
    return Prefixed(Content.error());
  B.Content = std::move(*Content);
  // The head is not read twice: what was checked is what is kept.
  std::copy(Head.begin(), Head.end(), B.Content.data());
  if (Status S =
          File->read(Head.size(), B.Content.bytes().subspan(Head.size()));
      !S)
    return S.error();
  if (Status S = B.check(); !S)
    return Prefixed(S.error());
  return B;
}

Result<Bundle> Bundle::fromBytes(std::span<const uint8_t> Bytes) {
  auto Sections = readTable(Bytes, Bytes.size());
  if (!Sections)
    return Sections.error();
  Bundle B;
  B.Sections = std::move(*Sections);
  auto Content = PageBuffer::create(Bytes.size(), "the bundle");
  if (!Content)
    return Content.error();
  B.Content = std::move(*Content);
  std::copy(Bytes.begin(), Bytes.end(), B.Content.data());
  if (Status S = B.check(); !S)
    return S.error();
  return B;
}

/// Everything the table does not tell.
Status Bundle::check() {
  uint64_t End =
      HeaderBytes + Sections.size() * uint64_t(EntryBytes) + HashBytes;
  for (const Section &S : Sections) {
    if (!isZero(Content.bytes().subspan(End, S.Offset - End)))
      return damaged("the bytes before section " + inQuotes(S.Name) +
                     " are not zero");
    auto Hash = sha256(content(S));
    if (!Hash)
      return Hash.error();
    if (*Hash != S.Sha256)
      return damaged("the SHA-256 of section " + inQuotes(S.Name) +
                     " does not match");
    End = S.Offset + S.Size;
  }

  for (const char *Name : {"metadata", "weights", "golden"})
    if (!find(Name))
      return damaged("the section '" + std::string(Name) + "' is missing");
  std::string_view Text = metadataText();
  if (Text.size() > MaxMetadataBytes)
    return damaged("the section 'metadata' has " + std::to_string(Text.size()) +
                   " bytes; allowed are " + std::to_string(MaxMetadataBytes));
  auto Parsed = Metadata::fromJson(Text);
  if (!Parsed)
    return Parsed.error();
  Meta = std::move(*Parsed);

  if (weights().size() != Meta.WeightsBytes)
    return damaged(
        "the section 'weights' has " + std::to_string(weights().size()) +
        " bytes, its metadata says " + std::to_string(Meta.WeightsBytes));
  uint64_t Golden = multiplySaturated(Meta.GoldenPairs,
                                      Meta.inputBytes() + Meta.outputBytes());
  if (find("golden")->Size != Golden)
    return damaged("the section 'golden' has " +
                   std::to_string(find("golden")->Size) +
                   " bytes, its metadata says " + std::to_string(Golden));
  size_t Codes =
      std::count_if(Sections.begin(), Sections.end(), [](const Section &S) {
        return S.Kind == SectionKind::Code;
      });
  if (Codes == 0)
    return damaged("there is no section 'code/<target>'");
  bool AllFound =
      std::all_of(Meta.Code.begin(), Meta.Code.end(),
                  [&](const CodeInfo &C) { return find("code/" + C.Target); });
  if (!AllFound || Codes != Meta.Code.size())
    return damaged("the code sections are not those that the metadata lists");
  return Content.makeReadOnly();
}

const Section *Bundle::find(std::string_view Name) const {
  auto It = std::find_if(Sections.begin(), Sections.end(),
                         [&](const Section &S) { return S.Name == Name; });
  return It == Sections.end() ? nullptr : &*It;
}

std::string_view Bundle::metadataText() const {
  auto Bytes = content(*find("metadata"));
  return {reinterpret_cast<const char *>(Bytes.data()), Bytes.size()};
}

std::span<const uint8_t> Bundle::weights() const {
  return content(*find("weights"));
}

std::span<const uint8_t> Bundle::code(std::string_view Target) const {
  const Section *S = find("code/" + std::string(Target));
  return S ? content(*S) : std::span<const uint8_t>();
}

/// The bytes of `Tensors[Index]` in golden pair `Pair`; the tensors start
/// `Skip` bytes into each pair of `PairBytes` bytes.
static std::span<const uint8_t>
goldenTensor(std::span<const uint8_t> Golden,
             const std::vector<TensorInfo> &Tensors, uint64_t PairBytes,
             uint64_t Skip, uint64_t Pair, size_t Index) {
  uint64_t Offset = Pair * PairBytes + Skip;
  for (size_t I = 0; I < Index; ++I)
    Offset += Tensors[I].bytes();
  return Golden.subspan(Offset, Tensors[Index].bytes());
}

std::span<const uint8_t> Bundle::goldenInput(uint64_t Pair,
                                             size_t Index) const {
  assert(Pair < Meta.GoldenPairs && Index < Meta.Inputs.size());
  return goldenTensor(content(*find("golden")), Meta.Inputs,
                      Meta.inputBytes() + Meta.outputBytes(), 0, Pair, Index);
}

std::span<const uint8_t> Bundle::goldenOutput(uint64_t Pair,
                                              size_t Index) const {
  assert(Pair < Meta.GoldenPairs && Index < Meta.Outputs.size());
  return goldenTensor(content(*find("golden")), Meta.Outputs,
                      Meta.inputBytes() + Meta.outputBytes(), Meta.inputBytes(),
                      Pair, Index);
}

} // namespace sysmol::runtime
