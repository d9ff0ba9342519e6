// RUN: sysmol-opt %s --hetprec-vectorize-lanes --split-input-file --verify-diagnostics

func.func @rows(%a: memref<1x64xi8>, %w: memref<?x1xi8>, %out: memref<?x64xi32>) {
  // expected-error @+1 {{must be a tile of known rows whose lane_begin and origin are 0; run hetprec-tile-lanes first}}
  hetprec.contract accumulator lanes(%a : memref<1x64xi8>) rows(%w : memref<?x1xi8>) outs(%out : memref<?x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// -----

func.func @lanes(%a: memref<1x192xi8>, %w: memref<4x1xi8>, %out: memref<4x192xi32>) {
  // expected-error @+1 {{must be a tile of known rows whose lane_begin and origin are 0; run hetprec-tile-lanes first}}
  hetprec.contract accumulator lanes(%a : memref<1x192xi8>) rows(%w : memref<4x1xi8>) outs(%out : memref<4x192xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 64, lane_count = 64}
  return
}

// -----

func.func @requantize(%p: memref<3x128xi32>, %c: memref<3xi16>, %t: memref<3x3xi32>, %s: memref<3xi32>, %m: memref<128xi8>, %i: memref<1x128xi8>) {
  // expected-error @+1 {{must be a tile whose lane_begin is 0; run hetprec-tile-lanes first}}
  hetprec.requantize_lanes %p channels(%c : memref<3xi16>) thresholds(%t : memref<3x3xi32>) signs(%s : memref<3xi32>) mask(%m : memref<128xi8>) outs(%i : memref<1x128xi8>) {out_level = 2, lane_begin = 64, lane_count = 64} : memref<3x128xi32>
  return
}

// -----

func.func @tiles(%u: memref<32x16xi32>, %w: memref<16x18xi16>, %c: memref<16x4xi32>, %s: memref<16x192xi32>) {
  // expected-error @+1 {{must be one tile of outputs; run hetprec-tile-lanes first}}
  hetprec.winograd_contract lanes(%u : memref<32x16xi32>) rows(%w : memref<16x18xi16>) seeds(%c : memref<16x4xi32>) outs(%s : memref<16x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>}
  return
}

// -----

func.func @outputs(%a: memref<1x64xi8>, %w: memref<2x64xi8>, %out: memref<128x64xi32>) {
  // expected-error @+1 {{must be one tile of outputs; run hetprec-tile-lanes first}}
  hetprec.contract_outputs lanes(%a : memref<1x64xi8>) weights(%w : memref<2x64xi8>) outs(%out : memref<128x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 64, tile_blocks = 1}
  return
}
