// RUN: sysmol-opt %s --split-input-file --verify-diagnostics

func.func @words(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<2x64xi8>, %t: tensor<7x3xi16>, %mask: tensor<64xi8>) -> tensor<2x64xi8> {
  // expected-error @+1 {{rows must fill the words of the init, the last one in part}}
  %r = hetprec.contract codes lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) thresholds(%t : tensor<7x3xi16>) mask(%mask : tensor<64xi8>) outs(%init : tensor<2x64xi8>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = 2, sum_bits = 16} -> tensor<2x64xi8>
  return %r : tensor<2x64xi8>
}

// -----

func.func @planes(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<8x64xi32>) -> tensor<8x64xi32> {
  // expected-error @+1 {{init must have one plane for each row}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) outs(%init : tensor<8x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<8x64xi32>
  return %r : tensor<8x64xi32>
}

// -----

func.func @blocks(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{lane_count must be a multiple of 64}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 32} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

func.func @width(%a: tensor<1x64xi16>, %w: tensor<7x1xi16>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{words of level 2 have 8 bits}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi16>) rows(%w : tensor<7x1xi16>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}
