//===- TestUtils.cpp - Kernels written by hand ----------------------------===//

#include "TestUtils.h"

using namespace sysmol::emulator;
using namespace sysmol::emulator::test;

std::string sysmol::emulator::test::kernel(const llvm::Twine &body,
                                           const llvm::Twine &globals) {
  return (R"(
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.laneid()
)" + globals +
          R"(
define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %lane = call i32 @llvm.nvvm.read.ptx.sreg.laneid()
)" + body +
          R"(
  ret void
}
)")
      .str();
}

Outcome sysmol::emulator::test::run(const std::string &ir,
                                    const std::vector<uint32_t> &in,
                                    size_t outWords, LaunchConfig config) {
  Outcome outcome;
  auto failed = [&](llvm::Error error) {
    llvm::handleAllErrors(
        std::move(error),
        [&](const EmulatorError &problem) {
          outcome.fault = problem.getMessage();
          outcome.kind = problem.getKind();
        },
        [&](const llvm::ErrorInfoBase &problem) {
          outcome.fault = "not typed: " + problem.message();
        });
    return outcome;
  };
  auto emulator = Emulator::fromIR(ir, "test.ll");
  if (!emulator)
    return failed(emulator.takeError());
  std::vector<uint32_t> input = in;
  outcome.out.assign(outWords, 0xeeeeeeee);
  void *inPointer = input.data(), *outPointer = outcome.out.data();
  const void *parameters[] = {&inPointer, &outPointer};
  auto bytes = [](std::vector<uint32_t> &words) {
    return llvm::MutableArrayRef(reinterpret_cast<uint8_t *>(words.data()),
                                 words.size() * 4);
  };
  Buffer buffers[] = {{"in", bytes(input)}, {"out", bytes(outcome.out)}};
  auto statistics = (*emulator)->launch("k", config, parameters, buffers);
  if (!statistics)
    return failed(statistics.takeError());
  outcome.statistics = *statistics;
  return outcome;
}

std::vector<uint32_t> sysmol::emulator::test::randomWords(size_t count,
                                                          uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint32_t> words(count);
  for (uint32_t &word : words)
    word = static_cast<uint32_t>(random());
  return words;
}

std::string sysmol::emulator::test::load(const llvm::Twine &name,
                                         const llvm::Twine &index) {
  std::string n = name.str();
  return ("  %" + n + ".p = getelementptr i32, ptr addrspace(1) %in, i32 " +
          index + "\n  %" + n + " = load i32, ptr addrspace(1) %" + n +
          ".p, align 4\n")
      .str();
}

std::string sysmol::emulator::test::store(const llvm::Twine &name,
                                          const llvm::Twine &index) {
  std::string n = name.str();
  return ("  %" + n + ".q = getelementptr i32, ptr addrspace(1) %out, i32 " +
          index + "\n  store i32 %" + n + ", ptr addrspace(1) %" + n +
          ".q, align 4\n")
      .str();
}
