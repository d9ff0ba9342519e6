// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// Squares of sixteen lanes are two groups of eight: the first 55 lanes end with
// the fourth square's first. Weights are registers, lanes' words scalars.
// CHECK-LABEL: @bits
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<3x192xi8>, %[[W:[a-z0-9]+]]: memref<1x192xi8>, %[[OUT:[a-z0-9]+]]: memref<64x192xi32>
// CHECK-DAG: %[[SIX:.+]] = arith.constant dense<6> : vector<32xi32>
// CHECK: %[[SUMS:.+]] = memref.view %{{.+}} to memref<16x64xi32>
// CHECK: scf.for %[[SQUARE:.+]] = %c0 to %c4 step %c1
// CHECK: %[[LANE:.+]] = arith.muli %[[SQUARE]], %c16
// CHECK: %[[FIRST:.+]] = arith.muli %[[SQUARE]], %c2
// CHECK: %[[LEFT:.+]] = arith.subi %c7, %[[FIRST]]
// CHECK: %[[COUNT:.+]] = arith.minsi %[[LEFT]], %c2
// CHECK: scf.for %[[GROUP:.+]] = %c0 to %[[COUNT]] step %c1
// CHECK: %[[ROW:.+]] = arith.muli %[[GROUP]], %c8
// CHECK: vector.load %[[W]][%c0, %c0] : memref<1x192xi8>, vector<64xi8>
// CHECK: memref.load %[[A]][%c0, %{{.+}}]
// CHECK-COUNT-8: hetprec.mac {{.+}} level = 1
// CHECK: vector.load %[[W]][%c0, %c64]
// CHECK-COUNT-8: hetprec.mac {{.+}} level = 1
// CHECK: vector.load %[[W]][%c0, %c128]
// CHECK-COUNT-8: hetprec.mac {{.+}} level = 1
// CHECK: %[[EVEN:.+]] = arith.extui %{{.+}} : vector<32xi16> to vector<32xi32>
// CHECK: arith.muli %[[EVEN]], %[[SIX]]
// CHECK: vector.store %{{.+}}, %[[SUMS]][%[[ROW]], %c0]
// CHECK: vector.store %{{.+}}, %[[SUMS]][%[[ROW]], %c32]
// Squares of 16 by 16 are turned round.
// CHECK: scf.for %[[OUTPUT:.+]] = %c0 to %c64 step %c16
// CHECK-COUNT-16: vector.load %[[SUMS]]
// CHECK-COUNT-64: vector.shuffle
// CHECK-COUNT-16: vector.store %{{.+}}, %[[OUT]]
func.func @bits(%a: memref<3x192xi8>, %w: memref<1x192xi8>, %out: memref<64x192xi32>) {
  hetprec.contract_outputs lanes(%a : memref<3x192xi8>) weights(%w : memref<1x192xi8>) outs(%out : memref<64x192xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 6>, taps = array<i64: 0>, origin = 0, lane_begin = 64, lane_count = 64, used_lanes = 55, tile_blocks = 1}
  return
}

// Weights, which are vectors here, are what is centred; of those of level 1 is
// known that 40 words fit, of those of level 2 that 15 do.
// CHECK-LABEL: @known_weights
// CHECK: scf.for %{{.+}} = %c0 to %c78 step %c39
// CHECK: hetprec.mac {{.+}} level = 1 :
// CHECK: scf.for %{{.+}} = %c0 to %c30 step %c15
// CHECK: hetprec.mac {{.+}} level = 2 {centred = #hetprec.centred<lanes>}
func.func @known_weights(%a: memref<80x64xi8>, %b: memref<31x64xi8>, %w: memref<1x7104xi8>, %out: memref<64x64xi32>) {
  hetprec.contract_outputs lanes(%a, %b : memref<80x64xi8>, memref<31x64xi8>) weights(%w : memref<1x7104xi8>) outs(%out : memref<64x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 3, 2>, taps = array<i64: 0>, origin = 0, centred, byte_words = array<i64: 40, 15>, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1}
  return
}

// Four lanes for each of two blocks. The second segment's sums are added; its
// nibbles lie in the weights' low and high halves, as bytes (spread) in lanes.
// CHECK-LABEL: @two_segments
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<1x128xi8>, %[[B:[a-z0-9]+]]: memref<1x128xi32>, %[[W:[a-z0-9]+]]: memref<1x384xi8>
// CHECK-DAG: %[[LOW:.+]] = arith.constant dense<252645135> : vector<16xi32>
// CHECK-DAG: %[[FOUR:.+]] = arith.constant dense<4> : vector<16xi32>
// CHECK: step %c4
// CHECK-COUNT-8: hetprec.mac {{.+}} level = 2
// CHECK: vector.load %[[W]][%c0, %c128]
// CHECK: arith.shrui %{{.+}}, %[[FOUR]]
// CHECK: arith.andi %{{.+}}, %[[LOW]]
// CHECK: memref.load %[[B]]
// CHECK: hetprec.mac {{.+}} level = 8 {pair_bound = 450 : i64, signed_lanes}
// CHECK: %[[BEFORE:.+]] = vector.load %[[SUMS:.+]][%{{.+}}, %c0] : memref<16x128xi32>, vector<16xi32>
// CHECK: arith.addi %{{.+}}, %[[BEFORE]]
func.func @two_segments(%a: memref<1x128xi8>, %b: memref<1x128xi32>, %w: memref<1x384xi8>, %out: memref<128x128xi32>) {
  hetprec.contract_outputs lanes(%a, %b : memref<1x128xi8>, memref<1x128xi32>) weights(%w : memref<1x384xi8>) outs(%out : memref<128x128xi32>)
    {levels = array<i64: 2, 4>, coefficients = array<i64: 10, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 20, tile_blocks = 2}
  return
}

// The lanes between the rows of a 7x7 image are left out: a group is a row of
// seven lanes, eight apart, a square two rows. Two blocks of outputs take four
// lanes at a time, then three.
// CHECK-LABEL: @pixels
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<1x192xi8>
// CHECK: scf.for %[[SQUARE:.+]] = %c0 to %c4 step %c1
// CHECK: %[[FIRST:.+]] = arith.muli %[[SQUARE]], %c2
// CHECK: arith.subi %c7, %[[FIRST]]
// CHECK: scf.for %[[GROUP:.+]] = %c0
// CHECK: arith.muli %[[GROUP]], %c8
// CHECK-COUNT-8: hetprec.mac
// CHECK-COUNT-6: hetprec.mac
// CHECK-NOT: hetprec.mac
// A row of twenty is groups of seven, of which two are a square: the third has a
// square of its own. Its last lane is no pixel.
// CHECK-LABEL: @long_rows
// CHECK: scf.for %{{.+}} = %c0 to %c3 step %c1
// CHECK: scf.for %[[SQUARE:.+]] = %c0 to %c2 step %c1
// CHECK: arith.muli %[[SQUARE]], %c14
// CHECK: arith.subi %c3, %{{.+}}
#seven = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>
#twenty = #hetprec.lanes<1 x 3 x 20, row_stride = 23, image_stride = 92, base = 0, size = 192>
func.func @pixels(%a: memref<1x192xi8>, %w: memref<1x128xi8>, %out: memref<128x192xi32>) {
  hetprec.contract_outputs lanes(%a : memref<1x192xi8>) weights(%w : memref<1x128xi8>) outs(%out : memref<128x192xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 6>, taps = array<i64: 0>, origin = 0, lane_begin = 64, lane_count = 64, used_lanes = 55, tile_blocks = 2, layout = #seven}
  return
}
func.func @long_rows(%a: memref<1x192xi8>, %w: memref<1x64xi8>, %out: memref<64x192xi32>) {
  hetprec.contract_outputs lanes(%a : memref<1x192xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<64x192xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 6>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 128, used_lanes = 66, tile_blocks = 1, layout = #twenty}
  return
}

// A window of 7x7, stride 2: three pairs of rows, one of each phase, and a row
// that is left over.
// CHECK-LABEL: @strided
// CHECK: scf.for %{{.+}} = %c0 to %c3
// CHECK-COUNT-14: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: scf.yield
// CHECK-COUNT-7: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: return
#one = #hetprec.lanes<1 x 1 x 1, row_stride = 1, image_stride = 1, base = 0, size = 192>
func.func @strided(%a: memref<4x192xi8>, %w: memref<1x3136xi8>, %out: memref<64x192xi32>) {
  hetprec.contract_outputs lanes(%a : memref<4x192xi8>) weights(%w : memref<1x3136xi8>) outs(%out : memref<64x192xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 1>,
     taps = array<i64: 0, 0, 1, 1, 2, 2, 3, 0, 0, 1, 1, 2, 2, 3, 16, 16, 17, 17, 18, 18, 19, 16, 16, 17, 17, 18, 18, 19, 32, 32, 33, 33, 34, 34, 35, 32, 32, 33, 33, 34, 34, 35, 48, 48, 49, 49, 50, 50, 51>,
     tap_phases = array<i64: 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0>,
     phases = 4, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 1, tile_blocks = 1, layout = #one}
  return
}

// What the taps of a 3x3 window read outside an image of 7x7 is left out: rows
// by a test, of columns the first lane's first tap and the last one's last.
// CHECK-LABEL: @padding
// CHECK: %[[GROUP:.+]] = arith.muli %{{.+}}, %c2
// CHECK: scf.for %[[I:.+]] = %c0 to %{{.+}} step %c1
// CHECK: %[[ROW:.+]] = arith.addi %[[GROUP]], %[[I]]
// CHECK: scf.for %[[TAPS:.+]] = %c0 to %c3 step %c1
// CHECK: %[[FIRST:.+]] = arith.addi %[[ROW]], %c-1
// CHECK: %[[AT:.+]] = arith.addi %[[FIRST]], %[[TAPS]]
// CHECK: %[[INSIDE:.+]] = arith.cmpi ult, %[[AT]], %c7
// CHECK: scf.if %[[INSIDE]]
// CHECK-COUNT-19: hetprec.mac {{.+}} level = 1
// CHECK-NOT: hetprec.mac
// CHECK: } else {
#border = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>
func.func @padding(%a: memref<1x192xi8>, %w: memref<1x576xi8>, %out: memref<64x192xi32>) {
  hetprec.contract_outputs lanes(%a : memref<1x192xi8>) weights(%w : memref<1x576xi8>) outs(%out : memref<64x192xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 6>, taps = array<i64: 0, 1, 2, 8, 9, 10, 16, 17, 18>, origin = -9, lane_begin = 64, lane_count = 64, used_lanes = 55, tile_blocks = 1, layout = #border,
     tap_pixels = array<i64: -1, -1, -1, 0, -1, 1, 0, -1, 0, 0, 0, 1, 1, -1, 1, 0, 1, 1>, image = array<i64: 7, 7>}
  return
}

// Centred weights give something with zeros: what each tap would have given is
// summed before, nine taps at once, and added for what is left out.
// CHECK-LABEL: @centred_padding
// CHECK-DAG: %[[ZERO:.+]] = arith.constant 0 : i8
// CHECK: %[[TABLE:.+]] = memref.view %{{.+}} to memref<9x64xi16>
// CHECK-COUNT-9: hetprec.mac %{{.+}}, %{{.+}}, %[[ZERO]] level = 2 {centred = #hetprec.centred<lanes>}
// CHECK-COUNT-18: vector.store %{{.+}}, %[[TABLE]]
// CHECK: scf.if
// CHECK-COUNT-19: hetprec.mac {{.+}} level = 2
// Of a row above the image all its taps, of one that is there those of two lanes.
// CHECK: scf.if
// CHECK-COUNT-4: vector.load %[[TABLE]]
// CHECK-NOT: vector.load %[[TABLE]]
// CHECK: } else {
// CHECK: vector.load %[[TABLE]]
func.func @centred_padding(%a: memref<1x192xi8>, %w: memref<1x576xi8>, %out: memref<64x192xi32>) {
  hetprec.contract_outputs lanes(%a : memref<1x192xi8>) weights(%w : memref<1x576xi8>) outs(%out : memref<64x192xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 6>, taps = array<i64: 0, 1, 2, 8, 9, 10, 16, 17, 18>, origin = -9, centred, lane_begin = 64, lane_count = 64, used_lanes = 55, tile_blocks = 1, layout = #border,
     tap_pixels = array<i64: -1, -1, -1, 0, -1, 1, 0, -1, 0, 0, 0, 1, 1, -1, 1, 0, 1, 1>, image = array<i64: 7, 7>}
  return
}

// Two groups are a row of twelve: each has columns of its own.
// CHECK-LABEL: @columns_of_groups
// CHECK: arith.cmpi ult, %{{.+}}, %c12
// CHECK: scf.if
// CHECK-COUNT-17: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: } else {
// CHECK: scf.if
// CHECK-COUNT-17: hetprec.mac
// CHECK-NOT: hetprec.mac
// CHECK: } else {
// CHECK-NOT: hetprec.mac
// CHECK: return
#twelve = #hetprec.lanes<1 x 12 x 12, row_stride = 13, image_stride = 169, base = 64, size = 320>
func.func @columns_of_groups(%a: memref<1x320xi8>, %w: memref<1x576xi8>, %out: memref<64x320xi32>) {
  hetprec.contract_outputs lanes(%a : memref<1x320xi8>) weights(%w : memref<1x576xi8>) outs(%out : memref<64x320xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 6>, taps = array<i64: 0, 1, 2, 13, 14, 15, 26, 27, 28>, origin = -14, lane_begin = 64, lane_count = 192, used_lanes = 155, tile_blocks = 1, layout = #twelve,
     tap_pixels = array<i64: -1, -1, -1, 0, -1, 1, 0, -1, 0, 0, 0, 1, 1, -1, 1, 0, 1, 1>, image = array<i64: 12, 12>}
  return
}

// Of a longer row, columns are not known: rows are left out, and of centred
// weights nothing.
// CHECK-LABEL: @rows_of_padding
// CHECK: arith.cmpi ult, %{{.+}}, %c3
// CHECK: scf.if
// CHECK-COUNT-21: hetprec.mac {{.+}} level = 1
// CHECK: } else {
// CHECK-NOT: scf.if
// CHECK-COUNT-21: hetprec.mac {{.+}} level = 2
// CHECK: return
func.func @rows_of_padding(%a: memref<1x192xi8>, %b: memref<1x192xi8>, %w: memref<1x1152xi8>, %out: memref<64x192xi32>) {
  hetprec.contract_outputs lanes(%a, %b : memref<1x192xi8>, memref<1x192xi8>) weights(%w : memref<1x1152xi8>) outs(%out : memref<64x192xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 6, 1>, taps = array<i64: 0, 1, 2, 23, 24, 25, 46, 47, 48>, origin = 0, centred, lane_begin = 0, lane_count = 128, used_lanes = 66, tile_blocks = 1, layout = #twenty,
     tap_pixels = array<i64: -1, -1, -1, 0, -1, 1, 0, -1, 0, 0, 0, 1, 1, -1, 1, 0, 1, 1>, image = array<i64: 3, 20>}
  return
}
