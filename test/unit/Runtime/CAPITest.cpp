//===- CAPITest.cpp - Tests of the C API ----------------------------------===//
//
// Through the shared library, loaded like a foreign program would.
//
//===----------------------------------------------------------------------===//

#include "TestBundle.h"

#include "sysmol-c/Runtime.h"

#include <gtest/gtest.h>

#include <cstring>
#include <dlfcn.h>

using namespace sysmol::runtime;
using namespace sysmol::runtime::test;

namespace {

class CAPI : public testing::Test {
protected:
  void SetUp() override {
    Library = dlopen(SYSMOL_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(Library, nullptr) << dlerror();
    Path = Dir.file("m.smol");
    ASSERT_TRUE(modelWriter(compiledModel()).writeFile(Path));
  }
  void TearDown() override {
    if (Library)
      dlclose(Library);
  }

  /// The function of the shared library with the name and type of `Function`.
  template <typename FnT> FnT *get(FnT *, const char *Name) {
    void *Symbol = dlsym(Library, Name);
    EXPECT_NE(Symbol, nullptr) << Name;
    return reinterpret_cast<FnT *>(Symbol);
  }

  TempDir Dir;
  std::string Path;
  void *Library = nullptr;
  char Message[200] = "?";
};

#define CALL(Function) (*get(&Function, #Function))

TEST_F(CAPI, InspectsBundles) {
  EXPECT_STREQ(CALL(sysmol_runtime_version)(), "0.1.0");
  sysmol_bundle *B = nullptr;
  ASSERT_EQ(CALL(sysmol_bundle_open)(Path.c_str(), &B, Message, 200),
            SYSMOL_OK);
  EXPECT_STREQ(Message, "");
  size_t Size = 0;
  const char *Text = CALL(sysmol_bundle_metadata)(B, &Size);
  EXPECT_TRUE(Metadata::fromJson({Text, Size}));
  ASSERT_EQ(CALL(sysmol_bundle_section_count)(B), 4u);
  sysmol_section_info Info;
  ASSERT_EQ(CALL(sysmol_bundle_section)(B, 2, &Info, nullptr, 0), SYSMOL_OK);
  EXPECT_STREQ(Info.name, "weights");
  EXPECT_EQ(Info.bytes, 4u);
  EXPECT_EQ(Info.offset % 64, 0u);
  EXPECT_EQ(CALL(sysmol_bundle_section)(B, 4, &Info, Message, 200),
            SYSMOL_USAGE);
  EXPECT_NE(std::strstr(Message, "numbers below 4"), nullptr);
  CALL(sysmol_bundle_destroy)(B);
}

TEST_F(CAPI, RunsModels) {
  sysmol_model *M = nullptr;
  ASSERT_EQ(CALL(sysmol_model_open)(Path.c_str(), nullptr, &M, Message, 200),
            SYSMOL_OK)
      << Message;
  EXPECT_STREQ(CALL(sysmol_model_target)(M), "generic-test");
  EXPECT_EQ(CALL(sysmol_model_verify)(M, Message, 200), SYSMOL_OK);
  ASSERT_EQ(CALL(sysmol_model_input_count)(M), 1u);
  ASSERT_EQ(CALL(sysmol_model_output_count)(M), 1u);
  sysmol_tensor_info In, Out;
  ASSERT_EQ(CALL(sysmol_model_input)(M, 0, &In, nullptr, 0), SYSMOL_OK);
  ASSERT_EQ(CALL(sysmol_model_output)(M, 0, &Out, nullptr, 0), SYSMOL_OK);
  EXPECT_STREQ(In.name, "image");
  EXPECT_EQ(In.dtype, SYSMOL_U8);
  ASSERT_EQ(In.rank, 2u);
  EXPECT_EQ(In.shape[1], 4u);
  EXPECT_EQ(Out.bytes, 16u);
  EXPECT_EQ(Out.dtype, SYSMOL_I32);
  EXPECT_EQ(CALL(sysmol_model_output)(M, 1, &Out, nullptr, 0), SYSMOL_USAGE);

  uint8_t Input[] = {1, 1, 1, 1, 2, 2, 2, 2};
  int32_t Output[8] = {};
  sysmol_const_buffer InBuffer = {Input, 4};
  sysmol_buffer OutBuffer = {Output, 16};
  sysmol_context *C = nullptr;
  ASSERT_EQ(CALL(sysmol_context_create)(M, &C, nullptr, 0), SYSMOL_OK);
  EXPECT_EQ(CALL(sysmol_run)(C, &InBuffer, 1, &OutBuffer, 1, nullptr, 0),
            SYSMOL_OK);
  EXPECT_EQ(Output[3], 12);

  sysmol_team *T = nullptr;
  EXPECT_EQ(CALL(sysmol_team_create)(0, SYSMOL_PLACE_FREE, &T, Message, 200),
            SYSMOL_USAGE);
  EXPECT_NE(std::strstr(Message, "allowed are 1 to 1024"), nullptr);
  EXPECT_EQ(CALL(sysmol_team_create)(2, static_cast<sysmol_placement>(2), &T,
                                     Message, 200),
            SYSMOL_USAGE);
  ASSERT_EQ(CALL(sysmol_team_create)(2, SYSMOL_PLACE_PINNED, &T, nullptr, 0),
            SYSMOL_OK);
  EXPECT_EQ(CALL(sysmol_context_set_team)(nullptr, T, nullptr, 0),
            SYSMOL_USAGE);
  for (sysmol_team *Use : {T, static_cast<sysmol_team *>(nullptr)}) {
    ASSERT_EQ(CALL(sysmol_context_set_team)(C, Use, nullptr, 0), SYSMOL_OK);
    Output[3] = 0;
    EXPECT_EQ(CALL(sysmol_run)(C, &InBuffer, 1, &OutBuffer, 1, nullptr, 0),
              SYSMOL_OK);
    EXPECT_EQ(Output[3], 12);
  }
  CALL(sysmol_team_destroy)(T);

  InBuffer.bytes = 3;
  EXPECT_EQ(CALL(sysmol_run)(C, &InBuffer, 1, &OutBuffer, 1, Message, 200),
            SYSMOL_REFUSED);
  EXPECT_NE(std::strstr(Message, "has 3 bytes"), nullptr);
  CALL(sysmol_context_destroy)(C);

  sysmol_pool *P = nullptr;
  EXPECT_EQ(CALL(sysmol_pool_create)(M, 0, &P, Message, 200), SYSMOL_USAGE);
  ASSERT_EQ(CALL(sysmol_pool_create)(M, 2, &P, nullptr, 0), SYSMOL_OK);
  InBuffer.bytes = 8;
  OutBuffer.bytes = 32;
  EXPECT_EQ(
      CALL(sysmol_pool_run)(P, &InBuffer, 1, &OutBuffer, 1, 2, nullptr, 0),
      SYSMOL_OK);
  EXPECT_EQ(Output[7], 23);
  CALL(sysmol_pool_destroy)(P);
  CALL(sysmol_model_destroy)(M);
}

TEST_F(CAPI, ReportsErrors) {
  sysmol_bundle *B = nullptr;
  std::string Missing = Dir.file("missing");
  EXPECT_EQ(CALL(sysmol_bundle_open)(Missing.c_str(), &B, Message, 200),
            SYSMOL_REFUSED);
  EXPECT_NE(std::strstr(Message, "missing"), nullptr);
  // Cut to fit, always terminated.
  char Tiny[4] = {'x', 'x', 'x', 'x'};
  EXPECT_EQ(CALL(sysmol_bundle_open)(Missing.c_str(), &B, Tiny, 4),
            SYSMOL_REFUSED);
  EXPECT_EQ(Tiny[3], 0);
  EXPECT_EQ(B, nullptr);

  EXPECT_EQ(CALL(sysmol_bundle_open)(nullptr, &B, nullptr, 0), SYSMOL_USAGE);
  EXPECT_EQ(CALL(sysmol_model_open)(Path.c_str(), nullptr, nullptr, nullptr, 0),
            SYSMOL_USAGE);
  EXPECT_EQ(CALL(sysmol_model_verify)(nullptr, nullptr, 0), SYSMOL_USAGE);
  EXPECT_EQ(CALL(sysmol_run)(nullptr, nullptr, 0, nullptr, 0, nullptr, 0),
            SYSMOL_USAGE);
  sysmol_model *M = nullptr;
  EXPECT_EQ(CALL(sysmol_model_open)(Path.c_str(), "other", &M, Message, 200),
            SYSMOL_USAGE);
  EXPECT_NE(std::strstr(Message, "it has generic-test"), nullptr);
  CALL(sysmol_bundle_destroy)(nullptr);
  CALL(sysmol_model_destroy)(nullptr);
  CALL(sysmol_context_destroy)(nullptr);
  CALL(sysmol_pool_destroy)(nullptr);
  CALL(sysmol_team_destroy)(nullptr);
}

TEST_F(CAPI, ExportsNothingElse) {
  // Of the C++ side, by its mangled name.
  EXPECT_EQ(dlsym(Library, "_ZN6sysmol7runtime11cpuSupportsESt17basic_string_"
                           "viewIcSt11char_traitsIcEE"),
            nullptr);
}

} // namespace
