//===- LayerTable.cpp - What a network is made of -------------------------===//

#include "LayerTable.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "sysmol/Analysis/ByteLanes.h"
#include "sysmol/Analysis/LaneGroups.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

static bool isLayer(Operation *op) {
  return isa<Conv2DOp, DepthwiseConv2DOp, MatmulOp, SumPool2DOp, MaxPool2DOp,
             RequantizeOp>(op);
}

static std::string getName(Operation *op) {
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    return name.getName().str();
  return op->getName().stripDialect().str();
}

void sysmol::nameLayers(func::FuncOp function) {
  llvm::StringSet<> taken;
  function.walk([&](Operation *op) {
    if (!isLayer(op))
      return;
    std::string base = getName(op), name = base;
    for (int64_t i = 1; !taken.insert(name).second; ++i)
      name = base + "." + std::to_string(i);
    op->setLoc(
        NameLoc::get(StringAttr::get(op->getContext(), name), op->getLoc()));
  });
}

/// What a layer reads; of a requantization alone, what it writes.
static ChannelsAttr getLayerChannels(Operation *op) {
  return getChannels(isa<RequantizeOp>(op) ? op->getResult(0).getType()
                                           : op->getOperand(0).getType());
}

/// The instructions, or the form, that products of `level` have. `isDot`: they
/// are multiplied, whatever their level; `isSmall`: 16 bits hold several.
static StringRef getProducts(MacLowering mac, int64_t level, bool isDot,
                             bool isSmall) {
  switch (mac) {
  case MacLowering::AVX512:
    return isDot ? "VPDPBUSD" : level == 1 ? "VPOPCNTB" : "VPERMB table";
  case MacLowering::AVX2:
    return !isDot ? "VPSHUFB tables" : isSmall ? "VPMADDUBSW" : "VPMADDWD";
  case MacLowering::Generic:
    return isDot ? "bytes" : level == 1 ? "popcount" : "fields";
  }
  llvm_unreachable("unknown lowering");
}

/// How each level present is computed.
static std::string getStrategy(Operation *op, const NativeTarget &target) {
  bool isOfBytes = ByteLanes::get(op).has_value();
  constexpr StringLiteral ofBytes = "a plane of bytes for each channel";
  if (isa<SumPool2DOp>(op))
    return isOfBytes ? ofBytes.str() : "sums of unpacked codes";
  if (isa<MaxPool2DOp>(op))
    return "largest packed codes";
  std::string strategy;
  for (int8_t level : getLayerChannels(op).getLevels()) {
    if (!strategy.empty())
      strategy += ", ";
    strategy += std::to_string(level) + " bit ";
    if (isa<RequantizeOp>(op)) {
      strategy += level <= 2 ? "thresholds" : "float rule";
      continue;
    }
    strategy += getProducts(target.mac, level, level > 2 || isOfBytes,
                            level == 4 && !isOfBytes);
  }
  if (isOfBytes)
    strategy += "; " + ofBytes.str();
  auto role = op->getAttrOfType<LaneRoleAttr>(kLanesAttrName);
  auto reason = op->getAttrOfType<StringAttr>(kLanesReasonAttrName);
  if (role && role.getValue() == LaneRole::Outputs && reason)
    strategy += "; lanes are outputs: " + reason.str();
  if (role && role.getValue() == LaneRole::Tiles && reason)
    strategy += "; Winograd F(2x2, 3x3): " + reason.str();
  return strategy;
}

/// Calls `visit` with each op that is a row of the table.
static void walkLayers(func::FuncOp function,
                       function_ref<void(Operation *)> visit) {
  function.walk([&](Operation *op) {
    if (!isLayer(op))
      return;
    // A requantization is part of the dot product it is fused into.
    auto requantize = dyn_cast<RequantizeOp>(op);
    if (requantize && getChannels(requantize.getType()) &&
        isa_and_present<Conv2DOp, MatmulOp, SumPool2DOp>(
            requantize.getInput().getDefiningOp()) &&
        requantize.getInput().hasOneUse())
      return;
    visit(op);
  });
}

std::vector<std::string>
sysmol::describeStrategies(func::FuncOp function, const NativeTarget &target) {
  std::vector<std::string> strategies;
  walkLayers(function, [&](Operation *op) {
    strategies.push_back(getStrategy(op, target));
  });
  return strategies;
}

std::vector<runtime::LayerInfo> sysmol::describeLayers(func::FuncOp function) {
  std::vector<runtime::LayerInfo> layers;
  walkLayers(function, [&](Operation *op) {
    runtime::LayerInfo layer;
    layer.Name = getName(op);
    layer.Op = op->getName().stripDialect().str();
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    layer.Shape.assign(type.getShape().begin(), type.getShape().end());
    ChannelsAttr channels = getLayerChannels(op);
    for (int8_t level : channels.getLevels())
      layer.Levels[level] = channels.getNumChannels(level);
    if (isa<Conv2DOp, DepthwiseConv2DOp, MatmulOp>(op)) {
      auto filter = cast<RankedTensorType>(op->getOperand(1).getType());
      layer.Macs = type.getNumElements() * filter.getNumElements() /
                   filter.getDimSize(0);
      layer.NeededMacs = layer.Macs;
      auto role = op->getAttrOfType<LaneRoleAttr>(kLanesAttrName);
      if (role && role.getValue() == LaneRole::Tiles)
        layer.NeededMacs = WinogradTiles::getNeededMacs(layer.Macs);
    }
    layers.push_back(std::move(layer));
  });
  return layers;
}

static runtime::LayerInfo *find(std::vector<runtime::LayerInfo> &layers,
                                StringRef name) {
  for (runtime::LayerInfo &layer : layers)
    if (layer.Name == name)
      return &layer;
  return nullptr;
}

void sysmol::addLayerBytes(func::FuncOp function,
                           std::vector<runtime::LayerInfo> &layers) {
  auto constantBytes = [](Value value) -> uint64_t {
    if (!value || !matchPattern(value, m_Constant()))
      return 0;
    auto type = cast<RankedTensorType>(value.getType());
    return type.getNumElements() * type.getElementTypeBitWidth() / 8;
  };
  function.walk([&](Operation *op) {
    auto name = op->getAttrOfType<StringAttr>("layer");
    runtime::LayerInfo *layer = name ? find(layers, name.getValue()) : nullptr;
    if (!layer)
      return;
    auto contract = dyn_cast<ContractOp>(op);
    auto gemv = dyn_cast<GemvOp>(op);
    auto sums = dyn_cast<ContractOutputsOp>(op);
    auto winograd = dyn_cast<WinogradContractOp>(op);
    for (Value operand : op->getOperands()) {
      bool isWeights =
          (contract && llvm::is_contained(contract.getRows(), operand)) ||
          (gemv && operand == gemv.getWeights()) ||
          (sums && operand == sums.getWeights()) ||
          (winograd && operand == winograd.getRows());
      (isWeights ? layer->WeightBytes : layer->TableBytes) +=
          constantBytes(operand);
    }
  });
}

namespace {
/// Products of a layer whose lanes are outputs.
struct Products {
  double all = 0, needed = 0;

  void add(ContractOutputsOp op) {
    auto groups = LaneGroups::get(op.getLayoutAttr(), op.getUsedLanes(),
                                  op.getLaneCount());
    for (auto [s, level] : llvm::enumerate(op.getLevels())) {
      double products = double(op.getNumTiles() * op.getTileOutputs() *
                               op.getNumColumns(s) * getChannelsPerWord(level));
      all += products;
      needed += products * groups.getShareInside(op, s);
    }
  }
  /// The share that is not left out as products with padding.
  double getShare() const { return all > 0 ? needed / all : 1; }
};
} // namespace

void sysmol::addPredictions(func::FuncOp function, const CostTable &table,
                            std::vector<runtime::LayerInfo> &layers) {
  std::map<std::string, OpCost> costs;
  std::map<std::string, Products> outputs;
  function.walk([&](Operation *op) {
    if (!isa_and_present<HetprecDialect>(op->getDialect()))
      return;
    auto attr = op->getAttrOfType<StringAttr>("layer");
    std::string name = attr ? attr.getValue().str() : getName(op);
    costs[name] += predictCost(op, table);
    if (auto sums = dyn_cast<ContractOutputsOp>(op))
      outputs[name].add(sums);
  });
  for (auto &[name, products] : outputs)
    if (runtime::LayerInfo *layer = find(layers, name))
      layer->NeededMacs =
          uint64_t(std::llround(double(layer->Macs) * products.getShare()));
  for (auto &[name, cost] : costs)
    if (runtime::LayerInfo *layer = find(layers, name)) {
      layer->ExecutedMacs = uint64_t(cost.macs);
      layer->PredictedNs = uint64_t(cost.cycles / table.cyclesPerSecond * 1e9);
      layer->ProductNs = uint64_t(cost.products / table.cyclesPerSecond * 1e9);
    }
}

std::string sysmol::findFallback(func::FuncOp function) {
  std::string found;
  function.walk([&](PackLanesOp pack) {
    Value input = pack.getInput();
    while (Operation *reshape = input.getDefiningOp()) {
      if (!isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(reshape))
        break;
      input = reshape->getOperand(0);
    }
    if (!input.getDefiningOp<UnpackLanesOp>())
      return WalkResult::advance();
    std::string layer = getName(pack);
    for (Operation *reader : pack->getUsers())
      if (auto name = reader->getAttrOfType<StringAttr>("layer")) {
        layer = name.str();
        break;
      }
    found = "layer '" + layer + "': activations are unpacked and packed again";
    return WalkResult::interrupt();
  });
  return found;
}

runtime::ProfileInfo sysmol::describeProfile(ModuleOp module) {
  runtime::ProfileInfo profile;
  for (auto function : module.getOps<LLVM::LLVMFuncOp>()) {
    auto offset =
        function->getAttrOfType<IntegerAttr>("hetprec.profile_offset");
    auto layers = function->getAttrOfType<ArrayAttr>("hetprec.profile");
    if (!offset || !layers)
      continue;
    profile.Offset = offset.getInt();
    for (auto layer : layers.getAsRange<StringAttr>())
      profile.Layers.push_back(layer.getValue().str());
  }
  return profile;
}
