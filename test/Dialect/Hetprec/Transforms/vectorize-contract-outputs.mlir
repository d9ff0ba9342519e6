// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// Sixteen lanes at a time, of these eight: the first 55 lanes end with the
// fourth square's first half. Weights are registers, lanes' words scalars.
// CHECK-LABEL: @bits
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<3x192xi8>, %[[W:[a-z0-9]+]]: memref<1x192xi8>, %[[OUT:[a-z0-9]+]]: memref<64x192xi32>
// CHECK-DAG: %[[SIX:.+]] = arith.constant dense<6> : vector<32xi32>
// CHECK: %[[SUMS:.+]] = memref.view %{{.+}} to memref<16x64xi32>
// CHECK: scf.for %[[SQUARE:.+]] = %c0 to %c64 step %c16
// CHECK: %[[LEFT:.+]] = arith.subi %c56, %[[SQUARE]]
// CHECK: %[[COUNT:.+]] = arith.minsi %[[LEFT]], %c16
// CHECK: scf.for %[[ROW:.+]] = %c0 to %[[COUNT]] step %c8
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
// CHECK: hetprec.mac {{.+}} level = 8 {signed_lanes}
// CHECK: %[[BEFORE:.+]] = vector.load %[[SUMS:.+]][%{{.+}}, %c0] : memref<16x128xi32>, vector<16xi32>
// CHECK: arith.addi %{{.+}}, %[[BEFORE]]
func.func @two_segments(%a: memref<1x128xi8>, %b: memref<1x128xi32>, %w: memref<1x384xi8>, %out: memref<128x128xi32>) {
  hetprec.contract_outputs lanes(%a, %b : memref<1x128xi8>, memref<1x128xi32>) weights(%w : memref<1x384xi8>) outs(%out : memref<128x128xi32>)
    {levels = array<i64: 2, 4>, coefficients = array<i64: 10, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 20, tile_blocks = 2}
  return
}
