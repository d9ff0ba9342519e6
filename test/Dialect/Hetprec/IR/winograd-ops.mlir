// Ops on tiles, written and read again; tiling takes eight rows at a time.
// RUN: sysmol-opt %s | sysmol-opt | FileCheck %s
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-tile-lanes))' | FileCheck %s --check-prefix=TILED

// CHECK-LABEL: @tiles
// CHECK: hetprec.winograd_input %{{.+}} : tensor<2x192xi16> outs(%{{.+}} : tensor<32x16xi32>) {{{.*}}pads = array<i64: 1, 1>} -> tensor<32x16xi32>
// CHECK: hetprec.winograd_contract lanes(%{{.+}} : tensor<32x16xi32>) rows(%{{.+}} : tensor<16x18xi16>) seeds(%{{.+}} : tensor<16x4xi32>) outs(%{{.+}} : tensor<16x192xi32>) {coefficient = 2 : i64, {{.*}}} -> tensor<16x192xi32>
// TILED-LABEL: @tiles
// TILED: scf.for %[[I:.+]] = %c0 to %c2 step %c1
// TILED: %[[AT:.+]] = affine.apply #{{.+}}(%[[I]])
// TILED: tensor.extract_slice %{{.+}}[%[[AT]], 0] [8, 18] [1, 1]
// TILED: tensor.extract_slice %{{.+}}[%[[AT]], 0] [8, 4] [1, 1]
// TILED: tensor.extract_slice %{{.+}}[%[[AT]], 0] [8, 192] [1, 1]
// TILED: hetprec.winograd_contract {{.+}} outs(%{{.+}} : tensor<8x192xi32>)
// TILED: tensor.insert_slice %{{.+}} into %{{.+}}[%{{.+}}, 0] [8, 192] [1, 1]
// TILED: {hetprec.parallel}
#layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>
func.func @tiles(%x: tensor<2x192xi16>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %u: tensor<32x16xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  %0 = hetprec.winograd_input %x : tensor<2x192xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1, 1>, layout = #layout} -> tensor<32x16xi32>
  %1 = hetprec.winograd_contract lanes(%0 : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 2, layout = #layout} -> tensor<16x192xi32>
  return %1 : tensor<16x192xi32>
}
