//===- Bundle.h - Reading and writing compiled models -----------*- C++ -*-===//
//
// A bundle (`.smol`) is a compiled model in one flat, little-endian file.
//
//   offset  size
//   0       8      magic "SYSMOL\0\1"
//   8       4      format version, 1
//   12      4      number n of sections, 1 to 64
//   16      88*n   the table; one entry per section, in file order:
//                    0   32  name, zero padded, at most 31 characters
//                    32  4   kind (SectionKind)
//                    36  4   flags (bit 0: a reader must know the kind)
//                    40  8   offset in the file
//                    48  8   size in bytes
//                    56  32  SHA-256 of the bytes of the section
//   16+88*n 32     SHA-256 of everything before it
//   ...            the sections
//
// Each section starts at the first multiple of 64 after its predecessor (the
// first one after the table), the gaps are zero, and the file ends with its
// last section: every byte of a file is covered by a hash or is known to be
// zero, so any damaged bit is found before anything is used.
//
//   name            kind      content
//   metadata        Metadata  JSON, see Metadata.h
//   code/<target>   Code      ELF shared object exporting `sysmol_entry`
//   weights         Weights   packed weights, thresholds, tables
//   golden          Golden    golden_pairs times: all inputs, all outputs,
//                             raw and without gaps
//   source          Source    optional text the model was compiled from
//
// All but `source` are required; there is at least one `code/<target>`.
// Unknown kinds are skipped, unless their flag says that they must be known.
// The hashes find damage, not malice: running a bundle is running a program.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_BUNDLE_H
#define SYSMOL_RUNTIME_BUNDLE_H

#include "sysmol/Runtime/Error.h"
#include "sysmol/Runtime/Memory.h"
#include "sysmol/Runtime/Metadata.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sysmol::runtime {

inline constexpr std::array<uint8_t, 8> BundleMagic = {'S', 'Y', 'S', 'M',
                                                       'O', 'L', 0,   1};
inline constexpr uint32_t BundleVersion = 1;
inline constexpr uint32_t MaxSections = 64;
inline constexpr uint64_t SectionAlignment = 64;
/// Largest metadata section in bytes; JSON grows when it is parsed.
inline constexpr uint64_t MaxMetadataBytes = 4u << 20;

enum class SectionKind : uint32_t {
  Metadata = 1,
  Code = 2,
  Weights = 3,
  Golden = 4,
  Source = 5,
};

/// Set in Section::Flags when a reader that does not know the kind of the
/// section must refuse the bundle. All other bits are reserved and zero.
inline constexpr uint32_t SectionMustBeKnown = 1;

struct Section {
  std::string Name;
  SectionKind Kind;
  uint32_t Flags;
  /// In bytes from the start of the file.
  uint64_t Offset;
  uint64_t Size;
  std::array<uint8_t, 32> Sha256;
};

/// A bundle in memory whose structure, hashes and metadata were checked.
/// Reading executes nothing.
class Bundle {
public:
  /// Reads and checks a file. The table is checked against the size of the
  /// file before memory is taken for the rest; the content is copied, so that
  /// later changes of the file have no effect.
  static Result<Bundle> open(const std::string &Path);

  /// The same for bytes in memory, which are copied.
  static Result<Bundle> fromBytes(std::span<const uint8_t> Bytes);

  const Metadata &metadata() const { return Meta; }
  /// The JSON text of the metadata section.
  std::string_view metadataText() const;
  const std::vector<Section> &sections() const { return Sections; }
  /// Size of the whole file in bytes.
  uint64_t fileBytes() const { return Content.size(); }

  /// Content of a section of this bundle, aligned to SectionAlignment.
  std::span<const uint8_t> content(const Section &S) const {
    return std::span<const uint8_t>(Content.bytes()).subspan(S.Offset, S.Size);
  }
  /// The section called `Name`, or null.
  const Section *find(std::string_view Name) const;

  /// Content of `weights`, aligned to SectionAlignment, read-only memory.
  std::span<const uint8_t> weights() const;
  /// Content of `code/<Target>`; empty when there is none.
  std::span<const uint8_t> code(std::string_view Target) const;
  /// Input (or output) number `Index` of golden pair `Pair`; the bytes are
  /// not aligned. Both numbers must be below their counts in metadata().
  std::span<const uint8_t> goldenInput(uint64_t Pair, size_t Index) const;
  std::span<const uint8_t> goldenOutput(uint64_t Pair, size_t Index) const;

private:
  Bundle() = default;
  Status check();

  PageBuffer Content;
  std::vector<Section> Sections;
  Metadata Meta;
};

/// Collects the parts of a bundle and writes it. The same parts always give
/// the same bytes.
class BundleWriter {
public:
  /// The caller sets Model, Producer, Inputs, Outputs, ArenaBytes, FloatBytes
  /// and Layers; WeightsBytes, GoldenPairs and Code are filled in.
  explicit BundleWriter(Metadata Meta) : Meta(std::move(Meta)) {}

  /// Adds the section `code/<Info.Target>`. Call it for the best target
  /// first: the runtime takes the first that the CPU supports.
  void addCode(CodeInfo Info, std::vector<uint8_t> Elf);

  /// Packed weights, thresholds and tables, as `sysmol_entry` expects them.
  void setWeights(std::vector<uint8_t> Blob) { Weights = std::move(Blob); }

  /// Appends one golden pair; buffers in the order of the metadata. toBytes()
  /// refuses buffers whose number or size does not match.
  void addGolden(std::span<const std::span<const uint8_t>> Inputs,
                 std::span<const std::span<const uint8_t>> Outputs);

  /// Optional text the model was compiled from.
  void setSource(std::string Text) { Source = std::move(Text); }

  /// The bytes of the bundle. Refuses what Bundle::fromBytes() would refuse.
  Result<std::vector<uint8_t>> toBytes() const;

  /// toBytes() to a file that appears complete or not at all.
  Status writeFile(const std::string &Path) const;

private:
  Metadata Meta;
  std::vector<std::vector<uint8_t>> Codes;
  std::vector<uint8_t> Weights;
  std::vector<uint8_t> Golden;
  /// Set by the first addGolden() call that does not match the metadata.
  std::string GoldenError;
  std::string Source;
};

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_BUNDLE_H
