//===- ModelTest.cpp - Tests of loading and running -----------------------===//

#include "TestBundle.h"

#include "sysmol/Runtime/Model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

using namespace sysmol::runtime;
using namespace sysmol::runtime::test;

namespace {

const Bytes TestWeights = {3, 5, 7, 11};

Result<std::unique_ptr<Model>> load(const BundleWriter &Writer,
                                    std::string_view Target = {}) {
  auto B = Bundle::fromBytes(bundleBytes(Writer));
  if (!B)
    return B.error();
  return Model::load(std::move(*B), Target);
}

std::unique_ptr<Model> loaded(const BundleWriter &Writer) {
  auto M = load(Writer);
  EXPECT_TRUE(M) << M.error().Message;
  return M ? std::move(*M) : nullptr;
}

Bytes asBytes(const std::vector<int32_t> &Values) {
  Bytes Out(Values.size() * 4);
  std::memcpy(Out.data(), Values.data(), Out.size());
  return Out;
}

/// One run through buffers that are aligned to their elements only.
Status runOnce(const Model &M, Context &C, const Bytes &Input,
               std::vector<int32_t> &Output) {
  ConstBuffer In[] = {Input};
  Buffer Out[] = {
      {reinterpret_cast<uint8_t *>(Output.data()), Output.size() * 4}};
  return M.run(C, In, Out);
}

TEST(Model, Runs) {
  auto M = loaded(modelWriter(compiledModel()));
  ASSERT_TRUE(M);
  EXPECT_EQ(M->target(), "generic-test");
  auto C = M->createContext();
  ASSERT_TRUE(C);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(C->arena().data()) % 64, 0u);
  EXPECT_GE(C->arena().size(), 16u);
  Bytes Input = {9, 0, 200, 254};
  std::vector<int32_t> Output(4);
  Status S = runOnce(*M, *C, Input, Output);
  ASSERT_TRUE(S) << S.error().Message;
  EXPECT_EQ(Output, modelResult(TestWeights, Input));
}

TEST(Model, OpensFiles) {
  TempDir Dir;
  ASSERT_TRUE(modelWriter(compiledModel()).writeFile(Dir.file("m.smol")));
  auto M = Model::open(Dir.file("m.smol"));
  ASSERT_TRUE(M) << M.error().Message;
  EXPECT_TRUE((*M)->verify());
  auto Missing = Model::open(Dir.file("other"));
  ASSERT_FALSE(Missing);
  expectMessage(Missing.error(), ErrorKind::Refused, "other");
}

TEST(Model, RefusesWrongBuffers) {
  auto M = loaded(modelWriter(compiledModel()));
  ASSERT_TRUE(M);
  auto C = M->createContext();
  Bytes Input(4);
  std::vector<int32_t> Output(5);
  auto *OutputBytes = reinterpret_cast<uint8_t *>(Output.data());
  ConstBuffer In[] = {Input, Input};
  ConstBuffer ShortIn[] = {ConstBuffer(Input).first(3)};
  Buffer Out[] = {{OutputBytes, 16}};
  Buffer LongOut[] = {{OutputBytes, 20}};
  Buffer Misaligned[] = {{OutputBytes + 1, 16}};
  auto Expect = [&](std::span<const ConstBuffer> I, std::span<const Buffer> O,
                    const std::string &Part) {
    Status S = M->run(*C, I, O);
    ASSERT_FALSE(S);
    expectMessage(S.error(), ErrorKind::Refused, Part);
  };
  Expect(In, Out, "2 inputs given");
  Expect({}, Out, "0 inputs given");
  Expect(ShortIn, Out, "input 'image' has 3 bytes");
  Expect(std::span(In).first(1), LongOut, "output 'sums' has 20 bytes");
  Expect(std::span(In).first(1), Misaligned, "not aligned");
}

TEST(Model, ReportsFailingCode) {
  auto M = loaded(modelWriter(compiledModel()));
  ASSERT_TRUE(M);
  auto C = M->createContext();
  std::vector<int32_t> Output(4);
  Status S = runOnce(*M, *C, {255, 0, 0, 0}, Output);
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Internal, "code 7");
}

TEST(Model, VerifyFindsWrongBytes) {
  BundleWriter Writer = modelWriter(compiledModel());
  EXPECT_TRUE(loaded(Writer)->verify());
  Bytes Input = {5, 6, 7, 8};
  std::vector<int32_t> Output = modelResult(TestWeights, Input);
  Output[3] ^= 1 << 16; // Byte 14.
  Bytes OutputBytes = asBytes(Output);
  std::span<const uint8_t> Inputs[] = {Input};
  std::span<const uint8_t> Outputs[] = {OutputBytes};
  Writer.addGolden(Inputs, Outputs);
  Status S = loaded(Writer)->verify();
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Refused,
                "golden pair 1, output 'sums', byte 14");
}

/// Code that adds what is left in the arena: right only in a fresh one.
TEST(Model, VerifyFindsStaleArena) {
  Bytes Code = compileC("int sysmol_entry(const void *w, int *arena, const "
                        "unsigned char **in, int **out) { for (int i = 0; i < "
                        "4; ++i) out[0][i] = arena[i] + ((unsigned char*)w)[i]"
                        " * in[0][i] + 1; return 0; }");
  auto M = loaded(modelWriter(Code));
  ASSERT_TRUE(M);
  Status S = M->verify();
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Refused, "golden pair 0");
}

TEST(Model, VerifyNeedsGoldenPairs) {
  BundleWriter Writer(modelMetadata());
  Writer.addCode({"generic-test", {}}, compiledModel());
  Writer.setWeights(TestWeights);
  Status S = loaded(Writer)->verify();
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Refused, "no golden pairs");
}

TEST(Model, ChoosesTheFirstTargetThatFits) {
  BundleWriter Writer(modelMetadata());
  Writer.addCode({"of-tomorrow", {"avx4096f"}}, compiledModel());
  Writer.addCode({"fits", {}}, compiledModel());
  Writer.addCode({"fits-too", {}}, compiledModel());
  Writer.setWeights(TestWeights);
  EXPECT_EQ(loaded(Writer)->target(), "fits");
  auto Forced = load(Writer, "fits-too");
  ASSERT_TRUE(Forced);
  EXPECT_EQ((*Forced)->target(), "fits-too");

  auto TooNew = load(Writer, "of-tomorrow");
  ASSERT_FALSE(TooNew);
  expectMessage(TooNew.error(), ErrorKind::Refused, "needs avx4096f");
  auto Unknown = load(Writer, "nothing");
  ASSERT_FALSE(Unknown);
  expectMessage(Unknown.error(), ErrorKind::Usage,
                "it has of-tomorrow, fits, fits-too");
}

TEST(Model, RefusesWhenNoTargetFits) {
  BundleWriter Writer(modelMetadata());
  Writer.addCode({"one", {"avx4096f", "amx-extra"}}, compiledModel());
  Bytes Foreign = compiledModel();
  Foreign[18] = 0x16; // e_machine: S/390.
  Foreign[19] = 0;
  Writer.addCode({"two", {}}, Foreign);
  Writer.setWeights(TestWeights);
  auto M = load(Writer);
  ASSERT_FALSE(M);
  expectMessage(M.error(), ErrorKind::Refused, "'one' needs avx4096f, amx-ext");
  expectMessage(M.error(), ErrorKind::Refused, "'two' is for another arch");
}

TEST(Model, KnowsTheCpu) {
  EXPECT_FALSE(cpuSupports(""));
  EXPECT_FALSE(cpuSupports("avx4096f"));
#if defined(__x86_64__)
  EXPECT_EQ(cpuSupports("avx512vbmi"), __builtin_cpu_supports("avx512vbmi"));
  EXPECT_EQ(cpuSupports("avx2"), __builtin_cpu_supports("avx2"));
#endif
}

TEST(Model, RefusesBrokenCode) {
  auto M = load(modelWriter({'x'}));
  ASSERT_FALSE(M);
  expectMessage(M.error(), ErrorKind::Refused, "not an ELF shared object");
  M = load(modelWriter(compileC("int other(void) { return 0; }")));
  ASSERT_FALSE(M);
  expectMessage(M.error(), ErrorKind::Refused, "'sysmol_entry'");
  M = load(modelWriter(compileC("int missing(void); int sysmol_entry(void) "
                                "{ return missing(); }")));
  ASSERT_FALSE(M);
  expectMessage(M.error(), ErrorKind::Refused, "cannot load the code");
}

/// Two models at once, and one after another, must not share code: the loader
/// recognizes objects by name.
TEST(Model, KeepsModelsApart) {
  auto Source = [](int Value) {
    return "int sysmol_entry(const void *w, void *a, const void **i, int **o) "
           "{ o[0][0] = " +
           std::to_string(Value) + "; return 0; }";
  };
  auto Answer = [](const Model &M) {
    auto C = M.createContext();
    std::vector<int32_t> Output(4);
    EXPECT_TRUE(runOnce(M, *C, {0, 0, 0, 0}, Output));
    return Output[0];
  };
  auto One = loaded(modelWriter(compileC(Source(1))));
  auto Two = loaded(modelWriter(compileC(Source(2))));
  ASSERT_TRUE(One && Two);
  EXPECT_EQ(Answer(*One), 1);
  EXPECT_EQ(Answer(*Two), 2);
  One.reset();
  auto Three = loaded(modelWriter(compileC(Source(3))));
  ASSERT_TRUE(Three);
  EXPECT_EQ(Answer(*Two), 2);
  EXPECT_EQ(Answer(*Three), 3);

  // Code that cannot be unloaded keeps the name of its descriptor.
  Three.reset();
  auto Stays = loaded(modelWriter(compileC(Source(4), "-Wl,-z,nodelete")));
  ASSERT_TRUE(Stays);
  EXPECT_EQ(Answer(*Stays), 4);
  Stays.reset();
  auto After = loaded(modelWriter(compileC(Source(5))));
  ASSERT_TRUE(After);
  EXPECT_EQ(Answer(*After), 5);
}

TEST(Model, RefusesTooLargeArena) {
  Metadata Meta = modelMetadata();
  Meta.ArenaBytes = uint64_t(1) << 40;
  BundleWriter Writer(Meta);
  Writer.addCode({"generic-test", {}}, compiledModel());
  Writer.setWeights(TestWeights);
  auto M = loaded(Writer);
  ASSERT_TRUE(M);
  auto C = M->createContext();
  ASSERT_FALSE(C);
  expectMessage(C.error(), ErrorKind::Limit, "arena of one thread");
}

class PoolThreads : public testing::TestWithParam<unsigned> {};

TEST_P(PoolThreads, GiveIdenticalResults) {
  auto M = loaded(modelWriter(compiledModel()));
  ASSERT_TRUE(M);
  auto P = Pool::create(*M, GetParam());
  ASSERT_TRUE(P);
  EXPECT_EQ(P->threads(), GetParam());
  for (uint64_t Count : {0, 1, 3, 5000}) {
    Bytes Input(Count * 4);
    for (size_t I = 0; I < Input.size(); ++I)
      Input[I] = static_cast<uint8_t>(I * 37 % 251);
    std::vector<int32_t> Output(Count * 4, -1);
    ConstBuffer In[] = {Input};
    Buffer Out[] = {
        {reinterpret_cast<uint8_t *>(Output.data()), Output.size() * 4}};
    for (int Again = 0; Again < 2; ++Again) {
      Status S = P->run(In, Out, Count);
      ASSERT_TRUE(S) << S.error().Message;
      EXPECT_EQ(Output, modelResult(TestWeights, Input));
    }
  }
}

TEST_P(PoolThreads, ReportTheFirstFailure) {
  auto M = loaded(modelWriter(compiledModel()));
  ASSERT_TRUE(M);
  auto P = Pool::create(*M, GetParam());
  ASSERT_TRUE(P);
  Bytes Input(4000);
  for (size_t Image : {17, 18, 900})
    Input[Image * 4] = 255;
  std::vector<int32_t> Output(4000);
  ConstBuffer In[] = {Input};
  Buffer Out[] = {{reinterpret_cast<uint8_t *>(Output.data()), 16000}};
  Status S = P->run(In, Out, 1000);
  ASSERT_FALSE(S);
  expectMessage(S.error(), ErrorKind::Internal, "image 17: ");
  // The others were computed.
  EXPECT_EQ(Output[999 * 4], 1);
}

INSTANTIATE_TEST_SUITE_P(Pool, PoolThreads, testing::Values(1u, 2u, 4u));

TEST(Pool, RefusesWrongUse) {
  auto M = loaded(modelWriter(compiledModel()));
  ASSERT_TRUE(M);
  for (unsigned Threads : {0u, 1025u, ~0u}) {
    auto P = Pool::create(*M, Threads);
    ASSERT_FALSE(P);
    expectMessage(P.error(), ErrorKind::Usage, "allowed are 1 to 1024");
  }
  auto P = Pool::create(*M, 2);
  ASSERT_TRUE(P);
  Bytes Input(8);
  std::vector<int32_t> Output(8);
  ConstBuffer In[] = {Input};
  Buffer Out[] = {{reinterpret_cast<uint8_t *>(Output.data()), 32}};
  EXPECT_TRUE(P->run(In, Out, 2));
  for (uint64_t Count : {uint64_t(1), uint64_t(3), (uint64_t(1) << 62) + 2}) {
    Status S = P->run(In, Out, Count);
    ASSERT_FALSE(S) << Count;
    expectMessage(S.error(), ErrorKind::Refused, "input 'image' has 8 bytes");
  }
}

TEST(Context, AreIndependent) {
  auto M = loaded(modelWriter(compiledModel()));
  ASSERT_TRUE(M);
  std::vector<std::thread> Threads;
  std::vector<int> Wrong(4);
  for (size_t T = 0; T < Wrong.size(); ++T)
    Threads.emplace_back([&, T] {
      auto C = M->createContext();
      Bytes Input(4, static_cast<uint8_t>(T + 1));
      std::vector<int32_t> Output(4);
      for (int I = 0; I < 2000; ++I)
        Wrong[T] += !runOnce(*M, *C, Input, Output) ||
                    Output != modelResult(TestWeights, Input);
    });
  for (std::thread &T : Threads)
    T.join();
  EXPECT_EQ(Wrong, std::vector<int>(4));
}

} // namespace
