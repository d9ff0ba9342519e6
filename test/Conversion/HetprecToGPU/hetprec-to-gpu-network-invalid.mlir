// RUN: sysmol-opt %s --hetprec-plan-to-gpu --split-input-file --verify-diagnostics

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2]>
func.func @weights(%x: tensor<1x1xf32>, %w: tensor<4x1xi8, #w>) -> tensor<1x4xi32> {
  %q = hetprec.quantize %x : tensor<1x1xf32> to tensor<1x1xi8, #a>
  // expected-error @+1 {{must have constant weights}}
  %acc = hetprec.matmul %q, %w : tensor<1x1xi8, #a>, tensor<4x1xi8, #w> -> tensor<1x4xi32>
  return %acc : tensor<1x4xi32>
}

// -----

func.func @rank(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{a GPU kernel makes rank 2 or 4}}
  return %x : tensor<4xf32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
func.func @float(%x: tensor<1x1xf32>) -> tensor<1x1xi8, #a> {
  // expected-error @+1 {{'arith.addf' op has no GPU kernel}}
  %y = arith.addf %x, %x : tensor<1x1xf32>
  %q = hetprec.quantize %y : tensor<1x1xf32> to tensor<1x1xi8, #a>
  return %q : tensor<1x1xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 4], groups = 2>
func.func @grouped(%x: tensor<1x4x5x5xf32>, %w: tensor<4x2x3x3xi8, #w>) -> tensor<1x4x3x3xi32> {
  %q = hetprec.quantize %x : tensor<1x4x5x5xf32> to tensor<1x4x5x5xi8, #a>
  // expected-error @+1 {{must have constant weights}}
  %acc = hetprec.conv_2d %q, %w groups = 2 : tensor<1x4x5x5xi8, #a>, tensor<4x2x3x3xi8, #w> -> tensor<1x4x3x3xi32>
  return %acc : tensor<1x4x3x3xi32>
}

// -----

// expected-error @+1 {{takes what is no tensor of static shape}}
func.func @scalar(%x: i32) -> i32 {
  return %x : i32
}

// -----

func.func @index(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  // expected-error @+1 {{must make one tensor of static shape to become a kernel}}
  %c = arith.constant 1 : index
  return %x : tensor<2x2xf32>
}

// -----

// expected-error @+1 {{bytes without an encoding}}
func.func @bytes(%x: tensor<2x2xi8>) -> tensor<2x2xi8> {
  return %x : tensor<2x2xi8>
}
