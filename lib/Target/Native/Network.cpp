//===- Network.cpp - The one function of a module -------------------------===//

#include "sysmol/Target/Native/Network.h"

#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/Common/ModelFile.h"
#include "sysmol/Target/ONNX/Import.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace sysmol;

llvm::Expected<OwningOpRef<ModuleOp>>
sysmol::readNetwork(const std::string &path, MLIRContext *context,
                    unsigned batch) {
  if (path.empty())
    return makeError("the name of the input is empty; give an .onnx or .mlir "
                     "file",
                     FailureKind::Usage);
  llvm::StringRef extension = llvm::sys::path::extension(path);
  if (extension == ".onnx") {
    ImportOptions import;
    import.batch = batch;
    return importONNX(llvm::StringRef(path), context, import);
  }
  if (extension == ".mlir")
    return readModelFile(path, context);
  return makeError(path + ": unknown kind of file; allowed are .onnx (QONNX) "
                          "and .mlir (hetprec model ops)");
}

func::FuncOp sysmol::getNetwork(ModuleOp module) {
  for (auto function : module.getOps<func::FuncOp>())
    if (function.isPublic() && !function.isDeclaration())
      return function;
  return {};
}

/// What of `attrs` is our own.
static DictionaryAttr keepOwn(DictionaryAttr attrs) {
  SmallVector<NamedAttribute> own;
  for (NamedAttribute attr : attrs)
    if (attr.getName().strref().starts_with("hetprec."))
      own.push_back(attr);
  return DictionaryAttr::get(attrs.getContext(), own);
}

std::string sysmol::checkModule(ModuleOp module) {
  auto functions = module.getOps<func::FuncOp>();
  auto isNetwork = [](func::FuncOp function) {
    return function.isPublic() && !function.isDeclaration();
  };
  if (int64_t count = llvm::count_if(functions, isNetwork); count != 1)
    return llvm::formatv("a network is one public function, found {0}", count);
  func::FuncOp network = getNetwork(module);
  for (Operation &op : *module.getBody())
    if (&op != network.getOperation())
      return llvm::formatv("'{0}' stands beside the network; a module holds "
                           "one public func.func and nothing else",
                           op.getName().getStringRef());

  // The weights are what the phases make of the constants.
  for (NamedAttribute attr : llvm::to_vector(module->getDiscardableAttrs()))
    module->removeDiscardableAttr(attr.getName());
  network->setDiscardableAttrs(
      keepOwn(network->getDiscardableAttrDictionary()));
  network->removeDiscardableAttr("hetprec.arena_bytes");
  for (unsigned i = 0; i < network.getNumArguments(); ++i)
    if (DictionaryAttr attrs = network.getArgAttrDict(i))
      network.setArgAttrs(i, keepOwn(attrs));
  for (unsigned i = 0; i < network.getNumResults(); ++i)
    if (DictionaryAttr attrs = network.getResultAttrDict(i))
      network.setResultAttrs(i, keepOwn(attrs));
  return "";
}

llvm::Expected<uint64_t> sysmol::readFloatBytes(func::FuncOp network) {
  auto bytes = network->getAttrOfType<IntegerAttr>("hetprec.float_bytes");
  if (!bytes)
    return 0;
  const llvm::APInt &count = bytes.getValue(); // of any width
  if (count.isNegative() || count.getActiveBits() > 63)
    return makeError("'hetprec.float_bytes' is " +
                     llvm::toString(count, 10, /*Signed=*/true) +
                     "; bytes are counted from 0 on, in 63 bits");
  return count.getZExtValue();
}
