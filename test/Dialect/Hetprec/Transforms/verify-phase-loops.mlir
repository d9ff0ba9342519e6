// RUN: sysmol-opt %s --hetprec-verify-phase=phase=loops --split-input-file --verify-diagnostics

func.func @good(%a: memref<1x128xi8>, %w: memref<4x1xi8>, %out: memref<4x128xi32>) {
  hetprec.contract accumulator lanes(%a : memref<1x128xi8>) rows(%w : memref<4x1xi8>) outs(%out : memref<4x128xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 128}
  return
}

// -----

func.func @wide(%a: memref<1x192xi8>, %w: memref<4x1xi8>, %out: memref<4x192xi32>) {
  // expected-error @+1 {{contract of phase loops: must be tiled to at most 2 blocks of lanes}}
  hetprec.contract accumulator lanes(%a : memref<1x192xi8>) rows(%w : memref<4x1xi8>) outs(%out : memref<4x192xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 192}
  return
}

// -----

#lanes = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @tensor(%x: tensor<1x3x4x4xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{contract of phase loops: must be on memrefs}}
  %p = hetprec.pack_lanes %x : tensor<1x3x4x4xi8> outs(%init : tensor<1x64xi8>)
    {channels = array<i64: 0, 1, 2>, layout = #lanes, level = 2 : i64} -> tensor<1x64xi8>
  return %p : tensor<1x64xi8>
}

// -----

func.func @tiles(%r: memref<1x1xi8>, %w: memref<2x64xi8>, %out: memref<1x128xi32>) {
  // expected-error @+1 {{contract of phase loops: must be tiled to one tile of outputs}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<2x64xi8>) outs(%out : memref<1x128xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @tiles_of_sums(%a: memref<1x64xi8>, %w: memref<2x64xi8>, %out: memref<128x64xi32>) {
  // expected-error @+1 {{contract of phase loops: must be tiled to one tile of outputs}}
  hetprec.contract_outputs lanes(%a : memref<1x64xi8>) weights(%w : memref<2x64xi8>) outs(%out : memref<128x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1}
  return
}

// -----

// The sum of a window may have more, as far as its scratch memory is small.
func.func @window_sum(%a: memref<40x552xi8>, %w: memref<1x40xi8>, %out: memref<1x192xi32>, %large: memref<1x512xi32>) {
  hetprec.contract accumulator lanes(%a : memref<40x552xi8>) rows(%w : memref<1x40xi8>) outs(%out : memref<1x192xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: -2>, taps = array<i64: 0, 1, 2, 19, 20, 21, 38, 39, 40>, origin = 0, lane_begin = 0, lane_count = 192, uniform_rows}
  // expected-error @+1 {{contract of phase loops: must be tiled to at most 3 blocks of lanes}}
  hetprec.contract accumulator lanes(%a : memref<40x552xi8>) rows(%w : memref<1x40xi8>) outs(%large : memref<1x512xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: -2>, taps = array<i64: 0, 1, 2, 19, 20, 21, 38, 39, 40>, origin = 0, lane_begin = 0, lane_count = 512, uniform_rows}
  return
}
