// The tables of a contract, computed by hand.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

#a2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
#w2 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2]>

// One 2-bit channel: |acc| <= 3 * 3 = 9.
//   m = 1,    o = 0:    code >= 1, 2, 3 from acc 1, 2, 3 on.
//   m = -1,   o = 0.5:  the weight turned round (3 - 1 = 2), then rne(x + 0.5)
//                       of x = 1, 2, 3 is 2, 2, 4: ties to even skip a code.
//   m = 0.5,  o = 0:    0.5 is 0, 1.5 is 2, 2.5 is 2.
//   m = 1,    o = -50:  never: thresholds at the bound.
//   m = 1,    o = 50:   always: one below the least sum.
// The sixth slot has no row.
// CHECK-LABEL: @thresholds
// CHECK-DAG: %[[T:.+]] = arith.constant dense<{{\[\[}}0, 1, 2], [0, 0, 2], [7, 8, 11], [9, 9, 9], [-10, -10, -10]]> : tensor<5x3xi16>
// Empty slots of a word count from 1, too: 1 in them is 0.
// CHECK-DAG: %[[R:.+]] = arith.constant dense<{{\[\[}}23], [22], [20], [21], [22]]> : tensor<5x1xi8>
// The code 0 of the third row gives 3 - a instead of -a: its thresholds, 1, 2 and
// 5 by the multiplier, are 6 higher.
// Two images of one pixel: lanes 0 and 1.
// CHECK-DAG: %[[M:.+]] = arith.constant dense<[-1, -1, 0, 0, {{[0, ]+}}]> : tensor<64xi8>
// The lanes' part: 2 (k - 1) a - a, the code 1 in every row, which is not centred.
// CHECK-DAG: %[[ONE:.+]] = arith.constant dense<1> : tensor<1x1xi8>
// CHECK: %[[B:.+]] = hetprec.contract accumulator lanes(%[[X:.+]] : tensor<1x64xi8>) rows(%[[ONE]] : tensor<1x1xi8>) outs(%{{.+}} : tensor<1x64xi16>) {coefficients = array<i64: -1>
// CHECK: hetprec.contract codes lanes(%[[X]] : tensor<1x64xi8>) rows(%[[R]] : tensor<5x1xi8>) lane_bias(%[[B]] : tensor<1x64xi16>) thresholds(%[[T]] : tensor<5x3xi16>) mask(%[[M]] : tensor<64xi8>) outs(%{{.+}} : tensor<2x64xi8>) {byte_words = array<i64: 255>, centred, coefficients = array<i64: 2>, lane_begin = 0 : i64, lane_count = 64 : i64, layer = "matmul", levels = array<i64: 2>, origin = 0 : i64, out_level = 2 : i64, sum_bits = 16 : i64, taps = array<i64: 0>}
func.func @thresholds(%x: tensor<2x1xi8, #a2>) -> tensor<2x5xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 5]>> {
  %w = arith.constant dense<[[3], [1], [0], [1], [2]]> : tensor<5x1xi8, #w2>
  %acc = hetprec.matmul %x, %w : tensor<2x1xi8, #a2>, tensor<5x1xi8, #w2> -> tensor<2x5xi32>
  %q = hetprec.requantize %acc multiplier = [1.0, -1.0, 0.5, 1.0, 1.0] offset = [0.0, 0.5, 0.0, -50.0, 50.0]
    : tensor<2x5xi32> to tensor<2x5xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 5]>>
  return %q : tensor<2x5xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 5]>>
}

// To a mid-rise grid: floor(acc + 0.5) + 2, and floor(acc / 4) + 2 of -acc.
// CHECK-LABEL: @midrise_thresholds
// CHECK-DAG: arith.constant dense<{{\[\[}}-2, -1, 0], [-5, -1, 3]]> : tensor<2x3xi16>
// No weight has code 0.
// CHECK-NOT: row_bias
// CHECK: hetprec.contract codes
// CHECK-SAME: out_level = 2 : i64, out_signed = true
#s2 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 2]>
func.func @midrise_thresholds(%x: tensor<2x1xi8, #a2>) -> tensor<2x2xi8, #s2> {
  %w = arith.constant dense<[[3], [1]]> : tensor<2x1xi8, #w2>
  %acc = hetprec.matmul %x, %w : tensor<2x1xi8, #a2>, tensor<2x1xi8, #w2> -> tensor<2x2xi32>
  %q = hetprec.requantize %acc multiplier = [1.0, -0.25] offset = [0.5, 0.0] : tensor<2x2xi32> to tensor<2x2xi8, #s2>
  return %q : tensor<2x2xi8, #s2>
}

// Three levels share one accumulator: one product counts 120, 20, 1 (HP11),
// twice that on unsigned codes; -120 * 1, -20 * (3 - 2), -1 * 15 in the lanes' part.
// Of the second row, three 2-bit codes are 0: -3 * 3 * 40.
// Words: level 1 bit i, level 2 bits 2i, level 4 bits 4i with 1 and 2 swapped.
// CHECK-LABEL: @levels
// CHECK-DAG: %[[R1:.+]] = arith.constant dense<{{\[\[}}5, 0], [2, 1]]> : tensor<2x2xi8>
// CHECK-DAG: %[[R2:.+]] = arith.constant dense<{{\[\[}}57, 23], [0, 22]]> : tensor<2x2xi8>
// CHECK-DAG: %[[R4:.+]] = arith.constant dense<{{\[\[}}-16945, 15], [4900, 0]]> : tensor<2x2xi16>
// CHECK-DAG: %[[Z:.+]] = arith.constant dense<[0, -360]> : tensor<2xi16>
// CHECK: hetprec.contract accumulator {{.+}} {coefficients = array<i64: -120, -20, -15>
// CHECK: hetprec.contract accumulator lanes(%{{.+}}, %{{.+}}, %{{.+}} : {{.+}}) rows(%[[R1]], %[[R2]], %[[R4]] :
// CHECK-SAME: row_bias(%[[Z]] : tensor<2xi16>)
// CHECK-SAME: byte_words = array<i64: 255, 255, 0>, centred, coefficients = array<i64: 240, 40, 2>
// CHECK-SAME: levels = array<i64: 1, 2, 4>
#am = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 9, 2 x 4, 4 x 5]>
#wm = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 9, 2 x 4, 4 x 5]>
func.func @levels(%x: tensor<1x18xi8, #am>) -> tensor<1x2xi32> {
  // 5 = 1 + 4; 57 = 1 + 2 * 4 + 3 * 16; -16945 = 0xBDCF.
  %w = arith.constant dense<[[1, 0, 1, 0, 0, 0, 0, 0, 0,  1, 2, 3, 3,  15, 13, 12, 11, 15],
                             [0, 1, 0, 0, 0, 0, 0, 0, 1,  0, 0, 0, 2,   4,  3,  2,  1,  0]]> : tensor<2x18xi8, #wm>
  %acc = hetprec.matmul %x, %w : tensor<1x18xi8, #am>, tensor<2x18xi8, #wm> -> tensor<1x2xi32>
  return %acc : tensor<1x2xi32>
}

// How many words' sums a byte holds. Codes 3 of 2 bits count 2 a, at most 6: 14
// words of 18. Codes 0 count 3 - a, at most 3, as codes 2 do: 28 words of 9.
// CHECK-LABEL: @byte_words
// CHECK: hetprec.contract {{.+}} {byte_words = array<i64: 14>, centred
// CHECK: hetprec.contract {{.+}} {byte_words = array<i64: 28>, centred
#a87 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 87]>
#w87 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 87]>
func.func @byte_words(%x: tensor<1x87xi8, #a87>) -> (tensor<1x2xi32>, tensor<1x1xi32>) {
  %large = arith.constant dense<3> : tensor<2x87xi8, #w87>
  %a = hetprec.matmul %x, %large : tensor<1x87xi8, #a87>, tensor<2x87xi8, #w87> -> tensor<1x2xi32>
  %small = arith.constant dense<0> : tensor<1x87xi8, #w87>
  %b = hetprec.matmul %x, %small : tensor<1x87xi8, #a87>, tensor<1x87xi8, #w87> -> tensor<1x1xi32>
  return %a, %b : tensor<1x2xi32>, tensor<1x1xi32>
}

// One row decides: 31 words of eight ones, of the second row. The first has
// half as many.
// CHECK-LABEL: @byte_words_of_bits
// CHECK: hetprec.contract {{.+}} {byte_words = array<i64: 31>, coefficients
#a256 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 256]>
#w256 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 256]>
func.func @byte_words_of_bits(%x: tensor<1x256xi8, #a256>) -> tensor<1x2xi32> {
  %w = arith.constant dense<"0x0100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001000100010001010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101"> : tensor<2x256xi8, #w256>
  %a = hetprec.matmul %x, %w : tensor<1x256xi8, #a256>, tensor<2x256xi8, #w256> -> tensor<1x2xi32>
  return %a : tensor<1x2xi32>
}

// Whole windows: 28 words of nine would fit, three times nine are 27.
// CHECK-LABEL: @byte_words_of_windows
// CHECK: hetprec.contract {{.+}} {byte_words = array<i64: 27>, centred
#a12 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 12]>
#w12 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 12]>
func.func @byte_words_of_windows(%x: tensor<1x12x4x4xi8, #a12>) -> tensor<1x1x4x4xi32> {
  %w = arith.constant dense<2> : tensor<1x12x3x3xi8, #w12>
  %a = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<1x12x4x4xi8, #a12>, tensor<1x12x3x3xi8, #w12> -> tensor<1x1x4x4xi32>
  return %a : tensor<1x1x4x4xi32>
}

// 8-bit channels take no part in the lanes' part; rows are signed bytes.
// CHECK-LABEL: @eight_bits
// CHECK-DAG: arith.constant dense<{{\[\[}}255], [1]]> : tensor<2x1xi32>
// CHECK-DAG: %[[MUL:.+]] = arith.constant dense<[5.000000e-01, -2.500000e-01]> : tensor<2xf32>
// CHECK-DAG: %[[OFF:.+]] = arith.constant dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>
// CHECK-NOT: lane_bias
// CHECK: hetprec.contract real {{.+}} {coefficients = array<i64: 1>
// A row of 8-bit output keeps its sign: the float rule knows it.
// CHECK: hetprec.contract codes {{.+}} multiplier(%[[MUL]] : tensor<2xf32>) offset(%[[OFF]] : tensor<2xf32>)
// CHECK-SAME: out_level = 8
#a8 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w8 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
#o8 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 2]>
func.func @eight_bits(%x: tensor<1x1xi8, #a8>) -> (tensor<1x2xf32>, tensor<1x2xi8, #o8>) {
  %w = arith.constant dense<[[-1], [1]]> : tensor<2x1xi8, #w8>
  %a = hetprec.matmul %x, %w : tensor<1x1xi8, #a8>, tensor<2x1xi8, #w8> -> tensor<1x2xi32>
  %r = hetprec.to_real %a multiplier = [1.0] offset = [0.0] : tensor<1x2xi32> to tensor<1x2xf32>
  %b = hetprec.matmul %x, %w : tensor<1x1xi8, #a8>, tensor<2x1xi8, #w8> -> tensor<1x2xi32>
  %q = hetprec.requantize %b multiplier = [0.5, -0.25] offset = [1.0, 2.0] : tensor<1x2xi32> to tensor<1x2xi8, #o8>
  return %r, %q : tensor<1x2xf32>, tensor<1x2xi8, #o8>
}

// Mid-rise activations, one bit: (2a - 1)(2k - 1) = 4 a k - 2 a + (1 - 2 k).
// CHECK-LABEL: @signed
// CHECK-DAG: %[[BIAS:.+]] = arith.constant dense<[-1, 1]> : tensor<2xi16>
// CHECK: hetprec.contract accumulator {{.+}} {coefficients = array<i64: -2>
// CHECK: hetprec.contract accumulator {{.+}} row_bias(%[[BIAS]] : tensor<2xi16>) {{.+}} {byte_words = array<i64: 255>, coefficients = array<i64: 4>
// CHECK-NOT: sum_bits = 16
#s1 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @signed(%x: tensor<1x1xi8, #s1>) -> tensor<1x2xi32> {
  %w = arith.constant dense<[[1], [0]]> : tensor<2x1xi8, #s1>
  %acc = hetprec.matmul %x, %w : tensor<1x1xi8, #s1>, tensor<2x1xi8, #s1> -> tensor<1x2xi32>
  return %acc : tensor<1x2xi32>
}

// Padded taps are absent (HP13), so that the weights' part depends on the pixel:
// taps' parts are -1, 1, 1; pixel 0 has the last two, pixel 1 all, pixel 2 the
// first two. Lanes 64, 65, 66 of a wide plane are at 64, 96, 65.
// CHECK-LABEL: @signed_padded
// CHECK-DAG: %[[BIAS:.+]] = arith.constant dense<{{\[\[(0, ){64}2, (0, ){31}1, (0, )*0\]\]}}> : tensor<1x192xi32>
// CHECK: hetprec.contract accumulator {{.+}} row_bias(%[[BIAS]] : tensor<1x192xi32>)
// CHECK-SAME: lane_begin = 64
// CHECK-SAME: origin = -1
// CHECK-SAME: taps = array<i64: 0, 1, 2>
func.func @signed_padded(%x: tensor<1x1x1x3xi8, #s1>) -> tensor<1x1x1x3xi32> {
  %w = arith.constant dense<[[[[1, 0, 0]]]]> : tensor<1x1x1x3xi8, #s1>
  %acc = hetprec.conv_2d %x, %w pads = [0, 1, 0, 1] : tensor<1x1x1x3xi8, #s1>, tensor<1x1x1x3xi8, #s1> -> tensor<1x1x1x3xi32>
  return %acc : tensor<1x1x1x3xi32>
}

// A window's taps are lane offsets: rows of 4 + 1 lanes, the border shared.
// CHECK-LABEL: @taps
// CHECK: hetprec.contract accumulator
// CHECK-SAME: origin = -6 : i64
// CHECK-SAME: taps = array<i64: 0, 1, 2, 5, 6, 7, 10, 11, 12>
// Dilated by two, padded by two: rows of 4 + 2 lanes.
// CHECK-LABEL: @dilated
// CHECK: hetprec.contract accumulator
// CHECK-SAME: origin = -14 : i64
// CHECK-SAME: taps = array<i64: 0, 2, 4, 12, 14, 16, 24, 26, 28>
#u1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
func.func @taps(%x: tensor<1x1x4x4xi8, #u1>) -> tensor<1x1x4x4xi32> {
  %w = arith.constant dense<1> : tensor<1x1x3x3xi8, #s1>
  %acc = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<1x1x4x4xi8, #u1>, tensor<1x1x3x3xi8, #s1> -> tensor<1x1x4x4xi32>
  return %acc : tensor<1x1x4x4xi32>
}
func.func @dilated(%x: tensor<1x1x4x4xi8, #u1>) -> tensor<1x1x4x4xi32> {
  %w = arith.constant dense<1> : tensor<1x1x3x3xi8, #s1>
  %acc = hetprec.conv_2d %x, %w pads = [2, 2, 2, 2] dilations = [2, 2] : tensor<1x1x4x4xi8, #u1>, tensor<1x1x3x3xi8, #s1> -> tensor<1x1x4x4xi32>
  return %acc : tensor<1x1x4x4xi32>
}

// Stride two, padded by one: four phases of 3 x 3; tap (ky, kx) reads phase
// (ky % 2, kx % 2) at (ky / 2, kx / 2).
// CHECK-LABEL: @strided
// CHECK: hetprec.pack_lanes %{{.+}} : tensor<1x{{.+}}xi8> outs(%{{.+}} : tensor<4x128xi8>) {{.+}} phases = array<i64: 0, 1, 2, 3>
// CHECK: hetprec.contract accumulator
// CHECK-SAME: origin = 0 : i64, phases = 4 : i64
// CHECK-SAME: tap_phases = array<i64: 0, 1, 0, 2, 3, 2, 0, 1, 0>, taps = array<i64: 0, 0, 1, 0, 0, 1, 3, 3, 4>
func.func @strided(%x: tensor<1x1x4x4xi8, #u1>) -> tensor<1x1x2x2xi32> {
  %w = arith.constant dense<1> : tensor<1x1x3x3xi8, #s1>
  %acc = hetprec.conv_2d %x, %w strides = [2, 2] pads = [1, 1, 1, 1] : tensor<1x1x4x4xi8, #u1>, tensor<1x1x3x3xi8, #s1> -> tensor<1x1x2x2xi32>
  return %acc : tensor<1x1x2x2xi32>
}

// Groups: a row reads from its group's first word on (12 one-bit channels in
// two words: group 0 in word 0, group 1 in words 0 and 1), channels of the
// other group at weight code 0 and out of the lanes' part.
// CHECK-LABEL: @groups
// CHECK-DAG: %[[STARTS:.+]] = arith.constant dense<0> : tensor<2xi32>
// CHECK-DAG: %[[ROWS:.+]] = arith.constant dense<{{\[\[}}63, 0], [-64, 15]]> : tensor<2x2xi8>
// CHECK-DAG: %[[WHICH:.+]] = arith.constant dense<[0, 1]> : tensor<2xi32>
// CHECK: %[[B:.+]] = hetprec.contract accumulator lanes({{.+}}) rows(%[[ROWS]] : tensor<2x2xi8>) starts(%[[STARTS]] : tensor<2xi32>) outs
// CHECK: hetprec.contract accumulator lanes({{.+}}) rows(%[[ROWS]] : tensor<2x2xi8>) starts(%[[STARTS]] : tensor<2xi32>) lane_bias(%[[B]] : tensor<2x64xi16>) bias_rows(%[[WHICH]] : tensor<2xi32>)
#gx = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 12]>
#gw = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 12], groups = 2>
func.func @groups(%x: tensor<1x12x1x1xi8, #gx>) -> tensor<1x2x1x1xi32> {
  %w = arith.constant dense<1> : tensor<2x6x1x1xi8, #gw>
  %acc = hetprec.conv_2d %x, %w groups = 2 : tensor<1x12x1x1xi8, #gx>, tensor<2x6x1x1xi8, #gw> -> tensor<1x2x1x1xi32>
  return %acc : tensor<1x2x1x1xi32>
}

// A group without channels of a level reads nothing of that segment.
// CHECK-LABEL: @groups_of_levels
// CHECK-DAG: %[[FIRST:.+]] = arith.constant dense<[0, -1]> : tensor<2xi32>
// CHECK-DAG: %[[SECOND:.+]] = arith.constant dense<[-1, 0]> : tensor<2xi32>
// CHECK: hetprec.contract accumulator {{.+}} starts(%[[FIRST]], %[[SECOND]] : tensor<2xi32>, tensor<2xi32>) lane_bias
#mx = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#mw = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2], groups = 2>
func.func @groups_of_levels(%x: tensor<1x2x1x1xi8, #mx>) -> tensor<1x2x1x1xi32> {
  %w = arith.constant dense<1> : tensor<2x1x1x1xi8, #mw>
  %acc = hetprec.conv_2d %x, %w groups = 2 : tensor<1x2x1x1xi8, #mx>, tensor<2x1x1x1xi8, #mw> -> tensor<1x2x1x1xi32>
  return %acc : tensor<1x2x1x1xi32>
}

// A pool is a grouped window of ones (one word for all taps), without any
// correction.
// CHECK-LABEL: @pool
// CHECK-DAG: %[[ROWS:.+]] = arith.constant dense<{{\[\[}}1], [4], [16], [1]]> : tensor<4x1xi8>
// CHECK-DAG: %[[STARTS:.+]] = arith.constant dense<[0, 0, 0, 1]> : tensor<4xi32>
// CHECK-NOT: lane_bias
// CHECK: hetprec.contract accumulator lanes({{.+}}) rows(%[[ROWS]] : tensor<4x1xi8>) starts(%[[STARTS]] : tensor<4xi32>) outs
// CHECK-SAME: coefficients = array<i64: 1>
// CHECK-SAME: taps = array<i64: 0, 1, 3, 4>, uniform_rows
#p4 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 4]>
func.func @pool(%x: tensor<1x4x3x3xi8, #p4>) -> tensor<1x4x2x2xi32> {
  %acc = hetprec.sum_pool_2d %x kernel = [2, 2] : tensor<1x4x3x3xi8, #p4> -> tensor<1x4x2x2xi32>
  return %acc : tensor<1x4x2x2xi32>
}

// Thresholds that would leave 16 bits with it (32760 + 3 * 2 * 3640) keep the rows'
// part beside them, of 16 bits; where 32 do not hold it in 16, it has 32.
// CHECK-LABEL: @row_bias_beside
// CHECK-DAG: arith.constant dense<-21840> : tensor<1xi16>
// CHECK: hetprec.contract codes {{.+}} row_bias(%{{.+}} : tensor<1xi16>) thresholds
// CHECK-SAME: sum_bits = 16
// CHECK-LABEL: @wide_row_bias
// CHECK-DAG: arith.constant dense<-36000> : tensor<1xi32>
// CHECK: hetprec.contract accumulator {{.+}} row_bias(%{{.+}} : tensor<1xi32>)
#r0 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 3640]>
#r1 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 3640]>
#r2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 6000]>
#r3 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 6000]>
#r4 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
func.func @row_bias_beside(%x: tensor<1x3640xi8, #r0>) -> tensor<1x1xi8, #r4> {
  %w = arith.constant dense<0> : tensor<1x3640xi8, #r1>
  %acc = hetprec.matmul %x, %w : tensor<1x3640xi8, #r0>, tensor<1x3640xi8, #r1> -> tensor<1x1xi32>
  %q = hetprec.requantize %acc multiplier = [0.0001] offset = [3.0] : tensor<1x1xi32> to tensor<1x1xi8, #r4>
  return %q : tensor<1x1xi8, #r4>
}
func.func @wide_row_bias(%x: tensor<1x6000xi8, #r2>) -> tensor<1x1xi32> {
  %w = arith.constant dense<0> : tensor<1x6000xi8, #r3>
  %acc = hetprec.matmul %x, %w : tensor<1x6000xi8, #r2>, tensor<1x6000xi8, #r3> -> tensor<1x1xi32>
  return %acc : tensor<1x1xi32>
}

// 16-bit sums hold |acc| <= 32767: 3640 two-bit channels make 32760, one more
// is too many.
// CHECK-LABEL: @sixteen_bits
// CHECK-COUNT-2: sum_bits = 16
// CHECK-LABEL: @thirty_two_bits
// CHECK-NOT: sum_bits = 16
#k0 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 3640]>
#k1 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 3640]>
#k2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 3641]>
#k3 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 3641]>
func.func @sixteen_bits(%x: tensor<1x3640xi8, #k0>) -> tensor<1x1xi32> {
  %w = arith.constant dense<3> : tensor<1x3640xi8, #k1>
  %acc = hetprec.matmul %x, %w : tensor<1x3640xi8, #k0>, tensor<1x3640xi8, #k1> -> tensor<1x1xi32>
  return %acc : tensor<1x1xi32>
}
func.func @thirty_two_bits(%x: tensor<1x3641xi8, #k2>) -> tensor<1x1xi32> {
  %w = arith.constant dense<3> : tensor<1x3641xi8, #k3>
  %acc = hetprec.matmul %x, %w : tensor<1x3641xi8, #k2>, tensor<1x3641xi8, #k3> -> tensor<1x1xi32>
  return %acc : tensor<1x1xi32>
}
