// RUN: sysmol-opt %s --split-input-file --verify-diagnostics --pass-pipeline='builtin.module(func.func(hetprec-pack))'

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1]>
func.func @unsorted(%x: tensor<1x2xi8, #a>) -> tensor<1x64xi32> {
  %w = arith.constant dense<1> : tensor<64x2xi8, #w>
  // expected-error @+1 {{channels must be sorted by precision where lanes are outputs}}
  %r = hetprec.matmul %x, %w {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x2xi8, #a>, tensor<64x2xi8, #w> -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 2]>
func.func @weights(%x: tensor<1x2xi8, #a>, %w: tensor<64x2xi8, #w>) -> tensor<1x64xi32> {
  // expected-error @+1 {{weights must be constants to be packed}}
  %r = hetprec.matmul %x, %w {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x2xi8, #a>, tensor<64x2xi8, #w> -> tensor<1x64xi32>
  return %r : tensor<1x64xi32>
}
