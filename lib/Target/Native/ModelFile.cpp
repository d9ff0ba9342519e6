//===- ModelFile.cpp - What an .mlir file may hold ------------------------===//

#include "ModelFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

/// Far more than any model needs, far less than a stack holds.
static constexpr unsigned kMaxNesting = 256;

std::string sysmol::findDeepNesting(llvm::StringRef text) {
  unsigned depth = 0, minuses = 0, line = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i], next = i + 1 < text.size() ? text[i + 1] : 0;
    // Affine expressions descend once for each minus.
    if (c != '-' && !llvm::isSpace(c))
      minuses = 0;
    switch (c) {
    case '\n':
      ++line;
      break;
    case '"': // a string, which ends in its line
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i)
        if (text[i] == '\\')
          ++i;
      line += i < text.size() && text[i] == '\n';
      break;
    case '/':
      if (next == '/') {
        i = std::min(text.find('\n', i), text.size());
        ++line;
      }
      break;
    case '(':
    case '[':
    case '{':
      ++depth;
      break;
    case '<':
      depth += next != '=';
      break;
    case ')':
    case ']':
    case '}':
      depth -= depth > 0;
      break;
    case '>': // no bracket in -> and >=
      if (next != '=' && (i == 0 || text[i - 1] != '-'))
        depth -= depth > 0;
      break;
    case '-':
      ++minuses;
      break;
    default:
      break;
    }
    if (depth > kMaxNesting || minuses > kMaxNesting)
      return llvm::formatv("line {0} is nested deeper than {1} brackets", line,
                           kMaxNesting);
  }
  return "";
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
