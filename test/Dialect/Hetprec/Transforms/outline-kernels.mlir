// RUN: sysmol-opt %s --hetprec-outline-kernels --split-input-file | FileCheck %s

#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 2]>
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8 x 2]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1, 2]>
#c = #hetprec.carrier<delta = 0.5>

// A product takes what reads it alone along: here a carrier, and the sum with
// one that is there. A permute is part of what reads it. What the network
// takes is marked, reals are read as they lie.
// CHECK-LABEL: func.func @residual(
// CHECK-SAME: %[[X:.+]]: tensor<1x2x4x4xf32>)
// CHECK-DAG: %[[W:.+]] = arith.constant dense<1>
// CHECK-DAG: %[[V:.+]] = arith.constant dense<0>
// CHECK: %[[Q:.+]] = call @residual_0_quantize(%[[X]])
// CHECK: %[[R:.+]] = call @residual_1_conv_2d(%[[Q]], %[[W]]) : {{.+}} -> tensor<1x2x4x4xi16, #{{.+}}>
// CHECK: %[[P:.+]] = call @residual_2_requantize(%[[R]])
// CHECK: %[[S:.+]] = call @residual_3_conv_2d(%[[P]], %[[V]], %[[R]])
// CHECK: return %[[S]]
// CHECK: func.func private @residual_0_quantize(%{{.+}}: tensor<1x2x4x4xf32> {hetprec.boundary})
// CHECK-SAME: attributes {hetprec.kernel}
// CHECK: func.func private @residual_1_conv_2d(
// CHECK-NEXT: hetprec.conv_2d
// CHECK-NEXT: hetprec.to_carrier
// CHECK-NEXT: return
// CHECK: func.func private @residual_2_requantize(%[[A:.+]]: tensor<1x2x4x4xi16
// CHECK-NEXT: %[[PERMUTED:.+]] = hetprec.permute %[[A]]
// CHECK-NEXT: hetprec.requantize %[[PERMUTED]]
// CHECK: func.func private @residual_3_conv_2d(%{{.+}}, %{{.+}}, %[[OTHER:.+]]: tensor<1x2x4x4xi16
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
