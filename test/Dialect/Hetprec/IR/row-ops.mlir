// Ops on few rows survive printing and parsing.
// RUN: sysmol-opt %s | FileCheck %s
// RUN: sysmol-opt %s --mlir-print-op-generic | sysmol-opt | FileCheck %s

// 13 words of level 1 are 13 registers; 6 of level 2 three and two; 3 of level
// 4 two times four: 26 registers of 64 bytes for each of two blocks.
// CHECK-LABEL: @all
// CHECK: hetprec.gemv codes rows(%{{.+}}, %{{.+}}, %{{.+}} : tensor<2x13xi8>, tensor<2x6xi8>, tensor<2x3xi32>) weights(%{{.+}} : tensor<1x3328xi8>)
// CHECK-SAME: row_bias({{.+}}) lane_bias({{.+}}) multiplier({{.+}}) offset({{.+}}) out_bits({{.+}}) outs({{.+}}) {coefficients = array<i64: 240, 40, 2>, layer = "fc", levels = array<i64: 1, 2, 4>, out_levels = array<i64: 1, 8>, out_signed = true, tile_blocks = 2 : i64} -> tensor<2x70xi8>
func.func @all(%a: tensor<2x13xi8>, %b: tensor<2x6xi8>, %c: tensor<2x3xi32>, %w: tensor<1x3328xi8>, %rb: tensor<2xi32>,
               %lb: tensor<128xi32>, %m: tensor<128xf32>, %o: tensor<128xf32>, %bits: tensor<128xi8>, %init: tensor<2x70xi8>) -> tensor<2x70xi8> {
  %r = hetprec.gemv codes rows(%a, %b, %c : tensor<2x13xi8>, tensor<2x6xi8>, tensor<2x3xi32>) weights(%w : tensor<1x3328xi8>)
    row_bias(%rb : tensor<2xi32>) lane_bias(%lb : tensor<128xi32>) multiplier(%m : tensor<128xf32>) offset(%o : tensor<128xf32>) out_bits(%bits : tensor<128xi8>)
    outs(%init : tensor<2x70xi8>) {levels = array<i64: 1, 2, 4>, coefficients = array<i64: 240, 40, 2>, tile_blocks = 2,
    out_levels = array<i64: 1, 8>, out_signed = true, layer = "fc"} -> tensor<2x70xi8>
  return %r : tensor<2x70xi8>
}
// CHECK-LABEL: @packing
func.func @packing(%x: tensor<1x20xi8>, %e: tensor<1x3xi8>, %s: tensor<1xi32>) -> (tensor<1x3xi8>, tensor<1xi32>) {
  // CHECK: hetprec.pack_rows %{{.+}} : tensor<1x20xi8> outs(%{{.+}} : tensor<1x3xi8>) {count = 18 : i64, first = 2 : i64, level = 1 : i64} -> tensor<1x3xi8>
  %p = hetprec.pack_rows %x : tensor<1x20xi8> outs(%e : tensor<1x3xi8>) {level = 1, first = 2, count = 18} -> tensor<1x3xi8>
  // CHECK: hetprec.sum_rows %{{.+}} : tensor<1x20xi8> outs(%{{.+}} : tensor<1xi32>) {coefficients = array<i64: -1>, counts = array<i64: 18>, firsts = array<i64: 2>} -> tensor<1xi32>
  %t = hetprec.sum_rows %x : tensor<1x20xi8> outs(%s : tensor<1xi32>) {firsts = array<i64: 2>, counts = array<i64: 18>, coefficients = array<i64: -1>} -> tensor<1xi32>
  return %p, %t : tensor<1x3xi8>, tensor<1xi32>
}
// CHECK: lanes = #hetprec.lane_role<outputs>
func.func private @role() attributes {lanes = #hetprec.lane_role<outputs>}
