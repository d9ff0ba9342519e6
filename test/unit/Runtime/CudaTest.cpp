//===- CudaTest.cpp - Devices, modules and launches -----------------------===//
//
// Over the emulated driver, whose modules are LLVM IR.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Runtime/Cuda.h"
#include "sysmol-c/Gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

using namespace sysmol::runtime;
using namespace sysmol::runtime::cuda;

namespace {
constexpr const char *Library = SYSMOL_TEST_EMULATED_CUDA;

/// out[i] = in[i] * factor for i < count.
constexpr std::string_view Scale = R"(
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
define ptx_kernel void @scale(ptr addrspace(1) %in, ptr addrspace(1) %out, i32 %factor) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %c = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %n = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %b = mul i32 %c, %n
  %i = add i32 %b, %t
  %p = getelementptr i32, ptr addrspace(1) %in, i32 %i
  %q = getelementptr i32, ptr addrspace(1) %out, i32 %i
  %x = load i32, ptr addrspace(1) %p, align 4
  %y = mul i32 %x, %factor
  store i32 %y, ptr addrspace(1) %q, align 4
  ret void
}
)";

std::span<const uint8_t> bytes(std::string_view Text) {
  return {reinterpret_cast<const uint8_t *>(Text.data()), Text.size()};
}
std::span<const uint8_t> bytes(const std::vector<uint32_t> &Words) {
  return {reinterpret_cast<const uint8_t *>(Words.data()), Words.size() * 4};
}
std::span<uint8_t> room(std::vector<uint32_t> &Words) {
  return {reinterpret_cast<uint8_t *>(Words.data()), Words.size() * 4};
}

template <typename T>
void expectError(const T &R, ErrorKind Kind, std::string_view Part) {
  ASSERT_FALSE(bool(R));
  EXPECT_EQ(R.error().Kind, Kind) << R.error().Message;
  EXPECT_NE(R.error().Message.find(Part), std::string::npos)
      << R.error().Message;
  EXPECT_EQ(R.error().Message.find('\n'), std::string::npos);
}

class CudaTest : public testing::Test {
protected:
  CudaTest() : D(Device::open(0, Library)) {}
  void SetUp() override { ASSERT_TRUE(bool(D)) << D.error().Message; }
  Result<Device> D;
};
} // namespace

TEST(CudaDriver, IsMissing) {
  expectError(Device::open(0, "libno-such-driver.so.1"), ErrorKind::Limit,
              "no CUDA driver: libno-such-driver.so.1");
  expectError(Device::count("libno-such-driver.so.1"), ErrorKind::Limit,
              "needs a machine with an NVIDIA GPU");
}

TEST(CudaDriver, IsAnotherLibrary) {
  expectError(Device::open(0, "libm.so.6"), ErrorKind::Limit, "has no cuInit");
}

TEST_F(CudaTest, Describes) {
  const DeviceInfo &Info = D->info();
  EXPECT_EQ(Info.Name, "Sysmol emulator");
  EXPECT_EQ(Info.Major, 9);
  EXPECT_GT(Info.Multiprocessors, 0);
  EXPECT_GT(Info.MemoryBytes, 0u);
  EXPECT_GT(Info.MaxSharedBytes, 48 << 10);
  auto Count = Device::count(Library);
  ASSERT_TRUE(bool(Count));
  EXPECT_EQ(*Count, 1);
  expectError(Device::open(1, Library), ErrorKind::Usage,
              "there is no GPU 1; this machine has 1");
  expectError(Device::open(-1, Library), ErrorKind::Usage, "no GPU -1");
}

TEST_F(CudaTest, RunsAKernelInAStream) {
  auto M = D->load(bytes(Scale), "scale.ll");
  ASSERT_TRUE(bool(M)) << M.error().Message;
  auto K = M->kernel("scale");
  ASSERT_TRUE(bool(K)) << K.error().Message;
  std::vector<uint32_t> In(256), Out(256);
  std::iota(In.begin(), In.end(), 1000);
  auto From = D->allocate(1024), To = D->allocate(1024);
  ASSERT_TRUE(From && To);
  ASSERT_TRUE(bool(From->copyFrom(bytes(In))));
  auto S = D->stream();
  auto Start = D->event(), End = D->event();
  ASSERT_TRUE(S && Start && End);
  uint64_t A = From->pointer(), B = To->pointer();
  uint32_t Factor = 3;
  void *Parameters[] = {&A, &B, &Factor};
  ASSERT_TRUE(bool(Start->record(S->handle())));
  Status Launched =
      K->launch({4, 1, 1}, {64, 1, 1}, 0, S->handle(), Parameters);
  ASSERT_TRUE(bool(Launched)) << Launched.error().Message;
  ASSERT_TRUE(bool(End->record(S->handle())));
  ASSERT_TRUE(bool(S->synchronize()));
  auto Milliseconds = End->since(*Start);
  ASSERT_TRUE(bool(Milliseconds));
  EXPECT_GT(*Milliseconds, 0.0f);
  ASSERT_TRUE(bool(To->copyTo(room(Out))));
  for (size_t I = 0; I < Out.size(); ++I)
    EXPECT_EQ(Out[I], In[I] * 3);
}

TEST_F(CudaTest, TheKernelOutlivesWhatItCameFrom) {
  auto Made = [&]() -> Result<Kernel> {
    auto M = D->load(bytes(Scale), "scale.ll");
    return M ? M->kernel("scale") : Result<Kernel>(M.error());
  }();
  ASSERT_TRUE(bool(Made));
  auto Buffer = D->allocate(4);
  ASSERT_TRUE(Buffer && Buffer->fill(1));
  uint64_t A = Buffer->pointer();
  uint32_t Factor = 2;
  void *Parameters[] = {&A, &A, &Factor};
  EXPECT_TRUE(bool(Made->launch({1, 1, 1}, {1, 1, 1}, 0, nullptr, Parameters)));
  std::vector<uint32_t> Out(1);
  ASSERT_TRUE(bool(Buffer->copyTo(room(Out))));
  EXPECT_EQ(Out[0], 0x02020202u);
}

TEST_F(CudaTest, CopiesInAStream) {
  auto S = D->stream();
  auto Host = D->allocateHost(8), Other = D->allocateHost(16);
  auto Buffer = D->allocate(16);
  ASSERT_TRUE(S && Host && Other && Buffer && Buffer->fill(3));
  // Each has what the other had.
  *Host = std::move(*Other);
  EXPECT_EQ(Host->bytes().size(), 16u);
  EXPECT_EQ(Other->bytes().size(), 8u);
  std::ranges::fill(Host->bytes(), uint8_t(7));
  ASSERT_TRUE(
      bool(Buffer->copyFromAsync(Host->bytes().subspan(0, 4), S->handle(), 8)));
  ASSERT_TRUE(bool(Buffer->copyToAsync(Other->bytes(), S->handle(), 4)));
  auto Done = S->isDone();
  ASSERT_TRUE(bool(Done));
  EXPECT_FALSE(*Done);
  ASSERT_TRUE(bool(S->synchronize()));
  Done = S->isDone();
  ASSERT_TRUE(bool(Done));
  EXPECT_TRUE(*Done);
  const uint8_t Expected[] = {3, 3, 3, 3, 7, 7, 7, 7};
  EXPECT_TRUE(std::ranges::equal(Other->bytes(), Expected));
  expectError(Buffer->copyToAsync(Host->bytes(), S->handle(), 1),
              ErrorKind::Refused, "16 bytes at 1 are not inside");
}

TEST_F(CudaTest, TellsWhoseFaultItIs) {
  expectError(D->load(bytes(".version 8.0\n"), "a.ptx"), ErrorKind::Refused,
              "a.ptx: the driver refuses this code: a PTX JIT compilation "
              "failed (CUDA error 218): the emulated driver takes LLVM IR");
  auto M = D->load(bytes(Scale), "scale.ll");
  ASSERT_TRUE(bool(M));
  expectError(M->kernel("other"), ErrorKind::Usage,
              "scale.ll has no kernel 'other'");
  auto K = M->kernel("scale");
  ASSERT_TRUE(bool(K));
  expectError(K->launch({0, 1, 1}, {1, 1, 1}, 0, nullptr, {}), ErrorKind::Usage,
              "at least 1");
  expectError(K->launch({1, 1, 1}, {1, 1, 1}, 1 << 20, nullptr, {}),
              ErrorKind::Internal, "1048576 bytes of dynamic shared memory");
  auto Buffer = D->allocate(16);
  ASSERT_TRUE(bool(Buffer));
  uint64_t A = Buffer->pointer();
  uint32_t Factor = 1;
  void *Parameters[] = {&A, &A, &Factor};
  expectError(K->launch({1, 1, 1}, {32, 1, 1}, 0, nullptr, Parameters),
              ErrorKind::Internal, "thread (4,0,0): reads 4 bytes outside");
  std::vector<uint32_t> Words(5);
  expectError(Buffer->copyFrom(bytes(Words)), ErrorKind::Refused,
              "20 bytes at 0 are not inside a buffer of 16");
  expectError(Buffer->copyTo(room(Words), UINT64_MAX), ErrorKind::Refused,
              "are not inside");
}

//===----------------------------------------------------------------------===//
// C API: opens libcuda.so.1 of the machine
//===----------------------------------------------------------------------===//

/// Runs a test again in a child, where no library of this name is loaded yet.
static int runAlone(const std::string &Test, const std::string &Environment) {
  std::string Command = "SYSMOL_TEST_ALONE=1 " + Environment +
                        " '" SYSMOL_TEST_SELF "' --gtest_filter=" + Test +
                        " >/dev/null";
  return std::system(Command.c_str());
}

TEST(GpuCAPI, ChecksPointersAndTellsWhereNoDriverIs) {
  if (!std::getenv("SYSMOL_TEST_ALONE")) {
    EXPECT_EQ(runAlone("GpuCAPI.ChecksPointersAndTellsWhereNoDriverIs", ""), 0);
    return;
  }
  char Message[256];
  EXPECT_EQ(sysmol_gpu_open(0, nullptr, Message, sizeof(Message)),
            SYSMOL_USAGE);
  EXPECT_EQ(sysmol_gpu_synchronize(nullptr, Message, sizeof(Message)),
            SYSMOL_USAGE);
  EXPECT_STREQ(Message, "a required pointer is NULL; pass a valid object");
  sysmol_gpu *Gpu = nullptr;
  sysmol_status Code = sysmol_gpu_open(0, &Gpu, Message, sizeof(Message));
  if (Code == SYSMOL_OK) {
    sysmol_gpu_destroy(Gpu);
    GTEST_SKIP() << "this machine has a GPU";
  }
  EXPECT_EQ(Code, SYSMOL_LIMIT) << Message;
  EXPECT_EQ(Gpu, nullptr);
  sysmol_gpu_destroy(nullptr);
  sysmol_gpu_module_destroy(nullptr);
  sysmol_gpu_memory_destroy(nullptr);
}

/// The whole C API, where libcuda.so.1 is the emulated one.
TEST(GpuCAPI, RunsAKernel) {
  if (!std::getenv("SYSMOL_TEST_ALONE")) {
    std::string Folder = Library;
    Folder.resize(Folder.rfind('/'));
    EXPECT_EQ(
        runAlone("GpuCAPI.RunsAKernel", "LD_LIBRARY_PATH='" + Folder + "'"), 0);
    return;
  }
  char Message[512];
  sysmol_gpu *Gpu = nullptr;
  ASSERT_EQ(sysmol_gpu_open(0, &Gpu, Message, sizeof(Message)), SYSMOL_OK)
      << Message;
  sysmol_gpu_info Info;
  ASSERT_EQ(sysmol_gpu_describe(Gpu, &Info, nullptr, 0), SYSMOL_OK);
  ASSERT_STREQ(Info.name, "Sysmol emulator");
  sysmol_gpu_module *Module = nullptr;
  ASSERT_EQ(sysmol_gpu_module_load(Gpu, Scale.data(), Scale.size(), "scale",
                                   &Module, Message, sizeof(Message)),
            SYSMOL_OK)
      << Message;
  sysmol_gpu_memory *Memory = nullptr;
  ASSERT_EQ(sysmol_gpu_memory_create(Gpu, 32, &Memory, nullptr, 0), SYSMOL_OK);
  uint32_t Words[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_EQ(
      sysmol_gpu_memory_write(Memory, 0, Words, sizeof(Words), nullptr, 0),
      SYSMOL_OK);
  uint64_t Pointer = sysmol_gpu_memory_pointer(Memory);
  uint32_t Factor = 5;
  void *Parameters[] = {&Pointer, &Pointer, &Factor};
  sysmol_gpu_launch Launch = {"scale", {1, 1, 1},  {8, 1, 1}, 0,
                              nullptr, Parameters, 3};
  ASSERT_EQ(sysmol_gpu_module_launch(Module, &Launch, Message, sizeof(Message)),
            SYSMOL_OK)
      << Message;
  ASSERT_EQ(sysmol_gpu_synchronize(Gpu, nullptr, 0), SYSMOL_OK);
  ASSERT_EQ(sysmol_gpu_memory_read(Memory, 0, Words, sizeof(Words), nullptr, 0),
            SYSMOL_OK);
  for (uint32_t I = 0; I < 8; ++I)
    ASSERT_EQ(Words[I], (I + 1) * 5);
  Launch.kernel = "other";
  ASSERT_EQ(sysmol_gpu_module_launch(Module, &Launch, Message, sizeof(Message)),
            SYSMOL_USAGE);
  // Anything may go first.
  sysmol_gpu_destroy(Gpu);
  sysmol_gpu_memory_destroy(Memory);
  sysmol_gpu_module_destroy(Module);
}
