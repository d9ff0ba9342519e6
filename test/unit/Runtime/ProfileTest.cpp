//===- ProfileTest.cpp - Tests of measuring layers ------------------------===//

#include "TestBundle.h"

#include "sysmol/Runtime/Profile.h"

#include <gtest/gtest.h>

using namespace sysmol::runtime;
using namespace sysmol::runtime::test;

namespace {

// Its clocks, in nanoseconds, say 1000 a run for "a" (in two stretches) and
// 3000 for "b", one run of ten 500 more for "a".
const char *const ClockSource = R"(
#include <stdint.h>
#include <time.h>
static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static int runs;
int32_t sysmol_entry(const void *weights, void *arena,
                     const void *const *inputs, void *const *outputs) {
  int64_t *clocks = (int64_t *)((char *)arena + 64), start = now();
  int64_t more = runs++ % 10 ? 0 : 500;
  while (now() < start + 5000)
    ;
  clocks[0] = start;
  clocks[1] = start + 400 + more;
  clocks[2] = start + 3400 + more;
  clocks[3] = start + 4000 + more;
  return BACKWARDS ? (clocks[3] = start - 1, 0) : 0;
}
)";

std::unique_ptr<Model> profiledModel(const char *Backwards) {
  Metadata Meta = modelMetadata();
  Meta.ArenaBytes = 128;
  BundleWriter Writer(Meta);
  CodeInfo Info{"generic-test", {}, {}, {64, {"a", "b", "a"}}};
  Writer.addCode(
      Info, compileC(ClockSource, std::string("-DBACKWARDS=") + Backwards));
  Writer.setWeights({1, 2, 3, 4});
  auto B = Bundle::fromBytes(bundleBytes(Writer));
  EXPECT_TRUE(B) << B.error().Message;
  auto M = Model::load(std::move(*B));
  EXPECT_TRUE(M) << M.error().Message;
  return std::move(*M);
}

Result<Profile> profiled(const Model &M) {
  auto C = M.createContext();
  EXPECT_TRUE(C);
  Bytes Input(4);
  std::vector<int32_t> Output(4);
  ConstBuffer In[] = {Input};
  Buffer Out[] = {{reinterpret_cast<uint8_t *>(Output.data()), 16}};
  return profile(M, *C, In, Out, 100);
}

TEST(Profile, SumsStretchesAndScales) {
  auto M = profiledModel("0");
  EXPECT_EQ(getProfileLayers(*M), (std::vector<std::string>{"a", "b"}));
  auto P = profiled(*M);
  ASSERT_TRUE(P) << P.error().Message;
  ASSERT_EQ(P->Layers.size(), 2u);
  EXPECT_EQ(P->Layers[0].Name, "a");
  // The scale is measured; 5 % covers a disturbed machine.
  EXPECT_NEAR(P->Layers[0].Minimum, 1000e-9, 50e-9);
  EXPECT_NEAR(P->Layers[0].Median, 1000e-9, 50e-9);
  EXPECT_NEAR(P->Layers[1].Minimum, 3000e-9, 150e-9);
  EXPECT_NEAR(P->Total.Minimum, 4000e-9, 200e-9);
}

TEST(Profile, RefusesCodeWithoutClocks) {
  auto B = Bundle::fromBytes(bundleBytes(modelWriter(compiledModel())));
  ASSERT_TRUE(B);
  auto M = Model::load(std::move(*B));
  ASSERT_TRUE(M);
  EXPECT_TRUE(getProfileLayers(**M).empty());
  auto P = profiled(**M);
  ASSERT_FALSE(P);
  expectMessage(P.error(), ErrorKind::Refused, "compile the model with");
}

TEST(Profile, NoticesClocksThatRunBackwards) {
  auto P = profiled(*profiledModel("1"));
  ASSERT_FALSE(P);
  expectMessage(P.error(), ErrorKind::Internal, "run backwards");
}

TEST(Profile, MeasuresTheCycle) {
  double Cycles = measureCyclesPerSecond();
  EXPECT_GT(Cycles, 3e8);
  EXPECT_LT(Cycles, 1e10);
}

} // namespace
