//===- sysmol-opt.cpp - mlir-opt with the hetprec dialect -----------------===//

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "sysmol/InitAll.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  sysmol::registerAllHetprecDialects(registry);
  sysmol::registerAllHetprecPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Sysmol optimizer driver\n", registry));
}
