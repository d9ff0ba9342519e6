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
  // expected-error @+1 {{lane_count must be a positive multiple of 64}}
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

// -----

func.func @byte_words(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{byte_words of level 2 must be in [9, 255], found 0}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, byte_words = array<i64: 0>, lane_begin = 0, lane_count = 64} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

func.func @row_bias(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %b: tensor<6xi32>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{row_bias is an integer of 16 or 32 bits for each of 7 rows, found 'tensor<6xi32>'}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) row_bias(%b : tensor<6xi32>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

func.func @centred_bits(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{centred codes are of level 2}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, centred, lane_begin = 0, lane_count = 64} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

func.func @byte_words_of_folded(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{segments of one level need the same byte_words}}
  %r = hetprec.contract accumulator lanes(%a, %a : tensor<1x64xi8>, tensor<1x64xi8>) rows(%w, %w : tensor<7x1xi8>, tensor<7x1xi8>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 2, 2>, coefficients = array<i64: 2, 2>, taps = array<i64: 0>, origin = 0, folded = array<i1: false, true>, centred, byte_words = array<i64: 18, 27>, lane_begin = 0, lane_count = 64} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

func.func @centred_sums(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{centred and byte_words are of rows of weights in words}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, centred, uniform_rows, lane_begin = 0, lane_count = 64} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

func.func @byte_words_of_outputs(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{needs byte_words for each level}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, byte_words = array<i64: 9, 9>, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @centred_level(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  // expected-error @+1 {{centred codes are of level 2}}
  %s = hetprec.mac %acc, %a, %w level = 1 {centred = #hetprec.centred<row>} : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// -----

func.func @tile_bytes(%a: tensor<1x64xi8>, %w: tensor<1x128xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{a tile of weights has 64 bytes}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x128xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @tile_blocks(%a: tensor<1x64xi8>, %w: tensor<1x192xi8>, %init: tensor<192x64xi32>) -> tensor<192x64xi32> {
  // expected-error @+1 {{tile_blocks must be 1 or 2}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x192xi8>) outs(%init : tensor<192x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 3} -> tensor<192x64xi32>
  return %r : tensor<192x64xi32>
}

// -----

func.func @output_rows(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<63x64xi32>) -> tensor<63x64xi32> {
  // expected-error @+1 {{init must have a row of i32 for each output of a tile}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<63x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<63x64xi32>
  return %r : tensor<63x64xi32>
}

// -----

func.func @output_lanes(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{lane_count must be a positive multiple of 64}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 32, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @used_lanes(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{used_lanes must be in [1, lane_count]}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 65, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @output_taps(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{needs taps, none of them negative}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: -1>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @output_segments(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{needs one lanes and coefficient for each level}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 1, 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @output_level(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{HP1: level 3 must be 1, 2, 4 or 8 bits}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 3>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @output_words(%a: tensor<1x64xi8>, %w: tensor<1x256xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{words of level 8 have 32 bits}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x256xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @sums_and_lanes(%a: tensor<1x64xi8>, %w: tensor<1x1xi8>, %s: tensor<1x64xi32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{sums are instead of lanes, rows and taps}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<1x1xi8>) sums(%s : tensor<1x64xi32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @narrow_sums(%s: tensor<1x64xi16>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{sums have 32 bits}}
  %r = hetprec.contract accumulator sums(%s : tensor<1x64xi16>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64>, coefficients = array<i64>, taps = array<i64>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @real_sums(%s: tensor<1x64xf32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{sums have 32 bits}}
  %r = hetprec.contract accumulator sums(%s : tensor<1x64xf32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64>, coefficients = array<i64>, taps = array<i64>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @no_phases(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{needs at least one phase}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, phases = 0, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

func.func @lanes_behind(%a: tensor<1x64xi8>, %w: tensor<1x128xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{reads or writes lanes that the planes do not have}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x128xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0, 1>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @bytes_level(%a: tensor<2x128xi8>, %w: tensor<2x1xi8>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{lane_bytes, 1, 2 or 4, are of planes of bytes, whose level is 8, and of rows with a word for each tap}}
  %r = hetprec.contract accumulator lanes(%a : tensor<2x128xi8>) rows(%w : tensor<2x1xi8>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 1, tap_bytes = array<i64: 4>, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

func.func @bytes_step(%a: tensor<1x256xi8>, %w: tensor<1x1xi32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{lane_bytes, 1, 2 or 4, are of planes of bytes}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x256xi8>) rows(%w : tensor<1x1xi32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 3, tap_bytes = array<i64: 4>, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

// The last lane's word ends three bytes behind the lane.
func.func @bytes_end(%a: tensor<1x64xi8>, %w: tensor<1x1xi32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{reads bytes that the planes do not have}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<1x1xi32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 1, tap_bytes = array<i64: 4>, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @bytes_of_words(%a: tensor<1x64xi8>, %w: tensor<1x1xi32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{words of level 8 have 32 bits}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<1x1xi32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @tap_bytes(%a: tensor<1x67xi8>, %w: tensor<1x1xi32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs tap_bytes in [1, 4], one for each tap, with lane_bytes only}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x67xi8>) rows(%w : tensor<1x1xi32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 0, lane_bytes = 1, tap_bytes = array<i64: 5>, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @sums_of_bytes(%s: tensor<1x64xi32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{sums are instead of lanes, rows and taps}}
  %r = hetprec.contract accumulator sums(%s : tensor<1x64xi32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64>, coefficients = array<i64>, taps = array<i64>, origin = 0, lane_bytes = 1, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @written_lanes(%a: tensor<1x128xi8>, %w: tensor<1x1xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{writes lanes that the init does not have}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x128xi8>) rows(%w : tensor<1x1xi8>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = -64, lane_begin = 64, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @far_lanes(%a: tensor<1x256xi8>, %w: tensor<1x1xi32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{lanes are counted to 2^40}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x256xi8>) rows(%w : tensor<1x1xi32>) outs(%init : tensor<1x64xi32>)
    {levels = array<i64: 8>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = 4611686018427387904, lane_bytes = 4, tap_bytes = array<i64: 4>, lane_begin = 0, lane_count = 64} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @folded_size(%a: tensor<1x64xi8>, %w: tensor<2x1xi8>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{needs one entry of folded for each level, or none}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<2x1xi8>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, folded = array<i1: true, true>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

func.func @folded_order(%a: tensor<1x64xi8>, %w: tensor<2x1xi8>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{a level's folded segment follows its other one and has the same coefficient and words}}
  %r = hetprec.contract accumulator lanes(%a, %a : tensor<1x64xi8>, tensor<1x64xi8>) rows(%w, %w : tensor<2x1xi8>, tensor<2x1xi8>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 2, 2>, coefficients = array<i64: 2, 2>, folded = array<i1: true, false>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

func.func @folded_coefficient(%a: tensor<1x64xi8>, %w: tensor<2x1xi8>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{a level's folded segment follows its other one and has the same coefficient and words}}
  %r = hetprec.contract accumulator lanes(%a, %a : tensor<1x64xi8>, tensor<1x64xi8>) rows(%w, %w : tensor<2x1xi8>, tensor<2x1xi8>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 2, 2>, coefficients = array<i64: 2, 4>, folded = array<i1: false, true>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

// A level twice without folding is not summed together.
func.func @level_twice(%a: tensor<1x64xi8>, %w: tensor<2x1xi8>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{a level's folded segment follows its other one and has the same coefficient and words}}
  %r = hetprec.contract accumulator lanes(%a, %a : tensor<1x64xi8>, tensor<1x64xi8>) rows(%w, %w : tensor<2x1xi8>, tensor<2x1xi8>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 2, 2>, coefficients = array<i64: 2, 4>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

func.func @folded_words(%a: tensor<1x64xi8>, %b: tensor<1x66xi8>, %w: tensor<2x3xi8>, %v: tensor<2x3xi8>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{rows and lanes differ in their groups}}
  %r = hetprec.contract accumulator lanes(%b, %a : tensor<1x66xi8>, tensor<1x64xi8>) rows(%w, %v : tensor<2x3xi8>, tensor<2x3xi8>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 2, 2>, coefficients = array<i64: 2, 2>, folded = array<i1: false, true>, taps = array<i64: 0, 1, 2>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

func.func @folded_starts(%a: tensor<1x64xi8>, %w: tensor<2x1xi8>, %s: tensor<2xi32>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{folded segments are of words that all rows read}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<2x1xi8>) starts(%s : tensor<2xi32>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, folded = array<i1: true>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

#lanes = #hetprec.lanes<1 x 2 x 2, row_stride = 2, image_stride = 4, base = 0, size = 64>
func.func @layout(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{layout must be one of init's planes, begin at lane_begin and have used_lanes}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 5, tile_blocks = 1, layout = #lanes} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @coefficients(%a: tensor<1x64xi8>, %w: tensor<2x1xi8>, %init: tensor<2x64xi32>) -> tensor<2x64xi32> {
  // expected-error @+1 {{coefficients have 32 bits}}
  %r = hetprec.contract accumulator lanes(%a, %a : tensor<1x64xi8>, tensor<1x64xi8>) rows(%w, %w : tensor<2x1xi8>, tensor<2x1xi8>) outs(%init : tensor<2x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: -9223372036854775808, -1>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x64xi32>
  return %r : tensor<2x64xi32>
}

// -----

#lanes = #hetprec.lanes<1 x 2 x 2, row_stride = 2, image_stride = 4, base = 0, size = 64>
func.func @tap_without_pixel(%a: tensor<1x64xi8>, %w: tensor<1x128xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{tap_pixels are a row and a column for each tap, and need a layout and the image's size; strides are two}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x128xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0, 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1, layout = #lanes, tap_pixels = array<i64: 0, 0>, image = array<i64: 2, 2>} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

#lanes = #hetprec.lanes<1 x 2 x 2, row_stride = 2, image_stride = 4, base = 0, size = 64>
func.func @no_stride(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{strides and the image's sizes are 1 to 2^22, as are distances of taps}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1, layout = #lanes, tap_pixels = array<i64: 0, 0>, strides = array<i64: 0, 1>, image = array<i64: 2, 2>} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

#lanes = #hetprec.lanes<1 x 2 x 2, row_stride = 2, image_stride = 4, base = 0, size = 64>
func.func @no_image(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{strides and the image's sizes are 1 to 2^22, as are distances of taps}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 4, tile_blocks = 1, layout = #lanes, tap_pixels = array<i64: 0, 0>, image = array<i64: -3, 2>} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @far_outputs(%a: tensor<1x64xi8>, %w: tensor<1x64xi8>, %init: tensor<64x64xi32>) -> tensor<64x64xi32> {
  // expected-error @+1 {{lanes are counted to 2^40}}
  %r = hetprec.contract_outputs lanes(%a : tensor<1x64xi8>) weights(%w : tensor<1x64xi8>) outs(%init : tensor<64x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 9223372036854775807>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 5, tile_blocks = 1} -> tensor<64x64xi32>
  return %r : tensor<64x64xi32>
}

// -----

func.func @join_level(%a: vector<16xi32>) {
  // expected-error @+1 {{joins codes of level 4 or 8}}
  %w = hetprec.join_codes %a, %a, %a, %a level = 2 : vector<16xi32> -> vector<16xi32>
  return
}

// -----

func.func @join_lanes(%a: vector<16xi32>) {
  // expected-error @+1 {{needs a word for each lane}}
  %w = hetprec.join_codes %a, %a, %a, %a level = 8 : vector<16xi32> -> vector<32xi32>
  return
}

// -----

func.func @join_word(%a: vector<16xi32>) {
  // expected-error @+1 {{a word of level 4 has 16 bits}}
  %w = hetprec.join_codes %a, %a, %a, %a level = 4 : vector<16xi32> -> vector<16xi32>
  return
}

// -----

func.func @narrow_count(%a: vector<16xi32>) {
  // expected-error @+1 {{needs an even number of lanes, twice as many narrowed}}
  %w = hetprec.narrow_lanes %a, %a : vector<16xi32> -> vector<16xi16>
  return
}

// -----

func.func @spare_count(%a: vector<12xi8>) {
  // expected-error @+1 {{needs a multiple of eight lanes}}
  %w = hetprec.spare_word %a, %a, %a : vector<12xi8>
  return
}

// -----

func.func @no_rows(%a: tensor<1x64xi8>, %w: tensor<0x1xi8>, %init: tensor<0x64xi32>) -> tensor<0x64xi32> {
  // expected-error @+1 {{needs rows}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<0x1xi8>) outs(%init : tensor<0x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<0x64xi32>
  return %r : tensor<0x64xi32>
}

// -----

func.func @no_lanes(%a: tensor<1x64xi8>, %w: tensor<7x1xi8>, %init: tensor<7x64xi32>) -> tensor<7x64xi32> {
  // expected-error @+1 {{lane_count must be a positive multiple of 64}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<7x1xi8>) outs(%init : tensor<7x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 0} -> tensor<7x64xi32>
  return %r : tensor<7x64xi32>
}

// -----

// A tap a million lanes on.
func.func @contract_reads(%a: tensor<1x64xi8>, %w: tensor<8x1xi8>, %init: tensor<8x64xi32>) -> tensor<8x64xi32> {
  // expected-error @+1 {{reads lanes that the planes do not have}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<8x1xi8>) outs(%init : tensor<8x64xi32>) {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 1000000>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<8x64xi32>
  return %r : tensor<8x64xi32>
}

// -----

// Lanes in front of the planes.
func.func @contract_reads_before(%a: tensor<1x64xi8>, %w: tensor<8x1xi8>, %init: tensor<8x64xi32>) -> tensor<8x64xi32> {
  // expected-error @+1 {{reads lanes that the planes do not have}}
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<8x1xi8>) outs(%init : tensor<8x64xi32>) {levels = array<i64: 2>, coefficients = array<i64: 1>, taps = array<i64: 0>, origin = -1, lane_begin = 0, lane_count = 64} -> tensor<8x64xi32>
  return %r : tensor<8x64xi32>
}

// -----

// No lanes.
func.func @requantize_nothing(%p: tensor<3x64xi32>, %c: tensor<3xi16>, %t: tensor<3x3xi32>, %s: tensor<3xi32>, %m: tensor<64xi8>, %i: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{lane_count must be a positive multiple of 64}}
  %r = hetprec.requantize_lanes %p channels(%c : tensor<3xi16>) thresholds(%t : tensor<3x3xi32>) signs(%s : tensor<3xi32>) mask(%m : tensor<64xi8>) outs(%i : tensor<1x64xi8>) {out_level = 2, lane_begin = 0, lane_count = 0} : tensor<3x64xi32> -> tensor<1x64xi8>
  return %r : tensor<1x64xi8>
}

// -----

// Ten blocks of one.
func.func @requantize_beyond(%p: tensor<3x64xi32>, %c: tensor<3xi16>, %t: tensor<3x3xi32>, %s: tensor<3xi32>, %m: tensor<64xi8>, %i: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{reads or writes lanes that the planes do not have}}
  %r = hetprec.requantize_lanes %p channels(%c : tensor<3xi16>) thresholds(%t : tensor<3x3xi32>) signs(%s : tensor<3xi32>) mask(%m : tensor<64xi8>) outs(%i : tensor<1x64xi8>) {out_level = 2, lane_begin = 0, lane_count = 640} : tensor<3x64xi32> -> tensor<1x64xi8>
  return %r : tensor<1x64xi8>
}

// -----

// A bound of products of another level, and one below 0.
func.func @pair_bound_level(%acc: vector<64xi8>, %a: vector<64xi8>, %w: i8) -> vector<64xi8> {
  // expected-error @+1 {{pair_bound is of level 8, and not negative}}
  %s = hetprec.mac %acc, %a, %w level = 2 {pair_bound = 5 : i64} : vector<64xi8>, vector<64xi8>, i8
  return %s : vector<64xi8>
}

// -----

func.func @pair_bound_negative(%acc: vector<8xi32>, %a: vector<8xi32>, %w: i32) -> vector<8xi32> {
  // expected-error @+1 {{pair_bound is of level 8, and not negative}}
  %s = hetprec.mac %acc, %a, %w level = 8 {pair_bound = -30000 : i64} : vector<8xi32>, vector<8xi32>, i32
  return %s : vector<8xi32>
}
