// Windows whose lanes are tiles: weights and seeds computed by hand.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

// One output, of weights 9 (1 more than 8) in the first channel, 5 (3 less) in
// the second, 8 in empty slots, and seven rows of nothing: 0x8859 = -30631, and
// 0x8888 = -30584. One channel's weights of 1 sum to 16 at (1, 1)'s neighbours...
// in general 4 G w G^T of ones is v v^T with v = (2, 3, 1, -2); both channels
// together count 1 - 3 = -2. Of A^T (v v^T without (1, 1)) A times 32 * 2, pixels
// have 6 * 6 - 9 = 27, 6 * 0 - 9 = -9 (twice), and 0 * 0 - 9 = -9: 1728 and -576.
// The seeds are their Hadamard sums over 4: 0, 576, 576 and 576.
// Codes' sums count 2 each, since weights are odd: 2 (k - 8) + 1; the 1 is left
// for the lanes.
// CHECK-LABEL: @one_output
// CHECK-DAG: %[[SEEDS:.+]] = arith.constant dense<{{\[\[}}0, 576, 576, 576], [0, 0, 0, 0], {{.+}}]> : tensor<8x4xi32>
// CHECK-DAG: %[[ROWS:.+]] = arith.constant dense<{{\[\[}}-30631, -30631, -30631, -30631, -30631, -30631, -30631, -30631, -30631], [-30584, {{.+}}]> : tensor<8x9xi16>
// CHECK: %[[LANES:.+]] = hetprec.winograd_input %[[X:.+]] : tensor<1x{{[0-9]+}}xi16> outs(%{{.+}} : tensor<16x16xi32>)
// CHECK-SAME: pads = array<i64: 1, 1>
// CHECK: %[[SUMS:.+]] = hetprec.winograd_contract lanes(%[[LANES]] : tensor<16x16xi32>) rows(%[[ROWS]] : tensor<8x9xi16>) seeds(%[[SEEDS]] : tensor<8x4xi32>) outs(%{{.+}} : tensor<8x{{[0-9]+}}xi32>)
// CHECK-SAME: coefficient = 2 : i64
// CHECK: %[[BIAS:.+]] = hetprec.contract accumulator lanes(%[[X]] :
// CHECK-SAME: coefficients = array<i64: 1>
// CHECK: %[[ONE:.+]] = tensor.extract_slice %[[SUMS]][0, 0] [1, {{[0-9]+}}] [1, 1]
// CHECK: hetprec.contract accumulator sums(%[[ONE]] : {{.+}}) lane_bias(%[[BIAS]] :
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4, 4]>
func.func @one_output(%x: tensor<1x2x7x7xi8, #a>) -> tensor<1x1x7x7xi32> {
  %w = arith.constant dense<[[[[9, 9, 9], [9, 9, 9], [9, 9, 9]], [[5, 5, 5], [5, 5, 5], [5, 5, 5]]]]> : tensor<1x2x3x3xi8, #w>
  %r = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] {hetprec.lanes = #hetprec.lane_role<tiles>} : tensor<1x2x7x7xi8, #a>, tensor<1x2x3x3xi8, #w> -> tensor<1x1x7x7xi32>
  return %r : tensor<1x1x7x7xi32>
}

// Signed codes count twice as much, and so does what is left for the lanes. A
// negative multiplier turns weights round: 15 - 9 = 6, in slots without a
// channel still 8.
// CHECK-LABEL: @negated
// CHECK-DAG: arith.constant dense<{{\[\[}}-30586, {{.+}}, -30586], [-30584, {{.+}}]> : tensor<8x9xi16>
// CHECK: hetprec.winograd_contract
// CHECK-SAME: coefficient = 4 : i64
// CHECK: hetprec.contract accumulator lanes(
// CHECK-SAME: coefficients = array<i64: 2>
// CHECK: hetprec.contract codes sums(
#s = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4]>
#c = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
func.func @negated(%x: tensor<1x1x7x7xi8, #s>) -> tensor<1x1x5x5xi8, #c> {
  %w = arith.constant dense<9> : tensor<1x1x3x3xi8, #v>
  %r = hetprec.conv_2d %x, %w {hetprec.lanes = #hetprec.lane_role<tiles>} : tensor<1x1x7x7xi8, #s>, tensor<1x1x3x3xi8, #v> -> tensor<1x1x5x5xi32>
  %q = hetprec.requantize %r multiplier = [-1.0] offset = [0.0] : tensor<1x1x5x5xi32> to tensor<1x1x5x5xi8, #c>
  return %q : tensor<1x1x5x5xi8, #c>
}
