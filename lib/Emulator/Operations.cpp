//===- Operations.cpp - What NVVM intrinsics and PTX mean -----------------===//

#include "Operations.h"

using namespace sysmol::emulator;

std::optional<Operation>
sysmol::emulator::operationForIntrinsic(llvm::StringRef name) {
  for (auto find : {mmaForIntrinsic, warpForIntrinsic, memoryForIntrinsic,
                    integerForIntrinsic})
    if (auto operation = find(name))
      return operation;
  if (name.consume_front("read.ptx.sreg."))
    return specialRegister(name);
  return std::nullopt;
}

std::optional<Operation>
sysmol::emulator::operationForPtx(llvm::StringRef mnemonic, size_t operands) {
  for (auto find :
       {mmaForPtx, warpgroupForPtx, warpForPtx, memoryForPtx, integerForPtx})
    if (auto operation = find(mnemonic, operands))
      return operation;
  return std::nullopt;
}
