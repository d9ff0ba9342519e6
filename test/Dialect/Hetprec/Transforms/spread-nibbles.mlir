// RUN: sysmol-opt %s --hetprec-spread-nibbles | FileCheck %s

// Words of level 4 become bytes, rows in front of the contract and lanes once
// for both contracts; level 2 stays as it is. Rows become twice their codes, so
// that their coefficient is 1.

// CHECK-LABEL: func @two_levels
// CHECK-SAME: %[[X2:[^:]+]]: tensor<1x256xi8>, %[[X4:[^:]+]]: tensor<1x256xi16>
// CHECK: %[[L:.+]] = linalg.generic {{.+}} ins(%[[X4]] : tensor<1x256xi16>) outs(%{{.+}} : tensor<1x256xi32>)
// CHECK: %[[X:.+]] = arith.extui %{{.+}} : i16 to i32
// CHECK: %[[M:.+]] = arith.shli %[[X]], %{{.+}} : i32
// CHECK: %[[B:.+]] = arith.ori %[[X]], %[[M]] : i32
// CHECK: arith.andi %[[B]], %{{.+}} : i32
// CHECK-DAG: %[[W2:.+]] = arith.constant dense<21> : tensor<4x9xi8>
// CHECK-DAG: %[[W4:.+]] = arith.constant dense<4660> : tensor<4x9xi16>
// CHECK: %[[S:.+]] = linalg.generic {{.+}} ins(%[[W4]] : tensor<4x9xi16>) outs(%{{.+}} : tensor<4x9xi32>)
// CHECK: arith.extui %{{.+}} : i16 to i32
// CHECK: arith.andi %{{.+}}, %{{.+}} : i32
// CHECK: %[[CODES:.+]] = arith.andi %{{.+}}, %{{.+}} : i32
// CHECK: %[[TWICE:.+]] = arith.muli %[[CODES]], %c2_i32 : i32
// CHECK: linalg.yield %[[TWICE]]
// CHECK: %[[R:.+]] = hetprec.contract accumulator lanes(%[[X2]], %[[L]] : tensor<1x256xi8>, tensor<1x256xi32>) rows(%[[W2]], %[[S]] : tensor<4x9xi8>, tensor<4x9xi32>)
// CHECK-SAME: coefficients = array<i64: 40, 1>
// CHECK: hetprec.contract accumulator lanes(%[[L]] : tensor<1x256xi32>) rows(%{{.+}} : tensor<4x9xi32>) outs(%[[R]] :
func.func @two_levels(%x2: tensor<1x256xi8>, %x4: tensor<1x256xi16>,
                      %init: tensor<4x256xi32>) -> tensor<4x256xi32> {
  %w2 = arith.constant dense<21> : tensor<4x9xi8>
  %w4 = arith.constant dense<0x1234> : tensor<4x9xi16>
  %r = hetprec.contract accumulator
      lanes(%x2, %x4 : tensor<1x256xi8>, tensor<1x256xi16>)
      rows(%w2, %w4 : tensor<4x9xi8>, tensor<4x9xi16>)
      outs(%init : tensor<4x256xi32>)
      {levels = array<i64: 2, 4>, coefficients = array<i64: 40, 2>,
       taps = array<i64: 0, 1, 2, 9, 10, 11, 18, 19, 20>, origin = -10 : i64,
       lane_begin = 64 : i64, lane_count = 128 : i64} -> tensor<4x256xi32>
  %again = hetprec.contract accumulator
      lanes(%x4 : tensor<1x256xi16>) rows(%w4 : tensor<4x9xi16>)
      outs(%r : tensor<4x256xi32>)
      {levels = array<i64: 4>, coefficients = array<i64: 2>,
       taps = array<i64: 0, 1, 2, 9, 10, 11, 18, 19, 20>, origin = -10 : i64,
       lane_begin = 64 : i64, lane_count = 128 : i64} -> tensor<4x256xi32>
  return %again : tensor<4x256xi32>
}

// Five times a code of 15 would be a byte still, but so large a bound is not
// known to what multiplies bytes; rows of sums are read as they are.
// CHECK-LABEL: func @no_factor
// CHECK-NOT: arith.muli
// CHECK: coefficients = array<i64: 5>
// CHECK-NOT: arith.muli
// CHECK: coefficients = array<i64: 2>
func.func @no_factor(%x: tensor<1x256xi16>, %init: tensor<4x256xi32>, %sums: tensor<1x256xi32>)
    -> (tensor<4x256xi32>, tensor<1x256xi32>) {
  %w = arith.constant dense<0x1234> : tensor<4x1xi16>
  %ones = arith.constant dense<0x1111> : tensor<1x1xi16>
  %r = hetprec.contract accumulator
      lanes(%x : tensor<1x256xi16>) rows(%w : tensor<4x1xi16>)
      outs(%init : tensor<4x256xi32>)
      {levels = array<i64: 4>, coefficients = array<i64: 5>,
       taps = array<i64: 0>, origin = 0 : i64,
       lane_begin = 64 : i64, lane_count = 128 : i64} -> tensor<4x256xi32>
  %s = hetprec.contract accumulator
      lanes(%x : tensor<1x256xi16>) rows(%ones : tensor<1x1xi16>)
      outs(%sums : tensor<1x256xi32>)
      {levels = array<i64: 4>, coefficients = array<i64: 2>,
       taps = array<i64: 0>, origin = 0 : i64, uniform_rows,
       lane_begin = 64 : i64, lane_count = 128 : i64} -> tensor<1x256xi32>
  return %r, %s : tensor<4x256xi32>, tensor<1x256xi32>
}

// Rows that are bytes already keep their coefficient.
// CHECK-LABEL: func @spread_already
// CHECK: rows(%{{.+}} : tensor<4x1xi32>)
// CHECK-SAME: coefficients = array<i64: 2>
func.func @spread_already(%x: tensor<1x256xi16>, %w: tensor<4x1xi32>, %init: tensor<4x256xi32>) -> tensor<4x256xi32> {
  %r = hetprec.contract accumulator
      lanes(%x : tensor<1x256xi16>) rows(%w : tensor<4x1xi32>)
      outs(%init : tensor<4x256xi32>)
      {levels = array<i64: 4>, coefficients = array<i64: 2>,
       taps = array<i64: 0>, origin = 0 : i64,
       lane_begin = 64 : i64, lane_count = 128 : i64} -> tensor<4x256xi32>
  return %r : tensor<4x256xi32>
}

// Beside outputs the nibbles of lanes become bytes in their order.
// CHECK-LABEL: func @outputs
// CHECK: %[[L:.+]] = linalg.generic {{.+}} ins(%{{.+}} : tensor<1x128xi16>) outs(%{{.+}} : tensor<1x128xi32>)
// CHECK: arith.andi %{{.+}}, %{{.+}} : i32
// CHECK: arith.andi %{{.+}}, %{{.+}} : i32
// CHECK: hetprec.contract_outputs lanes(%[[L]] : tensor<1x128xi32>)
func.func @outputs(%a: tensor<1x128xi16>, %w: tensor<1x128xi8>, %init: tensor<64x128xi32>) -> tensor<64x128xi32> {
  %r = hetprec.contract_outputs lanes(%a : tensor<1x128xi16>) weights(%w : tensor<1x128xi8>) outs(%init : tensor<64x128xi32>)
    {levels = array<i64: 4>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 7, tile_blocks = 1} -> tensor<64x128xi32>
  return %r : tensor<64x128xi32>
}
