// RUN: sysmol-opt %s --hetprec-verify-phase=phase=model --split-input-file --verify-diagnostics

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1]>
func.func @good(%x: tensor<3x2xi8, #act>) -> tensor<3x1xi32> {
  %w = arith.constant dense<1> : tensor<1x2xi8, #wgt>
  %r = hetprec.matmul %x, %w : tensor<3x2xi8, #act>, tensor<1x2xi8, #wgt> -> tensor<3x1xi32>
  return %r : tensor<3x1xi32>
}

// -----

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1]>
func.func @weights(%x: tensor<3x2xi8, #act>, %w: tensor<1x2xi8, #wgt>) -> tensor<3x1xi32> {
  // expected-error @+1 {{contract of phase model: weights must be constants}}
  %r = hetprec.matmul %x, %w : tensor<3x2xi8, #act>, tensor<1x2xi8, #wgt> -> tensor<3x1xi32>
  return %r : tensor<3x1xi32>
}

// -----

#act = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1], groups = 2>
func.func @depthwise_weights(%x: tensor<1x2x4x4xi8, #act>, %w: tensor<2x1x3x3xi8, #wgt>) -> tensor<1x2x2x2xi32> {
  // expected-error @+1 {{contract of phase model: weights must be constants}}
  %r = hetprec.depthwise_conv_2d %x, %w : tensor<1x2x4x4xi8, #act>, tensor<2x1x3x3xi8, #wgt> -> tensor<1x2x2x2xi32>
  return %r : tensor<1x2x2x2xi32>
}

// -----

#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1]>
func.func @batch(%x: tensor<?x2xf32>) -> tensor<?x2xi8, #act> {
  // expected-error @+1 {{contract of phase model: shapes must be static; set the batch size at import}}
  %r = hetprec.quantize %x : tensor<?x2xf32> to tensor<?x2xi8, #act>
  return %r : tensor<?x2xi8, #act>
}

// -----

func.func @foreign(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{contract of phase model: only hetprec's model ops, arith, math, tensor and linalg are allowed}}
  %r = tosa.abs %x : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

func.func private @other(tensor<4xf32>) -> tensor<4xf32>
func.func @call(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{contract of phase model: only hetprec's model ops}}
  %r = call @other(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}
