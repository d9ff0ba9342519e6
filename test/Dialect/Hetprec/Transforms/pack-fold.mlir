// Taps of the channels in a level's last word, side by side.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

// Nine 1-bit channels: the first word is multiplied for each of the three taps,
// the ninth channel's taps are bits 0 to 2 of a word of their own, after it. All
// codes 1 of output 0: 255 for each tap and 1 + 2 + 4; output 1 has the ninth's
// middle tap only. One 4-bit channel's taps are nibbles 5, 6 and 7, in rows the
// middle ones swapped: 5 + 6 * 256 + 7 * 16.
// The part of the lanes that is left over counts each tap once.
// CHECK-LABEL: @rests
// CHECK-DAG: %[[ONE:.+]] = arith.constant dense<{{\[\[}}-1, -1, -1], [0, 0, 0], {{.+}} : tensor<20x3xi8>
// CHECK-DAG: %[[REST:.+]] = arith.constant dense<{{\[\[}}7], [2], {{.+}} : tensor<20x1xi8>
// CHECK-DAG: %[[FOUR:.+]] = arith.constant dense<{{\[\[}}1653], [0], {{.+}} : tensor<20x1xi16>
// CHECK-DAG: %[[ALL:.+]] = arith.constant dense<-1> : tensor<1x1xi8>
// CHECK-DAG: %[[TAPS:.+]] = arith.constant dense<7> : tensor<1x1xi8>
// CHECK-DAG: %[[NIBBLES:.+]] = arith.constant dense<273> : tensor<1x1xi16>
// CHECK: %[[X:.+]] = hetprec.pack_lanes {{.+}} level = 1
// CHECK-DAG: %[[WHOLE:.+]] = tensor.extract_slice %[[X]][0, 0] [1, 192] [1, 1]
// CHECK-DAG: %[[LAST:.+]] = tensor.extract_slice %[[X]][1, 0] [1, 192] [1, 1]
// CHECK-DAG: %[[Y:.+]] = hetprec.pack_lanes {{.+}} level = 4
// CHECK-DAG: %[[F:.+]] = hetprec.fold_taps %[[LAST]] : tensor<1x192xi8> outs(%{{.+}} : tensor<1x192xi8>) {channels = array<i64: 1, 1, 1>, lane_begin = 63 : i64, lane_count = 64 : i64, level = 1 : i64, taps = array<i64: 0, 1, 2>}
// CHECK-DAG: %[[G:.+]] = hetprec.fold_taps %[[Y]] : tensor<1x192xi16> {{.+}} {channels = array<i64: 1, 1, 1>, {{.+}}level = 4 : i64, taps = array<i64: 0, 1, 2>}
// CHECK: hetprec.contract accumulator lanes(%[[WHOLE]], %[[F]], %[[G]] : {{.+}}) rows(%[[ALL]], %[[TAPS]], %[[NIBBLES]] :
// CHECK-SAME: coefficients = array<i64: -120, -120, -15>, folded = array<i1: false, true, true>
// CHECK-SAME: uniform_rows
// CHECK: hetprec.contract accumulator lanes(%[[WHOLE]], %[[F]], %[[G]] : {{.+}}) rows(%[[ONE]], %[[REST]], %[[FOUR]] :
// CHECK-SAME: coefficients = array<i64: 240, 240, 2>, folded = array<i1: false, true, true>
// CHECK-SAME: levels = array<i64: 1, 1, 4>
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 9, 4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 9, 4]>
func.func @rests(%x: tensor<1x10x1x5xi8, #a>) -> tensor<1x20x1x5xi32> {
  %w = arith.constant dense<[
    [[[1, 1, 1]], [[1, 1, 1]], [[1, 1, 1]], [[1, 1, 1]], [[1, 1, 1]], [[1, 1, 1]], [[1, 1, 1]], [[1, 1, 1]], [[1, 1, 1]], [[5, 6, 7]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]],
    [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]]
  ]> : tensor<20x10x1x3xi8, #w>
  %acc = hetprec.conv_2d %x, %w pads = [0, 1, 0, 1] : tensor<1x10x1x5xi8, #a>, tensor<20x10x1x3xi8, #w> -> tensor<1x20x1x5xi32>
  return %acc : tensor<1x20x1x5xi32>
}

// A strided window: whole words and the rest are split into phases apart, and
// the rest's phases folded. Words of all taps need no phases any more.
// CHECK-LABEL: @strided
// CHECK-DAG: %[[P:.+]] = hetprec.split_phases {{.+}} outs(%{{.+}} : tensor<4x128xi8>)
// CHECK-DAG: %[[Q:.+]] = hetprec.split_phases {{.+}} outs(%{{.+}} : tensor<4x128xi8>)
// CHECK: hetprec.fold_taps %[[Q]] : tensor<4x128xi8> outs(%{{.+}} : tensor<3x128xi8>) {channels = array<i64: 1, 1, 1, 1, 1, 1, 1, 1, 1>, {{.+}}, tap_phases = array<i64: 0, 1, 0, 2, 3, 2, 0, 1, 0>, taps = array<i64: 0, 0, 1, 0, 0, 1, 3, 3, 4>}
// CHECK: hetprec.contract accumulator
// CHECK: hetprec.contract accumulator {{.+}} rows(%{{.+}} : tensor<16x9xi8>, tensor<16x3xi8>)
// CHECK-SAME: folded = array<i1: false, true>
// CHECK-SAME: phases = 4 : i64
#b = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 4]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 4]>
func.func @strided(%x: tensor<1x4x4x4xi8, #b>) -> tensor<1x16x2x2xi32> {
  %w = arith.constant dense<1> : tensor<16x4x3x3xi8, #v>
  %acc = hetprec.conv_2d %x, %w strides = [2, 2] pads = [1, 1, 0, 0] : tensor<1x4x4x4xi8, #b>, tensor<16x4x3x3xi8, #v> -> tensor<1x16x2x2xi32>
  return %acc : tensor<1x16x2x2xi32>
}

// Folding costs more than four outputs save.
// CHECK-LABEL: @few_outputs
// CHECK-NOT: fold_taps
// CHECK: return
func.func @few_outputs(%x: tensor<1x4x4x4xi8, #b>) -> tensor<1x4x2x2xi32> {
  %w = arith.constant dense<1> : tensor<4x4x3x3xi8, #v>
  %acc = hetprec.conv_2d %x, %w : tensor<1x4x4x4xi8, #b>, tensor<4x4x3x3xi8, #v> -> tensor<1x4x2x2xi32>
  return %acc : tensor<1x4x2x2xi32>
}
