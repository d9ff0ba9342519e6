// Products whose lanes are outputs, on images: weights computed by hand.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

// Codes 1 of 2 bits of three channels: 1 + 4 + 16 = 21, in the bytes of outputs
// 0 (byte 0) and 32 (byte 1); both taps. The 4-bit channel's taps are folded into
// one word: 5 and 6 in the low nibbles of bytes 0 and 1 for output 0, of bytes 64
// and 65 for output 32.
// Sums of 33 rows go on as a contract of two pixels.
// CHECK-LABEL: @two_levels
// CHECK-DAG: %[[W:.+]] = arith.constant dense<{{\[\[}}21, 21, {{(0, ){62}( )?}}21, 21, {{(0, ){62}( )?}}5, 6, {{(0, ){62}( )?}}5, 6, {{(0, ){61}( )?}}0]]> : tensor<1x256xi8>
// CHECK: %[[SUMS:.+]] = hetprec.contract_outputs lanes(%{{.+}}, %{{.+}} : tensor<1x{{.+}}xi8>, tensor<1x{{.+}}xi16>) weights(%[[W]] : tensor<1x256xi8>) outs(%{{.+}} : tensor<64x128xi32>)
// CHECK-SAME: coefficients = array<i64: 40, 2>, folded = array<i1: false, true>
// CHECK-SAME: lane_count = 64 : i64
// CHECK-SAME: levels = array<i64: 2, 4>, origin = 0 : i64, taps = array<i64: 0, 1>, tile_blocks = 1 : i64, used_lanes = 2 : i64
// CHECK: %[[BIAS:.+]] = hetprec.contract accumulator lanes(
// CHECK: %[[ROWS:.+]] = tensor.extract_slice %[[SUMS]][0, 0] [33, 128] [1, 1]
// CHECK: hetprec.contract accumulator sums(%[[ROWS]] : tensor<33x128xi32>) lane_bias(%[[BIAS]] :
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 2, 2, 4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 2, 2, 4]>
func.func @two_levels(%x: tensor<1x4x1x3xi8, #a>) -> tensor<1x33x1x2xi32> {
  %z = arith.constant dense<[
    [[[1, 1]], [[1, 1]], [[1, 1]], [[5, 6]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]], [[[0, 0]], [[0, 0]], [[0, 0]], [[0, 0]]],
    [[[1, 1]], [[1, 1]], [[1, 1]], [[5, 6]]]]> : tensor<33x4x1x2xi8, #w>
  %r = hetprec.conv_2d %x, %z {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x4x1x3xi8, #a>, tensor<33x4x1x2xi8, #w> -> tensor<1x33x1x2xi32>
  return %r : tensor<1x33x1x2xi32>
}

// 300 outputs: two tiles of two blocks, one of one block for the 44 that are
// left. The codes of both segments take their rows of the sums, 250 and 50. Two
// channels under two taps are one word.
// CHECK-LABEL: @segments
// CHECK: %[[A:.+]] = hetprec.contract_outputs {{.+}} weights(%{{.+}} : tensor<2x128xi8>) outs(%{{.+}} : tensor<256x128xi32>)
// CHECK: %[[B:.+]] = hetprec.contract_outputs {{.+}} weights(%{{.+}} : tensor<1x64xi8>) outs(%{{.+}} : tensor<64x128xi32>)
// CHECK: %[[SUMS:.+]] = tensor.insert_slice %[[B]] into %{{.+}}[256, 0] [64, 128] [1, 1]
// CHECK: %[[ONE:.+]] = tensor.extract_slice %[[SUMS]][0, 0] [250, 128] [1, 1]
// CHECK: hetprec.contract codes sums(%[[ONE]] :
// CHECK: %[[TWO:.+]] = tensor.extract_slice %[[SUMS]][250, 0] [50, 128] [1, 1]
// CHECK: hetprec.contract codes sums(%[[TWO]] :
#b = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 2]>
#q = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 250, 2 x 50]>
func.func @segments(%x: tensor<1x2x1x3xi8, #b>) -> tensor<1x300x1x2xi8, #q> {
  %z = arith.constant dense<1> : tensor<300x2x1x2xi8, #v>
  %r = hetprec.conv_2d %x, %z {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x2x1x3xi8, #b>, tensor<300x2x1x2xi8, #v> -> tensor<1x300x1x2xi32>
  %q = hetprec.requantize %r multiplier = [1.0] offset = [0.0] : tensor<1x300x1x2xi32> to tensor<1x300x1x2xi8, #q>
  return %q : tensor<1x300x1x2xi8, #q>
}

// Where each tap reads in the image, for what is padding: pixel (0, 0) of a strided
// window begins above and left of it.
// CHECK-LABEL: @padding
// CHECK: hetprec.contract_outputs
// CHECK-SAME: image = array<i64: 4, 5>
// CHECK-SAME: strides = array<i64: 2, 1>
// CHECK-SAME: tap_pixels = array<i64: -1, -2, -1, -1, -1, 0, 0, -2, 0, -1, 0, 0>
#p = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#t = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 2]>
func.func @padding(%x: tensor<1x2x4x5xi8, #p>) -> tensor<1x60x2x5xi32> {
  %w = arith.constant dense<1> : tensor<60x2x2x3xi8, #t>
  %r = hetprec.conv_2d %x, %w strides = [2, 1] pads = [1, 2, 0, 0] {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x2x4x5xi8, #p>, tensor<60x2x2x3xi8, #t> -> tensor<1x60x2x5xi32>
  return %r : tensor<1x60x2x5xi32>
}
