//===- Plugin.cpp - The hetprec dialect for a stock mlir-opt --------------===//
//
//   mlir-opt --load-dialect-plugin=SysmolPlugin.so \
//            --load-pass-plugin=SysmolPlugin.so --pass-pipeline=...
//
// The same dialect, passes and pipelines as in sysmol-opt.
//
//===----------------------------------------------------------------------===//

#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "sysmol/InitAll.h"
#include "llvm/Config/llvm-config.h"

// Everything else in this library is hidden.
extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT mlir::DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "Sysmol", LLVM_VERSION_STRING,
          [](mlir::DialectRegistry *registry) {
            sysmol::registerAllHetprecDialects(*registry);
          }};
}

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT mlir::PassPluginLibraryInfo
mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "Sysmol", LLVM_VERSION_STRING,
          [] { sysmol::registerAllHetprecPasses(); }};
}
