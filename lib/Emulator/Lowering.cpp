//===- Lowering.cpp - From nvptx64 IR to IR for this CPU ------------------===//
//
// Intrinsics and inline PTX become calls of the machine with the arguments in
// slots; every access to memory is preceded by a check. Shared variables become
// fixed addresses: blocks run one after another, so that one window serves all.
//
//===----------------------------------------------------------------------===//

#include "Lowering.h"

#include "InlinePtx.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Verifier.h"
#include "llvm/TargetParser/Triple.h"

using namespace sysmol::emulator;

static void callFromKernel(Machine *machine, Site *site, const Slot *arguments,
                           Slot *results) {
  machine->call(*site, arguments, results);
}

static void checkFromKernel(Machine *machine, uint64_t address, uint64_t bytes,
                            uint64_t align, uint32_t kind) {
  machine->check(address, bytes, align, static_cast<AccessKind>(kind));
}

static constexpr unsigned SharedSpace = 3;

namespace {
class Lowering {
public:
  Lowering(llvm::Module &module, Machine &machine)
      : module(module), machine(machine), context(module.getContext()),
        word(llvm::Type::getInt64Ty(context)),
        pointer(llvm::PointerType::get(context, 0)) {}

  llvm::Expected<LoweredModule> run(const llvm::DataLayout &target,
                                    llvm::StringRef triple);

private:
  llvm::Error refuse(const llvm::Twine &message) const {
    return llvm::make_error<EmulatorError>(FaultKind::Refused, message.str());
  }
  llvm::Value *constantPointer(const void *address) const {
    return llvm::ConstantExpr::getIntToPtr(
        llvm::ConstantInt::get(word, reinterpret_cast<uint64_t>(address)),
        pointer);
  }

  llvm::Error placeShared(const llvm::DataLayout &layout);
  llvm::Error lowerFunction(llvm::Function &function);
  llvm::Error lowerCall(llvm::CallInst &call);
  llvm::Error lowerIntrinsic(llvm::CallInst &call, llvm::StringRef name);
  llvm::Error lowerAssembly(llvm::CallInst &call);
  llvm::Error addChecks(llvm::Instruction &instruction);
  void addCheck(llvm::IRBuilder<> &builder, llvm::Value *address,
                llvm::Value *bytes, uint64_t align, AccessKind kind);
  void wrapKernel(llvm::Function &kernel);

  /// Calls an operation; gives its results as slots.
  llvm::SmallVector<llvm::Value *>
  emitCall(llvm::IRBuilder<> &builder, Operation operation,
           llvm::ArrayRef<llvm::Value *> arguments);
  llvm::Expected<llvm::Value *> toSlot(llvm::IRBuilder<> &builder,
                                       llvm::Value *value);
  llvm::Expected<llvm::Value *> fromSlot(llvm::IRBuilder<> &builder,
                                         llvm::Value *slot, llvm::Type *type);
  /// Replaces a call by results in slots.
  llvm::Error replace(llvm::IRBuilder<> &builder, llvm::CallInst &call,
                      llvm::ArrayRef<llvm::Value *> slots);

  llvm::Module &module;
  Machine &machine;
  llvm::LLVMContext &context;
  llvm::IntegerType *word;
  llvm::PointerType *pointer;
  LoweredModule lowered;

  // Of the function at hand: room for the slots of one call.
  static constexpr unsigned MaxSlots = 136; // wgmma of 256 columns
  llvm::AllocaInst *argumentRoom = nullptr;
  llvm::AllocaInst *resultRoom = nullptr;
};
} // namespace

//===----------------------------------------------------------------------===//
// Slots
//===----------------------------------------------------------------------===//

llvm::Expected<llvm::Value *> Lowering::toSlot(llvm::IRBuilder<> &builder,
                                               llvm::Value *value) {
  llvm::Type *type = value->getType();
  if (type->isPointerTy())
    return builder.CreatePtrToInt(value, word);
  unsigned bits = type->getPrimitiveSizeInBits();
  if (!bits || bits > 64)
    return refuse("an operation has an argument of more than 64 bits");
  if (!type->isIntegerTy())
    value = builder.CreateBitCast(value, builder.getIntNTy(bits));
  return builder.CreateZExt(value, word);
}

llvm::Expected<llvm::Value *> Lowering::fromSlot(llvm::IRBuilder<> &builder,
                                                 llvm::Value *slot,
                                                 llvm::Type *type) {
  if (type->isPointerTy())
    return builder.CreateIntToPtr(slot, type);
  unsigned bits = type->getPrimitiveSizeInBits();
  if (!bits || bits > 64)
    return refuse("an operation has a result of more than 64 bits");
  llvm::Value *value = builder.CreateTrunc(slot, builder.getIntNTy(bits));
  return type->isIntegerTy() ? value : builder.CreateBitCast(value, type);
}

llvm::SmallVector<llvm::Value *>
Lowering::emitCall(llvm::IRBuilder<> &builder, Operation operation,
                   llvm::ArrayRef<llvm::Value *> arguments) {
  unsigned results = operation.results;
  Site &site = lowered.sites.emplace_back();
  site.operation = std::move(operation);
  for (auto [index, argument] : llvm::enumerate(arguments))
    builder.CreateStore(argument,
                        builder.CreateConstGEP1_32(word, argumentRoom, index));
  auto *type = llvm::FunctionType::get(
      builder.getVoidTy(), {pointer, pointer, pointer, pointer}, false);
  builder.CreateCall(
      type, constantPointer(reinterpret_cast<const void *>(&callFromKernel)),
      {constantPointer(&machine), constantPointer(&site), argumentRoom,
       resultRoom});
  llvm::SmallVector<llvm::Value *> slots;
  for (unsigned i = 0; i < results; ++i)
    slots.push_back(builder.CreateLoad(
        word, builder.CreateConstGEP1_32(word, resultRoom, i)));
  return slots;
}

llvm::Error Lowering::replace(llvm::IRBuilder<> &builder, llvm::CallInst &call,
                              llvm::ArrayRef<llvm::Value *> slots) {
  llvm::Type *type = call.getType();
  if (!type->isVoidTy()) {
    auto *structure = llvm::dyn_cast<llvm::StructType>(type);
    llvm::ArrayRef<llvm::Type *> types =
        structure ? structure->elements() : llvm::ArrayRef<llvm::Type *>(type);
    if (types.size() != slots.size())
      return refuse("'" + module.getName() + "': an operation gives " +
                    llvm::Twine(slots.size()) + " results where " +
                    llvm::Twine(types.size()) + " are taken");
    llvm::Value *whole = llvm::PoisonValue::get(type);
    for (auto [index, slot] : llvm::enumerate(slots)) {
      auto value = fromSlot(builder, slot, types[index]);
      if (!value)
        return value.takeError();
      whole =
          structure ? builder.CreateInsertValue(whole, *value, index) : *value;
    }
    call.replaceAllUsesWith(whole);
  }
  call.eraseFromParent();
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

llvm::Error Lowering::lowerIntrinsic(llvm::CallInst &call,
                                     llvm::StringRef name) {
  // Names of overloaded intrinsics end in the types of pointers.
  llvm::StringRef bare = name;
  size_t suffix = bare.rfind(".p");
  if (suffix != llvm::StringRef::npos &&
      llvm::all_of(bare.drop_front(suffix + 2), llvm::isDigit) &&
      suffix + 2 < bare.size())
    bare = bare.take_front(suffix);
  auto operation = operationForIntrinsic(bare);
  if (!operation)
    return refuse("the emulator does not know the intrinsic 'llvm.nvvm." +
                  name + "'");
  if (operation->arguments != call.arg_size() ||
      std::max(operation->arguments, operation->results) > MaxSlots)
    return refuse("'llvm.nvvm." + name + "' takes " +
                  llvm::Twine(operation->arguments) + " arguments, not " +
                  llvm::Twine(call.arg_size()));
  llvm::IRBuilder<> builder(&call);
  llvm::SmallVector<llvm::Value *> slots;
  for (llvm::Value *argument : call.args()) {
    auto slot = toSlot(builder, argument);
    if (!slot)
      return slot.takeError();
    slots.push_back(*slot);
  }
  return replace(builder, call,
                 emitCall(builder, std::move(*operation), slots));
}

llvm::Error Lowering::lowerAssembly(llvm::CallInst &call) {
  auto *assembly = llvm::cast<llvm::InlineAsm>(call.getCalledOperand());
  auto instructions = parseInlinePtx(assembly->getAsmString());
  if (!instructions)
    return instructions.takeError();
  auto refuseHere = [&](const llvm::Twine &why) {
    return refuse("inline PTX '" + llvm::Twine(assembly->getAsmString()) +
                  "': " + why);
  };

  // Placeholders count outputs, then inputs.
  llvm::IRBuilder<> builder(&call);
  llvm::SmallVector<llvm::Value *> values;
  unsigned outputs = 0;
  for (const auto &constraint : assembly->ParseConstraints()) {
    if (constraint.isIndirect)
      return refuseHere("the emulator knows no memory operands");
    if (constraint.Type == llvm::InlineAsm::isOutput) {
      values.push_back(nullptr);
      ++outputs;
    } else if (constraint.Type == llvm::InlineAsm::isInput) {
      auto slot = toSlot(builder, call.getArgOperand(values.size() - outputs));
      if (!slot)
        return slot.takeError();
      values.push_back(*slot);
      // Tied to an output: that begins with its value.
      unsigned tied = 0;
      if (!llvm::StringRef(constraint.Codes.front()).getAsInteger(10, tied) &&
          tied < outputs)
        values[tied] = *slot;
    }
  }

  for (const PtxInstruction &instruction : *instructions) {
    auto operation =
        operationForPtx(instruction.mnemonic, instruction.operands.size());
    if (!operation)
      return refuseHere("the emulator does not know '" + instruction.mnemonic +
                        "'");
    llvm::ArrayRef<llvm::SmallVector<PtxOperand, 4>> groups =
        instruction.operands;
    llvm::ArrayRef<PtxOperand> targets;
    if (operation->results) {
      if (groups.empty())
        return refuseHere("it has no operands");
      targets = groups.front();
      if (!operation->updates)
        groups = groups.drop_front();
    }
    llvm::SmallVector<llvm::Value *> slots;
    for (const auto &group : groups)
      for (const PtxOperand &operand : group) {
        llvm::Value *number = llvm::ConstantInt::get(word, operand.value, true);
        if (!operand.isPlaceholder) {
          slots.push_back(number);
          continue;
        }
        if (operand.placeholder >= values.size() ||
            !values[operand.placeholder])
          return refuseHere("$" + llvm::Twine(operand.placeholder) +
                            " is read but has no value");
        llvm::Value *value = values[operand.placeholder];
        slots.push_back(operand.value ? builder.CreateAdd(value, number)
                                      : value);
      }
    if (slots.size() != operation->arguments ||
        targets.size() != operation->results ||
        std::max(slots.size(), targets.size()) > MaxSlots)
      return refuseHere("'" + instruction.mnemonic + "' takes " +
                        llvm::Twine(operation->arguments) +
                        " operands and gives " +
                        llvm::Twine(operation->results));
    auto results = emitCall(builder, std::move(*operation), slots);
    for (auto [target, result] : llvm::zip_equal(targets, results)) {
      if (!target.isPlaceholder || target.placeholder >= outputs)
        return refuseHere("it writes what is no output");
      values[target.placeholder] = result;
    }
  }
  if (llvm::is_contained(llvm::ArrayRef(values).take_front(outputs), nullptr))
    return refuseHere("it leaves an output without a value");
  return replace(builder, call, llvm::ArrayRef(values).take_front(outputs));
}

llvm::Error Lowering::lowerCall(llvm::CallInst &call) {
  if (call.isInlineAsm())
    return lowerAssembly(call);
  llvm::Function *callee = call.getCalledFunction();
  if (!callee)
    return refuse("function '" + call.getFunction()->getName() +
                  "' calls through a pointer");
  llvm::StringRef name = callee->getName();
  if (name.consume_front("llvm.nvvm."))
    return lowerIntrinsic(call, name);
  if (auto *move = llvm::dyn_cast<llvm::MemIntrinsic>(&call)) {
    llvm::IRBuilder<> builder(&call);
    addCheck(builder, move->getRawDest(), move->getLength(), 1,
             AccessKind::Write);
    if (auto *transfer = llvm::dyn_cast<llvm::MemTransferInst>(move))
      addCheck(builder, transfer->getRawSource(), move->getLength(), 1,
               AccessKind::Read);
    return llvm::Error::success();
  }
  if (callee->isIntrinsic())
    return llvm::Error::success();
  if (callee->isDeclaration())
    return refuse("function '" + call.getFunction()->getName() + "' calls '" +
                  callee->getName() + "', which the module does not define");
  call.setCallingConv(llvm::CallingConv::C);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

void Lowering::addCheck(llvm::IRBuilder<> &builder, llvm::Value *address,
                        llvm::Value *bytes, uint64_t align, AccessKind kind) {
  auto *type = llvm::FunctionType::get(
      builder.getVoidTy(), {pointer, word, word, word, builder.getInt32Ty()},
      false);
  builder.CreateCall(
      type, constantPointer(reinterpret_cast<const void *>(&checkFromKernel)),
      {constantPointer(&machine), builder.CreatePtrToInt(address, word),
       builder.CreateZExtOrTrunc(bytes, word), builder.getInt64(align),
       builder.getInt32(static_cast<uint32_t>(kind))});
}

llvm::Error Lowering::addChecks(llvm::Instruction &instruction) {
  llvm::Value *address = nullptr;
  llvm::Type *type = nullptr;
  llvm::Align align;
  AccessKind kind;
  if (auto *load = llvm::dyn_cast<llvm::LoadInst>(&instruction)) {
    address = load->getPointerOperand();
    type = load->getType();
    align = load->getAlign();
    kind = AccessKind::Read;
  } else if (auto *store = llvm::dyn_cast<llvm::StoreInst>(&instruction)) {
    address = store->getPointerOperand();
    type = store->getValueOperand()->getType();
    align = store->getAlign();
    kind = AccessKind::Write;
  } else if (auto *update = llvm::dyn_cast<llvm::AtomicRMWInst>(&instruction)) {
    address = update->getPointerOperand();
    type = update->getType();
    align = update->getAlign();
    kind = AccessKind::Atomic;
  } else if (auto *exchange =
                 llvm::dyn_cast<llvm::AtomicCmpXchgInst>(&instruction)) {
    address = exchange->getPointerOperand();
    type = exchange->getCompareOperand()->getType();
    align = exchange->getAlign();
    kind = AccessKind::Atomic;
  } else {
    return llvm::Error::success();
  }
  // A thread's own variables and constants cannot be missed by much.
  const llvm::Value *object = llvm::getUnderlyingObject(address);
  if (llvm::isa<llvm::AllocaInst>(object) ||
      llvm::isa<llvm::GlobalVariable>(object))
    return llvm::Error::success();
  llvm::IRBuilder<> builder(&instruction);
  uint64_t bytes = module.getDataLayout().getTypeStoreSize(type);
  addCheck(builder, address, builder.getInt64(bytes), align.value(), kind);
  return llvm::Error::success();
}

/// Static shared variables first; the dynamic array begins after the last.
llvm::Error Lowering::placeShared(const llvm::DataLayout &layout) {
  llvm::SmallVector<llvm::GlobalVariable *> fixed, dynamic;
  for (llvm::GlobalVariable &variable : module.globals()) {
    if (variable.getAddressSpace() != SharedSpace)
      continue;
    bool isDynamic = variable.isDeclaration() ||
                     !layout.getTypeAllocSize(variable.getValueType());
    (isDynamic ? dynamic : fixed).push_back(&variable);
  }
  uint64_t offset = 0;
  auto place = [&](llvm::GlobalVariable *variable) {
    llvm::Align align = variable->getAlign().value_or(
        layout.getABITypeAlign(variable->getValueType()));
    offset = llvm::alignTo(offset, align);
    auto *address = llvm::ConstantExpr::getIntToPtr(
        llvm::ConstantInt::get(
            word, reinterpret_cast<uint64_t>(machine.sharedBase()) + offset),
        variable->getType());
    uint64_t bytes = layout.getTypeAllocSize(variable->getValueType());
    variable->replaceAllUsesWith(address);
    variable->eraseFromParent();
    return bytes;
  };
  for (llvm::GlobalVariable *variable : fixed)
    offset += place(variable);
  if (!dynamic.empty()) {
    // All dynamic arrays are one, as aligned as the most demanding.
    llvm::Align align(16);
    for (llvm::GlobalVariable *variable : dynamic)
      align = std::max(align, variable->getAlign().valueOrOne());
    offset = llvm::alignTo(offset, align);
    for (llvm::GlobalVariable *variable : dynamic)
      place(variable);
  }
  lowered.staticSharedBytes = offset;
  if (offset > Machine::MaxSharedBytes)
    return refuse("the module has " + llvm::Twine(offset) +
                  " bytes of static shared memory");
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

llvm::Error Lowering::lowerFunction(llvm::Function &function) {
  // Rooms come first; accesses of the lowering itself need no check.
  llvm::SmallVector<llvm::Instruction *> instructions;
  for (llvm::Instruction &instruction : llvm::instructions(function))
    instructions.push_back(&instruction);
  llvm::IRBuilder<> builder(&function.getEntryBlock(),
                            function.getEntryBlock().begin());
  auto *type = llvm::ArrayType::get(word, MaxSlots);
  argumentRoom = builder.CreateAlloca(type);
  resultRoom = builder.CreateAlloca(type);
  for (llvm::Instruction *instruction : instructions) {
    if (auto *call = llvm::dyn_cast<llvm::CallInst>(instruction)) {
      if (llvm::Error error = lowerCall(*call))
        return error;
      continue;
    }
    if (llvm::Error error = addChecks(*instruction))
      return error;
  }
  return llvm::Error::success();
}

void Lowering::wrapKernel(llvm::Function &kernel) {
  LoweredKernel &entry = lowered.kernels.emplace_back();
  entry.info.name = kernel.getName().str();
  entry.wrapper = ("sysmol.emulate." + kernel.getName()).str();
  auto *wrapper = llvm::Function::Create(
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer}, false),
      llvm::GlobalValue::ExternalLinkage, entry.wrapper, module);
  llvm::IRBuilder<> builder(
      llvm::BasicBlock::Create(context, "entry", wrapper));
  const llvm::DataLayout &layout = module.getDataLayout();
  llvm::SmallVector<llvm::Value *> arguments;
  for (llvm::Argument &argument : kernel.args()) {
    llvm::Value *place = builder.CreateLoad(
        pointer, builder.CreateConstGEP1_32(pointer, wrapper->getArg(0),
                                            argument.getArgNo()));
    // A structure by value is read where the caller put it.
    llvm::Type *byValue = argument.getParamByValType();
    llvm::Type *type = byValue ? byValue : argument.getType();
    entry.info.parameterBytes.push_back(layout.getTypeStoreSize(type));
    arguments.push_back(
        byValue ? place
                : builder.CreateAlignedLoad(type, place, llvm::Align(1)));
    argument.removeAttr(llvm::Attribute::ByVal);
  }
  builder.CreateCall(&kernel, arguments);
  builder.CreateRetVoid();
}

static bool isKernel(const llvm::Function &function) {
  return function.getCallingConv() == llvm::CallingConv::PTX_Kernel;
}

llvm::Expected<LoweredModule> Lowering::run(const llvm::DataLayout &target,
                                            llvm::StringRef triple) {
  llvm::Triple from(module.getTargetTriple());
  if (from.getArch() != llvm::Triple::nvptx64)
    return refuse("the module is for '" + from.str() +
                  "'; the emulator takes nvptx64");
  llvm::SmallVector<llvm::Function *> kernels;
  for (llvm::Function &function : module) {
    // Attributes of the GPU mean nothing here, its instruction sets harm.
    function.removeFnAttr("target-cpu");
    function.removeFnAttr("target-features");
    if (function.isDeclaration())
      continue;
    if (isKernel(function))
      kernels.push_back(&function);
    function.setCallingConv(llvm::CallingConv::C);
  }
  if (kernels.empty())
    return refuse("the module has no kernel (ptx_kernel function)");
  module.setTargetTriple(llvm::Triple(triple));
  module.setDataLayout(target);
  if (llvm::Error error = placeShared(target))
    return std::move(error);
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      if (llvm::Error error = lowerFunction(function))
        return std::move(error);
  for (llvm::Function *kernel : kernels)
    wrapKernel(*kernel);
  std::string problem;
  llvm::raw_string_ostream os(problem);
  if (llvm::verifyModule(module, &os))
    return refuse("the lowered module is broken: " +
                  llvm::join(llvm::split(problem, '\n'), " "));
  return std::move(lowered);
}

llvm::Expected<LoweredModule>
sysmol::emulator::lowerForHost(llvm::Module &module,
                               const llvm::DataLayout &target,
                               llvm::StringRef triple, Machine &machine) {
  return Lowering(module, machine).run(target, triple);
}
