//===- BundleTest.cpp - Tests of the bundle format ------------------------===//

#include "TestBundle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace sysmol::runtime;
using namespace sysmol::runtime::test;

namespace {

/// Sections of smallBundle() in file order.
enum SectionIndex : uint32_t { MetadataAt, CodeAt, WeightsAt, GoldenAt };

/// A complete bundle of about 1.5 KiB: reading never looks into the code.
Bytes smallBundle() {
  return bundleBytes(modelWriter({'n', 'o', ' ', 'c', 'o', 'd', 'e'}));
}

void expectRefused(const Bytes &File, const std::string &Part) {
  auto B = Bundle::fromBytes(File);
  ASSERT_FALSE(B) << "accepted; expected: " << Part;
  expectMessage(B.error(), ErrorKind::Refused, Part);
}

Bytes contentOf(const std::string &Path) {
  std::ifstream File(Path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(File), {});
}

TEST(Bundle, RoundTrip) {
  TempDir Dir;
  BundleWriter Writer = modelWriter(compiledModel());
  Writer.addCode({"second-test", {"avx2", "fma"}}, {1, 2, 3});
  Writer.setSource("the source text");
  Status S = Writer.writeFile(Dir.file("m.smol"));
  ASSERT_TRUE(S) << S.error().Message;

  auto B = Bundle::open(Dir.file("m.smol"));
  ASSERT_TRUE(B) << B.error().Message;
  Metadata Expected = modelMetadata();
  Expected.WeightsBytes = 4;
  Expected.GoldenPairs = 1;
  Expected.Code = {{"generic-test", {}, {"plain"}},
                   {"second-test", {"avx2", "fma"}}};
  EXPECT_EQ(B->metadata(), Expected);
  EXPECT_EQ(B->metadataText(), Expected.toJson());
  EXPECT_TRUE(std::ranges::equal(B->code("generic-test"), compiledModel()));
  EXPECT_TRUE(std::ranges::equal(B->code("second-test"), Bytes{1, 2, 3}));
  EXPECT_TRUE(B->code("third-test").empty());
  EXPECT_TRUE(std::ranges::equal(B->weights(), Bytes{3, 5, 7, 11}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(B->weights().data()) % 64, 0u);
  EXPECT_TRUE(std::ranges::equal(B->goldenInput(0, 0), Bytes{1, 2, 3, 4}));
  EXPECT_EQ(B->goldenOutput(0, 0).size(), 16u);
  EXPECT_EQ(B->goldenOutput(0, 0)[0], 4);
  ASSERT_NE(B->find("source"), nullptr);
  EXPECT_EQ(B->content(*B->find("source")).size(), 15u);
  EXPECT_EQ(B->fileBytes(), std::filesystem::file_size(Dir.file("m.smol")));
  EXPECT_EQ(Dir.list().size(), 1u) << "a temporary file was left";
}

TEST(Bundle, IsDeterministic) {
  EXPECT_EQ(smallBundle(), smallBundle());
  TempDir Dir;
  ASSERT_TRUE(modelWriter({1}).writeFile(Dir.file("a")));
  ASSERT_TRUE(modelWriter({1}).writeFile(Dir.file("b")));
  EXPECT_EQ(contentOf(Dir.file("a")), contentOf(Dir.file("b")));
}

TEST(Bundle, RefusesTruncationAtEveryLength) {
  Bytes Whole = smallBundle();
  ASSERT_TRUE(Bundle::fromBytes(Whole));
  for (size_t Length = 0; Length < Whole.size(); ++Length) {
    // An exact copy, so that a sanitizer sees a read after the end.
    Bytes Cut(Whole.begin(), Whole.begin() + Length);
    EXPECT_FALSE(Bundle::fromBytes(Cut)) << "accepted length " << Length;
  }
  Whole.push_back(0);
  expectRefused(Whole, "its sections end at");
}

TEST(Bundle, RefusesTruncatedFiles) {
  TempDir Dir;
  Bytes Whole = smallBundle();
  for (size_t Length = 0; Length < Whole.size(); Length += 13) {
    std::ofstream(Dir.file("cut"), std::ios::binary)
        .write(reinterpret_cast<const char *>(Whole.data()), Length);
    auto B = Bundle::open(Dir.file("cut"));
    ASSERT_FALSE(B) << "accepted length " << Length;
    expectMessage(B.error(), ErrorKind::Refused, "cut");
  }
}

TEST(Bundle, RefusesEveryFlippedBit) {
  Bytes File = smallBundle();
  for (size_t At = 0; At < File.size(); ++At)
    for (int Bit = 0; Bit < 8; ++Bit) {
      File[At] ^= 1 << Bit;
      EXPECT_FALSE(Bundle::fromBytes(File))
          << "accepted bit " << Bit << " of byte " << At;
      File[At] ^= 1 << Bit;
    }
  EXPECT_TRUE(Bundle::fromBytes(File));
}

TEST(Bundle, RefusesWrongMagicAndVersion) {
  Bytes File = smallBundle();
  File[0] = 'X';
  rehashTable(File);
  expectRefused(File, "not a Sysmol bundle");
  File = smallBundle();
  poke32(File, 8, 2);
  rehashTable(File);
  expectRefused(File, "format version 2");
  expectRefused({'P', 'K', 3, 4}, "not a Sysmol bundle");
}

TEST(Bundle, RefusesWrongCounts) {
  for (uint32_t Count : {0u, 65u, 0xffffffffu}) {
    Bytes File = smallBundle();
    poke32(File, 12, Count);
    expectRefused(File, "sections; allowed are 1 to 64");
  }
}

/// Offsets and sizes that overlap, leave a gap, pass the end or overflow, each
/// with a correct hash of the table.
TEST(Bundle, RefusesWrongPlaces) {
  constexpr size_t Offset = 40, Size = 48;
  const Bytes Good = smallBundle();
  for (uint32_t Index : {MetadataAt, CodeAt, WeightsAt, GoldenAt})
    for (size_t Field : {Offset, Size})
      for (uint64_t Value :
           {uint64_t(0), uint64_t(1), uint64_t(64), uint64_t(512),
            uint64_t(Good.size()), uint64_t(Good.size()) + 64,
            uint64_t(1) << 32, uint64_t(1) << 63, ~uint64_t(0), ~uint64_t(63),
            ~uint64_t(0) - 447}) {
        Bytes File = Good;
        poke64(File, entryAt(Index) + Field, Value);
        rehashTable(File);
        if (File != Good)
          expectRefused(File, "the file is damaged");
      }
}

TEST(Bundle, RefusesGapsOfZeros) {
  Bytes File = smallBundle();
  size_t GoldenOffset = (File.size() - 20) / 64 * 64;
  ASSERT_EQ(File.size(), GoldenOffset + 20);
  File.insert(File.begin() + GoldenOffset, 64, 0);
  poke64(File, entryAt(GoldenAt) + 40, GoldenOffset + 64);
  rehashTable(File);
  expectRefused(File, "does not follow its predecessor");
}

TEST(Bundle, RefusesBytesInGaps) {
  Bytes File = smallBundle();
  // Four entries: the table ends at 400, the first section starts at 448.
  ASSERT_EQ(File[447], 0);
  File[447] = 1;
  expectRefused(File, "not zero");
}

TEST(Bundle, RefusesWrongNames) {
  auto Renamed = [](uint32_t Index, std::string Name) {
    Bytes File = smallBundle();
    Name.resize(32);
    std::ranges::copy(Name, File.begin() + entryAt(Index));
    rehashTable(File);
    return File;
  };
  expectRefused(Renamed(MetadataAt, "weights"), "has the kind of 'metadata'");
  expectRefused(Renamed(CodeAt, "code/"), "has the kind of 'code/'");
  expectRefused(Renamed(CodeAt, "code/UP"), "has the kind of 'code/'");
  expectRefused(Renamed(CodeAt, "code/other-test"),
                "not those that the metadata lists");
  expectRefused(Renamed(CodeAt, ""), "1 to 31 characters");
  expectRefused(Renamed(CodeAt, std::string(32, 'a')), "1 to 31 characters");
  expectRefused(Renamed(CodeAt, std::string("a\0b", 3)), "1 to 31 characters");
  // A name with a line break may not break the message in two.
  expectRefused(Renamed(CodeAt, "a\nb"), "'a\\x0ab'");
}

TEST(Bundle, RefusesDuplicates) {
  Bytes File = smallBundle();
  std::string Name = "weights";
  Name.resize(32);
  std::ranges::copy(Name, File.begin() + entryAt(GoldenAt));
  poke32(File, entryAt(GoldenAt) + 32, uint32_t(SectionKind::Weights));
  rehashTable(File);
  expectRefused(File, "two sections 'weights'");
}

/// Gives section `Index` the unknown kind 77.
Bytes withUnknownKind(uint32_t Index, uint32_t Flags) {
  Bytes File = smallBundle();
  poke32(File, entryAt(Index) + 32, 77);
  poke32(File, entryAt(Index) + 36, Flags);
  rehashTable(File);
  return File;
}

TEST(Bundle, RefusesUnknownRequiredKinds) {
  expectRefused(withUnknownKind(GoldenAt, 1), "unknown kind 77");
  expectRefused(withUnknownKind(GoldenAt, 2), "unknown flags");
}

TEST(Bundle, SkipsUnknownOptionalKinds) {
  BundleWriter Writer = modelWriter({1});
  Writer.setSource("x");
  Bytes File = bundleBytes(Writer);
  poke32(File, entryAt(4) + 32, 77);
  rehashTable(File);
  EXPECT_TRUE(Bundle::fromBytes(File));
}

TEST(Bundle, RefusesMissingSections) {
  struct {
    uint32_t Index;
    const char *NewName, *Message;
  } Cases[] = {{MetadataAt, "other", "'metadata' is missing"},
               {WeightsAt, "other", "'weights' is missing"},
               {GoldenAt, "other", "'golden' is missing"},
               {CodeAt, "other", "no section 'code/<target>'"}};
  for (auto &Case : Cases) {
    Bytes File = withUnknownKind(Case.Index, 0);
    std::string Name = Case.NewName;
    Name.resize(32);
    std::ranges::copy(Name, File.begin() + entryAt(Case.Index));
    rehashTable(File);
    expectRefused(File, Case.Message);
  }
}

TEST(Bundle, RefusesSizesThatMetadataContradicts) {
  struct {
    std::string From, To, Message;
  } Cases[] = {
      {"\"weights_bytes\": 4", "\"weights_bytes\": 5", "'weights' has 4"},
      {"\"golden_pairs\": 1", "\"golden_pairs\": 2", "'golden' has 20"},
      {"\"golden_pairs\": 1", "\"golden_pairs\": 0", "'golden' has 20"},
      {"generic-test", "generic-tess", "not those that the metadata lists"}};
  for (auto &Case : Cases) {
    Bytes File = smallBundle();
    auto At = std::ranges::search(File.begin() + 448, File.end(),
                                  Case.From.begin(), Case.From.end());
    ASSERT_FALSE(At.empty()) << Case.From;
    std::ranges::copy(Case.To, At.begin());
    rehashSection(File, MetadataAt);
    expectRefused(File, Case.Message);
  }
}

TEST(Bundle, RefusesWhatIsNoFile) {
  TempDir Dir;
  auto Missing = Bundle::open(Dir.file("missing.smol"));
  ASSERT_FALSE(Missing);
  expectMessage(Missing.error(), ErrorKind::Refused, "missing.smol");
  auto Directory = Bundle::open(Dir.file("."));
  ASSERT_FALSE(Directory);
  expectMessage(Directory.error(), ErrorKind::Refused, "regular file");
  auto Device = Bundle::open("/dev/zero");
  ASSERT_FALSE(Device);
  expectMessage(Device.error(), ErrorKind::Refused, "regular file");
}

TEST(BundleWriter, RefusesWhatItCannotWrite) {
  Bytes Short = {1, 2, 3};
  std::span<const uint8_t> Inputs[] = {Short};
  BundleWriter Golden = modelWriter({1});
  Golden.addGolden(Inputs, Inputs);
  auto File = Golden.toBytes();
  ASSERT_FALSE(File);
  expectMessage(File.error(), ErrorKind::Refused, "inputs of golden pair 1");

  BundleWriter Empty(modelMetadata());
  File = Empty.toBytes();
  ASSERT_FALSE(File);
  expectMessage(File.error(), ErrorKind::Refused, "no section 'code/<target>'");

  BundleWriter Twice = modelWriter({1});
  Twice.addCode({"generic-test", {}}, {1});
  File = Twice.toBytes();
  ASSERT_FALSE(File);
  expectMessage(File.error(), ErrorKind::Refused, "twice");

  BundleWriter Many = modelWriter({1});
  for (int I = 0; I < 70; ++I)
    Many.addCode({"t" + std::to_string(I), {}}, {1});
  File = Many.toBytes();
  ASSERT_FALSE(File);
  expectMessage(File.error(), ErrorKind::Refused, "allowed are 64");

  Metadata Foreign = modelMetadata();
  Foreign.Model = "na\xefve";
  BundleWriter Latin1(Foreign);
  Latin1.addCode({"t", {}}, {1});
  File = Latin1.toBytes();
  ASSERT_FALSE(File);
  expectMessage(File.error(), ErrorKind::Refused, "UTF-8");
}

TEST(BundleWriter, RespectsPermissions) {
  namespace fs = std::filesystem;
  TempDir Dir;
  mode_t Old = umask(027);
  ASSERT_TRUE(modelWriter({1}).writeFile(Dir.file("new")));
  umask(Old);
  EXPECT_EQ(fs::status(Dir.file("new")).permissions(), fs::perms(0640));
  fs::permissions(Dir.file("new"), fs::perms(0604));
  ASSERT_TRUE(modelWriter({2}).writeFile(Dir.file("new")));
  EXPECT_EQ(fs::status(Dir.file("new")).permissions(), fs::perms(0604));
}

TEST(BundleWriter, WritesNothingIntoMissingDirectory) {
  TempDir Dir;
  Status S = modelWriter({1}).writeFile(Dir.file("no/such/m.smol"));
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Refused, "nothing was written");
  EXPECT_TRUE(Dir.list().empty());
}

TEST(BundleWriter, KeepsOldFileWhenDiskIsFull) {
  TempDir Dir;
  std::ofstream(Dir.file("m.smol")) << "old";
  // A limit on file sizes fails in the middle of a write like a full disk.
  rlimit Old;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &Old), 0);
  auto OldHandler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit Small = {256, Old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &Small), 0);
  Status S = modelWriter({1}).writeFile(Dir.file("m.smol"));
  setrlimit(RLIMIT_FSIZE, &Old);
  std::signal(SIGXFSZ, OldHandler);
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Limit, "nothing was written");
  EXPECT_EQ(contentOf(Dir.file("m.smol")), (Bytes{'o', 'l', 'd'}));
  EXPECT_EQ(Dir.list().size(), 1u) << "a temporary file was left";
}

TEST(BundleWriter, WritesNothingOverDirectory) {
  TempDir Dir;
  std::filesystem::create_directory(Dir.file("m.smol"));
  Status S = modelWriter({1}).writeFile(Dir.file("m.smol"));
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Refused, "nothing was written");
  EXPECT_EQ(Dir.list().size(), 1u) << "a temporary file was left";
}

} // namespace
