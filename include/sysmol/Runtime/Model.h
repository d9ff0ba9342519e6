//===- Model.h - Running compiled models ------------------------*- C++ -*-===//
//
// A Model is a bundle whose code is loaded into this process. The code section
// exports one function:
//
//   int32_t sysmol_entry(const void *weights, void *arena,
//                        const void *const *inputs, void *const *outputs,
//                        const sysmol_parallel *parallel);
//
// It returns 0, allocates nothing, keeps no state, and may run in any number
// of threads at once as long as each has its own arena. `weights` and `arena`
// are aligned to 64 bytes; the content of the arena is unspecified at entry;
// inputs and outputs are aligned to their element type only. `parallel` shares
// the tasks of this call among threads; null runs them in the calling one.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_MODEL_H
#define SYSMOL_RUNTIME_MODEL_H

#include "sysmol/Runtime/Bundle.h"
#include "sysmol/Runtime/Error.h"
#include "sysmol/Runtime/Memory.h"
#include "sysmol/Runtime/Team.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sysmol::runtime {

using ConstBuffer = std::span<const uint8_t>;
using Buffer = std::span<uint8_t>;

extern "C" {
/// Type of `sysmol_entry`.
typedef int32_t (*SysmolEntryFn)(const void *Weights, void *Arena,
                                 const void *const *Inputs,
                                 void *const *Outputs,
                                 const sysmol_parallel *Parallel);
}

/// Most threads of one Pool or Team.
inline constexpr unsigned MaxThreads = 1024;

/// True when this CPU and its operating system support the feature with this
/// LLVM name; false for unknown names.
bool cpuSupports(std::string_view Feature);

/// Index in `B.metadata().Code` of the code to run: `Target`, or, when that is
/// empty, the first whose architecture and features this CPU has. Fails with
/// ErrorKind::Refused when none fits and ErrorKind::Usage when the bundle has
/// no `Target`; the message names the missing features.
Result<size_t> selectCode(const Bundle &B, std::string_view Target);

class CodeImage;

/// The scratch memory of one run at a time.
class Context {
public:
  Context(Context &&) = default;
  Context &operator=(Context &&) = default;

  /// The arena, aligned to 64 bytes.
  Buffer arena() const { return Arena.bytes(); }

private:
  friend class Model;
  explicit Context(PageBuffer Arena) : Arena(std::move(Arena)) {}
  PageBuffer Arena;
};

/// A loaded model. All const functions may be called from many threads.
class Model {
public:
  /// Opens, checks and loads. See selectCode() for `Target`. Loading runs the
  /// constructors of the code, if it has any.
  static Result<std::unique_ptr<Model>> open(const std::string &Path,
                                             std::string_view Target = {});
  static Result<std::unique_ptr<Model>> load(Bundle B,
                                             std::string_view Target = {});
  ~Model();

  const Bundle &bundle() const { return TheBundle; }
  const Metadata &metadata() const { return TheBundle.metadata(); }
  /// Name of the target whose code is loaded.
  const std::string &target() const { return Target; }

  /// Allocates the arena of one thread. Fails with ErrorKind::Limit.
  Result<Context> createContext() const;

  /// One run. Buffers come in the order of the metadata, have exactly the
  /// sizes it says, and are aligned to their element type; outputs must not
  /// overlap anything. Allocates nothing on success. The threads of `T` share
  /// the run, unless another run has them at the moment: then, as without `T`,
  /// the calling thread does it all, with the same result.
  Status run(Context &C, std::span<const ConstBuffer> Inputs,
             std::span<const Buffer> Outputs, Team *T = nullptr) const;

  /// Runs all golden pairs and compares every byte. The arena is filled with
  /// garbage before each, so that a read of stale scratch memory shows.
  /// Refuses a bundle without golden pairs: nothing would be verified.
  Status verify(Team *T = nullptr) const;

private:
  Model(Bundle B, std::string Target, std::unique_ptr<CodeImage> Code);

  Bundle TheBundle;
  std::string Target;
  std::unique_ptr<CodeImage> Code;
};

/// Runs many images on a fixed number of threads, each with its own Context.
/// Every image is one independent run, so results are the same, bit for bit,
/// for any number of threads.
class Pool {
public:
  /// 1 to MaxThreads threads. The model must outlive the pool.
  static Result<Pool> create(const Model &M, unsigned Threads);

  unsigned threads() const { return static_cast<unsigned>(Contexts.size()); }

  /// `Count` runs: buffer i holds `Count` copies of input (output) i, one
  /// after the other. Reports the failure of the lowest failing image. One
  /// call at a time.
  Status run(std::span<const ConstBuffer> Inputs,
             std::span<const Buffer> Outputs, uint64_t Count);

private:
  Pool(const Model &M) : M(&M) {}
  const Model *M;
  std::vector<Context> Contexts;
};

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_MODEL_H
