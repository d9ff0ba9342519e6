//===- TestBundle.cpp - Small bundles for the tests -----------------------===//

#include "TestBundle.h"

// The tests may know how the library hashes; the format says only SHA-256.
#include "../../../lib/Runtime/Support.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace sysmol::runtime::test {

TempDir::TempDir() {
  Path = (std::filesystem::temp_directory_path() / "sysmol-test-XXXXXX");
  if (!mkdtemp(Path.data()))
    abort();
}

TempDir::~TempDir() {
  std::error_code Ignored;
  std::filesystem::remove_all(Path, Ignored);
}

std::vector<std::string> TempDir::list() const {
  std::vector<std::string> Names;
  for (const auto &Entry : std::filesystem::directory_iterator(Path))
    Names.push_back(Entry.path().filename());
  return Names;
}

Bytes compileC(const std::string &Source, const std::string &Flags) {
  TempDir Dir;
  std::ofstream(Dir.file("model.c")) << Source;
  std::string Command = std::string(SYSMOL_TEST_CC) + " -shared -fPIC -O1 " +
                        Flags + " -o " + Dir.file("model.so") + " " +
                        Dir.file("model.c");
  EXPECT_EQ(std::system(Command.c_str()), 0);
  std::ifstream File(Dir.file("model.so"), std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(File), {});
}

const char *const ModelSource = R"(
#include <stdint.h>
int32_t sysmol_entry(const void *weights, void *arena,
                     const void *const *inputs, void *const *outputs) {
  const uint8_t *w = weights, *in = inputs[0];
  int32_t *scratch = arena, *out = outputs[0];
  if (((uintptr_t)weights | (uintptr_t)arena) % 64)
    return 9;
  if (in[0] == 255)
    return 7;
  for (int i = 0; i < 4; ++i)
    scratch[i] = w[i] * in[i];
  for (int i = 0; i < 4; ++i)
    out[i] = scratch[i] + 1;
  return 0;
}
)";

Bytes compiledModel() {
  static const Bytes Code = compileC(ModelSource);
  return Code;
}

Metadata modelMetadata() {
  Metadata M;
  M.Model = "tiny";
  M.Producer = "test 1";
  M.Inputs = {{"image", DType::U8, {1, 4}}};
  M.Outputs = {{"sums", DType::I32, {1, 4}}};
  M.ArenaBytes = 16;
  M.FloatBytes = 16;
  M.Layers = {{"only", "mul", {4}, {{1, 2}, {2, 1}, {4, 1}}, 4, 4, 0}};
  return M;
}

static const Bytes TestWeights = {3, 5, 7, 11};

std::vector<int32_t> modelResult(const Bytes &Weights, const Bytes &Input) {
  std::vector<int32_t> Result;
  for (size_t I = 0; I < Input.size(); ++I)
    Result.push_back(Weights[I % 4] * Input[I] + 1);
  return Result;
}

BundleWriter modelWriter(Bytes Code) {
  BundleWriter Writer(modelMetadata());
  Writer.addCode({"generic-test", {}, {"plain"}}, std::move(Code));
  Writer.setWeights(TestWeights);
  Bytes Input = {1, 2, 3, 4};
  std::vector<int32_t> Output = modelResult(TestWeights, Input);
  std::span<const uint8_t> Inputs[] = {Input};
  std::span<const uint8_t> Outputs[] = {
      {reinterpret_cast<const uint8_t *>(Output.data()), 16}};
  Writer.addGolden(Inputs, Outputs);
  return Writer;
}

Bytes bundleBytes(const BundleWriter &Writer) {
  auto File = Writer.toBytes();
  EXPECT_TRUE(File) << File.error().Message;
  return File ? *File : Bytes();
}

void poke32(Bytes &File, size_t Offset, uint32_t Value) {
  for (int I = 0; I < 4; ++I)
    File[Offset + I] = static_cast<uint8_t>(Value >> (8 * I));
}

void poke64(Bytes &File, size_t Offset, uint64_t Value) {
  poke32(File, Offset, static_cast<uint32_t>(Value));
  poke32(File, Offset + 4, static_cast<uint32_t>(Value >> 32));
}

void rehashTable(Bytes &File) {
  size_t End = entryAt(File[12]);
  auto Hash = sha256(std::span(File).first(End));
  std::copy(Hash->begin(), Hash->end(), File.begin() + End);
}

void rehashSection(Bytes &File, uint32_t Index) {
  auto Load = [&](size_t Offset) {
    uint64_t Value = 0;
    for (int I = 0; I < 8; ++I)
      Value |= uint64_t(File[Offset + I]) << (8 * I);
    return Value;
  };
  auto Hash = sha256(std::span(File).subspan(Load(entryAt(Index) + 40),
                                             Load(entryAt(Index) + 48)));
  std::copy(Hash->begin(), Hash->end(), File.begin() + entryAt(Index) + 56);
  rehashTable(File);
}

void expectMessage(const Error &Err, ErrorKind Kind, const std::string &Part) {
  EXPECT_EQ(static_cast<int>(Err.Kind), static_cast<int>(Kind)) << Err.Message;
  EXPECT_NE(Err.Message.find(Part), std::string::npos)
      << "message: " << Err.Message << "\nexpected part: " << Part;
  EXPECT_EQ(Err.Message.find('\n'), std::string::npos) << Err.Message;
  // What is wrong, what is allowed or what to do: at least two clauses.
  EXPECT_NE(Err.Message.find("; "), std::string::npos) << Err.Message;
}

} // namespace sysmol::runtime::test
