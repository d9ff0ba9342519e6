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

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8]>
func.func @bytes(%x: tensor<1x1xi8, #a>, %w: tensor<4x1xi8, #w>) -> tensor<1x4xi32> {
  // expected-error @+1 {{has an 8-bit level, which has no GPU kernel; allowed are 1, 2 and 4}}
  %acc = hetprec.matmul %x, %w : tensor<1x1xi8, #a>, tensor<4x1xi8, #w> -> tensor<1x4xi32>
  return %acc : tensor<1x4xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2]>
func.func @constant(%x: tensor<1x1xi8, #a>) -> tensor<1x4xi32> {
  // expected-error @+1 {{'arith.constant' op has no GPU kernel; allowed are hetprec.matmul and hetprec.to_real}}
  %w = arith.constant dense<1> : tensor<4x1xi8, #w>
  %acc = hetprec.matmul %x, %w : tensor<1x1xi8, #a>, tensor<4x1xi8, #w> -> tensor<1x4xi32>
  return %acc : tensor<1x4xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
// expected-error @+1 {{has no hetprec.matmul to make a kernel of}}
func.func @nothing(%x: tensor<1x1xi8, #a>) -> tensor<1x1xi8, #a> {
  return %x : tensor<1x1xi8, #a>
}
