// What ops on tiles refuse.
// RUN: sysmol-opt %s --split-input-file --verify-diagnostics

// Rows of 300 tiles.
func.func @wide_rows(%x: tensor<2x192xi16>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{rows of more than 512 pixels have no tiles}}
  %0 = hetprec.winograd_input %x : tensor<2x192xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 1 x 600, row_stride = 601, image_stride = 601, base = 0, size = 2048>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}

// -----

// As many planes as there may be.
func.func @unknown(%x: tensor<?x192xi16>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{needs planes of known sizes}}
  %0 = hetprec.winograd_input %x : tensor<?x192xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}

// -----

// Words of another level.
func.func @words(%x: tensor<2x192xi32>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{reads planes of i16 words, laid out as its layout}}
  %0 = hetprec.winograd_input %x : tensor<2x192xi32> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}

// -----

// 15 planes a word.
func.func @planes(%x: tensor<2x192xi16>, %u: tensor<30x16xi32>) -> tensor<30x16xi32> {
  // expected-error @+1 {{writes 32 planes of i32, of 16 lanes, found 'tensor<30x16xi32>'}}
  %0 = hetprec.winograd_input %x : tensor<2x192xi16> outs(%u : tensor<30x16xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<30x16xi32>
  return %0 : tensor<30x16xi32>
}

// -----

// Planes of half their lanes.
func.func @lanes(%x: tensor<2x192xi16>, %u: tensor<32x8xi32>) -> tensor<32x8xi32> {
  // expected-error @+1 {{writes 32 planes of i32, of 16 lanes}}
  %0 = hetprec.winograd_input %x : tensor<2x192xi16> outs(%u : tensor<32x8xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<32x8xi32>
  return %0 : tensor<32x8xi32>
}

// -----

// One pad.
func.func @one_pad(%x: tensor<2x192xi16>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{needs two pads in [0, 2^31)}}
  %0 = hetprec.winograd_input %x : tensor<2x192xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}

// -----

// A pad below 0.
func.func @negative_pad(%x: tensor<2x192xi16>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{needs two pads in [0, 2^31)}}
  %0 = hetprec.winograd_input %x : tensor<2x192xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: -1, 0>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}

// -----

// Nothing in front of the first pixel.
func.func @before(%x: tensor<2x192xi16>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{reads lanes that the planes do not have}}
  %0 = hetprec.winograd_input %x : tensor<2x192xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 0, size = 192>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}

// -----

// Whole registers of patches are read, 34 pixels of a row.
func.func @behind(%x: tensor<2x128xi16>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{reads lanes that the planes do not have}}
  %0 = hetprec.winograd_input %x : tensor<2x128xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 7, image_stride = 49, base = 79, size = 128>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}

// -----

// Rows of 300 tiles.
func.func @contract_wide_rows(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  // expected-error @+1 {{rows of more than 512 pixels have no tiles}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 1 x 600, row_stride = 601, image_stride = 601, base = 0, size = 2048>} -> tensor<16x192xi32>
  return %0 : tensor<16x192xi32>
}

// -----

// Any number of outputs.
func.func @contract_unknown(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<?x192xi32>) -> tensor<?x192xi32> {
  // expected-error @+1 {{needs planes of known sizes}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<?x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<?x192xi32>
  return %0 : tensor<?x192xi32>
}

// -----

// Lanes of no whole number of words.
func.func @contract_lanes(%u: tensor<33x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  // expected-error @+1 {{lanes are 16 planes of i32 for each word, of 16 lanes, found 'tensor<33x16xi32>'}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<33x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<16x192xi32>
  return %0 : tensor<16x192xi32>
}

// -----

// No words.
func.func @no_words(%u: tensor<15x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  // expected-error @+1 {{lanes are 16 planes of i32 for each word}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<15x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<16x192xi32>
  return %0 : tensor<16x192xi32>
}

// -----

// Twelve outputs.
func.func @outputs(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<12x192xi32>) -> tensor<12x192xi32> {
  // expected-error @+1 {{init must be planes of i32, a multiple of 8, laid out as its layout}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<12x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<12x192xi32>
  return %0 : tensor<12x192xi32>
}

// -----

// Sums of 16 bits.
func.func @sums(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x192xi16>) -> tensor<16x192xi16> {
  // expected-error @+1 {{init must be planes of i32, a multiple of 8, laid out as its layout}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi16>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<16x192xi16>
  return %0 : tensor<16x192xi16>
}

// -----

// A tap is missing.
func.func @rows(%u: tensor<32x16xi32>, %w: tensor<16x16xi16>, %c: tensor<16x4xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  // expected-error @+1 {{rows have 18 words of i16 for each plane of init, found 'tensor<16x16xi16>'}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x16xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<16x192xi32>
  return %0 : tensor<16x192xi32>
}

// -----

// Seeds of half the outputs.
func.func @seeds(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<8x4xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  // expected-error @+1 {{seeds are four i32 for each plane of init}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<8x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<16x192xi32>
  return %0 : tensor<16x192xi32>
}

// -----

// Nothing of each product.
func.func @coefficient(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  // expected-error @+1 {{coefficient must be in [1, 32767]}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 0, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<16x192xi32>
  return %0 : tensor<16x192xi32>
}

// -----

// The last tile's second column is behind the planes.
func.func @behind_sums(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x128xi32>) -> tensor<16x128xi32> {
  // expected-error @+1 {{writes lanes that the planes do not have}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x128xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 7, image_stride = 49, base = 79, size = 128>} -> tensor<16x128xi32>
  return %0 : tensor<16x128xi32>
}

// -----

// Weights of 129 words would fill a thread's stack.
func.func @many_words(%u: tensor<2064x16xi32>, %w: tensor<8x1161xi16>, %c: tensor<8x4xi32>, %s: tensor<8x192xi32>) -> tensor<8x192xi32> {
  // expected-error @+1 {{has at most 128 words of channels}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<2064x16xi32>) rows(%w : tensor<8x1161xi16>) seeds(%c : tensor<8x4xi32>) outs(%s : tensor<8x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<8x192xi32>
  return %0 : tensor<8x192xi32>
}

// -----

// Rows of 7 pixels are 4 tiles, which write 8.
func.func @next_row(%u: tensor<32x16xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x192xi32>) -> tensor<16x192xi32> {
  // expected-error @+1 {{rows are at least 8 lanes apart, or the last tile of one writes into the next}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x16xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x192xi32>) {coefficient = 2, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 7, image_stride = 49, base = 64, size = 192>} -> tensor<16x192xi32>
  return %0 : tensor<16x192xi32>
}

// -----

// The last pixel of the first image's last tile is the second image's first.
func.func @next_image(%u: tensor<32x48xi32>, %w: tensor<16x18xi16>, %c: tensor<16x4xi32>, %s: tensor<16x256xi32>) -> tensor<16x256xi32> {
  // expected-error @+1 {{the last tile of an image writes into the next}}
  %0 = hetprec.winograd_contract lanes(%u : tensor<32x48xi32>) rows(%w : tensor<16x18xi16>) seeds(%c : tensor<16x4xi32>) outs(%s : tensor<16x256xi32>) {coefficient = 2, layout = #hetprec.lanes<2 x 7 x 7, row_stride = 8, image_stride = 55, base = 64, size = 256>} -> tensor<16x256xi32>
  return %0 : tensor<16x256xi32>
}

// -----

func.func @input_many_words(%x: tensor<1099511627776x192xi16>, %u: tensor<32x16xi32>) -> tensor<32x16xi32> {
  // expected-error @+1 {{has at most 128 words of channels}}
  %0 = hetprec.winograd_input %x : tensor<1099511627776x192xi16> outs(%u : tensor<32x16xi32>) {pads = array<i64: 1, 1>, layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, image_stride = 64, base = 64, size = 192>} -> tensor<32x16xi32>
  return %0 : tensor<32x16xi32>
}
