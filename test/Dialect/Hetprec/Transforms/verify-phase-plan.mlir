// RUN: sysmol-opt %s --hetprec-verify-phase=phase=plan --split-input-file --verify-diagnostics

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 2, 8]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2, 2, 8]>
func.func @good(%x: tensor<3x4xi8, #act>) -> tensor<3x1xi32> {
  %w = arith.constant dense<1> : tensor<1x4xi8, #wgt>
  %r = hetprec.matmul %x, %w : tensor<3x4xi8, #act>, tensor<1x4xi8, #wgt> -> tensor<3x1xi32>
  return %r : tensor<3x1xi32>
}

// -----

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 1]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2, 1]>
func.func @unsorted(%x: tensor<3x3xi8, #act>) -> tensor<3x1xi32> {
  %w = arith.constant dense<1> : tensor<1x3xi8, #wgt>
  // expected-error @+1 {{contract of phase plan: input channels must be sorted by precision; run hetprec-sort-channels}}
  %r = hetprec.matmul %x, %w : tensor<3x3xi8, #act>, tensor<1x3xi8, #wgt> -> tensor<3x1xi32>
  return %r : tensor<3x1xi32>
}

// -----

// Three segments, but the finest first.
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 2, 1]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4, 2, 1]>
func.func @descending(%x: tensor<1x3x2x2xi8, #act>) -> tensor<1x1x2x2xi32> {
  %w = arith.constant dense<1> : tensor<1x3x1x1xi8, #wgt>
  // expected-error @+1 {{contract of phase plan: input channels must be sorted}}
  %r = hetprec.conv_2d %x, %w : tensor<1x3x2x2xi8, #act>, tensor<1x3x1x1xi8, #wgt> -> tensor<1x1x2x2xi32>
  return %r : tensor<1x1x2x2xi32>
}

// -----

// A grouped convolution may read any order; a depthwise one has become it.
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1], groups = 2>
func.func @grouped(%x: tensor<1x2x4x4xi8, #act>) -> (tensor<1x2x2x2xi32>, tensor<1x2x2x2xi32>) {
  %w = arith.constant dense<1> : tensor<2x1x3x3xi8, #wgt>
  %r = hetprec.conv_2d %x, %w groups = 2 : tensor<1x2x4x4xi8, #act>, tensor<2x1x3x3xi8, #wgt> -> tensor<1x2x2x2xi32>
  // expected-error @+1 {{contract of phase plan: a depthwise convolution must be a grouped conv_2d; run canonicalize}}
  %s = hetprec.depthwise_conv_2d %x, %w : tensor<1x2x4x4xi8, #act>, tensor<2x1x3x3xi8, #wgt> -> tensor<1x2x2x2xi32>
  return %r, %s : tensor<1x2x2x2xi32>, tensor<1x2x2x2xi32>
}

// -----

// The contract of the phase before holds still.
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2]>
func.func @weights(%x: tensor<3x2xi8, #act>, %w: tensor<1x2xi8, #wgt>) -> tensor<3x1xi32> {
  // expected-error @+1 {{contract of phase model: weights must be constants}}
  %r = hetprec.matmul %x, %w : tensor<3x2xi8, #act>, tensor<1x2xi8, #wgt> -> tensor<3x1xi32>
  return %r : tensor<3x1xi32>
}

// -----

#gx = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1]>
#gw = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1], groups = 2>
func.func @lanes_of_groups(%x: tensor<1x2x1x1xi8, #gx>) -> tensor<1x2x1x1xi32> {
  %w = arith.constant dense<1> : tensor<2x1x1x1xi8, #gw>
  // expected-error @+1 {{contract of phase plan: only ungrouped products have outputs as lanes}}
  %acc = hetprec.conv_2d %x, %w groups = 2 {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x2x1x1xi8, #gx>, tensor<2x1x1x1xi8, #gw> -> tensor<1x2x1x1xi32>
  return %acc : tensor<1x2x1x1xi32>
}

// -----

#tp = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4 x 4]>
#up = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4 x 4]>
func.func @wide_tiles(%x: tensor<1x4x4x600xi8, #tp>) -> tensor<1x8x4x600xi32> {
  %w = arith.constant dense<1> : tensor<8x4x3x3xi8, #up>
  // expected-error @+1 {{contract of phase plan: has no tiles as lanes: rows of more than 512 pixels}}
  %r = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] {hetprec.lanes = #hetprec.lane_role<tiles>} : tensor<1x4x4x600xi8, #tp>, tensor<8x4x3x3xi8, #up> -> tensor<1x8x4x600xi32>
  return %r : tensor<1x8x4x600xi32>
}
