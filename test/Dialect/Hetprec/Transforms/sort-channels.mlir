// RUN: sysmol-opt %s --pass-pipeline='builtin.module(func.func(hetprec-sort-channels),canonicalize)' | FileCheck %s

#in = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w0 = #hetprec.channels<axis = 1, grid = midrise, scale = [0.5, 1.0, 2.0], bits = [8]>
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1, 2]>
#w1 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 1, 2]>

// CHECK-DAG: #[[SORTED:.+]] = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.000000e+00, bits = [1, 2 x 2]>
// CHECK-DAG: #[[ROWS:.+]] = #hetprec.channels<axis = 1, grid = midrise, scale = [1.000000e+00, 5.000000e-01, 2.000000e+00], bits = [8]>
// CHECK-DAG: #[[COLUMNS:.+]] = #hetprec.channels<axis = 1, grid = midrise, scale = 5.000000e-01, bits = [1, 2 x 2]>
// CHECK-DAG: #[[MIXED:.+]] = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.000000e+00, bits = [2, 1, 2]>

// The rows of the producing filter move, with their scales, multipliers and
// offsets; the columns of the reading filter follow. No data moves.
// CHECK-LABEL: @folded
// CHECK-DAG: %[[W0:.+]] = arith.constant dense<{{\[\[\[\[}}20]]], {{\[\[\[}}10]]], {{\[\[\[}}30]]]]> : tensor<3x1x1x1xi8, #[[ROWS]]>
// CHECK-DAG: %[[W1:.+]] = arith.constant dense<{{\[\[\[\[}}0]], {{\[\[}}1]], {{\[\[}}2]]], {{\[\[\[}}1]], {{\[\[}}3]], {{\[\[}}0]]]]> : tensor<2x3x1x1xi8, #[[COLUMNS]]>
// CHECK-NOT: permute
// CHECK: %[[A:.+]] = hetprec.conv_2d %{{.+}}, %[[W0]]
// CHECK-NEXT: %[[Q:.+]] = hetprec.requantize %[[A]] multiplier = [2.000000e+00, 1.000000e+00, 3.000000e+00] offset = [5.000000e-01, 2.500000e-01, 7.500000e-01] : {{.+}} to tensor<1x3x4x4xi8, #[[SORTED]]>
// CHECK-NEXT: %[[R:.+]] = hetprec.conv_2d %[[Q]], %[[W1]]
// CHECK-NEXT: return %[[R]]
func.func @folded(%x: tensor<1x1x4x4xi8, #in>) -> tensor<1x2x4x4xi32> {
  %w0 = arith.constant dense<[[[[10]]], [[[20]]], [[[30]]]]> : tensor<3x1x1x1xi8, #w0>
  %w1 = arith.constant dense<[[[[1]], [[0]], [[2]]], [[[3]], [[1]], [[0]]]]> : tensor<2x3x1x1xi8, #w1>
  %acc = hetprec.conv_2d %x, %w0 : tensor<1x1x4x4xi8, #in>, tensor<3x1x1x1xi8, #w0> -> tensor<1x3x4x4xi32>
  %q = hetprec.requantize %acc multiplier = [1.0, 2.0, 3.0] offset = [0.25, 0.5, 0.75] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi8, #act>
  %r = hetprec.conv_2d %q, %w1 : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #w1> -> tensor<1x2x4x4xi32>
  return %r : tensor<1x2x4x4xi32>
}

// One multiplier for all channels stays one; a matmul is sorted like a convolution.
// CHECK-LABEL: @matmul
// CHECK-NOT: permute
// CHECK: hetprec.requantize %{{.+}} multiplier = [2.000000e+00] offset = [0.000000e+00] : {{.+}} to tensor<5x3xi8, #[[SORTED]]>
#v0 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8]>
func.func @matmul(%x: tensor<5x1xi8, #in>) -> tensor<5x2xi32> {
  %w0 = arith.constant dense<[[10], [20], [30]]> : tensor<3x1xi8, #v0>
  %w1 = arith.constant dense<[[1, 0, 2], [3, 1, 0]]> : tensor<2x3xi8, #w1>
  %acc = hetprec.matmul %x, %w0 : tensor<5x1xi8, #in>, tensor<3x1xi8, #v0> -> tensor<5x3xi32>
  %q = hetprec.requantize %acc multiplier = [2.0] offset = [0.0] : tensor<5x3xi32> to tensor<5x3xi8, #act>
  %r = hetprec.matmul %q, %w1 : tensor<5x3xi8, #act>, tensor<2x3xi8, #w1> -> tensor<5x2xi32>
  return %r : tensor<5x2xi32>
}

#carrier = #hetprec.carrier<delta = 0.5>

// A carrier keeps its order, so that both readers may sort as they need: each
// reads planes by number.
// CHECK-LABEL: @residual
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x3x4x4xi16
// CHECK-DAG: %[[P:.+]] = hetprec.permute %[[X]] axis = 1 permutation = [1, 0, 2]
// CHECK-DAG: hetprec.requantize %[[P]] multiplier = [2.000000e+00, 1.000000e+00, 3.000000e+00] offset = [0.000000e+00] : {{.+}} to tensor<1x3x4x4xi8, #[[SORTED]]>
// CHECK-DAG: %[[P2:.+]] = hetprec.permute %[[X]] axis = 1 permutation = [2, 1, 0]
// CHECK-DAG: hetprec.requantize %[[P2]]
// CHECK-NOT: hetprec.permute
// CHECK: return
#act2 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 2, 1]>
#w2 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [4, 2, 1]>
func.func @residual(%x: tensor<1x3x4x4xi16, #carrier>) -> (tensor<1x2x4x4xi32>, tensor<1x2x4x4xi32>, tensor<1x3x4x4xi16, #carrier>) {
  %w1 = arith.constant dense<[[[[1]], [[0]], [[2]]], [[[3]], [[1]], [[0]]]]> : tensor<2x3x1x1xi8, #w1>
  %w2 = arith.constant dense<[[[[15]], [[3]], [[1]]], [[[7]], [[2]], [[0]]]]> : tensor<2x3x1x1xi8, #w2>
  %q = hetprec.requantize %x multiplier = [1.0, 2.0, 3.0] offset = [0.0] : tensor<1x3x4x4xi16, #carrier> to tensor<1x3x4x4xi8, #act>
  %r = hetprec.conv_2d %q, %w1 : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #w1> -> tensor<1x2x4x4xi32>
  %q2 = hetprec.requantize %x multiplier = [1.0] offset = [0.0] : tensor<1x3x4x4xi16, #carrier> to tensor<1x3x4x4xi8, #act2>
  %r2 = hetprec.conv_2d %q2, %w2 : tensor<1x3x4x4xi8, #act2>, tensor<2x3x1x1xi8, #w2> -> tensor<1x2x4x4xi32>
  return %r, %r2, %x : tensor<1x2x4x4xi32>, tensor<1x2x4x4xi32>, tensor<1x3x4x4xi16, #carrier>
}

// An accumulator with another reader keeps its order: the filter stays.
// CHECK-LABEL: @shared_sums
// CHECK: %[[A:.+]] = hetprec.conv_2d
// CHECK-DAG: %[[P:.+]] = hetprec.permute %[[A]] axis = 1 permutation = [1, 0, 2]
// CHECK-DAG: hetprec.requantize %[[P]]
// CHECK: return %{{.+}}, %[[A]]
func.func @shared_sums(%x: tensor<1x1x4x4xi8, #in>) -> (tensor<1x2x4x4xi32>, tensor<1x3x4x4xi32>) {
  %w0 = arith.constant dense<[[[[10]]], [[[20]]], [[[30]]]]> : tensor<3x1x1x1xi8, #w0>
  %w1 = arith.constant dense<[[[[1]], [[0]], [[2]]], [[[3]], [[1]], [[0]]]]> : tensor<2x3x1x1xi8, #w1>
  %acc = hetprec.conv_2d %x, %w0 : tensor<1x1x4x4xi8, #in>, tensor<3x1x1x1xi8, #w0> -> tensor<1x3x4x4xi32>
  %q = hetprec.requantize %acc multiplier = [1.0] offset = [0.0] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi8, #act>
  %r = hetprec.conv_2d %q, %w1 : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #w1> -> tensor<1x2x4x4xi32>
  return %r, %acc : tensor<1x2x4x4xi32>, tensor<1x3x4x4xi32>
}

#g = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 1, 2], groups = 3>

// The reader that is no ungrouped dot product sees the old order again.
// CHECK-LABEL: @grouped_reader
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x3x4x4xi8, #[[MIXED]]>
// CHECK-DAG: %[[S:.+]] = hetprec.permute %[[X]] axis = 1 permutation = [1, 0, 2] : {{.+}} to tensor<1x3x4x4xi8, #[[SORTED]]>
// CHECK-DAG: hetprec.conv_2d %[[S]], %{{.+}} : tensor<1x3x4x4xi8, #[[SORTED]]>
// CHECK-DAG: hetprec.conv_2d %[[X]], %{{.+}} groups = 3
// CHECK: return
func.func @grouped_reader(%x: tensor<1x3x4x4xi8, #act>) -> (tensor<1x2x4x4xi32>, tensor<1x3x4x4xi32>) {
  %w1 = arith.constant dense<[[[[1]], [[0]], [[2]]], [[[3]], [[1]], [[0]]]]> : tensor<2x3x1x1xi8, #w1>
  %g = arith.constant dense<[[[[1]]], [[[0]]], [[[2]]]]> : tensor<3x1x1x1xi8, #g>
  %r = hetprec.conv_2d %x, %w1 : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #w1> -> tensor<1x2x4x4xi32>
  %s = hetprec.conv_2d %x, %g groups = 3 : tensor<1x3x4x4xi8, #act>, tensor<3x1x1x1xi8, #g> -> tensor<1x3x4x4xi32>
  return %r, %s : tensor<1x2x4x4xi32>, tensor<1x3x4x4xi32>
}

// The rows of a grouped filter stay where they are: what it makes is reordered
// as codes.
// CHECK-LABEL: @grouped_producer
// CHECK-DAG: arith.constant dense<{{\[\[\[\[}}1]]], {{\[\[\[}}0]]], {{\[\[\[}}2]]]]> : tensor<3x1x1x1xi8
// CHECK: %[[A:.+]] = hetprec.conv_2d {{.+}} groups = 3
// CHECK: %[[Q:.+]] = hetprec.requantize %[[A]] {{.+}} to tensor<1x3x4x4xi8, #[[MIXED]]>
// CHECK: %[[S:.+]] = hetprec.permute %[[Q]] axis = 1 permutation = [1, 0, 2]
// CHECK: hetprec.conv_2d %[[S]]
func.func @grouped_producer(%x: tensor<1x3x4x4xi8, #act>) -> tensor<1x2x4x4xi32> {
  %g = arith.constant dense<[[[[1]]], [[[0]]], [[[2]]]]> : tensor<3x1x1x1xi8, #g>
  %w1 = arith.constant dense<[[[[1]], [[0]], [[2]]], [[[3]], [[1]], [[0]]]]> : tensor<2x3x1x1xi8, #w1>
  %s = hetprec.conv_2d %x, %g groups = 3 : tensor<1x3x4x4xi8, #act>, tensor<3x1x1x1xi8, #g> -> tensor<1x3x4x4xi32>
  %q = hetprec.requantize %s multiplier = [1.0] offset = [0.0] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi8, #act>
  %r = hetprec.conv_2d %q, %w1 : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #w1> -> tensor<1x2x4x4xi32>
  return %r : tensor<1x2x4x4xi32>
}

// What leaves the function leaves in its own order.
// CHECK-LABEL: @returned
// CHECK: %[[Q:.+]] = hetprec.requantize {{.+}} to tensor<1x3x4x4xi8, #[[SORTED]]>
// CHECK: %[[P:.+]] = hetprec.permute %[[Q]] axis = 1 permutation = [1, 0, 2] : {{.+}} to tensor<1x3x4x4xi8, #[[MIXED]]>
// CHECK: return %{{.+}}, %[[P]]
func.func @returned(%x: tensor<1x1x4x4xi8, #in>) -> (tensor<1x2x4x4xi32>, tensor<1x3x4x4xi8, #act>) {
  %w0 = arith.constant dense<[[[[10]]], [[[20]]], [[[30]]]]> : tensor<3x1x1x1xi8, #w0>
  %w1 = arith.constant dense<[[[[1]], [[0]], [[2]]], [[[3]], [[1]], [[0]]]]> : tensor<2x3x1x1xi8, #w1>
  %acc = hetprec.conv_2d %x, %w0 : tensor<1x1x4x4xi8, #in>, tensor<3x1x1x1xi8, #w0> -> tensor<1x3x4x4xi32>
  %q = hetprec.requantize %acc multiplier = [1.0] offset = [0.0] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi8, #act>
  %r = hetprec.conv_2d %q, %w1 : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #w1> -> tensor<1x2x4x4xi32>
  return %r, %q : tensor<1x2x4x4xi32>, tensor<1x3x4x4xi8, #act>
}

// Nothing to do for what is sorted, or feeds no ungrouped dot product.
// CHECK-LABEL: @untouched
// CHECK-NOT: permute
// CHECK: return
#up = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 8]>
#upw = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2, 8]>
func.func @untouched(%x: tensor<1x3x4x4xi8, #up>, %y: tensor<1x3x4x4xi8, #act>) -> (tensor<1x2x4x4xi32>, tensor<1x3x4x4xi32>) {
  %w = arith.constant dense<1> : tensor<2x3x1x1xi8, #upw>
  %g = arith.constant dense<[[[[1]]], [[[0]]], [[[2]]]]> : tensor<3x1x1x1xi8, #g>
  %r = hetprec.conv_2d %x, %w : tensor<1x3x4x4xi8, #up>, tensor<2x3x1x1xi8, #upw> -> tensor<1x2x4x4xi32>
  %s = hetprec.conv_2d %y, %g groups = 3 : tensor<1x3x4x4xi8, #act>, tensor<3x1x1x1xi8, #g> -> tensor<1x3x4x4xi32>
  return %r, %s : tensor<1x2x4x4xi32>, tensor<1x3x4x4xi32>
}

// A permute of the program's own feeds it: both become one, into the filter.
// CHECK-LABEL: @permuted_input
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x3x4x4xi8
// CHECK: %[[S:.+]] = hetprec.permute %[[X]] axis = 1 permutation = [1, 2, 0] : {{.+}} to tensor<1x3x4x4xi8, #[[SORTED]]>
// CHECK-NOT: hetprec.permute
// CHECK: hetprec.conv_2d %[[S]]
#rev = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 2, 1]>
#wrev = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2, 2, 1]>
func.func @permuted_input(%x: tensor<1x3x4x4xi8, #act>) -> tensor<1x2x4x4xi32> {
  %w = arith.constant dense<1> : tensor<2x3x1x1xi8, #wrev>
  %p = hetprec.permute %x axis = 1 permutation = [2, 0, 1] : tensor<1x3x4x4xi8, #act> to tensor<1x3x4x4xi8, #rev>
  %r = hetprec.conv_2d %p, %w : tensor<1x3x4x4xi8, #rev>, tensor<2x3x1x1xi8, #wrev> -> tensor<1x2x4x4xi32>
  return %r : tensor<1x2x4x4xi32>
}

// What a max pool reads is sorted for the dot product behind it: no data moves.
// The depthwise reader keeps its order.
// CHECK-LABEL: @max_pool
// CHECK: %[[A:.+]] = hetprec.conv_2d
// CHECK-NEXT: %[[Q:.+]] = hetprec.requantize %[[A]] multiplier = [2.000000e+00, 1.000000e+00, 3.000000e+00] {{.+}} to tensor<1x3x4x4xi8, #[[SORTED]]>
// CHECK-NEXT: %[[M:.+]] = hetprec.max_pool_2d %[[Q]] kernel = [2, 2] strides = [2, 2] : tensor<1x3x4x4xi8, #[[SORTED]]> -> tensor<1x3x2x2xi8, #[[SORTED]]>
// CHECK-NEXT: %[[N:.+]] = hetprec.max_pool_2d %[[M]] kernel = [2, 1] : {{.+}} -> tensor<1x3x1x2xi8, #[[SORTED]]>
// CHECK-NEXT: %[[P:.+]] = hetprec.permute %[[N]] axis = 1 permutation = [1, 0, 2]
// CHECK-NEXT: hetprec.conv_2d %[[N]], %{{.+}} : tensor<1x3x1x2xi8, #[[SORTED]]>
// CHECK: return %{{.+}}, %[[P]]
func.func @max_pool(%x: tensor<1x1x4x4xi8, #in>) -> (tensor<1x2x1x2xi32>, tensor<1x3x1x2xi8, #act>) {
  %w0 = arith.constant dense<[[[[10]]], [[[20]]], [[[30]]]]> : tensor<3x1x1x1xi8, #w0>
  %w1 = arith.constant dense<[[[[1]], [[0]], [[2]]], [[[3]], [[1]], [[0]]]]> : tensor<2x3x1x1xi8, #w1>
  %acc = hetprec.conv_2d %x, %w0 : tensor<1x1x4x4xi8, #in>, tensor<3x1x1x1xi8, #w0> -> tensor<1x3x4x4xi32>
  %q = hetprec.requantize %acc multiplier = [1.0, 2.0, 3.0] offset = [0.0] : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi8, #act>
  %m = hetprec.max_pool_2d %q kernel = [2, 2] strides = [2, 2] : tensor<1x3x4x4xi8, #act> -> tensor<1x3x2x2xi8, #act>
  %n = hetprec.max_pool_2d %m kernel = [2, 1] : tensor<1x3x2x2xi8, #act> -> tensor<1x3x1x2xi8, #act>
  %r = hetprec.conv_2d %n, %w1 : tensor<1x3x1x2xi8, #act>, tensor<2x3x1x1xi8, #w1> -> tensor<1x2x1x2xi32>
  return %r, %n : tensor<1x2x1x2xi32>, tensor<1x3x1x2xi8, #act>
}
