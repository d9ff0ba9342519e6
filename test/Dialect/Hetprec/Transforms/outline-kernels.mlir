// RUN: sysmol-opt %s --hetprec-outline-kernels --split-input-file | FileCheck %s

#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 2]>
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8 x 2]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1, 2]>
#c = #hetprec.carrier<delta = 0.5>

// A product takes what reads it alone along: here a carrier with its codes in
// another order, and the sum with a carrier that is there. What the network
// takes is marked, reals are read as they lie.
// CHECK-LABEL: func.func @residual(
// CHECK-SAME: %[[X:.+]]: tensor<1x2x4x4xf32>)
// CHECK-DAG: %[[W:.+]] = arith.constant dense<1>
// CHECK-DAG: %[[V:.+]] = arith.constant dense<0>
// CHECK: %[[Q:.+]] = call @residual_0_quantize(%[[X]])
// CHECK: %[[R:.+]]:2 = call @residual_1_conv_2d(%[[Q]], %[[W]]) : {{.+}} -> (tensor<1x2x4x4xi16, #{{.+}}>, tensor<1x2x4x4xi8, #{{.+}}>)
// CHECK: %[[S:.+]] = call @residual_2_conv_2d(%[[R]]#1, %[[V]], %[[R]]#0)
// CHECK: return %[[S]]
// CHECK: func.func private @residual_0_quantize(%{{.+}}: tensor<1x2x4x4xf32> {hetprec.boundary})
// CHECK-SAME: attributes {hetprec.kernel}
// CHECK: func.func private @residual_1_conv_2d(
// CHECK-NEXT: hetprec.conv_2d
// CHECK-NEXT: %[[A:.+]] = hetprec.to_carrier
// CHECK-NEXT: %[[PERMUTED:.+]] = hetprec.permute %[[A]]
// CHECK-NEXT: %[[CODES:.+]] = hetprec.requantize %[[PERMUTED]]
// CHECK-NEXT: return %[[A]], %[[CODES]]
// CHECK: func.func private @residual_2_conv_2d(%{{.+}}, %{{.+}}, %[[OTHER:.+]]: tensor<1x2x4x4xi16
// CHECK-NEXT: hetprec.conv_2d
// CHECK-NEXT: %[[CARRIER:.+]] = hetprec.to_carrier
// CHECK-NEXT: hetprec.add %[[CARRIER]], %[[OTHER]]
func.func @residual(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xi16, #c> {
  %w = arith.constant dense<1> : tensor<2x2x1x1xi8, #w>
  %v = arith.constant dense<0> : tensor<2x2x1x1xi8, #v>
  %q = hetprec.quantize %x : tensor<1x2x4x4xf32> to tensor<1x2x4x4xi8, #x>
  %acc = hetprec.conv_2d %q, %w : tensor<1x2x4x4xi8, #x>, tensor<2x2x1x1xi8, #w> -> tensor<1x2x4x4xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x2x4x4xi32> to tensor<1x2x4x4xi16, #c>
  %p = hetprec.permute %r axis = 1 permutation = [1, 0] : tensor<1x2x4x4xi16, #c> to tensor<1x2x4x4xi16, #c>
  %a = hetprec.requantize %p multiplier = [0.5] offset = [0.0] : tensor<1x2x4x4xi16, #c> to tensor<1x2x4x4xi8, #a>
  %acc1 = hetprec.conv_2d %a, %v : tensor<1x2x4x4xi8, #a>, tensor<2x2x1x1xi8, #v> -> tensor<1x2x4x4xi32>
  %r1 = hetprec.to_carrier %acc1 multiplier = [0.25] : tensor<1x2x4x4xi32> to tensor<1x2x4x4xi16, #c>
  %s = hetprec.add %r1, %r : tensor<1x2x4x4xi16, #c>
  return %s : tensor<1x2x4x4xi16, #c>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1, 2]>
#c = #hetprec.carrier<delta = 0.5>

// Of a carrier that nobody else reads the codes alone are made. A carrier that
// two read as codes, each in its way, stays one.
// CHECK-LABEL: func.func @alone(
// CHECK: call @alone_1_conv_2d({{.+}}) : {{.+}} -> tensor<1x2x4x4xi8, #{{.+}}>
// CHECK: call @alone_2_conv_2d({{.+}}) : {{.+}} -> tensor<1x2x4x4xi16, #{{.+}}>
// CHECK: call @alone_3_requantize(
// CHECK: call @alone_4_requantize(
func.func @alone(%x: tensor<1x2x4x4xi8, #a>) -> (tensor<1x2x4x4xi8, #a>, tensor<1x2x4x4xi8, #a>) {
  %v = arith.constant dense<0> : tensor<2x2x1x1xi8, #v>
  %acc = hetprec.conv_2d %x, %v : tensor<1x2x4x4xi8, #a>, tensor<2x2x1x1xi8, #v> -> tensor<1x2x4x4xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x2x4x4xi32> to tensor<1x2x4x4xi16, #c>
  %q = hetprec.requantize %r multiplier = [0.5] offset = [0.0] : tensor<1x2x4x4xi16, #c> to tensor<1x2x4x4xi8, #a>
  %acc1 = hetprec.conv_2d %q, %v : tensor<1x2x4x4xi8, #a>, tensor<2x2x1x1xi8, #v> -> tensor<1x2x4x4xi32>
  %r1 = hetprec.to_carrier %acc1 multiplier = [0.25] : tensor<1x2x4x4xi32> to tensor<1x2x4x4xi16, #c>
  %q1 = hetprec.requantize %r1 multiplier = [0.5] offset = [0.0] : tensor<1x2x4x4xi16, #c> to tensor<1x2x4x4xi8, #a>
  %q2 = hetprec.requantize %r1 multiplier = [0.25] offset = [0.0] : tensor<1x2x4x4xi16, #c> to tensor<1x2x4x4xi8, #a>
  return %q1, %q2 : tensor<1x2x4x4xi8, #a>, tensor<1x2x4x4xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 129]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 129]>
#c = #hetprec.carrier<delta = 0.5>

// Channels of two blocks cannot change places in one kernel.
// CHECK-LABEL: func.func @many(
// CHECK: call @many_1_matmul({{.+}}) : {{.+}} -> tensor<1x129xi16, #{{.+}}>
// CHECK: call @many_2_requantize(
// CHECK: call @many_3_matmul({{.+}}) : {{.+}} -> tensor<1x129xi8, #{{.+}}>
func.func @many(%x: tensor<1x129xi8, #a>) -> tensor<1x129xi8, #a> {
  %v = arith.constant dense<0> : tensor<129x129xi8, #v>
  %acc = hetprec.matmul %x, %v : tensor<1x129xi8, #a>, tensor<129x129xi8, #v> -> tensor<1x129xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.25] : tensor<1x129xi32> to tensor<1x129xi16, #c>
  %p = hetprec.permute %r axis = 1 permutation = [128, 127, 126, 125, 124, 123, 122, 121, 120, 119, 118, 117, 116, 115, 114, 113, 112, 111, 110, 109, 108, 107, 106, 105, 104, 103, 102, 101, 100, 99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 89, 88, 87, 86, 85, 84, 83, 82, 81, 80, 79, 78, 77, 76, 75, 74, 73, 72, 71, 70, 69, 68, 67, 66, 65, 64, 63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0] : tensor<1x129xi16, #c> to tensor<1x129xi16, #c>
  %q = hetprec.requantize %p multiplier = [0.5] offset = [0.0] : tensor<1x129xi16, #c> to tensor<1x129xi8, #a>
  %acc1 = hetprec.matmul %q, %v : tensor<1x129xi8, #a>, tensor<129x129xi8, #v> -> tensor<1x129xi32>
  %r1 = hetprec.to_carrier %acc1 multiplier = [0.25] : tensor<1x129xi32> to tensor<1x129xi16, #c>
  %q1 = hetprec.requantize %r1 multiplier = [0.5] offset = [0.0] : tensor<1x129xi16, #c> to tensor<1x129xi8, #a>
  return %q1 : tensor<1x129xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 4, 2 x 4]>
#f = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 4, 2 x 4]>
#u = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1, 2]>

// Codes that the network takes are packed first. A flatten is part of the
// product behind it. A requantize to unsorted channels, which are bytes, is a
// kernel of its own.
// CHECK-LABEL: func.func @codes(
// CHECK-SAME: %[[X:.+]]: tensor<1x2x2x2xi8
// CHECK: %[[TAKEN:.+]] = call @codes_0_take(%[[X]])
// CHECK: %[[ACC:.+]] = call @codes_1_matmul(%[[TAKEN]], %{{.+}}) : {{.+}} -> tensor<1x3xi32>
// CHECK: %[[BYTES:.+]] = call @codes_2_requantize(%[[ACC]])
// CHECK: return %[[BYTES]]
// CHECK: func.func private @codes_0_take(%[[A:.+]]: tensor<{{.+}}> {hetprec.boundary})
// CHECK-NEXT: return %[[A]]
// CHECK: func.func private @codes_1_matmul(
// CHECK-NEXT: hetprec.flatten
// CHECK-NEXT: hetprec.matmul
// CHECK-NEXT: return
func.func @codes(%x: tensor<1x2x2x2xi8, #a>) -> tensor<1x3xi8, #u> {
  %v = arith.constant dense<0> : tensor<3x8xi8, #v>
  %f = hetprec.flatten %x : tensor<1x2x2x2xi8, #a> to tensor<1x8xi8, #f>
  %acc = hetprec.matmul %f, %v : tensor<1x8xi8, #f>, tensor<3x8xi8, #v> -> tensor<1x3xi32>
  %q = hetprec.requantize %acc multiplier = [0.5] offset = [0.0] : tensor<1x3xi32> to tensor<1x3xi8, #u>
  return %q : tensor<1x3xi8, #u>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>

// Sorted codes that the network gives lie packed: a kernel makes bytes of them.
// CHECK-LABEL: func.func @given(
// CHECK: %[[Q:.+]] = call @given_0_quantize
// CHECK: %[[G:.+]] = call @given_1_give(%[[Q]])
// CHECK: return %[[G]]
// CHECK: func.func private @given_1_give({{.+}}) -> (tensor<{{.+}}> {hetprec.boundary})
func.func @given(%x: tensor<1x2xf32>) -> tensor<1x2xi8, #a> {
  %q = hetprec.quantize %x : tensor<1x2xf32> to tensor<1x2xi8, #a>
  return %q : tensor<1x2xi8, #a>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1, 2]>

// A product of arguments is a kernel as it is.
// CHECK-LABEL: func.func @product(
// CHECK-NEXT: hetprec.matmul
// CHECK-NOT: func.func private
func.func @product(%x: tensor<1x2xi8, #a>, %w: tensor<3x2xi8, #w>) -> tensor<1x3xi32> {
  %acc = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<3x2xi8, #w> -> tensor<1x3xi32>
  return %acc : tensor<1x3xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1, 2]>

// Constant codes are taken as an argument's are, weights are passed on.
// CHECK-LABEL: func.func @constant(
// CHECK-DAG: %[[X:.+]] = arith.constant dense<[{{\[}}1, 3]]>
// CHECK-DAG: %[[W:.+]] = arith.constant dense<1>
// CHECK-DAG: %[[TAKEN:.+]] = call @constant_0_take(%[[X]])
// CHECK: call @constant_1_matmul(%[[TAKEN]], %[[W]])
func.func @constant() -> tensor<1x3xi32> {
  %x = arith.constant dense<[[1, 3]]> : tensor<1x2xi8, #a>
  %w = arith.constant dense<1> : tensor<3x2xi8, #w>
  %acc = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<3x2xi8, #w> -> tensor<1x3xi32>
  return %acc : tensor<1x3xi32>
}
