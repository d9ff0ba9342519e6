//===- MetadataTest.cpp - Tests of the metadata section -------------------===//

#include "TestBundle.h"

#include <gtest/gtest.h>

#include <random>

using namespace sysmol::runtime;
using namespace sysmol::runtime::test;

namespace {

Metadata full() {
  Metadata M = modelMetadata();
  M.Inputs.push_back({"größe", DType::F32, {}});
  M.Outputs.push_back({"more", DType::I16, {2, 3}});
  M.Outputs.push_back({"bytes", DType::I8, {7}});
  M.WeightsBytes = 123;
  M.GoldenPairs = 2;
  M.Code = {{"x86-64-avx512", {"avx512f", "avx512bw"}, {"plain"}},
            {"generic-x86-64", {}}};
  return M;
}

void expectRefused(const std::string &Text, const std::string &Part) {
  auto M = Metadata::fromJson(Text);
  ASSERT_FALSE(M) << "accepted; expected: " << Part;
  expectMessage(M.error(), ErrorKind::Refused, Part);
}

/// The JSON of full() with the first `From` replaced.
std::string edited(const std::string &From, const std::string &To) {
  std::string Text = full().toJson();
  size_t At = Text.find(From);
  EXPECT_NE(At, Text.npos) << From;
  return Text.replace(At, From.size(), To);
}

TEST(Metadata, RoundTrip) {
  auto M = Metadata::fromJson(full().toJson());
  ASSERT_TRUE(M) << M.error().Message;
  EXPECT_EQ(*M, full());
  EXPECT_EQ(M->inputBytes(), 4u + 4u);
  EXPECT_EQ(M->outputBytes(), 16u + 12u + 7u);
}

Metadata profiled() {
  Metadata M = full();
  M.ArenaBytes = 64;
  M.Code[0].Profile = {40, {"only", "other"}};
  return M;
}

TEST(Metadata, RoundTripOfAProfile) {
  auto M = Metadata::fromJson(profiled().toJson());
  ASSERT_TRUE(M) << M.error().Message;
  EXPECT_EQ(*M, profiled());
}

TEST(Metadata, RefusesClocksOutsideTheArena) {
  Metadata M = profiled();
  for (uint64_t Offset : {uint64_t(44), uint64_t(48), ~uint64_t(7)}) {
    M.Code[0].Profile.Offset = Offset;
    Status S = M.check();
    ASSERT_FALSE(S) << Offset;
    expectMessage(S.error(), ErrorKind::Refused, "'code.profile.offset' is");
  }
}

TEST(Metadata, NeededMacsAreAllWhereTheyAreNotSaid) {
  Metadata M = full();
  M.Layers[0].Macs = 36;
  M.Layers[0].NeededMacs = 16;
  std::string Text = M.toJson();
  auto Read = Metadata::fromJson(Text);
  ASSERT_TRUE(Read) << Read.error().Message;
  EXPECT_EQ(Read->Layers[0].NeededMacs, 16u);
  size_t At = Text.find("needed_macs");
  ASSERT_NE(At, Text.npos);
  Read = Metadata::fromJson(Text.replace(At, 6, "former"));
  ASSERT_TRUE(Read) << Read.error().Message;
  EXPECT_EQ(Read->Layers[0].NeededMacs, 36u);
}

TEST(Metadata, IgnoresUnknownKeys) {
  EXPECT_TRUE(Metadata::fromJson(edited("{", "{\"future\": [1, {}],")));
}

TEST(Metadata, RefusesWhatIsNotJson) {
  for (const char *Text : {"", "{", "[]", "1", "{} x", "{\"schema\": 1,}",
                           "\xff\xfe", "{\"a\": \"\xff\"}"})
    expectRefused(Text, "not one JSON object");
  // Deep nesting must not exhaust the stack.
  expectRefused(std::string(1000000, '['), "not one JSON object");
}

TEST(Metadata, RefusesOtherSchemas) {
  expectRefused(edited("\"schema\": 3", "\"schema\": 4"), "'schema' is 4");
  // Code of schema 1 has another entry function.
  expectRefused(edited("\"schema\": 3", "\"schema\": 1"), "'schema' is 1");
  expectRefused("{}", "'schema'");
}

TEST(Metadata, RefusesEveryMissingKey) {
  for (const char *Key : {"schema",
                          "model",
                          "producer",
                          "inputs",
                          "outputs",
                          "arena_bytes",
                          "arena_alignment",
                          "weights_bytes",
                          "float_bytes",
                          "golden_pairs",
                          "code",
                          "layers",
                          "name",
                          "dtype",
                          "shape",
                          "target",
                          "cpu_features",
                          "strategies",
                          "op",
                          "levels",
                          "macs",
                          "weight_bytes",
                          "table_bytes",
                          "executed_macs",
                          "predicted_ns",
                          "product_ns"}) {
    std::string Quoted = '"' + std::string(Key) + '"';
    expectRefused(edited(Quoted, "\"renamed\""), Key);
  }
}

TEST(Metadata, RefusesWrongTypes) {
  expectRefused(edited("\"arena_bytes\": 16", "\"arena_bytes\": -1"),
                "'arena_bytes'");
  expectRefused(edited("\"arena_bytes\": 16", "\"arena_bytes\": 1.5"),
                "'arena_bytes'");
  expectRefused(edited("\"arena_bytes\": 16", "\"arena_bytes\": 1e30"),
                "'arena_bytes'");
  expectRefused(
      edited("\"arena_bytes\": 16", "\"arena_bytes\": 99999999999999999999999"),
      "'arena_bytes'");
  expectRefused(edited("\"model\": \"tiny\"", "\"model\": 3"), "'model'");
  expectRefused(edited("\"u8\"", "\"f64\""), "f32, u8, i32, i16, i8");
  expectRefused(edited("\"arena_alignment\": 64", "\"arena_alignment\": 32"),
                "'arena_alignment'");
  expectRefused(edited("\"1\": 2", "\"one\": 2"), "'layers.levels'");
  expectRefused(edited("\"1\": 2", "\"3\": 2"), "level of 3 bits");
}

TEST(Metadata, ChecksValues) {
  auto Expect = [](auto Change, const std::string &Part) {
    Metadata M = full();
    Change(M);
    Status S = M.check();
    ASSERT_FALSE(S) << "accepted; expected: " << Part;
    expectMessage(S.error(), ErrorKind::Refused, Part);
    expectRefused(M.toJson(), Part);
  };
  Expect([](Metadata &M) { M.Model = ""; }, "'model'");
  Expect([](Metadata &M) { M.Model = "a\nb"; }, "'model'");
  Expect([](Metadata &M) { M.Producer.assign(2000, 'x'); }, "'producer'");
  Expect([](Metadata &M) { M.Inputs.clear(); }, "'inputs' has 0");
  Expect([](Metadata &M) { M.Outputs.resize(65, M.Outputs[0]); },
         "'outputs' has 65");
  Expect([](Metadata &M) { M.Inputs[1].Name = M.Inputs[0].Name; },
         "two tensors");
  Expect([](Metadata &M) { M.Inputs[0].Shape = {1, 0}; }, "shape of 'image'");
  Expect([](Metadata &M) { M.Inputs[0].Shape.assign(17, 1); },
         "shape of 'image'");
  // 2^64 bytes and more: the product must not wrap to something small.
  Expect([](Metadata &M) { M.Inputs[0].Shape = {1ull << 32, 1ull << 32}; },
         "shape of 'image'");
  Expect([](Metadata &M) { M.Inputs[1].Shape = {(1ull << 62) + 1}; },
         "shape of 'gr");
  Expect([](Metadata &M) { M.ArenaBytes = ~0ull; }, "'arena_bytes'");
  Expect([](Metadata &M) { M.Code[0].Target = "no/slash"; }, "'code.target'");
  Expect([](Metadata &M) { M.Code[1] = M.Code[0]; }, "twice");
  Expect([](Metadata &M) { M.Code[0].CpuFeatures[0] = ""; },
         "'code.cpu_features'");
  Expect([](Metadata &M) { M.Code[0].Strategies[0] = ""; },
         "'code.strategies'");
  Expect([](Metadata &M) { M.Code[0].Strategies.emplace_back("other"); },
         "'code.strategies' of 'x86-64-avx512' has 2 rows");
  Expect([](Metadata &M) { M.Layers[0].Op = ""; }, "'layers.op'");
  Expect([](Metadata &M) { M.Layers[0].Levels[3] = 1; }, "level of 3 bits");
}

/// Whatever the text, the answer is a value or an error, never a crash.
TEST(Metadata, SurvivesMutations) {
  const std::string Good = full().toJson();
  const std::string Alphabet = "{}[]\",:0123456789.-+eE \\utn\xff\x01";
  std::minstd_rand Random(1);
  auto Below = [&](size_t Limit) { return Random() % Limit; };
  unsigned Accepted = 0;
  for (int I = 0; I < 20000; ++I) {
    std::string Text = Good;
    for (size_t Edits = 1 + Below(3); Edits; --Edits) {
      size_t At = Below(Text.size());
      switch (Below(4)) {
      case 0:
        Text[At] = Alphabet[Below(Alphabet.size())];
        break;
      case 1:
        Text.erase(At, 1 + Below(20));
        break;
      case 2:
        Text.insert(At, 1, Alphabet[Below(Alphabet.size())]);
        break;
      case 3: // A piece of the text itself, so that whole values move.
        Text.replace(At, Below(20), Good.substr(Below(Good.size()), Below(20)));
        break;
      }
    }
    auto M = Metadata::fromJson(Text);
    if (!M) {
      EXPECT_EQ(M.error().Message.find('\n'), std::string::npos);
      continue;
    }
    ++Accepted;
    auto Again = Metadata::fromJson(M->toJson());
    ASSERT_TRUE(Again) << Again.error().Message;
    EXPECT_EQ(*Again, *M);
  }
  EXPECT_GT(Accepted, 0u);
}

TEST(Metadata, TargetNames) {
  for (const char *Good :
       {"x86-64-avx512", "generic-x86-64", "a", "abcdefghijklmnopqrstuvwxyz"})
    EXPECT_TRUE(isTargetName(Good)) << Good;
  for (const char *Bad :
       {"", "Upper", "a b", "a/b", "abcdefghijklmnopqrstuvwxyz1", "\xc3\xa4"})
    EXPECT_FALSE(isTargetName(Bad)) << Bad;
}

} // namespace
