// RUN: sysmol-opt %s --hetprec-spread-rows | FileCheck %s

// Row words of level 4 become bytes in front of the contract; level 2 and lanes
// stay as they are.

// CHECK-LABEL: func @two_levels
// CHECK-SAME: %[[X2:[^:]+]]: tensor<1x256xi8>, %[[X4:[^:]+]]: tensor<1x256xi16>
// CHECK-DAG: %[[W2:.+]] = arith.constant dense<21> : tensor<4x9xi8>
// CHECK-DAG: %[[W4:.+]] = arith.constant dense<4660> : tensor<4x9xi16>
// CHECK: %[[S:.+]] = linalg.generic {{.+}} ins(%[[W4]] : tensor<4x9xi16>) outs(%{{.+}} : tensor<4x9xi32>)
// CHECK: arith.extui %{{.+}} : i16 to i32
// CHECK: arith.andi %{{.+}}, %{{.+}} : i32
// CHECK: arith.andi %{{.+}}, %{{.+}} : i32
// CHECK: hetprec.contract accumulator lanes(%[[X2]], %[[X4]] : tensor<1x256xi8>, tensor<1x256xi16>) rows(%[[W2]], %[[S]] : tensor<4x9xi8>, tensor<4x9xi32>)
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
  return %r : tensor<4x256xi32>
}
