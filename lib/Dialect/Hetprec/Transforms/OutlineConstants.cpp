//===- OutlineConstants.cpp - Constants into one blob of weights ----------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_OUTLINECONSTANTSPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

static constexpr size_t kAlignment = 8;
/// What a kernel streams through is loaded in whole cache lines.
static constexpr size_t kStreamAlignment = 64, kLeastStream = 4096;
/// Bytes behind the last table that may be read.
static constexpr size_t kReadBehind = 4;

static size_t getAlignment(StringRef bytes) {
  return bytes.size() < kLeastStream ? kAlignment : kStreamAlignment;
}
static constexpr StringLiteral kWeights = "hetprec.weights";

/// The raw little-endian bytes of a constant.
static std::string getBytes(DenseElementsAttr value) {
  ArrayRef<char> raw = value.getRawData();
  int64_t copies = value.isSplat() ? value.getNumElements() : 1;
  std::string bytes;
  for (int64_t i = 0; i < copies; ++i)
    bytes.append(raw.begin(), raw.end());
  return bytes;
}

/// The first aligned place of `bytes` in `blob`.
static size_t findAligned(StringRef blob, StringRef bytes) {
  size_t at = blob.find(bytes);
  while (at != StringRef::npos && at % getAlignment(bytes) != 0)
    at = blob.find(bytes, at + 1);
  return at;
}

namespace {
struct OutlineConstantsPass
    : sysmol::hetprec::impl::OutlineConstantsPassBase<OutlineConstantsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    func::FuncOp function;
    for (auto candidate : module.getOps<func::FuncOp>())
      if (candidate.isPublic() && !candidate.isDeclaration()) {
        if (function) {
          candidate.emitError("a network is one public function; found '")
              << function.getName() << "' and '" << candidate.getName() << "'";
          return signalPassFailure();
        }
        function = candidate;
      }
    if (!function) {
      module.emitError("a network is one public function; found none");
      return signalPassFailure();
    }

    DenseMap<Attribute, StringRef> bytesOf;
    llvm::StringMap<int64_t> offsets;
    SmallVector<StringRef> order;
    SmallVector<memref::GetGlobalOp> uses;
    SymbolTable symbols(module);
    llvm::SetVector<memref::GlobalOp> outlined;
    llvm::StringSet<> stillUsed; // by other functions
    module.walk([&](memref::GetGlobalOp use) {
      if (use->getParentOfType<func::FuncOp>() != function)
        stillUsed.insert(use.getName());
    });
    function.walk([&](memref::GetGlobalOp use) {
      auto global = symbols.lookup<memref::GlobalOp>(use.getName());
      if (!global || !global.getConstant())
        return;
      auto value = dyn_cast_or_null<DenseElementsAttr>(
          global.getInitialValue().value_or(Attribute()));
      if (!value || value.getElementType().getIntOrFloatBitWidth() % 8 != 0)
        return;
      uses.push_back(use);
      outlined.insert(global);
      auto [entry, isNew] = bytesOf.try_emplace(value);
      if (!isNew)
        return;
      auto [place, isFirst] = offsets.try_emplace(getBytes(value));
      entry->second = place->first();
      if (isFirst)
        order.push_back(place->first());
    });
    // A layer's in the order that its code comes to them, so that layers of one
    // shape mostly read equally far apart (hetprec-share-bodies); behind the
    // blob of the targets before this one, which share it.
    std::string blob;
    if (auto earlier = module->getAttrOfType<DenseElementsAttr>(kWeights))
      blob = getBytes(earlier);
    const size_t shared = blob.size();
    for (StringRef bytes : order) {
      int64_t &offset = offsets[bytes];
      size_t found = findAligned(StringRef(blob).take_front(shared), bytes);
      if (found != StringRef::npos) {
        offset = found;
        continue;
      }
      blob.resize(llvm::alignTo(blob.size(), getAlignment(bytes)));
      offset = blob.size();
      blob += bytes;
    }
    // Row words are loaded several at a time (hetprec-vectorize-lanes): what a
    // load reads behind the last ones must exist. A network without constants
    // still takes the argument.
    if (blob.size() > shared || blob.empty())
      blob.resize(llvm::alignTo(blob.size() + kReadBehind, kAlignment));
    numBytes += blob.size();

    OpBuilder b(function);
    auto type = MemRefType::get({int64_t(blob.size())}, b.getI8Type());
    if (failed(function.insertArgument(0, type, {}, function.getLoc())))
      return signalPassFailure();
    Value weights = function.getArgument(0);
    for (memref::GetGlobalOp use : uses) {
      auto global = symbols.lookup<memref::GlobalOp>(use.getName());
      b.setInsertionPoint(use);
      Value offset = arith::ConstantIndexOp::create(
          b, use.getLoc(), offsets.at(bytesOf.at(*global.getInitialValue())));
      Value view = memref::ViewOp::create(b, use.getLoc(), use.getType(),
                                          weights, offset, ValueRange());
      use.replaceAllUsesWith(view);
      use.erase();
    }
    for (memref::GlobalOp global : outlined)
      if (!stillUsed.contains(global.getSymName()))
        global.erase();
    auto blobType =
        RankedTensorType::get({int64_t(blob.size())}, b.getI8Type());
    module->setAttr(kWeights,
                    DenseElementsAttr::getFromRawBuffer(
                        blobType, ArrayRef<char>(blob.data(), blob.size())));
  }
};
} // namespace
