// Max pools read the phases that strided dot products read, and keep words and slots.
// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-pack),canonicalize)' | FileCheck %s

// Taps of a padded window of stride 1 begin a row and a pixel in front.
// CHECK-LABEL: @padded
// CHECK: %[[ONE:.+]] = hetprec.pack_lanes {{.+}} level = 1
// CHECK: %[[FOUR:.+]] = hetprec.pack_lanes {{.+}} level = 4
// CHECK: hetprec.max_pool_lanes %[[ONE]] : tensor<1x192xi8> mask(%{{.+}} : tensor<192xi8>) outs(%{{.+}} : tensor<1x192xi8>) {lane_begin = 64 : i64, lane_count = 64 : i64, {{.*}}level = 1 : i64, origin = -7 : i64, taps = array<i64: 0, 1, 2, 6, 7, 8, 12, 13, 14>}
// CHECK: hetprec.max_pool_lanes %[[FOUR]] : tensor<1x192xi16> {{.+}} level = 4 : i64, origin = -7 : i64
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 1]>
func.func @padded(%x: tensor<1x2x5x5xi8, #a>) -> tensor<1x2x5x5xi8, #a> {
  %m = hetprec.max_pool_2d %x kernel = [3, 3] pads = [1, 1, 1, 1] : tensor<1x2x5x5xi8, #a> -> tensor<1x2x5x5xi8, #a>
  return %m : tensor<1x2x5x5xi8, #a>
}

// Rows of a strided window lie in planes of their phases, the padding with them.
// CHECK-LABEL: @strided
// CHECK: %[[P:.+]] = hetprec.pack_lanes {{.+}} phases = array<i64: 0, 1, 2, 3>
// CHECK: hetprec.max_pool_lanes %[[P]] : tensor<4x128xi32> {{.+}} outs(%{{.+}} : tensor<1x128xi32>) {lane_begin = 0 : i64, lane_count = 64 : i64, {{.*}}level = 8 : i64, origin = 0 : i64, tap_phases = array<i64: 0, 1, 0, 2, 3, 2, 0, 1, 0>, taps = array<i64: 0, 0, 1, 0, 0, 1, 4, 4, 5>}
#b = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8, 8]>
func.func @strided(%x: tensor<1x2x6x6xi8, #b>) -> tensor<1x2x3x3xi8, #b> {
  %m = hetprec.max_pool_2d %x kernel = [3, 3] strides = [2, 2] pads = [1, 1, 1, 1] : tensor<1x2x6x6xi8, #b> -> tensor<1x2x3x3xi8, #b>
  return %m : tensor<1x2x3x3xi8, #b>
}
