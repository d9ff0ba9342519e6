//===- sysmol-lsp-server.cpp - hetprec programs in an editor --------------===//

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "sysmol/InitAll.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  sysmol::registerAllHetprecDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
