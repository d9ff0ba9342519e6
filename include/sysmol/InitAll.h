//===- InitAll.h - Everything of Sysmol, for embedders ----------*- C++ -*-===//

#ifndef SYSMOL_INITALL_H
#define SYSMOL_INITALL_H

#include "mlir/IR/DialectRegistry.h"
#include "sysmol/Conversion/Passes.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "sysmol/Pipelines/Pipelines.h"

namespace sysmol {

/// The dialect, and its models of upstream interfaces.
inline void registerAllHetprecDialects(mlir::DialectRegistry &registry) {
  registry.insert<hetprec::HetprecDialect>();
  hetprec::registerBufferizableOpInterfaceExternalModels(registry);
}

/// All passes and pipelines, by name.
inline void registerAllHetprecPasses() {
  hetprec::registerHetprecPasses();
  registerHetprecConversionPasses();
  registerPipelines();
}

} // namespace sysmol

#endif // SYSMOL_INITALL_H
