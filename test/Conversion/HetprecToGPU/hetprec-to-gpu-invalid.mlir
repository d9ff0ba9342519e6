// RUN: sysmol-opt %s --convert-hetprec-to-gpu=kernel=gemv --split-input-file --verify-diagnostics
// RUN: not sysmol-opt %s --convert-hetprec-to-gpu=warps=3 --split-input-file 2>&1 | FileCheck %s
// CHECK: options must be warps 4 to 32, unroll 1 to 32, threads 128 to 2048, stages 2 to 6; found 3, 8, 1024, 3

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 8]>
func.func @batch(%x: tensor<9x8xi8, #a>, %w: tensor<4x8xi8, #w>) -> tensor<9x4xi32> {
  // expected-error @+1 {{has 9 rows of activations; gemv takes at most 8}}
  %acc = hetprec.matmul %x, %w : tensor<9x8xi8, #a>, tensor<4x8xi8, #w> -> tensor<9x4xi32>
  return %acc : tensor<9x4xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 1]>
func.func @unsorted(%x: tensor<1x2xi8, #a>, %w: tensor<4x2xi8, #w>) -> tensor<1x4xi32> {
  // expected-error @+1 {{must have channels sorted by precision; run hetprec-to-plan}}
  %acc = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<4x2xi8, #w> -> tensor<1x4xi32>
  return %acc : tensor<1x4xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2]>
func.func @no_gemv(%x: tensor<1x1x5x5xi8, #a>, %w: tensor<4x1x3x3xi8, #w>) -> tensor<1x4x3x3xi32> {
  // expected-error @+1 {{is a convolution, which has no gemv}}
  %acc = hetprec.conv_2d %x, %w : tensor<1x1x5x5xi8, #a>, tensor<4x1x3x3xi8, #w> -> tensor<1x4x3x3xi32>
  return %acc : tensor<1x4x3x3xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 4], groups = 2>
func.func @groups(%x: tensor<1x4x5x5xi8, #a>, %w: tensor<4x2x3x3xi8, #w>) -> tensor<1x4x3x3xi32> {
  // expected-error @+1 {{has 2 groups; a single product on a GPU has one, any number is allowed in a network}}
  %acc = hetprec.conv_2d %x, %w groups = 2 : tensor<1x4x5x5xi8, #a>, tensor<4x2x3x3xi8, #w> -> tensor<1x4x3x3xi32>
  return %acc : tensor<1x4x3x3xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 8]>
func.func @padded(%x: tensor<1x2x5x5xi8, #a>, %w: tensor<4x2x3x3xi8, #w>) -> tensor<1x4x5x5xi32> {
  // expected-error @+1 {{pads activations of the mid-rise grid below 8 bits, which has no zero}}
  %acc = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<1x2x5x5xi8, #a>, tensor<4x2x3x3xi8, #w> -> tensor<1x4x5x5xi32>
  return %acc : tensor<1x4x5x5xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 8]>
func.func @packed(%x: tensor<1x8xi8, #a>, %w: tensor<8x8xi8, #w>) -> tensor<1x8xi8, #a> {
  %acc = hetprec.matmul %x, %w : tensor<1x8xi8, #a>, tensor<8x8xi8, #w> -> tensor<1x8xi32>
  // expected-error @+1 {{has a GPU kernel behind hetprec.conv_2d only}}
  %q = hetprec.requantize %acc multiplier = [0.5] offset = [0.0] : tensor<1x8xi32> to tensor<1x8xi8, #a>
  return %q : tensor<1x8xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 8]>
func.func @twice(%x: tensor<1x8xi8, #a>, %w: tensor<8x8xi8, #w>) -> tensor<1x8xf32> {
  %acc = hetprec.matmul %x, %w : tensor<1x8xi8, #a>, tensor<8x8xi8, #w> -> tensor<1x8xi32>
  %y = hetprec.to_real %acc multiplier = [0.5] offset = [0.0] : tensor<1x8xi32> to tensor<1x8xf32>
  // expected-error @+1 {{must read the product's result}}
  %z = hetprec.to_real %acc multiplier = [0.5] offset = [0.0] : tensor<1x8xi32> to tensor<1x8xf32>
  return %z : tensor<1x8xf32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2]>
func.func @other(%x: tensor<1x1xi8, #a>, %w: tensor<4x1xi8, #w>) -> tensor<1x4xi32> {
  %acc = hetprec.matmul %x, %w : tensor<1x1xi8, #a>, tensor<4x1xi8, #w> -> tensor<1x4xi32>
  // expected-error @+1 {{'arith.addi' op has no GPU kernel; allowed are hetprec.matmul, hetprec.conv_2d, hetprec.to_real, hetprec.to_carrier, hetprec.add and hetprec.requantize}}
  %sum = arith.addi %acc, %acc : tensor<1x4xi32>
  return %sum : tensor<1x4xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 4]>
func.func @empty(%x: tensor<0x4x3x3xi8, #a>, %w: tensor<5x4x1x1xi8, #w>) -> tensor<0x5x3x3xi32> {
  // expected-error @+1 {{which has no elements}}
  %acc = hetprec.conv_2d %x, %w : tensor<0x4x3x3xi8, #a>, tensor<5x4x1x1xi8, #w> -> tensor<0x5x3x3xi32>
  return %acc : tensor<0x5x3x3xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
// expected-error @+1 {{has no hetprec.matmul or hetprec.conv_2d to make a kernel of}}
func.func @nothing(%x: tensor<1x1xi8, #a>) -> tensor<1x1xi8, #a> {
  return %x : tensor<1x1xi8, #a>
}

// -----

// expected-error @+1 {{must be one block that ends in func.return to become a kernel}}
func.func private @declared(tensor<1x1xi32>) -> tensor<1x4xi32>
