//===- TestBundle.h - Small bundles for the tests ---------------*- C++ -*-===//

#ifndef SYSMOL_TEST_UNIT_RUNTIME_TESTBUNDLE_H
#define SYSMOL_TEST_UNIT_RUNTIME_TESTBUNDLE_H

#include "sysmol/Runtime/Bundle.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sysmol::runtime::test {

using Bytes = std::vector<uint8_t>;

/// A directory that is removed, with its content, at the end of the scope.
class TempDir {
public:
  TempDir();
  ~TempDir();
  std::string file(const std::string &Name) const { return Path + "/" + Name; }
  /// Names of all entries.
  std::vector<std::string> list() const;

private:
  std::string Path;
};

/// A shared object made from C source by the C compiler of the build.
Bytes compileC(const std::string &Source, const std::string &Flags = "");

/// C source of a model with one u8[1, 4] input, one i32[1, 4] output and four
/// u8 weights: output[i] = weights[i] * input[i] + 1, computed through the
/// arena. It fails with code 7 when input[0] is 255.
extern const char *const ModelSource;
Bytes compiledModel();

/// Metadata of that model.
Metadata modelMetadata();
/// What the model computes, independently of it.
std::vector<int32_t> modelResult(const Bytes &Weights, const Bytes &Input);

/// A writer with weights, one golden pair and the given code for the target
/// "generic-test".
BundleWriter modelWriter(Bytes Code);
/// The bytes of a complete bundle. Fails the test when there are none.
Bytes bundleBytes(const BundleWriter &Writer);

/// Overwrites a little-endian number.
void poke32(Bytes &File, size_t Offset, uint32_t Value);
void poke64(Bytes &File, size_t Offset, uint64_t Value);
/// Makes the hash of the table right again after a change in it.
void rehashTable(Bytes &File);
/// Makes the hash of section `Index` right, then that of the table.
void rehashSection(Bytes &File, uint32_t Index);
/// Offset in the file of the table entry `Index`.
inline size_t entryAt(uint32_t Index) { return 16 + size_t(88) * Index; }

/// Fails unless `Message` is one line that contains `Part`.
void expectMessage(const Error &Err, ErrorKind Kind, const std::string &Part);

} // namespace sysmol::runtime::test

#endif // SYSMOL_TEST_UNIT_RUNTIME_TESTBUNDLE_H
