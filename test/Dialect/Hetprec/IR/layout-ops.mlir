// RUN: sysmol-opt %s | sysmol-opt | FileCheck %s

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>

// One phase is not none: the layout is that of the phase.
// CHECK-LABEL: @one_phase
func.func @one_phase(%x: tensor<1x4x8x8xf32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // CHECK: hetprec.pack_lanes %{{.+}} : tensor<1x4x8x8xf32> outs(%{{.+}} : tensor<1x64xi32>) {{.+}}phases = array<i64: 0>
  %p = hetprec.pack_lanes %x : tensor<1x4x8x8xf32> outs(%init : tensor<1x64xi32>)
    {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #four, multiplier = 1.0 : f32,
     strides = array<i64: 2, 2>, pads = array<i64: 0, 0>, phases = array<i64: 0>} -> tensor<1x64xi32>
  return %p : tensor<1x64xi32>
}

// A slot without a channel; sums keep their type.
// CHECK-LABEL: @slots
func.func @slots(%x: tensor<1x2x8x8xi8>, %init: tensor<1x64xi8>, %s: tensor<1x2x8x8xi16>, %w: tensor<1x64xi16>) -> (tensor<1x64xi8>, tensor<1x64xi16>) {
  // CHECK: hetprec.pack_lanes {{.+}} level = 2
  %p = hetprec.pack_lanes %x : tensor<1x2x8x8xi8> outs(%init : tensor<1x64xi8>)
    {level = 2, channels = array<i64: 0, 1, -1>, layout = #eight} -> tensor<1x64xi8>
  // CHECK: hetprec.pack_lanes {{.+}} level = 0
  %q = hetprec.pack_lanes %s : tensor<1x2x8x8xi16> outs(%w : tensor<1x64xi16>)
    {level = 0, channels = array<i64: 1>, layout = #eight} -> tensor<1x64xi16>
  return %p, %q : tensor<1x64xi8>, tensor<1x64xi16>
}

// CHECK-LABEL: @phases
func.func @phases(%x: tensor<2x64xi8>, %init: tensor<4x64xi8>) -> tensor<4x64xi8> {
  // CHECK: hetprec.split_phases {{.+}} pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0, 3>
  %p = hetprec.split_phases %x : tensor<2x64xi8> outs(%init : tensor<4x64xi8>)
    {strides = array<i64: 2, 2>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0, 3>, from = #eight, to = #four} -> tensor<4x64xi8>
  return %p : tensor<4x64xi8>
}
