// The stream of a gemv, computed by hand.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

// Eleven 2-bit channels are four words: word w has channels w, 4 + w, 8 + w.
// Output 0: codes 1 in word 0 (channels 0, 4, 8): 1 + 4 + 16 = 21; word 3, whose
// channels are 3 and 7, holds 2 and 1, and 1 in its empty slot, which gives 0 as
// codes count from 1: its pairs of bits above words 0 to 2: 21 + 2 * 64 = 149 =
// -107; 0 + 1 * 64; 0 + 1 * 64.
// Output 32 is byte 1: its channel 10 is 3, slot 2 of word 2: 48 + 64.
// CHECK-LABEL: @two_bits
// CHECK-SAME: %[[X:.+]]: tensor<1x11xi8>
// CHECK-DAG: %[[W:.+]] = arith.constant dense<{{\[\[}}-107, 0, {{(0, ){62}( )?}}64, {{(0, ){63}( )?}}64, 112, {{(64, 0, ){30}( )?}}64, 0]]> : tensor<1x192xi8>
// Six, eleven and ten codes are 0; each gives 3 too much, twice.
// CHECK-DAG: %[[Z:.+]] = arith.constant dense<[-36, {{(-66, ){31}( )?}}-60, {{(0, ){30}( )?}}0]> : tensor<64xi32>
// The codes of an argument keep the bits of their level only (HP24).
// CHECK-DAG: %[[C:.+]] = linalg.generic {{.+}} ins(%[[X]], %{{.+}} : tensor<1x11xi8>, tensor<11xi8>)
// CHECK-DAG: %[[R:.+]] = hetprec.pack_rows %[[C]] : tensor<1x11xi8> outs(%{{.+}} : tensor<1x4xi8>) {count = 11 : i64, first = 0 : i64, level = 2 : i64}
// The rows' part: 2 (k - 1) a - a.
// CHECK-DAG: %[[B:.+]] = hetprec.sum_rows %[[C]] : tensor<1x11xi8> outs(%{{.+}} : tensor<1xi32>) {coefficients = array<i64: -1>, counts = array<i64: 11>, firsts = array<i64: 0>}
// CHECK: hetprec.gemv accumulator rows(%[[R]] : tensor<1x4xi8>) weights(%[[W]] : tensor<1x192xi8>) row_bias(%[[B]] : tensor<1xi32>) lane_bias(%[[Z]] : tensor<64xi32>) outs(%{{.+}} : tensor<1x33xi32>) {byte_words = array<i64: 252>, centred, coefficients = array<i64: 2>, layer = "matmul", levels = array<i64: 2>, tile_blocks = 1 : i64}
#a2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 11]>
#w2 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 11]>
func.func @two_bits(%x: tensor<1x11xi8, #a2>) -> tensor<1x33xi32> {
  %w = arith.constant dense<[
    [1, 0, 0, 2, 1, 0, 0, 1, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]]> : tensor<33x11xi8, #w2>
  %r = hetprec.matmul %x, %w {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x11xi8, #a2>, tensor<33x11xi8, #w2> -> tensor<1x33xi32>
  return %r : tensor<1x33xi32>
}

// 300 outputs: one tile of four blocks, one of one block, 44 of it used. Codes
// of two precisions, one a byte; a plain input to the next.
// CHECK-LABEL: @parts
// CHECK: %[[A:.+]] = hetprec.gemv codes {{.+}} out_bits(%{{.+}} : tensor<256xi8>) outs(%{{.+}} : tensor<1x256xi8>) {{.*}}out_levels = array<i64: 1, 2>
// CHECK: %[[FIRST:.+]] = tensor.insert_slice %[[A]] into %{{.+}}[0, 0] [1, 256] [1, 1]
// CHECK: %[[REST:.+]] = tensor.extract_slice %[[FIRST]][0, 256] [1, 44] [1, 1]
// CHECK: %[[B:.+]] = hetprec.gemv codes {{.+}} outs(%[[REST]] : tensor<1x44xi8>)
// CHECK-SAME: tile_blocks = 1
// CHECK: %[[ALL:.+]] = tensor.insert_slice %[[B]] into %[[FIRST]][0, 256] [1, 44] [1, 1]
// CHECK: hetprec.pack_rows %[[ALL]] : tensor<1x300xi8> outs(%{{.+}} : tensor<1x25xi8>) {count = 200 : i64, first = 0 : i64, level = 1 : i64}
// CHECK: hetprec.pack_rows %[[ALL]] : tensor<1x300xi8> outs(%{{.+}} : tensor<1x34xi8>) {count = 100 : i64, first = 200 : i64, level = 2 : i64}
// CHECK: hetprec.gemv real
#a1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 8]>
#w1 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 8]>
#am = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 200, 2 x 100]>
#wm = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 200, 2 x 100]>
func.func @parts(%x: tensor<1x8xi8, #a1>) -> tensor<1x64xf32> {
  %w = arith.constant dense<1> : tensor<300x8xi8, #w1>
  %v = arith.constant dense<1> : tensor<64x300xi8, #wm>
  %acc = hetprec.matmul %x, %w {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x8xi8, #a1>, tensor<300x8xi8, #w1> -> tensor<1x300xi32>
  %q = hetprec.requantize %acc multiplier = [1.0] offset = [0.0] : tensor<1x300xi32> to tensor<1x300xi8, #am>
  %sum = hetprec.matmul %q, %v {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x300xi8, #am>, tensor<64x300xi8, #wm> -> tensor<1x64xi32>
  %y = hetprec.to_real %sum multiplier = [1.0] offset = [0.0] : tensor<1x64xi32> to tensor<1x64xf32>
  return %y : tensor<1x64xf32>
}

// What a byte holds: of codes 3, 14 words of 18, whole fours of them; of ones, 31
// words of eight.
// CHECK-LABEL: @byte_words
// CHECK: hetprec.gemv {{.+}} {byte_words = array<i64: 31, 12>, centred
#ab = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 256, 2 x 45]>
#wb = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 256, 2 x 45]>
func.func @byte_words(%x: tensor<1x301xi8, #ab>) -> tensor<1x1xi32> {
  %w = arith.constant dense<"0x01010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303"> : tensor<1x301xi8, #wb>
  %r = hetprec.matmul %x, %w {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x301xi8, #ab>, tensor<1x301xi8, #wb> -> tensor<1x1xi32>
  return %r : tensor<1x1xi32>
}

// Signed codes leave a number an output over: 3 * 3 - 2 * 3 * 1 = 3, times
// four channels; 8 bits: -128 * code.
// CHECK-LABEL: @signed
// CHECK-DAG: arith.constant dense<12> : tensor<64xi32>
// CHECK-DAG: arith.constant dense<-128> : tensor<64xi32>
#s2 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2 x 4]>
#s8 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
func.func @signed(%x: tensor<1x4xi8, #s2>, %y: tensor<1x1xi8, #s8>) -> (tensor<1x64xi32>, tensor<1x64xi32>) {
  %w = arith.constant dense<1> : tensor<64x4xi8, #s2>
  %v = arith.constant dense<1> : tensor<64x1xi8, #s8>
  %r = hetprec.matmul %x, %w {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x4xi8, #s2>, tensor<64x4xi8, #s2> -> tensor<1x64xi32>
  %s = hetprec.matmul %y, %v {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x1xi8, #s8>, tensor<64x1xi8, #s8> -> tensor<1x64xi32>
  return %r, %s : tensor<1x64xi32>, tensor<1x64xi32>
}
