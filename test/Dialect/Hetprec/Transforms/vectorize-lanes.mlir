// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse --split-input-file --verify-diagnostics | FileCheck %s

#lanes = #hetprec.lanes<2 x 4 x 3, row_stride = 4, image_stride = 20, base = 64, size = 128>
#rows = #hetprec.lanes<2 x 1 x 1, row_stride = 1, image_stride = 1, base = 64, size = 128>

// The symmetric level is stored with 128 added.
// CHECK-LABEL: @unpack_signed
// CHECK: arith.andi %{{.+}}, %c255_i32
// CHECK: arith.trunci %{{.+}} : i32 to i8
// CHECK: arith.xori %{{.+}}, %c-128_i8
func.func @unpack_signed(%p: memref<1x128xi32>, %x: memref<2x1x4x3xi8>) {
  hetprec.unpack_lanes %p : memref<1x128xi32> outs(%x : memref<2x1x4x3xi8>)
    {channels = array<i64: 0, -1, -1, -1>, is_signed = true, layout = #lanes, level = 8 : i64}
  return
}

// A wide plane keeps lane l of a block at l / 2, the odd ones 32 further on.
// CHECK-LABEL: @unpack_wide
// CHECK-DAG: arith.andi %[[LANE:.+]], %c-64 : index
// CHECK-DAG: %[[ODD:.+]] = arith.andi %[[LANE]], %c1 : index
// CHECK-DAG: %[[WITHIN:.+]] = arith.andi %[[LANE]], %c63 : index
// CHECK-DAG: arith.shli %[[ODD]], %c5 : index
// CHECK-DAG: arith.shrui %[[WITHIN]], %c1 : index
// CHECK: memref.load
// CHECK: memref.store
func.func @unpack_wide(%p: memref<1x128xf32>, %x: memref<2x1x4x3xf32>) {
  hetprec.unpack_lanes %p : memref<1x128xf32> outs(%x : memref<2x1x4x3xf32>)
    {channels = array<i64: 0>, layout = #lanes, level = 0 : i64}
  return
}

// The same place for what is packed to wide planes.
// CHECK-LABEL: @pack_wide
// CHECK: arith.andi %{{.+}}, %c-64 : index
// CHECK: memref.load
// CHECK: memref.store
func.func @pack_wide(%x: memref<2x1xi32>, %p: memref<1x128xi32>) {
  hetprec.pack_lanes %x : memref<2x1xi32> outs(%p : memref<1x128xi32>)
    {channels = array<i64: 0>, is_signed = true, layout = #rows, level = 0 : i64}
  return
}

// Planes are read by number and turned by their sign; two compares a plane.
// CHECK-LABEL: @requantize
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<5x64xi16>, %[[C:[a-z0-9]+]]: memref<8xi16>, %[[T:[a-z0-9]+]]: memref<8x1xi16>, %[[S:[a-z0-9]+]]: memref<8xi16>
// CHECK: %[[NUMBER:.+]] = memref.load %[[C]][%c0]
// CHECK: %[[PLANE:.+]] = arith.index_castui %[[NUMBER]] : i16 to index
// CHECK: %[[EVEN:.+]] = vector.load %[[X]][%[[PLANE]], %c0] : memref<5x64xi16>, vector<32xi16>
// CHECK: %[[SIGN:.+]] = memref.load %[[S]][%c0]
// CHECK: %[[SIGNS:.+]] = vector.broadcast %[[SIGN]] : i16 to vector<32xi16>
// CHECK: %[[TURNED:.+]] = arith.muli %[[EVEN]], %[[SIGNS]]
// CHECK: arith.cmpi sgt, %[[TURNED]]
// CHECK-COUNT-15: arith.cmpi sgt
// CHECK-NOT: arith.cmpi
// CHECK: vector.bitcast %{{.+}} : vector<32xi16> to vector<64xi8>
// CHECK: vector.store
func.func @requantize(%x: memref<5x64xi16>, %c: memref<8xi16>, %t: memref<8x1xi16>, %s: memref<8xi16>, %mask: memref<64xi8>, %init: memref<1x64xi8>) {
  hetprec.requantize_lanes %x channels(%c : memref<8xi16>) thresholds(%t : memref<8x1xi16>) signs(%s : memref<8xi16>) mask(%mask : memref<64xi8>) outs(%init : memref<1x64xi8>) {out_level = 1, lane_begin = 0, lane_count = 64} : memref<5x64xi16>
  return
}

// 8 bits: the float rule, clamped before it is rounded (HP15), which an addition
// does: the integer is in the low bits.
// CHECK-LABEL: @requantize8
// CHECK-DAG: %[[TOP:.+]] = arith.constant dense<2.550000e+02> : vector<32xf32>
// CHECK: arith.sitofp
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: arith.minnumf %{{.+}}, %[[TOP]] fastmath<nnan>
// CHECK: arith.addf
// CHECK: arith.bitcast
// CHECK: arith.andi
func.func @requantize8(%x: memref<5x64xi16>, %c: memref<4xi16>, %m: memref<4xf32>, %o: memref<4xf32>, %mask: memref<64xi8>, %init: memref<1x64xi32>) {
  hetprec.requantize_lanes %x channels(%c : memref<4xi16>) multiplier(%m : memref<4xf32>) offset(%o : memref<4xf32>) mask(%mask : memref<64xi8>) outs(%init : memref<1x64xi32>) {out_level = 8, lane_begin = 0, lane_count = 64} : memref<5x64xi16>
  return
}

// -----

#lanes = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @tensors(%x: tensor<1x3x4x4xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{must be on memrefs to be vectorized; bufferize first}}
  %p = hetprec.pack_lanes %x : tensor<1x3x4x4xi8> outs(%init : tensor<1x64xi8>)
    {channels = array<i64: 0, 1, 2>, layout = #lanes, level = 2 : i64} -> tensor<1x64xi8>
  return %p : tensor<1x64xi8>
}
