//===- Pipelines.h - The phases as named pipelines --------------*- C++ -*-===//
//
// Each phase can be entered and left by name and ends in a contract check, so
// that `sysmol-opt --hetprec-plan --hetprec-pack-phase ...` stops anywhere.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_PIPELINES_PIPELINES_H
#define SYSMOL_PIPELINES_PIPELINES_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include "sysmol/Analysis/CostModel.h"
#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"

namespace sysmol {

/// How `hetprec.mac` is lowered.
enum class MacLowering {
  Generic, ///< arith, math and vector
  AVX2,    ///< AVX2
  AVX512,  ///< VBMI, VNNI, BITALG, GFNI
};

/// Costs that choices follow, by level 1, 2, 4, 8; see hetprec-choose-lanes.
struct PlanPhaseOptions : public mlir::PassPipelineOptions<PlanPhaseOptions> {
  Option<bool> chooseLanes{
      *this, "choose-lanes",
      llvm::cl::desc("choose what lanes of vector registers are: for CPUs"),
      llvm::cl::init(true)};
  ListOption<double> pixelCycles{
      *this, "pixel-cycles",
      llvm::cl::desc("cycles of a word for a register of pixels, of several")};
  ListOption<double> lonePixelCycles{
      *this, "lone-pixel-cycles",
      llvm::cl::desc("the same, where there is one register of pixels")};
  ListOption<double> outputCycles{
      *this, "output-cycles",
      llvm::cl::desc("cycles of a word for a register of outputs, of several")};
  ListOption<double> loneOutputCycles{
      *this, "lone-output-cycles",
      llvm::cl::desc("the same, where there is one register of outputs")};

  void setCosts(const CostTable &table);
};

struct LoopsPhaseOptions : public mlir::PassPipelineOptions<LoopsPhaseOptions> {
  Option<int64_t> laneBlocks{*this, "lane-blocks",
                             llvm::cl::desc("lanes of a tile (blocks of 64)"),
                             llvm::cl::init(2)};
  Option<int64_t> rowTile{*this, "row-tile",
                          llvm::cl::desc("rows of a tile of all its blocks"),
                          llvm::cl::init(4)};
  Option<bool> spreadNibbles{
      *this, "spread-nibbles",
      llvm::cl::desc("spread 4-bit words to bytes once a layer"),
      llvm::cl::init(false)};
  Option<bool> profile{*this, "profile",
                       llvm::cl::desc("read a clock at the borders of layers"),
                       llvm::cl::init(false)};
};

struct VectorsPhaseOptions
    : public mlir::PassPipelineOptions<VectorsPhaseOptions> {
  Option<int64_t> byteSums{
      *this, "byte-sums",
      llvm::cl::desc("registers of 64 sums of levels 1 and 2 kept at once"),
      llvm::cl::init(8)};
  Option<int64_t> dotSums{
      *this, "dot-sums",
      llvm::cl::desc("registers of 16 sums of levels 4 and 8 kept at once"),
      llvm::cl::init(16)};
};

struct LLVMPhaseOptions : public mlir::PassPipelineOptions<LLVMPhaseOptions> {
  Option<MacLowering> mac{
      *this, "mac", llvm::cl::desc("lowering of hetprec.mac"),
      llvm::cl::init(MacLowering::Generic),
      llvm::cl::values(
          clEnumValN(MacLowering::Generic, "generic", "any target"),
          clEnumValN(MacLowering::AVX2, "avx2", "AVX2"),
          clEnumValN(MacLowering::AVX512, "avx512",
                     "VBMI, VNNI, BITALG, GFNI"))};
  Option<int64_t> grain{*this, "grain",
                        llvm::cl::desc("estimated cycles of a task, about"),
                        llvm::cl::init(4000)};
  Option<int64_t> maxTasks{
      *this, "max-tasks",
      llvm::cl::desc("most tasks of one fork; 1: statements stay in order"),
      llvm::cl::init(64)};
};

struct GPUPhaseOptions : public mlir::PassPipelineOptions<GPUPhaseOptions> {
  Option<GPUKernelKind> kernel{
      *this, "kernel", llvm::cl::desc("which kernel computes a product"),
      llvm::cl::init(GPUKernelKind::Auto),
      llvm::cl::values(
          clEnumValN(GPUKernelKind::Auto, "auto",
                     "gemv for at most 8 rows of activations, else gemm"),
          clEnumValN(GPUKernelKind::Gemv, "gemv", "stream the weights once"),
          clEnumValN(GPUKernelKind::Gemm, "gemm", "tiles in shared memory"))};
  Option<int64_t> warps{*this, "warps",
                        llvm::cl::desc("gemv: warps of a block"),
                        llvm::cl::init(8)};
  Option<int64_t> unroll{*this, "unroll",
                         llvm::cl::desc("gemv: loads in flight in a thread"),
                         llvm::cl::init(8)};
  Option<int64_t> threads{*this, "threads",
                          llvm::cl::desc("gemv: threads an SM must hold"),
                          llvm::cl::init(1024)};
  Option<int64_t> stages{*this, "stages",
                         llvm::cl::desc("gemm: stages in shared memory"),
                         llvm::cl::init(3)};
  Option<bool> warpgroups{*this, "warpgroups",
                          llvm::cl::desc("gemm: wgmma, sm_90a only"),
                          llvm::cl::init(false)};
  Option<bool> nibbleMMA{
      *this, "nibble-mma",
      llvm::cl::desc("4-bit MMAs, sm_80 and sm_89 only; their default"),
      llvm::cl::init(false)};
};

/// Model to plan: channels sorted into segments.
void buildPlanPhase(mlir::OpPassManager &pm, const PlanPhaseOptions &options);
/// Plan to packed: planes of lanes, fused epilogues.
void buildPackedPhase(mlir::OpPassManager &pm);
/// Packed to loops: tiles on memrefs.
void buildLoopsPhase(mlir::OpPassManager &pm, const LoopsPhaseOptions &options);
/// Loops to vectors: `mac` is all that is left of the dialect.
void buildVectorsPhase(mlir::OpPassManager &pm,
                       const VectorsPhaseOptions &options);
/// Vectors to the LLVM dialect: no allocation, weights and arena as arguments.
void buildLLVMPhase(mlir::OpPassManager &pm, const LLVMPhaseOptions &options);
/// Products to kernels of gpu and nvvm ops.
void buildGPUPhase(mlir::OpPassManager &pm, const GPUPhaseOptions &options);
/// Kernels to the LLVM dialect, arguments bare pointers.
void buildNVVMPhase(mlir::OpPassManager &pm);
/// All of them, tiled as for AVX-512.
void buildHetprecToLLVM(mlir::OpPassManager &pm,
                        const LLVMPhaseOptions &options);

void registerPipelines();

} // namespace sysmol

#endif // SYSMOL_PIPELINES_PIPELINES_H
