//===- Pipelines.cpp - The phases as named pipelines ----------------------===//

#include "sysmol/Pipelines/Pipelines.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "sysmol/Conversion/Passes.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

static void addContract(OpPassManager &pm, Phase phase) {
  pm.addNestedPass<func::FuncOp>(
      createVerifyPhasePass(VerifyPhasePassOptions{phase}));
}

void PlanPhaseOptions::setCosts(const CostTable &table) {
  auto set = [](ListOption<double> &option, const ByLevel &cycles) {
    SmallVector<double> values;
    for (int64_t level : {1, 2, 4, 8})
      values.push_back(cycles.at(level));
    option = values;
  };
  set(pixelCycles, table.pixelCycles);
  set(lonePixelCycles, table.lonePixelCycles);
  set(outputCycles, table.outputCycles);
  set(loneOutputCycles, table.loneOutputCycles);
}

void sysmol::buildPlanPhase(OpPassManager &pm,
                            const PlanPhaseOptions &options) {
  addContract(pm, Phase::Model);
  // Depthwise convolutions become grouped ones, permuted constants constants:
  // sorting then knows one convolution only.
  pm.addPass(createCanonicalizerPass());
  pm.addNestedPass<func::FuncOp>(createSortChannelsPass());
  pm.addPass(createCanonicalizerPass());
  // Behind sorting, which may still change ops for others.
  if (options.chooseLanes) {
    ChooseLanesPassOptions lanes;
    llvm::append_range(lanes.pixelCycles, options.pixelCycles);
    llvm::append_range(lanes.lonePixelCycles, options.lonePixelCycles);
    llvm::append_range(lanes.outputCycles, options.outputCycles);
    llvm::append_range(lanes.loneOutputCycles, options.loneOutputCycles);
    pm.addNestedPass<func::FuncOp>(createChooseLanesPass(lanes));
  }
  addContract(pm, Phase::Plan);
}

void sysmol::buildPackedPhase(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createPackPass());
  // No CSE before bufferization: planes filled with the same zeros must stay
  // planes of their own, or each writer copies them.
  pm.addPass(createCanonicalizerPass());
  addContract(pm, Phase::Packed);
}

void sysmol::buildLoopsPhase(OpPassManager &pm,
                             const LoopsPhaseOptions &options) {
  // Upstream float ops that stand between hetprec ops become linalg, which
  // bufferizes.
  pm.addNestedPass<func::FuncOp>(createConvertElementwiseToLinalgPass());
  // Before tiling: once a layer, not once a tile.
  if (options.spreadNibbles)
    pm.addNestedPass<func::FuncOp>(createSpreadNibblesPass());
  TileLanesPassOptions tile;
  tile.laneBlocks = options.laneBlocks;
  tile.rowTile = options.rowTile;
  pm.addNestedPass<func::FuncOp>(createTileLanesPass(tile));
  pm.addPass(createCanonicalizerPass());
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  // Arguments and results are plain arrays to a C caller.
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  bufferization::BufferResultsToOutParamsPassOptions outParams;
  outParams.hoistStaticAllocs = true;
  outParams.modifyPublicFunctions = true;
  pm.addPass(bufferization::createBufferResultsToOutParamsPass(outParams));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // Before the layers lose their names.
  if (options.profile)
    pm.addNestedPass<func::FuncOp>(createProfileLayersPass());
  addContract(pm, Phase::Loops);
}

void sysmol::buildVectorsPhase(OpPassManager &pm,
                               const VectorsPhaseOptions &options) {
  VectorizeLanesPassOptions vectors;
  vectors.byteSums = options.byteSums;
  vectors.dotSums = options.dotSums;
  pm.addNestedPass<func::FuncOp>(createVectorizeLanesPass(vectors));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  addContract(pm, Phase::Vectors);
}

void sysmol::buildLLVMPhase(OpPassManager &pm,
                            const LLVMPhaseOptions &options) {
  // Memory first, while buffers are still memrefs. The weights come before the
  // arena in the arguments.
  pm.addPass(createOutlineConstantsPass());
  pm.addNestedPass<func::FuncOp>(createPlanArenaPass());
  pm.addNestedPass<func::FuncOp>(createExpandCopiesPass());
  // Both look at every op: while one mac is one op yet.
  pm.addPass(createConvertLinalgToParallelLoopsPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  // The product table belongs to the code, so it is made behind the outlining.
  if (options.mac == MacLowering::AVX512)
    pm.addPass(createConvertHetprecToX86Pass());
  else if (options.mac == MacLowering::AVX2)
    pm.addPass(createConvertHetprecToAVX2Pass());
  else
    pm.addPass(createConvertHetprecToVectorPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  OutlineParallelPassOptions parallel;
  parallel.grain = options.grain;
  parallel.maxTasks = options.maxTasks;
  pm.addPass(createOutlineParallelPass(parallel));
  // Layers of one shape: before each is converted.
  pm.addPass(createShareBodiesPass());
  // Tasks are functions now: contexts with threads convert them side by side.
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createSCFToControlFlowPass());
  functions.addPass(createConvertVectorToLLVMPass());
  // One conversion for three: each visits every op, of which there are many.
  ConvertToLLVMPassOptions convert;
  convert.filterDialects = {"arith", "cf", "math"};
  functions.addPass(createConvertToLLVMPass(convert));
  // Globals are the module's, and read by name.
  convert.filterDialects = {"memref"};
  pm.addPass(createConvertToLLVMPass(convert));
  ConvertFuncToLLVMPassOptions func;
  func.useBarePtrCallConv = true; // pointers only: callable from C
  pm.addPass(createConvertFuncToLLVMPass(func));
  pm.addNestedPass<LLVM::LLVMFuncOp>(createReconcileUnrealizedCastsPass());
}

void sysmol::buildGPUPhase(OpPassManager &pm, const GPUPhaseOptions &options) {
  ConvertHetprecToGPUPassOptions convert;
  convert.kernel = options.kernel;
  convert.warps = options.warps;
  convert.unroll = options.unroll;
  convert.threads = options.threads;
  convert.stages = options.stages;
  convert.warpgroups = options.warpgroups;
  convert.nibbleMMA = options.nibbleMMA;
  // A network is many kernels; a product is one already.
  pm.addPass(createOutlineKernelsPass());
  pm.addPass(createConvertHetprecToGPUPass(convert));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void sysmol::buildNVVMPhase(OpPassManager &pm) {
  pm.addPass(createConvertNVGPUToNVVMPass());
  pm.addPass(createSCFToControlFlowPass());
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  kernels.addPass(createConvertMathToLLVMPass());
  ConvertGpuOpsToNVVMOpsOptions nvvm;
  nvvm.useBarePtrCallConv = true; // all arguments are pointers
  kernels.addPass(createConvertGpuOpsToNVVMOps(nvvm));
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
  kernels.addPass(createReconcileUnrealizedCastsPass());
}

void sysmol::buildHetprecToLLVM(OpPassManager &pm,
                                const LLVMPhaseOptions &options) {
  buildPlanPhase(pm, PlanPhaseOptions());
  buildPackedPhase(pm);
  buildLoopsPhase(pm, LoopsPhaseOptions());
  buildVectorsPhase(pm, VectorsPhaseOptions());
  buildLLVMPhase(pm, options);
}

void sysmol::registerPipelines() {
  PassPipelineRegistration<PlanPhaseOptions>(
      "hetprec-to-plan",
      "Model to plan: sort channels into segments, choose lanes",
      buildPlanPhase);
  PassPipelineRegistration<>("hetprec-plan-to-packed",
                             "Plan to packed: planes of lanes",
                             buildPackedPhase);
  PassPipelineRegistration<LoopsPhaseOptions>(
      "hetprec-packed-to-loops", "Packed to loops: tiles on memrefs",
      buildLoopsPhase);
  PassPipelineRegistration<VectorsPhaseOptions>(
      "hetprec-loops-to-vectors", "Loops to vectors and hetprec.mac",
      buildVectorsPhase);
  PassPipelineRegistration<LLVMPhaseOptions>(
      "hetprec-vectors-to-llvm", "Vectors to the LLVM dialect", buildLLVMPhase);
  PassPipelineRegistration<LLVMPhaseOptions>(
      "hetprec-to-llvm", "All phases, from model ops to the LLVM dialect",
      buildHetprecToLLVM);
  PassPipelineRegistration<GPUPhaseOptions>(
      "hetprec-plan-to-gpu",
      "Products and networks to kernels of gpu and nvvm ops", buildGPUPhase);
  PassPipelineRegistration<>("hetprec-gpu-to-nvvm",
                             "Kernels to the LLVM dialect", buildNVVMPhase);
}
