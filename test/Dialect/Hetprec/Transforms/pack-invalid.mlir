// RUN: sysmol-opt %s --hetprec-pack --split-input-file --verify-diagnostics

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2]>
func.func @weights(%x: tensor<3x2xi8, #act>, %w: tensor<1x2xi8, #wgt>) -> tensor<3x1xi32> {
  // expected-error @+1 {{weights must be constants to be packed}}
  %r = hetprec.matmul %x, %w : tensor<3x2xi8, #act>, tensor<1x2xi8, #wgt> -> tensor<3x1xi32>
  return %r : tensor<3x1xi32>
}

// -----

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @sums_as_argument(%x: tensor<3x2xi32>) -> tensor<3x2xi8, #act> {
  // expected-error @+1 {{reads accumulators or carrier that no packed op computes; they cannot be arguments}}
  %r = hetprec.requantize %x multiplier = [1.0] offset = [0.0] : tensor<3x2xi32> to tensor<3x2xi8, #act>
  return %r : tensor<3x2xi8, #act>
}

// -----

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2], groups = 2>
func.func @depthwise(%x: tensor<1x2x4x4xi8, #act>) -> tensor<1x2x2x2xi32> {
  %w = arith.constant dense<1> : tensor<2x1x3x3xi8, #wgt>
  // expected-error @+1 {{canonicalize first: a depthwise convolution is a grouped conv_2d}}
  %s = hetprec.depthwise_conv_2d %x, %w : tensor<1x2x4x4xi8, #act>, tensor<2x1x3x3xi8, #wgt> -> tensor<1x2x2x2xi32>
  return %s : tensor<1x2x2x2xi32>
}

// -----

#act = #hetprec.channels<axis = 0, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @foreign(%x: tensor<2x2xi8, #act>) -> tensor<2x2xi8, #act> {
  // expected-error @+1 {{reads codes but is no op of the hetprec dialect}}
  %s = arith.addi %x, %x : tensor<2x2xi8, #act>
  return %s : tensor<2x2xi8, #act>
}

// -----

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @rows(%x: tensor<3x2xi8, #act>) -> tensor<3x2xi8, #act> {
  // expected-error @+1 {{only the channels (axis 1) can be reordered here}}
  %s = hetprec.permute %x axis = 0 permutation = [1, 0, 2] : tensor<3x2xi8, #act> to tensor<3x2xi8, #act>
  return %s : tensor<3x2xi8, #act>
}

// -----

// Tiles are of 3x3 windows.
#t5 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4 x 4]>
#u5 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4 x 4]>
func.func @tiles_of_5x5(%x: tensor<1x4x8x8xi8, #t5>) -> tensor<1x8x8x8xi32> {
  %w = arith.constant dense<1> : tensor<8x4x5x5xi8, #u5>
  // expected-error @+1 {{has no tiles as lanes: no 3x3 window of neighbours}}
  %r = hetprec.conv_2d %x, %w pads = [2, 2, 2, 2] {hetprec.lanes = #hetprec.lane_role<tiles>} : tensor<1x4x8x8xi8, #t5>, tensor<8x4x5x5xi8, #u5> -> tensor<1x8x8x8xi32>
  return %r : tensor<1x8x8x8xi32>
}

// -----

// A carrier from outside might be -32768, which is -32767 (HP24).
func.func @carrier(%x: tensor<1x2xi16, #hetprec.carrier<delta = 1.0>>) -> tensor<1x2xi16, #hetprec.carrier<delta = 1.0>> {
  // expected-error @+1 {{returns a carrier that comes from outside; CPU code takes codes and reals}}
  return %x : tensor<1x2xi16, #hetprec.carrier<delta = 1.0>>
}
