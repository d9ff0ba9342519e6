//===- Reference.h - Comparison with the reference interpreter --*- C++ -*-===//

#ifndef SYSMOL_TOOLS_SYSMOL_RUN_REFERENCE_H
#define SYSMOL_TOOLS_SYSMOL_RUN_REFERENCE_H

#include "sysmol/Runtime/Error.h"
#include "sysmol/Runtime/Metadata.h"
#include "sysmol/Runtime/Model.h"

#include <string>
#include <vector>

namespace sysmol::run {

/// Runs `network` (.onnx or .mlir) through the reference interpreter on
/// `count` images and compares every byte of `outputs`. The compiler is loaded
/// only for this: sysmol-run itself contains neither MLIR nor LLVM.
runtime::Status
compareWithReference(const std::string &network, const runtime::Metadata &meta,
                     uint64_t count,
                     const std::vector<runtime::ConstBuffer> &inputs,
                     const std::vector<runtime::Buffer> &outputs);

} // namespace sysmol::run

#endif // SYSMOL_TOOLS_SYSMOL_RUN_REFERENCE_H
