// RUN: sysmol-opt %s --split-input-file --verify-diagnostics

func.func @spread_words(%a: tensor<1x64xi16>, %init: tensor<4x64xi8>) -> tensor<4x64xi8> {
  // expected-error @+1 {{spreads the words of its level to bytes}}
  %r = hetprec.spread_lanes %a : tensor<1x64xi16> outs(%init : tensor<4x64xi8>) {level = 8, first = 0, channels = 4} -> tensor<4x64xi8>
  return %r : tensor<4x64xi8>
}

// -----

func.func @spread_phases(%a: tensor<3x64xi8>, %init: tensor<8x64xi8>) -> tensor<8x64xi8> {
  // expected-error @+1 {{needs the words of its channels}}
  %r = hetprec.spread_lanes %a : tensor<3x64xi8> outs(%init : tensor<8x64xi8>) {level = 2, first = 0, channels = 4} -> tensor<8x64xi8>
  return %r : tensor<8x64xi8>
}

// -----

func.func @spread_layouts(%a: tensor<2x64xi8>, %init: tensor<8x64xi8>) -> tensor<8x64xi8> {
  // expected-error @+1 {{needs row_phases, two pads, from and to together}}
  %r = hetprec.spread_lanes %a : tensor<2x64xi8> outs(%init : tensor<8x64xi8>) {level = 2, first = 0, channels = 4, row_phases = array<i64: 0, 1>, stride = 2, pads = array<i64: 0, 0>} -> tensor<8x64xi8>
  return %r : tensor<8x64xi8>
}

// -----

func.func @spread_stride(%a: tensor<2x64xi8>, %init: tensor<4x64xi8>) -> tensor<4x64xi8> {
  // expected-error @+1 {{needs a positive stride, 1 without row_phases, and pads in [0, 2^31)}}
  %r = hetprec.spread_lanes %a : tensor<2x64xi8> outs(%init : tensor<4x64xi8>) {level = 2, first = 0, channels = 4, stride = 2} -> tensor<4x64xi8>
  return %r : tensor<4x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 8, row_stride = 8, image_stride = 32, base = 0, size = 64>
func.func @spread_rows(%a: tensor<2x64xi8>, %init: tensor<8x64xi8>) -> tensor<8x64xi8> {
  // expected-error @+1 {{needs row_phases in [0, stride)}}
  %r = hetprec.spread_lanes %a : tensor<2x64xi8> outs(%init : tensor<8x64xi8>) {level = 2, first = 0, channels = 4, row_phases = array<i64: 0, 2>, stride = 2, pads = array<i64: 0, 0>, from = #eight, to = #four} -> tensor<8x64xi8>
  return %r : tensor<8x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 8, row_stride = 8, image_stride = 32, base = 0, size = 128>
func.func @spread_sizes(%a: tensor<2x64xi8>, %init: tensor<8x64xi8>) -> tensor<8x64xi8> {
  // expected-error @+1 {{needs planes of its layouts, of as many images}}
  %r = hetprec.spread_lanes %a : tensor<2x64xi8> outs(%init : tensor<8x64xi8>) {level = 2, first = 0, channels = 4, row_phases = array<i64: 0, 1>, stride = 2, pads = array<i64: 0, 0>, from = #eight, to = #four} -> tensor<8x64xi8>
  return %r : tensor<8x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_reals(%a: tensor<1x4x8x8xf32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs a multiplier for codes of reals, and only there}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xf32> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#rows = #hetprec.lanes<8 x 1 x 1, row_stride = 1, image_stride = 1, base = 0, size = 64>
func.func @pack_real_rows(%a: tensor<8x4xf32>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{packs codes of 8 bits, or reals of 32 bits [N, C, H, W]}}
  %r = hetprec.pack_lanes %a : tensor<8x4xf32> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #rows, multiplier = 1.0 : f32} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_phases(%a: tensor<1x4x8x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs phases, two strides and two pads together, and codes [N, C, H, W]}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight, phases = array<i64: 0>} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_strides(%a: tensor<1x4x8x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs two positive strides, and pads in [0, 2^31)}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight, phases = array<i64: 0>, strides = array<i64: 1, 0>, pads = array<i64: 0, 0>} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_far_phase(%a: tensor<1x4x8x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs phases of its strides}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight, phases = array<i64: 2>, strides = array<i64: 2, 1>, pads = array<i64: 0, 0>} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

func.func @spread_planes(%a: tensor<2x64xi8>, %init: tensor<4x64xi8>) -> tensor<4x64xi8> {
  // expected-error @+1 {{needs a plane for each channel in each phase}}
  %r = hetprec.spread_lanes %a : tensor<2x64xi8> outs(%init : tensor<4x64xi8>) {level = 2, first = 1, channels = 4} -> tensor<4x64xi8>
  return %r : tensor<4x64xi8>
}

// -----

func.func @spread_lanes(%a: tensor<2x64xi8>, %init: tensor<4x128xi8>) -> tensor<4x128xi8> {
  // expected-error @+1 {{needs the same lanes on both sides, in blocks of 64}}
  %r = hetprec.spread_lanes %a : tensor<2x64xi8> outs(%init : tensor<4x128xi8>) {level = 2, first = 0, channels = 4} -> tensor<4x128xi8>
  return %r : tensor<4x128xi8>
}

// -----

func.func @spread_far(%a: tensor<1x64xi8>, %init: tensor<4x64xi8>) -> tensor<4x64xi8> {
  // expected-error @+1 {{needs a plane for each channel in each phase}}
  %r = hetprec.spread_lanes %a : tensor<1x64xi8> outs(%init : tensor<4x64xi8>) {level = 1, first = 9223372036854775807, channels = 1} -> tensor<4x64xi8>
  return %r : tensor<4x64xi8>
}

// -----

func.func @spread_unknown(%a: memref<1x?xi8>, %init: memref<4x?xi8>) {
  // expected-error @+1 {{needs planes of known sizes}}
  hetprec.spread_lanes %a : memref<1x?xi8> outs(%init : memref<4x?xi8>) {level = 1, first = 0, channels = 4}
  return
}

// -----

func.func @fold_words(%a: tensor<1x128xi16>, %init: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{folds the words of its level}}
  %r = hetprec.fold_taps %a : tensor<1x128xi16> outs(%init : tensor<1x128xi8>) {level = 2, channels = array<i64: 1, 1>, taps = array<i64: 0, 1>, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @fold_channels(%a: tensor<1x128xi8>, %init: tensor<3x128xi8>) -> tensor<3x128xi8> {
  // expected-error @+1 {{folds 1 to 3 channels of a word}}
  %r = hetprec.fold_taps %a : tensor<1x128xi8> outs(%init : tensor<3x128xi8>) {level = 2, channels = array<i64: 4, 4>, taps = array<i64: 0, 1>, lane_begin = 0, lane_count = 64} -> tensor<3x128xi8>
  return %r : tensor<3x128xi8>
}

// -----

func.func @fold_size(%a: tensor<1x128xi8>, %init: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{needs as many words as the taps of its channels fill}}
  %r = hetprec.fold_taps %a : tensor<1x128xi8> outs(%init : tensor<1x128xi8>) {level = 2, channels = array<i64: 2, 2>, taps = array<i64: 0, 1>, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @fold_phases(%a: tensor<1x128xi8>, %init: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{needs one tap_phases entry for each tap, a plane}}
  %r = hetprec.fold_taps %a : tensor<1x128xi8> outs(%init : tensor<1x128xi8>) {level = 2, channels = array<i64: 1, 1>, taps = array<i64: 0, 1>, tap_phases = array<i64: 0, 1>, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @fold_lanes(%a: tensor<1x128xi8>, %init: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{reads and writes blocks of 64 lanes that the planes have}}
  %r = hetprec.fold_taps %a : tensor<1x128xi8> outs(%init : tensor<1x128xi8>) {level = 2, channels = array<i64: 1, 1>, taps = array<i64: 0, 1>, lane_begin = 0, lane_count = 128} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @fold_far(%a: tensor<1x128xi8>, %init: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{needs taps, in [0, 2^40], and channels for each}}
  %r = hetprec.fold_taps %a : tensor<1x128xi8> outs(%init : tensor<1x128xi8>) {level = 2, channels = array<i64: 1, 1>, taps = array<i64: 0, 9223372036854775807>, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @fold_unknown(%a: memref<1x?xi8>, %init: memref<1x128xi8>) {
  // expected-error @+1 {{needs planes of known sizes}}
  hetprec.fold_taps %a : memref<1x?xi8> outs(%init : memref<1x128xi8>) {level = 2, channels = array<i64: 1, 1>, taps = array<i64: 0, 1>, lane_begin = 0, lane_count = 64}
  return
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_word(%a: tensor<1x4x8x8xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{has planes of the words of its level}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x64xi8>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x64xi8>
  return %r : tensor<1x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_channel(%a: tensor<1x4x8x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs a channel for each slot of its words}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 4>, layout = #eight} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_slots(%a: tensor<1x4x8x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs a channel for each slot of its words}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2>, layout = #eight} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_no_sum(%a: tensor<1x4x8x8xi16>, %init: tensor<2x64xi16>) -> tensor<2x64xi16> {
  // expected-error @+1 {{needs a channel for each slot of its words}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi16> outs(%init : tensor<2x64xi16>) {level = 0, channels = array<i64: 0, -1>, layout = #eight} -> tensor<2x64xi16>
  return %r : tensor<2x64xi16>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_sums(%a: tensor<1x4x8x8xi16>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{level 0 keeps the type of its elements}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi16> outs(%init : tensor<1x64xi32>) {level = 0, channels = array<i64: 0>, layout = #eight} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_planes(%a: tensor<1x4x8x8xi8>, %init: tensor<1x128xi32>) -> tensor<1x128xi32> {
  // expected-error @+1 {{needs planes of its channels and layout}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x128xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x128xi32>
  return %r : tensor<1x128xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_images(%a: tensor<1x4x7x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs a layout of as many images and pixels}}
  %r = hetprec.pack_lanes %a : tensor<1x4x7x8xi8> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_level(%a: tensor<1x4x8x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{HP1: level 3 must be 1, 2, 4 or 8 bits}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi8> outs(%init : tensor<1x64xi32>) {level = 3, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_codes(%a: tensor<1x4x8x8xi32>, %init: tensor<1x64xi16>) -> tensor<1x64xi16> {
  // expected-error @+1 {{packs codes of 8 bits, or reals of 32 bits [N, C, H, W]}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xi32> outs(%init : tensor<1x64xi16>) {level = 4, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x64xi16>
  return %r : tensor<1x64xi16>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_doubles(%a: tensor<1x4x8x8xf64>, %init: tensor<1x64xi16>) -> tensor<1x64xi16> {
  // expected-error @+1 {{packs codes of 8 bits, or reals of 32 bits [N, C, H, W]}}
  %r = hetprec.pack_lanes %a : tensor<1x4x8x8xf64> outs(%init : tensor<1x64xi16>) {level = 4, channels = array<i64: 0, 1, 2, 3>, layout = #eight, multiplier = 1.0 : f32} -> tensor<1x64xi16>
  return %r : tensor<1x64xi16>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @pack_dynamic(%a: tensor<?x4x8x8xi8>, %init: tensor<1x64xi32>) -> tensor<1x64xi32> {
  // expected-error @+1 {{needs [N, C, H, W] or [N, C], and planes, of known sizes}}
  %r = hetprec.pack_lanes %a : tensor<?x4x8x8xi8> outs(%init : tensor<1x64xi32>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @unpack_codes(%a: tensor<1x64xi32>, %init: tensor<1x4x8x8xi16>) -> tensor<1x4x8x8xi16> {
  // expected-error @+1 {{unpacks codes of 8 bits}}
  %r = hetprec.unpack_lanes %a : tensor<1x64xi32> outs(%init : tensor<1x4x8x8xi16>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x4x8x8xi16>
  return %r : tensor<1x4x8x8xi16>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
func.func @unpack_planes(%a: tensor<2x64xi32>, %init: tensor<1x4x8x8xi8>) -> tensor<1x4x8x8xi8> {
  // expected-error @+1 {{needs planes of its channels and layout}}
  %r = hetprec.unpack_lanes %a : tensor<2x64xi32> outs(%init : tensor<1x4x8x8xi8>) {level = 8, channels = array<i64: 0, 1, 2, 3>, layout = #eight} -> tensor<1x4x8x8xi8>
  return %r : tensor<1x4x8x8xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @split_strides(%a: tensor<1x64xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{needs two positive strides, and pads in [0, 2^31)}}
  %r = hetprec.split_phases %a : tensor<1x64xi8> outs(%init : tensor<1x64xi8>) {strides = array<i64: 0, 0>, pads = array<i64: 0, 0>, phases = array<i64: 0>, from = #eight, to = #four} -> tensor<1x64xi8>
  return %r : tensor<1x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @split_pads(%a: tensor<1x64xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{needs two or four pads}}
  %r = hetprec.split_phases %a : tensor<1x64xi8> outs(%init : tensor<1x64xi8>) {strides = array<i64: 2, 2>, pads = array<i64: 0>, phases = array<i64: 0>, from = #eight, to = #four} -> tensor<1x64xi8>
  return %r : tensor<1x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @split_phase(%a: tensor<1x64xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{needs phases of its strides}}
  %r = hetprec.split_phases %a : tensor<1x64xi8> outs(%init : tensor<1x64xi8>) {strides = array<i64: 2, 2>, pads = array<i64: 0, 0>, phases = array<i64: 4>, from = #eight, to = #four} -> tensor<1x64xi8>
  return %r : tensor<1x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @split_words(%a: tensor<1x64xi8>, %init: tensor<1x64xi8>) -> tensor<1x64xi8> {
  // expected-error @+1 {{needs planes of known sizes, the same words in each phase}}
  %r = hetprec.split_phases %a : tensor<1x64xi8> outs(%init : tensor<1x64xi8>) {strides = array<i64: 2, 2>, pads = array<i64: 0, 0>, phases = array<i64: 0, 1>, from = #eight, to = #four} -> tensor<1x64xi8>
  return %r : tensor<1x64xi8>
}

// -----

#eight = #hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, size = 64>
#four = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @split_layouts(%a: tensor<1x64xi8>, %init: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{needs planes of its layouts, of as many images}}
  %r = hetprec.split_phases %a : tensor<1x64xi8> outs(%init : tensor<1x128xi8>) {strides = array<i64: 2, 2>, pads = array<i64: 0, 0>, phases = array<i64: 0>, from = #eight, to = #four} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

// Words of a type that has no bits.
func.func @index_planes(%p: tensor<2x64xindex>, %o: tensor<3x16xi8>) -> tensor<3x16xi8> {
  // expected-error @+1 {{has planes of the words of its level}}
  %r = hetprec.unpack_lanes %p : tensor<2x64xindex> outs(%o : tensor<3x16xi8>) {level = 1, channels = array<i64: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>, layout = #hetprec.lanes<3 x 1 x 1, row_stride = 1, image_stride = 1, base = 0, size = 64>} -> tensor<3x16xi8>
  return %r : tensor<3x16xi8>
}

// -----

// Wide planes of such a type.
func.func @complex_planes(%p: tensor<1x64xcomplex<f32>>, %o: tensor<1x1xcomplex<f32>>) -> tensor<1x1xcomplex<f32>> {
  // expected-error @+1 {{level 0 has planes of i16, i32 or f32}}
  %r = hetprec.unpack_lanes %p : tensor<1x64xcomplex<f32>> outs(%o : tensor<1x1xcomplex<f32>>) {level = 0, channels = array<i64: 0>, layout = #hetprec.lanes<1 x 1 x 1, row_stride = 1, image_stride = 1, base = 0, size = 64>} -> tensor<1x1xcomplex<f32>>
  return %r : tensor<1x1xcomplex<f32>>
}

// -----

// Lane 1 of a wide plane is behind 32 even ones.
func.func @part_of_a_block(%x: tensor<1x1x1x2xi32>, %p: tensor<1x2xi32>) -> tensor<1x2xi32> {
  // expected-error @+1 {{wide planes have whole blocks of 64 lanes}}
  %r = hetprec.pack_lanes %x : tensor<1x1x1x2xi32> outs(%p : tensor<1x2xi32>) {level = 0, channels = array<i64: 0>, layout = #hetprec.lanes<1 x 1 x 2, row_stride = 2, image_stride = 2, base = 0, size = 2>} -> tensor<1x2xi32>
  return %r : tensor<1x2xi32>
}

// -----

// No plane to fold.
func.func @fold_nothing(%x: tensor<0x192xi8>, %i: tensor<3x192xi8>) -> tensor<3x192xi8> {
  // expected-error @+1 {{needs planes of known sizes}}
  %f = hetprec.fold_taps %x : tensor<0x192xi8> outs(%i : tensor<3x192xi8>) {level = 2, channels = array<i64: 1, 1, 1, 1, 1, 1, 1, 1, 1>, taps = array<i64: 0, 1, 2, 8, 9, 10, 16, 17, 18>, lane_begin = 55, lane_count = 64} -> tensor<3x192xi8>
  return %f : tensor<3x192xi8>
}

// -----

func.func @max_pool_words(%a: tensor<1x128xi16>, %k: tensor<128xi8>, %i: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{pools the words of its level}}
  %r = hetprec.max_pool_lanes %a : tensor<1x128xi16> mask(%k : tensor<128xi8>) outs(%i : tensor<1x128xi8>) {level = 2, taps = array<i64: 0, 1>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @max_pool_planes(%a: tensor<3x128xi8>, %k: tensor<128xi8>, %i: tensor<2x128xi8>) -> tensor<2x128xi8> {
  // expected-error @+1 {{needs planes of known sizes, the same words in each phase}}
  %r = hetprec.max_pool_lanes %a : tensor<3x128xi8> mask(%k : tensor<128xi8>) outs(%i : tensor<2x128xi8>) {level = 2, taps = array<i64: 0, 1>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<2x128xi8>
  return %r : tensor<2x128xi8>
}

// -----

func.func @max_pool_mask(%a: tensor<1x128xi8>, %k: tensor<64xi8>, %i: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{needs a mask byte for each lane of its init}}
  %r = hetprec.max_pool_lanes %a : tensor<1x128xi8> mask(%k : tensor<64xi8>) outs(%i : tensor<1x128xi8>) {level = 2, taps = array<i64: 0, 1>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @max_pool_taps(%a: tensor<1x128xi8>, %k: tensor<128xi8>, %i: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{needs taps, in [0, 2^40]}}
  %r = hetprec.max_pool_lanes %a : tensor<1x128xi8> mask(%k : tensor<128xi8>) outs(%i : tensor<1x128xi8>) {level = 2, taps = array<i64: 0, -1>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @max_pool_phases(%a: tensor<2x128xi8>, %k: tensor<128xi8>, %i: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{needs one tap_phases entry for each tap, a phase}}
  %r = hetprec.max_pool_lanes %a : tensor<2x128xi8> mask(%k : tensor<128xi8>) outs(%i : tensor<1x128xi8>) {level = 2, taps = array<i64: 0, 1>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}

// -----

func.func @max_pool_lanes(%a: tensor<1x128xi8>, %k: tensor<128xi8>, %i: tensor<1x128xi8>) -> tensor<1x128xi8> {
  // expected-error @+1 {{reads and writes blocks of 64 lanes that the planes have}}
  %r = hetprec.max_pool_lanes %a : tensor<1x128xi8> mask(%k : tensor<128xi8>) outs(%i : tensor<1x128xi8>) {level = 2, taps = array<i64: 0, 1>, origin = -1, lane_begin = 0, lane_count = 64} -> tensor<1x128xi8>
  return %r : tensor<1x128xi8>
}
