// RUN: sysmol-opt %s --one-shot-bufferize='bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map' --canonicalize | FileCheck %s

#lanes = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>

// Each op writes into the buffer of its init: one allocation, no copy.
// CHECK-LABEL: @in_place
// CHECK-SAME: %[[X:.+]]: memref<1x8x4x4xi8>, %[[W:.+]]: memref<2x1xi8>
// CHECK: %[[P:.+]] = memref.alloc() {{.*}}: memref<1x64xi8>
// CHECK: linalg.fill {{.+}} outs(%[[P]]
// CHECK: hetprec.pack_lanes %[[X]] : memref<1x8x4x4xi8> outs(%[[P]] : memref<1x64xi8>)
// CHECK: %[[OUT:.+]] = memref.alloc() {{.*}}: memref<2x64xi32>
// CHECK: hetprec.contract accumulator lanes(%[[P]] : memref<1x64xi8>) rows(%[[W]] : memref<2x1xi8>) outs(%[[OUT]] : memref<2x64xi32>)
// CHECK-SAME: {coefficients = array<i64: 2>
// CHECK-NOT: memref.copy
// CHECK: return %[[OUT]]
func.func @in_place(%x: tensor<1x8x4x4xi8>, %w: tensor<2x1xi8>) -> tensor<2x64xi32> {
  %zero = arith.constant 0 : i8
  %e = tensor.empty() : tensor<1x64xi8>
  %f = linalg.fill ins(%zero : i8) outs(%e : tensor<1x64xi8>) -> tensor<1x64xi8>
  %p = hetprec.pack_lanes %x : tensor<1x8x4x4xi8> outs(%f : tensor<1x64xi8>)
    {channels = array<i64: 0, 1, 2, 3, 4, 5, 6, 7>, layout = #lanes, level = 1 : i64} -> tensor<1x64xi8>
  %o = tensor.empty() : tensor<2x64xi32>
  %r = hetprec.contract accumulator lanes(%p : tensor<1x64xi8>) rows(%w : tensor<2x1xi8>) outs(%o : tensor<2x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// A carrier that is read afterwards is not added onto: a copy is.
// CHECK-LABEL: @read_later
// CHECK-SAME: %{{.+}}, %{{.+}}, %[[C:[a-z0-9]+]]: memref<2x64xi16>
// CHECK: %[[COPY:.+]] = memref.alloc()
// CHECK: memref.copy %[[C]], %[[COPY]]
// CHECK: hetprec.contract carrier_add {{.+}} outs(%[[COPY]] : memref<2x64xi16>)
// CHECK: return %[[COPY]], %[[C]]
func.func @read_later(%p: tensor<1x64xi8>, %w: tensor<2x1xi8>, %c: tensor<2x64xi16>, %m: tensor<2xf32>) -> (tensor<2x64xi16>, tensor<2x64xi16>) {
  %r = hetprec.contract carrier_add lanes(%p : tensor<1x64xi8>) rows(%w : tensor<2x1xi8>) multiplier(%m : tensor<2xf32>) outs(%c : tensor<2x64xi16>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi16>
  return %r, %c : tensor<2x64xi16>, tensor<2x64xi16>
}

// The other ops.
// CHECK-LABEL: @others
// CHECK: hetprec.split_phases %{{.+}} : memref<1x64xi8> outs(%{{.+}} : memref<4x64xi8>)
// CHECK: hetprec.requantize_lanes %{{.+}} channels({{.+}} : memref<3xi16>) {{.+}} : memref<2x64xi16>
// CHECK: hetprec.unpack_lanes %{{.+}} : memref<1x64xi8> outs(%{{.+}} : memref<1x3x4x4xi8>)
// CHECK-NOT: memref.copy
func.func @others(%p: tensor<1x64xi8>, %c: tensor<2x64xi16>, %n: tensor<3xi16>, %t: tensor<3x3xi16>, %s: tensor<3xi16>, %mask: tensor<64xi8>) -> (tensor<4x64xi8>, tensor<1x3x4x4xi8>) {
  %e = tensor.empty() : tensor<4x64xi8>
  %f = hetprec.split_phases %p : tensor<1x64xi8> outs(%e : tensor<4x64xi8>)
    {strides = array<i64: 2, 2>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0, 1, 2, 3>, from = #lanes, to = #hetprec.lanes<1 x 2 x 2, row_stride = 2, image_stride = 4, base = 0, size = 64>} -> tensor<4x64xi8>
  %g = tensor.empty() : tensor<1x64xi8>
  %q = hetprec.requantize_lanes %c channels(%n : tensor<3xi16>) thresholds(%t : tensor<3x3xi16>) signs(%s : tensor<3xi16>) mask(%mask : tensor<64xi8>) outs(%g : tensor<1x64xi8>) {out_level = 2, lane_begin = 0, lane_count = 64} : tensor<2x64xi16> -> tensor<1x64xi8>
  %h = tensor.empty() : tensor<1x3x4x4xi8>
  %u = hetprec.unpack_lanes %q : tensor<1x64xi8> outs(%h : tensor<1x3x4x4xi8>)
    {channels = array<i64: 0, 1, 2>, layout = #lanes, level = 2 : i64} -> tensor<1x3x4x4xi8>
  return %f, %u : tensor<4x64xi8>, tensor<1x3x4x4xi8>
}

// Two segments are spread into one buffer of bytes.
// CHECK-LABEL: @spread
// CHECK: %[[B:.+]] = memref.alloc() {{.*}}: memref<11x64xi8>
// CHECK: hetprec.spread_lanes %{{.+}} : memref<1x64xi8> outs(%[[B]] : memref<11x64xi8>)
// CHECK: hetprec.spread_lanes %{{.+}} : memref<1x64xi8> outs(%[[B]] : memref<11x64xi8>)
// CHECK-NOT: memref.copy
// CHECK: return %[[B]]
func.func @spread(%p: tensor<1x64xi8>, %q: tensor<1x64xi8>) -> tensor<11x64xi8> {
  %e = tensor.empty() : tensor<11x64xi8>
  %f = hetprec.spread_lanes %p : tensor<1x64xi8> outs(%e : tensor<11x64xi8>) {level = 1, first = 0, channels = 8} -> tensor<11x64xi8>
  %g = hetprec.spread_lanes %q : tensor<1x64xi8> outs(%f : tensor<11x64xi8>) {level = 2, first = 8, channels = 3} -> tensor<11x64xi8>
  return %g : tensor<11x64xi8>
}

// Rows are packed, summed and multiplied in place.
// CHECK-LABEL: @rows
// CHECK-SAME: %[[X:.+]]: memref<1x8xi8>, %[[W:.+]]: memref<1x64xi8>
// CHECK: hetprec.pack_rows %[[X]] : memref<1x8xi8> outs(%[[P:.+]] : memref<1x1xi8>)
// CHECK: hetprec.sum_rows %[[X]] : memref<1x8xi8> outs(%[[S:.+]] : memref<1xi32>)
// CHECK: hetprec.gemv accumulator rows(%[[P]] : memref<1x1xi8>) weights(%[[W]] : memref<1x64xi8>) row_bias(%[[S]] : memref<1xi32>) outs(%[[OUT:.+]] : memref<1x64xi32>)
// CHECK-NOT: memref.copy
// CHECK: return %[[OUT]]
func.func @rows(%x: tensor<1x8xi8>, %w: tensor<1x64xi8>) -> tensor<1x64xi32> {
  %e = tensor.empty() : tensor<1x1xi8>
  %p = hetprec.pack_rows %x : tensor<1x8xi8> outs(%e : tensor<1x1xi8>) {level = 1, first = 0, count = 8} -> tensor<1x1xi8>
  %f = tensor.empty() : tensor<1xi32>
  %s = hetprec.sum_rows %x : tensor<1x8xi8> outs(%f : tensor<1xi32>) {firsts = array<i64: 0>, counts = array<i64: 8>, coefficients = array<i64: -1>} -> tensor<1xi32>
  %o = tensor.empty() : tensor<1x64xi32>
  %r = hetprec.gemv accumulator rows(%p : tensor<1x1xi8>) weights(%w : tensor<1x64xi8>) row_bias(%s : tensor<1xi32>) outs(%o : tensor<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}
