//===- CodeParts.cpp - Several objects of one module, side by side --------===//
//
// A network's code is one function for each task beside the network itself
// (hetprec-outline-parallel). They know each other by address only, so they are
// optimized and generated apart, in LLVM contexts of their own.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Target/Common/EmitLLVM.h"
#include "sysmol/Target/Native/CodeGen.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MemoryBufferRef.h"
#include "llvm/Transforms/Utils/Cloning.h"
#include <future>

using namespace sysmol;

/// How many parts there are follows from the code alone: its bytes must not
/// depend on the machine.
static constexpr size_t kMostParts = 4, kInstructionsPerPart = 10000;

namespace {
/// Which part defines what.
struct Partition {
  size_t parts;
  llvm::DenseMap<const llvm::GlobalValue *, size_t> of;

  explicit Partition(llvm::Module &module);
};
} // namespace

/// `function` and what it calls by name: inlining may need it there.
static void
addCallees(llvm::Function &function,
           llvm::SmallPtrSetImpl<const llvm::GlobalValue *> &group) {
  if (function.isDeclaration() || !group.insert(&function).second)
    return;
  for (llvm::Instruction &instruction : llvm::instructions(function))
    if (auto *call = llvm::dyn_cast<llvm::CallBase>(&instruction))
      if (llvm::Function *callee = call->getCalledFunction())
        addCallees(*callee, group);
}

Partition::Partition(llvm::Module &module) {
  llvm::SmallPtrSet<const llvm::GlobalValue *, 4> exported;
  for (llvm::Function &function : module)
    if (!function.hasLocalLinkage())
      addCallees(function, exported);
  std::vector<std::pair<size_t, llvm::Function *>> others;
  size_t first = 0, all = 0;
  for (llvm::Function &function : module) {
    size_t size = function.getInstructionCount();
    all += size;
    if (exported.contains(&function))
      first += size;
    else if (!function.isDeclaration())
      others.emplace_back(size, &function);
  }
  parts = std::min(kMostParts, 1 + all / kInstructionsPerPart);
  // The largest first, each to the smallest part; all else is in the first.
  llvm::stable_sort(
      others, [](const auto &a, const auto &b) { return a.first > b.first; });
  std::vector<size_t> sizes(parts);
  sizes.front() = first;
  for (auto [size, function] : others) {
    size_t part = llvm::min_element(sizes) - sizes.begin();
    sizes[part] += size;
    of[function] = part;
  }
}

using Object = llvm::SmallVector<char, 0>;

/// Optimizes and generates a module, given as bitcode.
static llvm::Expected<Object> generatePart(const Object &bitcode,
                                           const NativeTarget &target) {
  llvm::LLVMContext context;
  auto module = llvm::parseBitcodeFile(
      {llvm::StringRef(bitcode.data(), bitcode.size()), "part"}, context);
  if (!module)
    return module.takeError();
  auto machine = createTargetMachine(target);
  if (!machine)
    return machine.takeError();
  return generateCode(**module, **machine, CodeKind::Object);
}

llvm::Expected<std::vector<Object>> TargetModule::generateObjects() {
  Partition partition(*ir);
  // What parts share must be visible to the linker, and to nobody else.
  for (llvm::GlobalValue &value : ir->global_values())
    if (value.hasLocalLinkage()) {
      value.setLinkage(llvm::GlobalValue::ExternalLinkage);
      value.setVisibility(llvm::GlobalValue::HiddenVisibility);
    }
  std::vector<Object> bitcodes(partition.parts);
  for (auto [part, bitcode] : llvm::enumerate(bitcodes)) {
    llvm::ValueToValueMapTy map;
    std::unique_ptr<llvm::Module> own = llvm::CloneModule(
        *ir, map, [&, part = part](const llvm::GlobalValue *value) {
          return partition.of.lookup(value) == part;
        });
    llvm::raw_svector_ostream os(bitcode);
    llvm::WriteBitcodeToFile(*own, os);
  }
  ir.reset();
  // The first one, and where no thread can be started, in this thread.
  std::vector<std::future<llvm::Expected<Object>>> futures;
  for (const Object &bitcode : bitcodes)
    futures.push_back(std::async(
        futures.empty() ? std::launch::deferred
                        : std::launch::async | std::launch::deferred,
        [&bitcode, this] { return generatePart(bitcode, *target); }));
  llvm::Error failures = llvm::Error::success();
  std::vector<Object> objects;
  for (auto &future : futures) {
    auto object = future.get(); // every one: errors are joined
    if (object)
      objects.push_back(std::move(*object));
    else
      failures = llvm::joinErrors(std::move(failures), object.takeError());
  }
  if (failures)
    return failures;
  return objects;
}
