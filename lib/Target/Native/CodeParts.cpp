//===- CodeParts.cpp - Several objects of one module, side by side --------===//
//
// A network's code is a function for each task beside the network itself
// (hetprec-outline-parallel). The network knows tasks by address only, and
// layers that are never inlined by name, so they are optimized and generated
// apart, in LLVM contexts of their own, each with what else it calls by name.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Target/Common/EmitLLVM.h"
#include "sysmol/Target/Native/CodeGen.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"
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

/// Whether other parts may use what no other module sees.
static bool isSeenByParts(const llvm::Function &function) {
  return function.hasAddressTaken() ||
         function.hasFnAttribute(llvm::Attribute::NoInline);
}

namespace {
/// Which part defines which function; the first has what is exported.
struct Partition {
  size_t parts;
  llvm::DenseMap<const llvm::Function *, size_t> of;

  explicit Partition(llvm::Module &module);
};
} // namespace

Partition::Partition(llvm::Module &module) {
  // What calls each other by name stays together, if it may be inlined.
  llvm::EquivalenceClasses<llvm::Function *> groups;
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    groups.insert(&function);
    for (llvm::Instruction &instruction : llvm::instructions(function))
      if (auto *call = llvm::dyn_cast<llvm::CallBase>(&instruction))
        if (llvm::Function *callee = call->getCalledFunction();
            callee && !callee->isDeclaration() &&
            !callee->hasFnAttribute(llvm::Attribute::NoInline))
          groups.unionSets(&function, callee);
  }
  llvm::MapVector<llvm::Function *, size_t> sizes; // of groups
  llvm::SmallPtrSet<llvm::Function *, 4> exported;
  size_t first = 0, others = 0;
  for (llvm::Function &function : module)
    if (!function.isDeclaration() && !function.hasLocalLinkage())
      exported.insert(groups.getLeaderValue(&function));
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    llvm::Function *leader = groups.getLeaderValue(&function);
    size_t size = function.getInstructionCount();
    if (exported.contains(leader)) {
      first += size;
      continue;
    }
    others += size;
    sizes[leader] += size;
  }
  parts = std::min(
      {kMostParts, 1 + others / kInstructionsPerPart, 1 + sizes.size()});
  // The largest first, each to the smallest part.
  auto bySize = sizes.takeVector();
  llvm::stable_sort(
      bySize, [](const auto &a, const auto &b) { return a.second > b.second; });
  std::vector<size_t> loads(parts);
  loads.front() = first;
  for (auto [leader, size] : bySize) {
    size_t part = llvm::min_element(loads) - loads.begin();
    loads[part] += size;
    for (llvm::Function *function : groups.members(leader))
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
  assert(kind == CodeKind::Object && "a part is an object");
  Partition partition(*ir);
  if (partition.parts == 1) {
    std::vector<Object> objects(1);
    if (llvm::Error error = generateCode().moveInto(objects.front()))
      return error;
    return objects;
  }
  // What parts share must be visible to the linker, and to nobody else.
  for (llvm::Function &function : *ir)
    if (function.hasLocalLinkage() && isSeenByParts(function)) {
      function.setLinkage(llvm::GlobalValue::ExternalLinkage);
      function.setVisibility(llvm::GlobalValue::HiddenVisibility);
    }
  std::vector<Object> bitcodes(partition.parts);
  for (auto [part, bitcode] : llvm::enumerate(bitcodes)) {
    llvm::ValueToValueMapTy map;
    std::unique_ptr<llvm::Module> own = llvm::CloneModule(
        *ir, map, [&, part = part](const llvm::GlobalValue *value) {
          // Each part has the constants that it reads.
          auto *function = llvm::dyn_cast<llvm::Function>(value);
          return !function || partition.of.lookup(function) == part;
        });
    llvm::raw_svector_ostream os(bitcode);
    llvm::WriteBitcodeToFile(*own, os);
  }
  ir.reset();
  // The first one, and where no thread can be started, in this thread.
  std::vector<std::future<llvm::Expected<Object>>> futures;
  futures.reserve(bitcodes.size());
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
