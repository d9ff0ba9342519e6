//===- sysmol-translate.cpp - Foreign models to MLIR ----------------------===//
//
// sysmol-translate --import-onnx FILE [--batch N] [-o OUT]
//
//===----------------------------------------------------------------------===//

#include "sysmol/Target/ONNX/Import.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/ToolOutputFile.h"

namespace cl = llvm::cl;

static int refuse(const llvm::Twine &reason) {
  llvm::errs() << "sysmol-translate: error: " << reason << "\n";
  return 1;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::OptionCategory category("sysmol-translate options");
  cl::opt<bool> importONNX("import-onnx", cl::cat(category),
                           cl::desc("Read an ONNX model with QONNX Quant nodes "
                                    "(the default)"));
  cl::opt<int64_t> batch("batch", cl::cat(category), cl::init(1),
                         cl::desc("Images at once, where the file leaves it "
                                  "open"));
  cl::opt<std::string> function("function", cl::cat(category), cl::init("main"),
                                cl::desc("Name of the function"));
  cl::opt<bool> locations("locations", cl::cat(category),
                          cl::desc("Print the node that each op comes from"));
  cl::opt<std::string> output("o", cl::cat(category), cl::init("-"),
                              cl::value_desc("file"),
                              cl::desc("Where to write MLIR"));
  cl::opt<std::string> input(cl::Positional, cl::cat(category), cl::Required,
                             cl::desc("<file.onnx>"));
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv,
                              "Turns foreign models into hetprec MLIR\n");

  mlir::MLIRContext context;
  sysmol::ImportOptions options;
  options.batch = batch;
  options.functionName = function;
  auto module = sysmol::importONNX(llvm::StringRef(input), &context, options);
  if (!module)
    return refuse(llvm::toString(module.takeError()));

  // Opened only now: nothing is written for a model that is refused.
  std::error_code code;
  llvm::ToolOutputFile file(output, code, llvm::sys::fs::OF_None);
  if (code)
    return refuse(llvm::Twine(output) + ": cannot write: " + code.message());
  mlir::OpPrintingFlags flags;
  if (locations)
    flags.enableDebugInfo();
  (*module)->print(file.os(), flags);
  file.os() << "\n";
  file.os().flush();
  if (file.os().has_error()) {
    code = file.os().error();
    file.os().clear_error();
    return refuse(llvm::Twine(output) + ": cannot write: " + code.message());
  }
  file.keep();
  return 0;
}
