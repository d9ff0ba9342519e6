// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse --split-input-file --verify-diagnostics | FileCheck %s

#lanes = #hetprec.lanes<2 x 4 x 3, row_stride = 4, image_stride = 20, base = 64, size = 128>

// Loops over the pixels; a word's codes at 2 bits each, the missing one zero.
// CHECK-LABEL: @pack
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x2x4x3xi8>, %[[P:[a-z0-9]+]]: memref<1x128xi8>
// CHECK: scf.for %[[N:.+]] = %c0 to %c2
// CHECK: scf.for %[[Y:.+]] = %c0 to %c4
// CHECK: scf.for %[[XX:.+]] = %c0 to %c3
// CHECK: %[[NS:.+]] = arith.muli %[[N]], %c20
// CHECK: %[[C0:.+]] = memref.load %[[X]][%[[N]], %c1, %[[Y]], %[[XX]]]
// CHECK: %[[C1:.+]] = memref.load %[[X]][%[[N]], %c0, %[[Y]], %[[XX]]]
// CHECK: arith.shli %{{.+}}, %c2_i8
// CHECK: memref.store %{{.+}}, %[[P]][%c0,
func.func @pack(%x: memref<2x2x4x3xi8>, %p: memref<1x128xi8>) {
  hetprec.pack_lanes %x : memref<2x2x4x3xi8> outs(%p : memref<1x128xi8>)
    {channels = array<i64: 1, 0, -1>, layout = #lanes, level = 2 : i64}
  return
}

// The symmetric level is stored with 128 added.
// CHECK-LABEL: @pack_signed
// HP24: -128 from outside is -127.
// CHECK: arith.maxsi %{{.+}}, %c-127_i8
// CHECK: arith.xori %{{.+}}, %c-128_i8
// CHECK: arith.extui %{{.+}} : i8 to i32
// CHECK-LABEL: @unpack_signed
// CHECK: arith.andi %{{.+}}, %c255_i32
// CHECK: arith.trunci %{{.+}} : i32 to i8
// CHECK: arith.xori %{{.+}}, %c-128_i8
func.func @pack_signed(%x: memref<2x1x4x3xi8>, %p: memref<1x128xi32>) {
  hetprec.pack_lanes %x : memref<2x1x4x3xi8> outs(%p : memref<1x128xi32>)
    {channels = array<i64: 0, -1, -1, -1>, is_signed = true, layout = #lanes, level = 8 : i64}
  return
}
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

// Stride 2, padded by one at the top and the left: the phases (0, 0), (0, 1),
// (1, 0) and (1, 1) of 4 x 5 pixels; the first row and the first column of phase
// 0 are padding and left out.
// CHECK-LABEL: @split
// CHECK: scf.for %{{.+}} = %c1 to %c3
// CHECK-NEXT: scf.for %{{.+}} = %c1 to %c3
// CHECK: memref.store
// CHECK: scf.for %{{.+}} = %c1 to %c3
// CHECK-NEXT: scf.for %{{.+}} = %c0 to %c3
// CHECK: memref.store
// CHECK: scf.for %{{.+}} = %c0 to %c2
// CHECK-NEXT: scf.for %{{.+}} = %c1 to %c3
// CHECK: memref.store
// CHECK: scf.for %{{.+}} = %c0 to %c2
// CHECK-NEXT: scf.for %{{.+}} = %c0 to %c3
// CHECK: memref.store
// CHECK-NOT: memref.store
// CHECK: return
#from = #hetprec.lanes<1 x 4 x 5, row_stride = 6, image_stride = 30, base = 64, size = 128>
#to = #hetprec.lanes<1 x 3 x 3, row_stride = 3, image_stride = 9, base = 0, size = 64>
func.func @split(%p: memref<1x128xi8>, %q: memref<4x64xi8>) {
  hetprec.split_phases %p : memref<1x128xi8> outs(%q : memref<4x64xi8>)
    {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 0, 0>, phases = array<i64: 0, 1, 2, 3>, from = #from, to = #to}
  return
}

// Rows of 11 words: eight of 16 read, the last eight first. The second load
// begins with the first one's last lane.
// CHECK-LABEL: @split_rows
// CHECK: scf.for %[[G:.+]] = %c0 to %c2
// CHECK: %[[A:.+]] = vector.load %{{.+}}[%[[G]], %{{.+}}] : memref<2x192xi32>, vector<8xi32>
// CHECK: %[[B:.+]] = vector.load %{{.+}}[%[[G]], %{{.+}}] : memref<2x192xi32>, vector<8xi32>
// CHECK: %[[S:.+]] = vector.shuffle %[[A]], %[[B]] [0, 2, 4, 6, 9, 11, 13, 15]
// CHECK: vector.store %[[S]]
// CHECK: vector.load
// CHECK: vector.load
// CHECK: vector.shuffle
// CHECK: vector.store
// CHECK-NOT: vector.store
// CHECK: return
#from_rows = #hetprec.lanes<1 x 4 x 22, row_stride = 22, image_stride = 88, base = 64, size = 192>
#to_rows = #hetprec.lanes<1 x 2 x 11, row_stride = 11, image_stride = 22, base = 0, size = 64>
func.func @split_rows(%p: memref<2x192xi32>, %q: memref<2x64xi32>) {
  hetprec.split_phases %p : memref<2x192xi32> outs(%q : memref<2x64xi32>)
    {strides = array<i64: 2, 2>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0>, from = #from_rows, to = #to_rows}
  return
}

// A phase that no tap reads is not made: phase 2 alone is one plane.
// CHECK-LABEL: @one_phase
// CHECK: scf.for %{{.+}} = %c0 to %c2
// CHECK-NEXT: scf.for %{{.+}} = %c1 to %c3
// CHECK: memref.store
// CHECK-NOT: memref.store
// CHECK: return
func.func @one_phase(%p: memref<1x128xi8>, %q: memref<1x64xi8>) {
  hetprec.split_phases %p : memref<1x128xi8> outs(%q : memref<1x64xi8>)
    {strides = array<i64: 2, 2>, pads = array<i64: 1, 1, 0, 0>, phases = array<i64: 2>, from = #from, to = #to}
  return
}

// Two 2-bit words of two blocks and two phases: three slots of the first, one of
// the second. Shifts of pairs, as no code crosses a byte.
// CHECK-LABEL: @spread_two
// CHECK-SAME: %[[P:.+]]: memref<4x128xi8>, %[[Q:.+]]: memref<12x128xi8>
// CHECK-DAG: %[[MASK:.+]] = arith.constant dense<771> : vector<32xi16>
// CHECK-DAG: %[[BY:.+]] = arith.constant dense<2> : vector<32xi16>
// CHECK: scf.for %[[PHASE:.+]] = %c0 to %c2
// CHECK: scf.for %[[BLOCK:.+]] = %c0 to %c2
// CHECK: %[[X:.+]] = vector.load %[[P]]
// CHECK: %[[PAIRS:.+]] = vector.bitcast %[[X]] : vector<64xi8> to vector<32xi16>
// CHECK: %[[A:.+]] = arith.andi %[[PAIRS]], %[[MASK]]
// CHECK: %[[S:.+]] = arith.shrui %[[PAIRS]], %[[BY]]
// CHECK: %[[B:.+]] = arith.andi %[[S]], %[[MASK]]
// CHECK-COUNT-3: vector.store {{.+}}, %[[Q]]
// CHECK: scf.for
// CHECK: vector.store {{.+}}, %[[Q]]
// CHECK-NOT: vector.store
// CHECK: return
func.func @spread_two(%p: memref<4x128xi8>, %q: memref<12x128xi8>) {
  hetprec.spread_lanes %p : memref<4x128xi8> outs(%q : memref<12x128xi8>) {level = 2, first = 1, channels = 4, phases = 2}
  return
}

// Bytes of 32-bit words come every fourth.
// CHECK-LABEL: @spread_eight
// CHECK: vector.shuffle %{{.+}} [0, 4, 8, 12,
// CHECK: vector.shuffle %{{.+}} [1, 5, 9, 13,
// CHECK: vector.shuffle %{{.+}} [2, 6, 10, 14,
// CHECK-COUNT-3: vector.store
// CHECK-NOT: vector.store
// CHECK: return
func.func @spread_eight(%p: memref<1x64xi32>, %q: memref<3x64xi8>) {
  hetprec.spread_lanes %p : memref<1x64xi32> outs(%q : memref<3x64xi8>) {level = 8, first = 0, channels = 3}
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
