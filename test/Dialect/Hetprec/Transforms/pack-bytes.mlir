// Windows of one channel: planes of bytes, four pixels a word.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

// Channels of levels 2, 1, 2 and two outputs each. A row of three taps is a word
// whose fourth byte is 0; the taps are rows of the image. One product of 1 bit
// counts six times as much as one of 2 bits (HP11): +-6 are 6 * (2k - 1). Planes
// are in the order of the levels: 1; 0, 2. No part of the lanes is left over.
//   channel 0, all codes 3: 3 * 0x010101 = 197379; code 0: 0xFDFDFD = 16645629.
//   channel 1: 0x060606 = 394758, 0xFAFAFA = 16448250.
// CHECK-LABEL: @levels
// CHECK-DAG: %[[W:.+]] = arith.constant dense<{{\[\[}}197379, 197379, 197379], [16645629, 16645629, 16645629], [394758, 394758, 394758], [16448250, 16448250, 16448250], [65793, 65793, 65793], [16777215, 65793, 65793]]> : tensor<6x3xi32>
// CHECK-DAG: %[[START:.+]] = arith.constant dense<[1, 1, 0, 0, 2, 2]> : tensor<6xi32>
// CHECK-DAG: %[[ONE:.+]] = hetprec.pack_lanes %{{.+}} level = 1
// CHECK-DAG: %[[TWO:.+]] = hetprec.pack_lanes %{{.+}} level = 2
// CHECK: %[[A:.+]] = hetprec.spread_lanes %[[ONE]] : tensor<1x192xi8> outs(%{{.+}} : tensor<3x192xi8>) {channels = 1 : i64, first = 0 : i64, level = 1 : i64}
// CHECK: %[[B:.+]] = hetprec.spread_lanes %[[TWO]] : tensor<1x192xi8> outs(%[[A]] : tensor<3x192xi8>) {channels = 2 : i64, first = 1 : i64, level = 2 : i64}
// CHECK-NOT: hetprec.contract
// CHECK: hetprec.contract accumulator lanes(%[[B]] : tensor<3x192xi8>) rows(%[[W]] : tensor<6x3xi32>) starts(%[[START]] : tensor<6xi32>) outs(%{{.+}} : tensor<6x192xi32>)
// CHECK-SAME: {coefficients = array<i64: 1>, lane_begin = 64 : i64, lane_bytes = 1 : i64, lane_count = 64 : i64, {{.+}}levels = array<i64: 8>, origin = -6 : i64, tap_bytes = array<i64: 3, 3, 3>, taps = array<i64: 0, 5, 10>}
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1, 2], groups = 3>
func.func @levels(%x: tensor<1x3x4x4xi8, #a>) -> tensor<1x6x4x4xi32> {
  %w = arith.constant dense<[[[[3, 3, 3], [3, 3, 3], [3, 3, 3]]], [[[0, 0, 0], [0, 0, 0], [0, 0, 0]]],
    [[[1, 1, 1], [1, 1, 1], [1, 1, 1]]], [[[0, 0, 0], [0, 0, 0], [0, 0, 0]]],
    [[[2, 2, 2], [2, 2, 2], [2, 2, 2]]], [[[1, 1, 1], [2, 2, 2], [2, 2, 2]]]]> : tensor<6x1x3x3xi8, #w>
  %acc = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] groups = 3 : tensor<1x3x4x4xi8, #a>, tensor<6x1x3x3xi8, #w> -> tensor<1x6x4x4xi32>
  return %acc : tensor<1x6x4x4xi32>
}

// Bytes of 8-bit channels cannot count 2-bit products, which are 2720 times as
// much: a segment for each; a row reads one of them. Mid-rise lanes are 2k - 3,
// and their part that weights alone make stays in row_bias.
// CHECK-LABEL: @eight
// CHECK: hetprec.contract accumulator lanes(%{{.+}}, %{{.+}} : tensor<1x128xi8>, tensor<1x128xi8>)
// CHECK-SAME: coefficients = array<i64: 2720, 1>
// CHECK-LABEL: @midrise
// CHECK: hetprec.contract accumulator {{.+}} row_bias(
// CHECK-SAME: coefficients = array<i64: 2048, 1>
#m = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8, 2]>
#s = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8, 2]>
#n = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8, 2], groups = 2>
func.func @eight(%x: tensor<1x2x4x4xi8, #m>) -> tensor<1x2x2x2xi32> {
  %w = arith.constant dense<1> : tensor<2x1x3x3xi8, #n>
  %acc = hetprec.conv_2d %x, %w groups = 2 : tensor<1x2x4x4xi8, #m>, tensor<2x1x3x3xi8, #n> -> tensor<1x2x2x2xi32>
  return %acc : tensor<1x2x2x2xi32>
}
func.func @midrise(%x: tensor<1x2x4x4xi8, #s>) -> tensor<1x2x2x2xi32> {
  %w = arith.constant dense<1> : tensor<2x1x3x3xi8, #n>
  %acc = hetprec.conv_2d %x, %w groups = 2 : tensor<1x2x4x4xi8, #s>, tensor<2x1x3x3xi8, #n> -> tensor<1x2x2x2xi32>
  return %acc : tensor<1x2x2x2xi32>
}

// Stride 2: rows have phases, which the words' rows are spread to; columns lie side
// by side, two bytes a lane. Readers of the same phases share their bytes.
// CHECK-LABEL: @strided
// CHECK: %[[P:.+]] = hetprec.pack_lanes
// CHECK-NOT: hetprec.split_phases
// CHECK: %[[S:.+]] = hetprec.spread_lanes %[[P]] : tensor<1x64xi8> outs(%{{.+}} : tensor<4x256xi8>) {channels = 2 : i64, first = 0 : i64, from = #{{.+}}, level = 2 : i64, pads = array<i64: 1, 1>, row_phases = array<i64: 0, 1>, stride = 2 : i64, to = #{{.+}}}
// CHECK-NOT: hetprec.s
// CHECK: hetprec.contract accumulator lanes(%[[S]] :
// CHECK-SAME: lane_bytes = 2 : i64, {{.+}}phases = 2 : i64, tap_bytes = array<i64: 3, 3, 3>, tap_phases = array<i64: 0, 1, 0>, taps = array<i64: 0, 0, 6>
// CHECK: hetprec.contract accumulator lanes(%[[S]] :
#two = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 2]>
#wtwo = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 2], groups = 2>
func.func @strided(%x: tensor<1x2x4x4xi8, #two>) -> (tensor<1x2x2x2xi32>, tensor<1x2x2x2xi32>) {
  %v = arith.constant dense<1> : tensor<2x1x3x3xi8, #wtwo>
  %w = arith.constant dense<2> : tensor<2x1x3x3xi8, #wtwo>
  %a = hetprec.conv_2d %x, %v strides = [2, 2] pads = [1, 1, 1, 1] groups = 2 : tensor<1x2x4x4xi8, #two>, tensor<2x1x3x3xi8, #wtwo> -> tensor<1x2x2x2xi32>
  %b = hetprec.conv_2d %x, %w strides = [2, 2] pads = [1, 1, 1, 1] groups = 2 : tensor<1x2x4x4xi8, #two>, tensor<2x1x3x3xi8, #wtwo> -> tensor<1x2x2x2xi32>
  return %a, %b : tensor<1x2x2x2xi32>, tensor<1x2x2x2xi32>
}

// One tap a row: a word of channels is as good.
// CHECK-LABEL: @column
// CHECK-NOT: spread_lanes
// CHECK: return
func.func @column(%x: tensor<1x2x4x4xi8, #two>) -> tensor<1x2x2x4xi32> {
  %w = arith.constant dense<1> : tensor<2x1x3x1xi8, #wtwo>
  %acc = hetprec.conv_2d %x, %w groups = 2 : tensor<1x2x4x4xi8, #two>, tensor<2x1x3x1xi8, #wtwo> -> tensor<1x2x2x4xi32>
  return %acc : tensor<1x2x2x4xi32>
}

// Pools have one row of words, the number 1 for each tap: 0x010101 and 0x0101. It is repeated where it is read.
// CHECK-LABEL: @pool
// CHECK-DAG: %[[ROW:.+]] = arith.constant dense<[65793, 257]> : tensor<2xi32>
// CHECK: %[[ROWS:.+]] = linalg.broadcast ins(%[[ROW]] : tensor<2xi32>) outs(%{{.+}} : tensor<2x2xi32>) dimensions = [0]
// CHECK: hetprec.contract accumulator lanes(%{{.+}} : tensor<2x128xi8>) rows(%[[ROWS]] : tensor<2x2xi32>) starts(
// CHECK-SAME: tap_bytes = array<i64: 3, 2>, taps = array<i64: 0, 3>
#eight = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8, 8]>
func.func @pool(%x: tensor<1x2x1x9xi8, #eight>) -> tensor<1x2x1x5xi32> {
  %acc = hetprec.sum_pool_2d %x kernel = [1, 5] : tensor<1x2x1x9xi8, #eight> -> tensor<1x2x1x5xi32>
  return %acc : tensor<1x2x1x5xi32>
}
