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

// expected-error @+1 {{takes 'tensor<4xf32>'; GPU kernels take tensors of static shape and rank 2 or 4, of f32, i32, i16, or i8 with a #hetprec.channels encoding}}
func.func @rank(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2]>
func.func @float(%x: tensor<1x1xf32>) -> tensor<1x1xi8, #a> {
  // expected-error @+1 {{'arith.addf' op has no GPU kernel; allowed are the ops of hetprec's model phase}}
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

// expected-error @+1 {{takes 'i32'; GPU kernels take tensors of static shape}}
func.func @scalar(%x: i32) -> i32 {
  return %x : i32
}

// -----

func.func @index(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  // expected-error @+1 {{makes 'index'; GPU kernels make tensors of static shape and rank 2 or 4}}
  %c = arith.constant 1 : index
  return %x : tensor<2x2xf32>
}

// -----

// expected-error @+1 {{takes 'tensor<2x2xi8>'; GPU kernels take tensors of static shape and rank 2 or 4, of f32, i32, i16, or i8 with a #hetprec.channels encoding}}
func.func @bytes(%x: tensor<2x2xi8>) -> tensor<2x2xi8> {
  return %x : tensor<2x2xi8>
}

// -----

// expected-error @+1 {{takes 'tensor<2x2xindex>'; GPU kernels take}}
func.func @indices(%x: tensor<2x2xindex>) -> tensor<2x2xindex> {
  return %x : tensor<2x2xindex>
}

// -----

// expected-error @+1 {{takes 'tensor<2x2xf16>'; GPU kernels take}}
func.func @half(%x: tensor<2x2xf16>) -> tensor<2x2xf16> {
  return %x : tensor<2x2xf16>
}

// -----

// expected-error @+1 {{takes 'tensor<2x2xsi32>'; GPU kernels take}}
func.func @signed(%x: tensor<2x2xsi32>) -> tensor<2x2xsi32> {
  return %x : tensor<2x2xsi32>
}

// -----

// Kernels that hetprec-outline-kernels did not make.
// expected-error @+1 {{must be one block that ends in func.return to become a kernel}}
func.func private @declared(tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel}

// -----

// expected-error @+1 {{must be one block that ends in func.return}}
func.func private @blocks(%x: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  cf.br ^a
^a:
  return %x : tensor<2x2xf32>
}

// -----

// expected-error @+1 {{has 0 results; a GPU kernel has one}}
func.func private @none(%x: tensor<2x2xf32>) attributes {hetprec.kernel} {
  return
}

// -----

// expected-error @+1 {{takes 'i32'; GPU kernels take}}
func.func private @number(%x: i32) -> i32 attributes {hetprec.kernel} {
  return %x : i32
}

// -----

// expected-error @+1 {{makes 'i32'; GPU kernels make}}
func.func private @result(%x: tensor<2x2xf32>) -> i32 attributes {hetprec.kernel} {
  %c = arith.constant 1 : i32
  return %c : i32
}

// -----

// expected-error @+1 {{takes 'tensor<2x2xindex>'; GPU kernels take}}
func.func private @index_kernel(%x: tensor<2x2xindex>) -> tensor<2x2xindex> attributes {hetprec.kernel} {
  return %x : tensor<2x2xindex>
}

// -----

// expected-error @+1 {{takes 'tensor<2x2xi1>'; GPU kernels take}}
func.func private @bits(%x: tensor<2x2xi1>) -> tensor<2x2xi1> attributes {hetprec.kernel} {
  return %x : tensor<2x2xi1>
}

// -----

// expected-error @+1 {{takes 'tensor<?x2xf32>'; GPU kernels take}}
func.func private @dynamic(%x: tensor<?x2xf32>) -> tensor<?x2xf32> attributes {hetprec.kernel} {
  return %x : tensor<?x2xf32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 2], groups = 2>
func.func private @filter(%x: tensor<1x2x3x3xi8, #a>) -> tensor<1x2x3x3xi32> attributes {hetprec.kernel} {
  %w = arith.constant dense<1> : tensor<2x1x1x1xi8, #w>
  // expected-error @+1 {{must read its weights from an argument of its kernel}}
  %acc = hetprec.conv_2d %x, %w groups = 2 : tensor<1x2x3x3xi8, #a>, tensor<2x1x1x1xi8, #w> -> tensor<1x2x3x3xi32>
  return %acc : tensor<1x2x3x3xi32>
}

// -----

// Networks whose calls are there already.
func.func private @k(%x: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  return %x : tensor<2x2xf32>
}
// expected-error @+1 {{takes 'tensor<2x2xindex>'; GPU kernels take}}
func.func @called(%x: tensor<2x2xindex>, %y: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  %z = call @k(%y) : (tensor<2x2xf32>) -> tensor<2x2xf32>
  return %z : tensor<2x2xf32>
}

// -----

func.func private @k(%x: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  return %x : tensor<2x2xf32>
}
// expected-error @+1 {{makes 'i32'; GPU kernels make}}
func.func @scalar(%x: tensor<2x2xf32>) -> i32 attributes {hetprec.kernel} {
  %y = call @k(%x) : (tensor<2x2xf32>) -> tensor<2x2xf32>
  %c = arith.constant 1 : i32
  return %c : i32
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 8]>
// A product by itself reads rows, not the pixels of a network.
func.func @product(%x: tensor<1x8xi8, #a>, %w: tensor<4x8xi8, #w>) -> tensor<1x4xi32> {
  %acc = hetprec.matmul %x, %w : tensor<1x8xi8, #a>, tensor<4x8xi8, #w> -> tensor<1x4xi32>
  return %acc : tensor<1x4xi32>
}
func.func @calls(%x: tensor<1x8xi8, #a>, %w: tensor<4x8xi8, #w>) -> tensor<1x4xi32> attributes {hetprec.kernel} {
  // expected-error @+1 {{calls 'product', which is no kernel; allowed are functions that hetprec-outline-kernels made}}
  %y = call @product(%x, %w) : (tensor<1x8xi8, #a>, tensor<4x8xi8, #w>) -> tensor<1x4xi32>
  return %y : tensor<1x4xi32>
}

// -----

func.func @resource(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %y = arith.constant dense_resource<r> : tensor<2x2xf32>
  // expected-error @+1 {{reads what no kernel makes; allowed are results of calls, arguments and dense constants}}
  return %y : tensor<2x2xf32>
}
{-# dialect_resources: { builtin: { r: "0x0400000001020301020301020301020301020304" } } #-}

// -----

func.func @alone(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  return %x : tensor<2x2xf32>
}
// expected-error @+1 {{'gpu.module' op stands beside the kernels; a module for a GPU holds func.func and nothing else}}
gpu.module @kernels {
}

// -----

func.func private @k(%x: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  return %x : tensor<2x2xf32>
}
func.func @mixed(%x: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  %y = call @k(%x) : (tensor<2x2xf32>) -> tensor<2x2xf32>
  // expected-error @+1 {{'arith.addf' op has no GPU kernel; allowed are calls of kernels and constants}}
  %z = arith.addf %y, %y : tensor<2x2xf32>
  return %z : tensor<2x2xf32>
}

// -----

func.func private @k(%x: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  return %x : tensor<2x2xf32>
}
func.func @through(%x: tensor<2x2xf32>) -> tensor<2x2xf32> attributes {hetprec.kernel} {
  %y = call @k(%x) : (tensor<2x2xf32>) -> tensor<2x2xf32>
  // expected-error @+1 {{must return the results of kernels, each once; arguments and constants go through hetprec-outline-kernels}}
  return %x : tensor<2x2xf32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 2]>
#c = #hetprec.carrier<delta = 0.5>
func.func private @order(%x: tensor<1x2xi8, #a>, %w: tensor<2x2xi8, #v>)
    -> (tensor<1x2xi8, #a>, tensor<1x2xi16, #c>) attributes {hetprec.kernel} {
  %acc = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<2x2xi8, #v> -> tensor<1x2xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x2xi32> to tensor<1x2xi16, #c>
  %q = hetprec.requantize %r multiplier = [0.5] offset = [0.0] : tensor<1x2xi16, #c> to tensor<1x2xi8, #a>
  // expected-error @+1 {{must return the last result, and in front of codes of a carrier at most that}}
  return %q, %r : tensor<1x2xi8, #a>, tensor<1x2xi16, #c>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#c = #hetprec.carrier<delta = 0.5>
// expected-error @+1 {{has 2 results; a GPU kernel has one}}
func.func private @two(%r: tensor<1x2xi16, #c>)
    -> (tensor<1x2xi16, #c>, tensor<1x2xi8, #a>) attributes {hetprec.kernel} {
  %q = hetprec.requantize %r multiplier = [0.5] offset = [0.0] : tensor<1x2xi16, #c> to tensor<1x2xi8, #a>
  return %r, %q : tensor<1x2xi16, #c>, tensor<1x2xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 2]>
#c = #hetprec.carrier<delta = 0.5>
func.func private @permuted(%x: tensor<1x2xi8, #a>, %w: tensor<2x2xi8, #v>)
    -> tensor<1x2xi16, #c> attributes {hetprec.kernel} {
  %acc = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<2x2xi8, #v> -> tensor<1x2xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x2xi32> to tensor<1x2xi16, #c>
  %p = hetprec.permute %r axis = 1 permutation = [1, 0] : tensor<1x2xi16, #c> to tensor<1x2xi16, #c>
  // expected-error @+1 {{must return codes of the permuted carrier}}
  return %p : tensor<1x2xi16, #c>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#b = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 129]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 2]>
#c = #hetprec.carrier<delta = 0.5>
func.func private @many(%x: tensor<1x2xi8, #a>, %w: tensor<129x2xi8, #v>)
    -> tensor<1x129xi8, #b> attributes {hetprec.kernel} {
  %acc = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<129x2xi8, #v> -> tensor<1x129xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x129xi32> to tensor<1x129xi16, #c>
  %p = hetprec.permute %r axis = 1 permutation = [128, 127, 126, 125, 124, 123, 122, 121, 120, 119, 118, 117, 116, 115, 114, 113, 112, 111, 110, 109, 108, 107, 106, 105, 104, 103, 102, 101, 100, 99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 89, 88, 87, 86, 85, 84, 83, 82, 81, 80, 79, 78, 77, 76, 75, 74, 73, 72, 71, 70, 69, 68, 67, 66, 65, 64, 63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0] : tensor<1x129xi16, #c> to tensor<1x129xi16, #c>
  // expected-error @+1 {{reads 129 channels of a product in another order; a kernel permutes at most 128}}
  %q = hetprec.requantize %p multiplier = [0.5] offset = [0.0] : tensor<1x129xi16, #c> to tensor<1x129xi8, #b>
  return %q : tensor<1x129xi8, #b>
}
