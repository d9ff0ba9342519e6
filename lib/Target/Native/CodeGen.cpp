//===- CodeGen.cpp - LLVM dialect to native code --------------------------===//

#include "sysmol/Target/Native/CodeGen.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "sysmol/Target/Common/EmitLLVM.h"
#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/Native/Network.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

using namespace sysmol;

const std::vector<NativeTarget> &sysmol::getNativeTargetTable() {
  static const std::vector<NativeTarget> table = {
      {"x86-64-avx512",
       "x86_64-unknown-linux-gnu",
       "x86-64-v4",
       "znver4",
       {"avx512vbmi", "avx512vnni", "avx512bitalg", "avx512vpopcntdq", "gfni"},
       {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi",
        "avx512vnni", "avx512bitalg", "avx512vpopcntdq", "gfni", "avx2", "fma",
        "bmi2"},
       MacLowering::AVX512,
       /*laneBlocks=*/2,
       /*rowTile=*/4,
       /*byteSums=*/8,
       /*dotSums=*/16},
      {"x86-64-avx2",
       "x86_64-unknown-linux-gnu",
       "x86-64-v3",
       "haswell",
       {},
       {"avx2", "fma", "bmi2"},
       MacLowering::AVX2,
       /*laneBlocks=*/1,
       /*rowTile=*/4,
       /*byteSums=*/4,
       /*dotSums=*/4},
      {"x86-64-generic",
       "x86_64-unknown-linux-gnu",
       "x86-64",
       "generic",
       {},
       {},
       MacLowering::Generic,
       /*laneBlocks=*/1,
       /*rowTile=*/1,
       /*byteSums=*/8,
       /*dotSums=*/4},
  };
  return table;
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
sysmol::createTargetMachine(const NativeTarget &target) {
  std::string features;
  for (const std::string &feature : target.features)
    features += (features.empty() ? "+" : ",+") + feature;
  llvm::TargetOptions options;
  // HP15: every operation rounds once.
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  options.FunctionSections = true;
  return makeTargetMachine(target.triple, target.cpu, features, options);
}

/// The exported function: unpacks the arrays of pointers.
static void createEntry(llvm::Module &module, llvm::Function *network,
                        unsigned numInputs, llvm::StringRef name) {
  llvm::LLVMContext &context = module.getContext();
  auto *pointer = llvm::PointerType::getUnqual(context);
  auto *type = llvm::FunctionType::get(
      llvm::Type::getInt32Ty(context),
      {pointer, pointer, pointer, pointer, pointer}, /*isVarArg=*/false);
  auto *entry = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage,
                                       name, module);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "entry", entry));
  // Weights, arena and parallel runtime come first.
  llvm::SmallVector<llvm::Value *> args = {entry->getArg(0), entry->getArg(1),
                                           entry->getArg(4)};
  for (unsigned i = 0; i + 3 < network->arg_size(); ++i) {
    bool isInput = i < numInputs;
    llvm::Value *slot = b.CreateConstInBoundsGEP1_32(
        pointer, entry->getArg(isInput ? 2 : 3), isInput ? i : i - numInputs);
    args.push_back(b.CreateLoad(pointer, slot));
  }
  b.CreateCall(network, args);
  b.CreateRet(b.getInt32(0));
}

TargetModule::TargetModule() = default;
TargetModule::TargetModule(TargetModule &&) noexcept = default;
TargetModule::~TargetModule() = default;

llvm::Expected<TargetModule>
TargetModule::create(mlir::ModuleOp module, unsigned numInputs,
                     const NativeTarget &target,
                     const CodeGenOptions &options) {
  mlir::registerBuiltinDialectTranslation(*module.getContext());
  mlir::registerLLVMDialectTranslation(*module.getContext());
  TargetModule result;
  result.kind = options.kind;
  result.target = &target;
  result.context = std::make_unique<llvm::LLVMContext>();
  llvm::LLVMContext &context = *result.context;
  result.ir = mlir::translateModuleToLLVMIR(module, context, "sysmol");
  if (!result.ir)
    return makeError("translation to LLVM IR failed");
  auto machine = createTargetMachine(target);
  if (!machine)
    return machine.takeError();
  result.machine = std::move(*machine);
  llvm::Module *ir = result.ir.get();
  ir->setTargetTriple(result.machine->getTargetTriple());
  ir->setDataLayout(result.machine->createDataLayout());

  llvm::Function *network = ir->getFunction(kNetworkName);
  if (!network || network->isDeclaration())
    return makeError(llvm::Twine("the module defines no function '") +
                     kNetworkName + "'");
  network->setLinkage(llvm::GlobalValue::InternalLinkage);
  // Weights, arena, inputs and outputs never overlap, and nothing unwinds.
  for (llvm::Argument &arg : network->args())
    arg.addAttr(llvm::Attribute::NoAlias);
  network->getArg(0)->addAttr(llvm::Attribute::ReadOnly);
  for (unsigned i : {0u, 1u})
    network->getArg(i)->addAttr(
        llvm::Attribute::getWithAlignment(context, llvm::Align(64)));
  createEntry(*ir, network, numInputs, options.entryName);
  for (llvm::Function &function : *ir) {
    if (function.isDeclaration()) {
      // A bundle's code is linked alone: what is missing would be found where
      // it is loaded.
      if (!function.isIntrinsic() && !function.use_empty())
        return makeError("the code calls '" + function.getName() +
                         "', which compiled networks do not have");
      continue;
    }
    function.addFnAttr(llvm::Attribute::NoUnwind);
    // Else spilled registers straddle cache lines, and reloads wait for stores.
    function.addFnAttr(
        llvm::Attribute::getWithStackAlignment(context, llvm::Align(64)));
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("tune-cpu", target.tuneFor);
    function.addFnAttr("target-features",
                       result.machine->getTargetFeatureString());
    // x86-64-v4 prefers 256 bits on its own; our registers are 512 wide.
    if (target.mac == MacLowering::AVX512) {
      function.addFnAttr("prefer-vector-width", "512");
      function.addFnAttr("min-legal-vector-width", "512");
    }
  }
  if (!options.weightsName.empty()) {
    auto blob =
        module->getAttrOfType<mlir::DenseElementsAttr>("hetprec.weights");
    llvm::ArrayRef<char> raw = blob.getRawData();
    std::string bytes(raw.begin(), raw.end());
    if (blob.isSplat())
      bytes.assign(blob.getNumElements(), raw.front());
    auto *init = llvm::ConstantDataArray::getString(context, bytes,
                                                    /*AddNull=*/false);
    auto *global = new llvm::GlobalVariable(
        *ir, init->getType(), /*isConstant=*/true,
        llvm::GlobalValue::ExternalLinkage, init, options.weightsName);
    global->setAlignment(llvm::Align(64));
  }

  return result;
}

llvm::Expected<llvm::SmallVector<char, 0>> TargetModule::generateCode() {
  return sysmol::generateCode(*ir, *machine, kind);
}

llvm::Expected<llvm::SmallVector<char, 0>>
sysmol::generateCode(llvm::Module &module, llvm::TargetMachine &machine,
                     CodeKind kind) {
  optimizeModule(module, machine, llvm::OptimizationLevel::O2,
                 LoopVectorization::On);

  llvm::SmallVector<char, 0> code;
  llvm::raw_svector_ostream os(code);
  if (kind == CodeKind::LLVMIR) {
    module.print(os, nullptr);
    return code;
  }
  if (llvm::Error error = emitModule(module, machine,
                                     kind == CodeKind::Object
                                         ? llvm::CodeGenFileType::ObjectFile
                                         : llvm::CodeGenFileType::AssemblyFile,
                                     os))
    return error;
  return code;
}
