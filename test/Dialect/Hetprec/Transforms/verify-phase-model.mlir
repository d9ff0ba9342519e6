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
  // expected-error @+1 {{contract of phase model: only hetprec's model ops, arith.constant, tensor.collapse_shape and tensor.expand_shape are allowed}}
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

// -----

// What neither the phases behind nor the reference know all of.
func.func @arith(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{contract of phase model: only hetprec's model ops}}
  %r = arith.addf %x, %x : tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

func.func @math(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{contract of phase model: only hetprec's model ops}}
  %r = math.erf %x : tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// expected-error @+1 {{argument 0: contract of phase model: values must be ranked tensors, found 'f32'}}
func.func @scalar(%x: f32) -> f32 {
  return %x : f32
}

// -----

// expected-error @+1 {{argument 0: contract of phase model: a dimension is 0 in 'tensor<0x3xf32>'}}
func.func @zero(%x: tensor<0x3xf32>) -> tensor<0x3xf32> {
  return %x : tensor<0x3xf32>
}

// -----

// expected-error @+1 {{argument 0: contract of phase model: more than 2^31 elements in a tensor}}
func.func @huge(%x: tensor<4611686018427387904x4xf32>) {
  return
}

// -----

// expected-error @+1 {{argument 0: contract of phase model: elements must be f32, i32, i16 or i8, found 'f64'}}
func.func @element(%x: tensor<1x3xf64>) -> tensor<1x3xf64> {
  return %x : tensor<1x3xf64>
}

// -----

//===- What codes may be --------------------------------------------------===//

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
// expected-error @+1 {{argument 0: contract of phase model: codes and carrier are [N, C] or [N, C, H, W], found rank 3}}
func.func @rank(%x: tensor<1x2x3xi8, #a>) -> tensor<1x2x3xi8, #a> {
  return %x : tensor<1x2x3xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
func.func @rank5(%x: tensor<1x2x3x1x1xf32>) -> tensor<1x2x3x1x1xi8, #a> {
  // expected-error @+1 {{contract of phase model: codes and carrier are [N, C] or [N, C, H, W], found rank 5}}
  %q = hetprec.quantize %x : tensor<1x2x3x1x1xf32> to tensor<1x2x3x1x1xi8, #a>
  return %q : tensor<1x2x3x1x1xi8, #a>
}

// -----

#c = #hetprec.carrier<delta = 1.0>
// expected-error @+1 {{argument 0: contract of phase model: codes and carrier are [N, C] or [N, C, H, W], found rank 3}}
func.func @carrier_rank(%x: tensor<1x2x3xi16, #c>) -> tensor<1x2x3xi16, #c> {
  return %x : tensor<1x2x3xi16, #c>
}

// -----

#a = #hetprec.channels<axis = 0, grid = unsigned, scale = 1.0, bits = [1, 2]>
// expected-error @+1 {{argument 0: contract of phase model: codes must have their channels on axis 1, in one group}}
func.func @axis(%x: tensor<2x3xi8, #a>) -> tensor<2x3xi8, #a> {
  return %x : tensor<2x3xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2], groups = 2>
// expected-error @+1 {{argument 0: contract of phase model: codes must have their channels on axis 1, in one group}}
func.func @groups(%x: tensor<2x1xi8, #a>) -> tensor<2x1xf32> {
  %y = hetprec.dequantize %x : tensor<2x1xi8, #a> to tensor<2x1xf32>
  return %y : tensor<2x1xf32>
}

// -----

// Weights may have a scale a row, but nothing else that is computed with.
#a = #hetprec.channels<axis = 1, grid = midrise, scale = [1.0, 2.0], bits = [1, 2, 4]>
func.func @scales() -> tensor<2x3xf32> {
  // expected-error @+1 {{contract of phase model: HP6: codes must have one scale for the whole tensor}}
  %w = arith.constant dense<1> : tensor<2x3xi8, #a>
  %y = hetprec.dequantize %w : tensor<2x3xi8, #a> to tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// -----

//===- HP24: codes in their level -----------------------------------------===//

#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1]>
#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1]>
func.func @level(%x: tensor<3x2xi8, #x>) -> tensor<3x2xi32> {
  // expected-error @+1 {{contract of phase model: HP24: code 2 of channel 1 is outside its 1-bit level}}
  %w = arith.constant dense<[[3, 1], [3, 2]]> : tensor<2x2xi8, #w>
  %r = hetprec.matmul %x, %w : tensor<3x2xi8, #x>, tensor<2x2xi8, #w> -> tensor<3x2xi32>
  return %r : tensor<3x2xi32>
}

// -----

#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @symmetric(%x: tensor<3x1xi8, #x>) -> tensor<3x2xi32> {
  // expected-error @+1 {{HP24: code -128 of channel 0 is outside its 8-bit level}}
  %w = arith.constant dense<[[-127], [-128]]> : tensor<2x1xi8, #w>
  %r = hetprec.matmul %x, %w : tensor<3x1xi8, #x>, tensor<2x1xi8, #w> -> tensor<3x2xi32>
  return %r : tensor<3x2xi32>
}

// -----

// Grouped weights: channel i of group g is channel g * C / groups + i. An
// unsigned code of 8 bits may be any byte.
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4, 1], groups = 2>
#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 1]>
#y = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8, 1]>
func.func @groups(%x: tensor<1x2x1x1xi8, #x>) -> (tensor<1x2x1x1xi32>, tensor<1x2xi8, #y>) {
  %c = arith.constant dense<[[-1, 1]]> : tensor<1x2xi8, #y>
  // expected-error @+1 {{HP24: code 15 of channel 1 is outside its 1-bit level}}
  %w = arith.constant dense<15> : tensor<2x1x1x1xi8, #w>
  %r = hetprec.conv_2d %x, %w groups = 2 : tensor<1x2x1x1xi8, #x>, tensor<2x1x1x1xi8, #w> -> tensor<1x2x1x1xi32>
  return %r, %c : tensor<1x2x1x1xi32>, tensor<1x2xi8, #y>
}
