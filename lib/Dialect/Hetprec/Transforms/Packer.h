//===- Packer.h - Rewrites a function from channels to lanes ----*- C++ -*-===//
//
// Private to hetprec-pack.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_PACKER_H
#define SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_PACKER_H

#include "PackUtils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace sysmol::hetprec {

/// Rows of a strided window's input that `spread_lanes` splits; none without
/// `to`.
struct RowSplit {
  llvm::SmallVector<int64_t> phases, pads;
  int64_t stride = 1;
  LanesAttr from, to;
};

/// Rewrites one function, op by op in program order.
class Packer {
public:
  Packer(mlir::func::FuncOp function)
      : function(function), layouts(function), b(function.getContext()) {}

  mlir::LogicalResult run();
  int64_t numContracts = 0, numRepacked = 0;

private:
  // Operands, as packed before.
  mlir::FailureOr<PackedCodes> getCodes(mlir::Operation *user,
                                        mlir::Value value);
  /// Codes that come from outside as [N, C, H, W]: an argument or a constant.
  mlir::FailureOr<mlir::Value> getOutside(mlir::Operation *user,
                                          mlir::Value value);
  mlir::FailureOr<WidePlanes> getPlanes(mlir::Operation *user,
                                        mlir::Value value);
  /// Codes as they are outside, one a byte, of shape `shape`.
  mlir::FailureOr<mlir::Value> getPlainCodes(mlir::Operation *user,
                                             mlir::Value value,
                                             llvm::ArrayRef<int64_t> shape);
  /// Accumulators or carrier as [rows, channels].
  mlir::FailureOr<mlir::Value> getPlainSums(mlir::Operation *user,
                                            mlir::Value value);

  mlir::LogicalResult visit(mlir::Operation *op);
  mlir::LogicalResult visitQuantize(QuantizeOp op);
  mlir::LogicalResult visitDotProduct(mlir::Operation *op);
  mlir::LogicalResult visitMaxPool(MaxPool2DOp op);
  mlir::LogicalResult visitRequantize(RequantizeOp op);
  mlir::LogicalResult visitToCarrier(ToCarrierOp op);
  mlir::LogicalResult visitToReal(ToRealOp op);
  mlir::LogicalResult visitAdd(AddOp op);
  mlir::LogicalResult visitDequantize(DequantizeOp op);
  mlir::LogicalResult visitPermute(PermuteOp op);
  mlir::LogicalResult visitFlatten(FlattenOp op);
  mlir::LogicalResult visitReturn(mlir::func::ReturnOp op);

  /// The dot product that computes `acc`, if this is its only reader: then
  /// what the reader does is fused into it.
  mlir::Operation *getFusibleDot(mlir::Value acc);
  /// The phases `read` of what `op` reads, for its strided window, where `to`
  /// lays them out.
  PackedCodes splitPhases(mlir::Operation *op, const PackedCodes &input,
                          llvm::ArrayRef<int64_t> read, LanesAttr to);
  /// Packs straight into phases where nothing else reads the words.
  void packIntoPhases();
  /// The input with the last words that `dot` reads folded as segments of their
  /// own.
  PackedCodes separateFolded(const DotProduct &dot, const PackedCodes &input);
  /// The input as one plane of bytes a channel. A segment for the levels whose
  /// products a signed byte can count, and one for 8 bits.
  PackedCodes spreadChannels(const DotProduct &dot, const ByteLanes &bytes,
                             const PackedCodes &input);
  /// `segments` as one, their rows split.
  Segment spreadSegments(mlir::Location loc, llvm::ArrayRef<Segment> segments,
                         const RowSplit &rows);
  /// The input as planes of a stream of bytes; its channels stay in the order
  /// of the bytes of the pixels' words.
  PackedCodes makeStream(const DotProduct &dot, const ByteStream &stream,
                         PackedCodes input);
  /// Planes `[first, last)` of it.
  mlir::Value makeStreamPlanes(const DotProduct &dot, const ByteStream &stream,
                               mlir::Value source, int64_t first, int64_t last);
  /// Its builder, with the input packed (and split into phases).
  mlir::FailureOr<ContractBuilder> makeBuilder(const DotProduct &dot);
  /// The dot product `producer`, whose lanes are outputs, and its epilogue.
  mlir::FailureOr<mlir::Value> makeGemv(mlir::Operation *producer,
                                        const GemvEpilogue &epilogue);

  PackedCodes packCodes(mlir::Location loc, mlir::Value codes,
                        ChannelsAttr encoding, LanesAttr layout);
  mlir::Value unpackCodes(mlir::Location loc, const PackedCodes &codes,
                          llvm::ArrayRef<int64_t>);
  mlir::Value unpackPlanes(mlir::Location loc, const WidePlanes &wide,
                           llvm::ArrayRef<int64_t>);
  mlir::Value makeMask(mlir::Location loc, LanesAttr layout);
  /// Planes for codes of `value`: zero where no op writes them.
  mlir::Value makeCodePlanes(mlir::Location loc, int64_t words,
                             mlir::Value value, int64_t level);
  mlir::Value makeEmpty(mlir::Location loc, int64_t planes, int64_t lanes,
                        mlir::Type element) {
    return mlir::tensor::EmptyOp::create(b, loc, {planes, lanes}, element);
  }
  /// `value`, of rank 2 or 4, as rank 4 or 2.
  mlir::Value reshape(mlir::Location loc, mlir::Value value,
                      llvm::ArrayRef<int64_t> shape);
  void setPlanes(mlir::Value value, mlir::Value plane) {
    llvm::SmallVector<int64_t> identity = llvm::to_vector(llvm::seq(
        llvm::cast<mlir::RankedTensorType>(plane.getType()).getDimSize(0)));
    planes[value] = {plane, identity, layouts.getLayout(value)};
  }
  mlir::StringAttr getLayer(mlir::Operation *op);

  mlir::func::FuncOp function;
  LaneLayout layouts;
  mlir::OpBuilder b;
  llvm::DenseMap<mlir::Value, PackedCodes> codes;
  llvm::DenseMap<mlir::Value, WidePlanes> planes;
  /// Values of one pixel as [rows, channels]: what has outputs as lanes reads
  /// and writes. Packed into planes where something else reads them.
  llvm::DenseMap<mlir::Value, mlir::Value> rowsOf;
  llvm::DenseMap<std::pair<mlir::Value, mlir::Attribute>, PackedCodes> phases;
  llvm::DenseMap<std::pair<mlir::Value, mlir::Attribute>, mlir::Value> streams;
};

/// What is read of codes that come from outside, one a byte (HP24).
mlir::Value maskCodes(mlir::OpBuilder &b, mlir::Location loc, mlir::Value codes,
                      ChannelsAttr encoding);
/// A tensor type without its encoding; other types as they are.
mlir::Type stripEncoding(mlir::Type type);
/// Whether `value` is [rows, channels], or images of one pixel.
bool isOnePixel(mlir::Value value);
/// Of a value of one pixel: [rows, channels].
llvm::SmallVector<int64_t, 2> getRowShape(mlir::Value value);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_PACKER_H
