//===- CodeGen.h - LLVM dialect to native code ------------------*- C++ -*-===//

#ifndef SYSMOL_TARGET_NATIVE_CODEGEN_H
#define SYSMOL_TARGET_NATIVE_CODEGEN_H

#include "mlir/IR/BuiltinOps.h"
#include "sysmol/Pipelines/Pipelines.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
class TargetMachine;
} // namespace llvm

namespace sysmol {

/// A machine that code is generated for.
struct NativeTarget {
  std::string name;    ///< as in a bundle's `code/<name>`
  std::string triple;  ///< LLVM triple
  std::string cpu;     ///< LLVM CPU whose features are the baseline
  std::string tuneFor; ///< LLVM CPU whose schedules are used
  std::vector<std::string> features; ///< beyond `cpu`; what the loader checks
  std::vector<std::string> required; ///< all features the loader must see
  MacLowering mac;
  int64_t laneBlocks; ///< blocks of 64 lanes in a tile: what its registers hold
  int64_t rowTile;    ///< rows of a tile of all its blocks
  int64_t byteSums;   ///< registers of sums kept at once: see vectorize-lanes
  int64_t dotSums;    ///< the same of levels 4 and 8
};

/// All targets, best first.
const std::vector<NativeTarget> &getNativeTargetTable();

enum class CodeKind { Object, Assembly, LLVMIR };

struct CodeGenOptions {
  CodeKind kind = CodeKind::Object;
  /// The exported function: `int32_t (const void *weights, void *arena, const
  /// void *const *inputs, void *const *outputs, const sysmol_parallel *)`.
  std::string entryName = "sysmol_entry";
  /// Exports the weights as an array of this name (none: empty).
  std::string weightsName;
};

/// LLVM IR of one target, in a context of its own: generating code from it may
/// run beside that of other targets.
class TargetModule {
public:
  /// `module` holds one public LLVM-dialect function of pointers: weights,
  /// arena, parallel runtime, `numInputs` inputs, then outputs.
  static llvm::Expected<TargetModule> create(mlir::ModuleOp module,
                                             unsigned numInputs,
                                             const NativeTarget &target,
                                             const CodeGenOptions &options);
  TargetModule(TargetModule &&) noexcept;
  ~TargetModule();

  /// Optimizes and emits; once.
  llvm::Expected<llvm::SmallVector<char, 0>> generateCode();
  /// The same as object files to be linked together, in threads where there is
  /// much code. Their bytes depend on the module alone.
  llvm::Expected<std::vector<llvm::SmallVector<char, 0>>> generateObjects();

private:
  TargetModule();
  CodeKind kind;
  const NativeTarget *target = nullptr;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> ir;
};

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const NativeTarget &target);

/// Optimizes `module` and emits it.
llvm::Expected<llvm::SmallVector<char, 0>>
generateCode(llvm::Module &module, llvm::TargetMachine &machine, CodeKind kind);

/// Links object files into a shared object.
llvm::Expected<std::vector<uint8_t>>
linkSharedObject(llvm::ArrayRef<llvm::SmallVector<char, 0>> objects);

} // namespace sysmol

#endif // SYSMOL_TARGET_NATIVE_CODEGEN_H
