// Tiles of 2x2 pixels as vectors and macs.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-vectorize-lanes),canonicalize,cse)' | FileCheck %s
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-vectorize-lanes{dot-sums=4}),canonicalize,cse)' | FileCheck %s --check-prefix=FEW

#layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>

// A word after the other; chunks are written apart, by a thread each if need be.
// Pairs of pixels come as 32 bits. Of the 16 places, 15 get 32, the other one
// none. A row of 4 tiles is a part of a register.
// CHECK-LABEL: @input
// CHECK: scf.for {{.+}} to %c2
// CHECK: scf.for {{.+}} to %c4
// CHECK-COUNT-8: vector.load %arg0{{.+}} : memref<2x192xi16>, vector<32xi16>
// CHECK-COUNT-16: vector.store {{.+}} : memref<32x16xi32>, vector<4xi32>
// CHECK-NOT: vector.store
// CHECK: }
// CHECK: } {hetprec.parallel}
func.func @input(%x: memref<2x192xi16>, %u: memref<32x16xi32>) {
  hetprec.winograd_input %x : memref<2x192xi16> outs(%u : memref<32x16xi32>) {pads = array<i64: 1, 1>, layout = #layout}
  return
}

// The weights of eight outputs first, two words at a time: 9 registers become 16.
// 16 tiles are one register, with eight outputs 8 sums: rows 1 and 2 of the
// positions, then rows 0 and 3, each at columns 1, 2, 0 and 3. The seventh row of
// pixels is the last, so the last tiles have one row of pixels.
// CHECK-LABEL: @contract
// CHECK: scf.for {{.+}} to %c8
// CHECK-COUNT-9: vector.load %arg1{{.+}} : memref<8x18xi16>, vector<2xi16>
// CHECK-COUNT-16: vector.store {{.+}}, vector<2xi32>
// CHECK: scf.for {{.+}} to %c2 step %c1
// CHECK: memref.load %arg2
// CHECK-COUNT-64: hetprec.mac {{.+}} level = 8 {pair_bound = 8928 : i64} : vector<16xi32>, vector<16xi32>, i32
// CHECK: scf.for {{.+}} to %c2 step %c1
// CHECK-NOT: memref.load %arg2
// CHECK-COUNT-64: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: scf.for {{.+}} to %c4
// CHECK: arith.shrsi {{.+}} : vector<4xi32>
// CHECK: vector.interleave
// CHECK: vector.store {{.+}} : memref<8x192xi32>, vector<8xi32>
// CHECK: %[[INSIDE:.+]] = arith.cmpi ult, {{.+}}, %c3
// CHECK: scf.if %[[INSIDE]]
// CHECK: vector.store {{.+}} : memref<8x192xi32>, vector<8xi32>

// Four sums at a time.
// FEW-LABEL: @contract
// FEW: scf.for {{.+}} to %c8 step %c4
// FEW: scf.for {{.+}} to %c2 step %c1
// FEW-COUNT-32: hetprec.mac
// FEW: scf.for {{.+}} to %c2 step %c1
// FEW-COUNT-32: hetprec.mac
// FEW-NOT: hetprec.mac
// FEW: return
func.func @contract(%u: memref<32x16xi32>, %w: memref<8x18xi16>, %c: memref<8x4xi32>, %s: memref<8x192xi32>) {
  hetprec.winograd_contract lanes(%u : memref<32x16xi32>) rows(%w : memref<8x18xi16>) seeds(%c : memref<8x4xi32>) outs(%s : memref<8x192xi32>) {coefficient = 2, layout = #layout}
  return
}

// 14 rows of 14 tiles are a chunk of 8 and one of 6: the products of seven and of
// six registers, whose planes begin with planes 0 and 32. A row of tiles are two
// stores that meet.
#chunks = #hetprec.lanes<1 x 28 x 28, row_stride = 29, image_stride = 841, base = 64, size = 960>
// CHECK-LABEL: @input_chunks
// CHECK: scf.for {{.+}} to %c2
// CHECK: scf.for %[[CHUNK:.+]] = %c0 to %c2
// CHECK: %[[REST:.+]] = arith.subi %c14, %{{.+}}
// CHECK: %[[ROWS:.+]] = arith.minui %[[REST]], %c8
// CHECK: scf.for %{{.+}} = %c0 to %[[ROWS]]
// CHECK-COUNT-32: vector.store {{.+}} : memref<64x112xi32>, vector<8xi32>
// CHECK-NOT: vector.store
// CHECK: } {hetprec.parallel}
// CHECK-NEXT: } {hetprec.parallel}
func.func @input_chunks(%x: memref<2x960xi16>, %u: memref<64x112xi32>) {
  hetprec.winograd_input %x : memref<2x960xi16> outs(%u : memref<64x112xi32>) {pads = array<i64: 1, 1>, layout = #chunks}
  return
}

// By itself the loop over chunks is no task's: the weights stand before it.
// CHECK-LABEL: @contract_chunks
// CHECK: scf.for %[[CHUNK:.+]] = %c0 to %c2
// CHECK: %[[PLANE:.+]] = arith.muli %[[CHUNK]], %c32
// CHECK: arith.addi %[[PLANE]], %
// CHECK: vector.load %arg0
// CHECK-NOT: hetprec.parallel
// CHECK: return
func.func @contract_chunks(%u: memref<64x112xi32>, %w: memref<8x18xi16>, %c: memref<8x4xi32>, %s: memref<8x960xi32>) {
  hetprec.winograd_contract lanes(%u : memref<64x112xi32>) rows(%w : memref<8x18xi16>) seeds(%c : memref<8x4xi32>) outs(%s : memref<8x960xi32>) {coefficient = 2, layout = #chunks}
  return
}

// In a loop over outputs that tasks share, tasks share chunks, too.
// CHECK-LABEL: @contract_shared
// CHECK: scf.for {{.+}} to %c2
// CHECK: scf.for %[[CHUNK:.+]] = %c0 to %c2
// CHECK: arith.muli %[[CHUNK]], %c32
// CHECK: } {hetprec.parallel}
// CHECK-NEXT: } {hetprec.parallel}
func.func @contract_shared(%u: memref<64x112xi32>, %w: memref<8x18xi16>, %c: memref<8x4xi32>, %s: memref<16x960xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c8 = arith.constant 8 : index
  scf.for %i = %c0 to %c2 step %c1 {
    %row = arith.muli %i, %c8 : index
    %t = memref.subview %s[%row, 0] [8, 960] [1, 1] : memref<16x960xi32> to memref<8x960xi32, strided<[960, 1], offset: ?>>
    hetprec.winograd_contract lanes(%u : memref<64x112xi32>) rows(%w : memref<8x18xi16>) seeds(%c : memref<8x4xi32>) outs(%t : memref<8x960xi32, strided<[960, 1], offset: ?>>) {coefficient = 2, layout = #chunks}
  } {hetprec.parallel}
  return
}
