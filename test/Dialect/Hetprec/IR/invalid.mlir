// Every verifier message of the encodings and the model ops.
// RUN: sysmol-opt %s -verify-diagnostics -split-input-file

//===- HP1: a precision is 1, 2, 4 or 8 bits ------------------------------===//

// expected-error @+1 {{HP1: channel 1 must have 1, 2, 4 or 8 bits}}
func.func private @width3(tensor<1x3xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 3, 1]>>)

// -----

// expected-error @+1 {{HP1: channel 0 must have 1, 2, 4 or 8 bits}}
func.func private @width0(tensor<1x3xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [0 x 3]>>)

// -----

// expected-error @+1 {{HP1: channel 0 must have 1, 2, 4 or 8 bits}}
func.func private @width_negative(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [-8]>>)

// -----

// 264 is 8 modulo 256.
// expected-error @+1 {{HP1: channel 0 must have 1, 2, 4 or 8 bits}}
func.func private @width_wraps(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [264]>>)

// -----

//===- HP2: at most three precisions --------------------------------------===//

// expected-error @+1 {{HP2: four different precisions (1, 2, 4, 8) in one tensor; at most three are allowed}}
func.func private @four(tensor<1x4xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 8, 2, 4]>>)

// -----

//===- HP6: scales --------------------------------------------------------===//

// expected-error @+1 {{HP6: a scale must be finite and positive, found 0}}
func.func private @zero(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 0.0, bits = [1]>>)

// -----

// expected-error @+1 {{HP6: a scale must be finite and positive, found -1}}
func.func private @negative(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = -1.0, bits = [1]>>)

// -----

// expected-error @+1 {{HP6: a scale must be finite and positive, found}}
func.func private @infinite(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 0x7FF0000000000000, bits = [1]>>)

// -----

// expected-error @+1 {{HP6: a scale must be finite and positive, found}}
func.func private @nan(tensor<2x1xi8, #hetprec.channels<axis = 1, grid = midrise, scale = [1.0, 0x7FF8000000000000], bits = [1]>>)

// -----

// expected-error @+1 {{HP6: a scale is needed}}
func.func private @no_scale(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = [], bits = [1]>>)

// -----

// expected-error @+1 {{HP6: scale needs one value, or one for each of the 3 output channels, found 2}}
func.func private @scale_count(tensor<3x1xi8, #hetprec.channels<axis = 1, grid = midrise, scale = [1.0, 1.0], bits = [1]>>)

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = [1.0, 2.0], bits = [1]>
func.func @activation_scales(%x: tensor<2x1xf32>) {
  // expected-error @+1 {{HP6: result must have one scale for the whole tensor}}
  %q = hetprec.quantize %x : tensor<2x1xf32> to tensor<2x1xi8, #a>
  return
}

// -----

//===- Encodings against their tensors ------------------------------------===//

// expected-error @+1 {{dimension 1 has 3 channels but bits has 2}}
func.func private @count(tensor<1x3xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>>)

// -----

// expected-error @+1 {{dimension 1 has 3 channels a group but bits has 4}}
func.func private @group_count(tensor<2x3xi8, #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2, 1, 2], groups = 2>>)

// -----

// expected-error @+1 {{dimension 1 has 9223372036854775807 channels a group but bits has 2}}
func.func private @wrapping_count(tensor<2x9223372036854775807xi8, #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1], groups = 2>>)

// -----

// expected-error @+1 {{groups = 2 does not divide the 3 channels}}
func.func private @groups(tensor<2x3xi8, #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2, 1], groups = 2>>)

// -----

// expected-error @+1 {{groups = 0 does not divide the 1 channels}}
func.func private @groups0(tensor<2x1xi8, #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1], groups = 0>>)

// -----

// expected-error @+1 {{groups = 2 does not divide the output channels}}
func.func private @group_rows(tensor<3x1xi8, #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1], groups = 2>>)

// -----

// expected-error @+1 {{axis must not be negative}}
func.func private @axis(tensor<1x1xi8, #hetprec.channels<axis = -1, grid = unsigned, scale = 1.0, bits = [1]>>)

// -----

// expected-error @+1 {{channel axis 2 is outside a tensor of rank 2}}
func.func private @axis(tensor<1x1xi8, #hetprec.channels<axis = 2, grid = unsigned, scale = 1.0, bits = [1]>>)

// -----

// expected-error @+1 {{at least one channel is needed}}
func.func private @empty(tensor<1x0xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = []>>)

// -----

// expected-error @+1 {{codes are i8, found 'i32'}}
func.func private @element(tensor<1x1xi32, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>>)

// -----

// expected-error @+1 {{the channel dimension must be static}}
func.func private @dynamic(tensor<1x?xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>>)

// -----

// expected-error @+1 {{a tensor has 1 to 2^24 channels}}
func.func private @run0(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 0]>>)

// -----

// expected-error @+1 {{a tensor has 1 to 2^24 channels}}
func.func private @run_huge(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 16777215, 2 x 2]>>)

// -----

// expected-error @+1 {{expected one of [unsigned, midrise] for value grid of a quantized tensor, got: round}}
func.func private @grid(tensor<1x1xi8, #hetprec.channels<axis = 1, grid = round, scale = 1.0, bits = [1]>>)

// -----

// expected-error @+1 {{expected non-function type}}
func.func private @no_element(tensor<1x1x , #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>>)

// -----

// expected-error @+1 {{expected non-function type}}
func.func private @no_element(tensor<1x1x , #hetprec.carrier<delta = 1.0>>)

// -----

//===- HP11: one precision per channel, on both sides ---------------------===//

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 4]>
func.func @hp11(%x: tensor<1x2xi8, #a>, %w: tensor<3x2xi8, #w>) {
  // expected-error @+1 {{HP11: channel 1 has 2 bits in the input but 4 in the weights}}
  %a = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<3x2xi8, #w> -> tensor<1x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1]>
func.func @hp11_conv(%x: tensor<1x2x1x1xi8, #a>, %w: tensor<3x2x1x1xi8, #w>) {
  // expected-error @+1 {{HP11: channel 0 has 1 bits in the input but 2 in the weights}}
  %a = hetprec.conv_2d %x, %w : tensor<1x2x1x1xi8, #a>, tensor<3x2x1x1xi8, #w> -> tensor<1x3x1x1xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @weight_grid(%x: tensor<1x2xi8, #a>) {
  // expected-error @+1 {{weights must have grid = midrise (HP3, HP4)}}
  %a = hetprec.matmul %x, %x : tensor<1x2xi8, #a>, tensor<1x2xi8, #a> -> tensor<1x1xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1]>
#w = #hetprec.channels<axis = 0, grid = midrise, scale = 1.0, bits = [1, 1]>
func.func @weight_axis(%x: tensor<1x2xi8, #a>, %w: tensor<2x2xi8, #w>) {
  // expected-error @+1 {{weights must have their input channels on axis 1}}
  %a = hetprec.matmul %x, %w : tensor<1x2xi8, #a>, tensor<2x2xi8, #w> -> tensor<1x2xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1]>
func.func @weight_groups(%x: tensor<1x4x1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 4]>>, %w: tensor<2x2x1x1xi8, #w>) {
  // expected-error @+1 {{groups = 2 but the weights' encoding has groups = 1}}
  %a = hetprec.conv_2d %x, %w groups = 2 : tensor<1x4x1x1xi8, #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 4]>>, tensor<2x2x1x1xi8, #w> -> tensor<1x2x1x1xi32>
  return
}

// -----

//===- HP12: the accumulator never wraps ----------------------------------===//

// 255 * 127 * 66313 = 2147546505 > 2^31 - 1.
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 66313]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8 x 66313]>
func.func @hp12(%x: tensor<1x66313xi8, #a>, %w: tensor<1x66313xi8, #w>) {
  // expected-error @+1 {{HP12: the accumulator's bound}}
  %a = hetprec.matmul %x, %w : tensor<1x66313xi8, #a>, tensor<1x66313xi8, #w> -> tensor<1x1xi32>
  return
}

// -----

// 255 * 127 * 66311 = 2147481735 fits.
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 66311]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8 x 66311]>
func.func @hp12_fits(%x: tensor<1x66311xi8, #a>, %w: tensor<1x66311xi8, #w>) {
  %a = hetprec.matmul %x, %w : tensor<1x66311xi8, #a>, tensor<1x66311xi8, #w> -> tensor<1x1xi32>
  return
}

// -----

// One 8-bit channel makes each 1-bit product count 16320: taps matter.
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 60000, 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 60000, 8]>
func.func @hp12_levels(%x: tensor<1x60001x3x3xi8, #a>, %w: tensor<1x60001x3x3xi8, #w>) {
  // expected-error @+1 {{passes 2^31 - 1; use fewer channels or taps, or coarser levels}}
  %a = hetprec.conv_2d %x, %w : tensor<1x60001x3x3xi8, #a>, tensor<1x60001x3x3xi8, #w> -> tensor<1x1x1x1xi32>
  return
}

// -----

// The number of taps does not wrap either.
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @hp12_taps(%x: tensor<1x1x3x3xi8, #a>, %w: tensor<1x1x4294967296x4294967296xi8, #w>) {
  // expected-error @+1 {{HP12: the accumulator's bound}}
  %a = hetprec.conv_2d %x, %w : tensor<1x1x3x3xi8, #a>, tensor<1x1x4294967296x4294967296xi8, #w> -> tensor<1x1x1x1xi32>
  return
}

// -----

//===- Shapes of dot products ---------------------------------------------===//

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @result_shape(%x: tensor<1x1x5x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{result shape must be 1x2x3x3, found 'tensor<1x2x3x4xi32>'}}
  %a = hetprec.conv_2d %x, %w : tensor<1x1x5x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x4xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @window(%x: tensor<1x1x2x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{a window of 3 does not fit into the padded size 2}}
  %a = hetprec.conv_2d %x, %w : tensor<1x1x2x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x1x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @attrs(%x: tensor<1x1x5x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{needs 2 strides, 4 pads and 2 dilations}}
  %a = hetprec.conv_2d %x, %w strides = [1] : tensor<1x1x5x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @stride0(%x: tensor<1x1x5x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{kernel, strides and dilations must be positive}}
  %a = hetprec.conv_2d %x, %w strides = [0, 1] : tensor<1x1x5x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @pads(%x: tensor<1x1x5x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{sizes, kernel, pads, strides and dilations must lie in [0, 2^24]}}
  %a = hetprec.conv_2d %x, %w pads = [0, -1, 0, 0] : tensor<1x1x5x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x2xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1, 1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @bad_groups(%x: tensor<1x3x5x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{groups = 2 must divide the input and output channels}}
  %a = hetprec.conv_2d %x, %w groups = 2 : tensor<1x3x5x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1, 1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1]>
func.func @filter_channels(%x: tensor<1x3x5x5xi8, #a>, %w: tensor<2x2x3x3xi8, #w>) {
  // expected-error @+1 {{the filter has 2 channels a group, the input 3}}
  %a = hetprec.conv_2d %x, %w : tensor<1x3x5x5xi8, #a>, tensor<2x2x3x3xi8, #w> -> tensor<1x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @conv_rank(%x: tensor<1x1x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{input and filter must have rank 4}}
  %a = hetprec.conv_2d %x, %w : tensor<1x1x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 0, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @depthwise_rank(%x: tensor<1xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{input and filter must have rank 4}}
  %a = hetprec.depthwise_conv_2d %x, %w : tensor<1xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @conv_dynamic(%x: tensor<?x1x5x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{shapes must be static}}
  %a = hetprec.conv_2d %x, %w : tensor<?x1x5x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<?x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 0, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @input_axis(%x: tensor<1x1x5x5xi8, #a>, %w: tensor<2x1x3x3xi8, #w>) {
  // expected-error @+1 {{input must have its channels on axis 1, in one group}}
  %a = hetprec.conv_2d %x, %w : tensor<1x1x5x5xi8, #a>, tensor<2x1x3x3xi8, #w> -> tensor<1x2x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 1]>
func.func @matmul_channels(%x: tensor<1x1xi8, #a>, %w: tensor<3x2xi8, #w>) {
  // expected-error @+1 {{lhs has 1 channels, rhs 2}}
  %a = hetprec.matmul %x, %w : tensor<1x1xi8, #a>, tensor<3x2xi8, #w> -> tensor<1x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @matmul_rank(%x: tensor<1x1x1xi8, #a>, %w: tensor<3x1xi8, #w>) {
  // expected-error @+1 {{operands must have rank 2}}
  %a = hetprec.matmul %x, %w : tensor<1x1x1xi8, #a>, tensor<3x1xi8, #w> -> tensor<1x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @matmul_dynamic(%x: tensor<?x1xi8, #a>, %w: tensor<3x1xi8, #w>) {
  // expected-error @+1 {{shapes must be static}}
  %a = hetprec.matmul %x, %w : tensor<?x1xi8, #a>, tensor<3x1xi8, #w> -> tensor<?x3xi32>
  return
}

// -----

// The mistake every user makes once: no encoding.
func.func @no_encoding(%x: tensor<1x1xi8>) {
  // expected-error @+1 {{operand #0 must be tensor of i8 codes with a #hetprec.channels encoding}}
  %a = hetprec.matmul %x, %x : tensor<1x1xi8>, tensor<1x1xi8> -> tensor<1x1xi32>
  return
}

// -----

//===- HP9: multipliers ---------------------------------------------------===//

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0e-60, bits = [1, 4]>
func.func @multiplier_infinite(%x: tensor<1x2xf32>) {
  // expected-error @+1 {{HP9: the scale 1.000000e-60 makes the multiplier of its 1-bit level infinite in binary32}}
  %q = hetprec.quantize %x : tensor<1x2xf32> to tensor<1x2xi8, #a>
  return
}

// -----

// Subnormal multipliers are numbers; the coarsest level's is the first to go.
#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0e+46, bits = [2, 8]>
func.func @multiplier_zero(%x: tensor<1x2xf32>) {
  // expected-error @+1 {{HP9: the scale 1.000000e+46 makes the multiplier of its 2-bit level 0 in binary32}}
  %q = hetprec.quantize %x : tensor<1x2xf32> to tensor<1x2xi8, #a>
  return
}

// -----

//===- HP14: pooling ------------------------------------------------------===//

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @pool_grid(%x: tensor<1x1x2x2xi8, #a>) {
  // expected-error @+1 {{HP14: pools one precision of the unsigned grid}}
  %s = hetprec.sum_pool_2d %x kernel = [2, 2] : tensor<1x1x2x2xi8, #a> -> tensor<1x1x1x1xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @pool_levels(%x: tensor<1x2x2x2xi8, #a>) {
  // expected-error @+1 {{HP14: pools one precision of the unsigned grid}}
  %s = hetprec.sum_pool_2d %x kernel = [2, 2] : tensor<1x2x2x2xi8, #a> -> tensor<1x2x1x1xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @pool_bound(%x: tensor<1x1x4096x4096xi8, #a>) {
  // expected-error @+1 {{HP12: the window's sum 4.278190e+09 passes 2^31 - 1}}
  %s = hetprec.sum_pool_2d %x kernel = [4096, 4096] : tensor<1x1x4096x4096xi8, #a> -> tensor<1x1x1x1xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @pool_kernel(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{kernel needs 2 sizes}}
  %s = hetprec.sum_pool_2d %x kernel = [2] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @pool_rank(%x: tensor<1x1x4xi8, #a>) {
  // expected-error @+1 {{input must have rank 4 and a static shape}}
  %s = hetprec.sum_pool_2d %x kernel = [2, 2] : tensor<1x1x4xi8, #a> -> tensor<1x1x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @pool_strides(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{'hetprec.sum_pool_2d' op needs 2 strides and 4 pads}}
  %s = hetprec.sum_pool_2d %x kernel = [2, 2] strides = [] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @pool_pads(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{'hetprec.max_pool_2d' op needs 2 strides and 4 pads}}
  %s = hetprec.max_pool_2d %x kernel = [2, 2] pads = [0, 0] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x3x3xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @pool_huge_kernel(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{sizes, kernel, pads, strides and dilations must lie in [0, 2^24]}}
  %s = hetprec.sum_pool_2d %x kernel = [16777217, 2] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x3x3xi32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
func.func @sum_pool_of_nothing(%x: tensor<1x1x4x0xi8, #a>) {
  // expected-error @+1 {{a pooled image needs a pixel, found 4x0}}
  %s = hetprec.sum_pool_2d %x kernel = [1, 2] pads = [0, 1, 0, 1] : tensor<1x1x4x0xi8, #a> -> tensor<1x1x4x1xi32>
  return
}

// -----

//===- HP25: max pools ----------------------------------------------------===//

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4]>
func.func @max_pool_of_nothing(%x: tensor<1x1x0x4xi8, #a>) {
  // expected-error @+1 {{a pooled image needs a pixel, found 0x4}}
  %s = hetprec.max_pool_2d %x kernel = [3, 1] pads = [2, 0, 2, 0] : tensor<1x1x0x4xi8, #a> -> tensor<1x1x2x4xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
func.func @max_pool_pad_top(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{HP25: pads must be smaller than the kernel of 3}}
  %s = hetprec.max_pool_2d %x kernel = [3, 2] pads = [3, 0, 0, 0] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x5x3xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
func.func @max_pool_pad_left(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{HP25: pads must be smaller than the kernel of 2}}
  %s = hetprec.max_pool_2d %x kernel = [3, 2] pads = [0, 2, 0, 0] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x2x5xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
func.func @max_pool_pad_bottom(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{HP25: pads must be smaller than the kernel of 3}}
  %s = hetprec.max_pool_2d %x kernel = [3, 2] pads = [0, 0, 3, 0] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x5x3xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
func.func @max_pool_pad_right(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{HP25: pads must be smaller than the kernel of 2}}
  %s = hetprec.max_pool_2d %x kernel = [3, 2] pads = [0, 0, 0, 2] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x2x5xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4]>
#b = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2]>
func.func @max_pool_encoding(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{HP25: result encoding must be}}
  %s = hetprec.max_pool_2d %x kernel = [2, 2] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x3x3xi8, #b>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4]>
func.func @max_pool_shape(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{result shape must be 1x1x3x3}}
  %s = hetprec.max_pool_2d %x kernel = [2, 2] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x2x3xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4]>
func.func @max_pool_kernel(%x: tensor<1x1x4x4xi8, #a>) {
  // expected-error @+1 {{kernel needs 2 sizes}}
  %s = hetprec.max_pool_2d %x kernel = [2] : tensor<1x1x4x4xi8, #a> -> tensor<1x1x3x3xi8, #a>
  return
}

// -----

//===- HP15: multipliers and offsets --------------------------------------===//

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1]>
func.func @m_count(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{multiplier has 3 values, expected 1 or the 2 channels}}
  %q = hetprec.requantize %x multiplier = [1.0, 1.0, 1.0] offset = [0.0] : tensor<1x2xi32> to tensor<1x2xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1]>
func.func @m_zero(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{HP15: multiplier must be finite and not zero, found 0}}
  %q = hetprec.requantize %x multiplier = [1.0, 0.0] offset = [0.0] : tensor<1x2xi32> to tensor<1x2xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 1]>
func.func @b_nan(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{HP15: offset must be finite, found}}
  %q = hetprec.requantize %x multiplier = [1.0] offset = [0x7FC00000] : tensor<1x2xi32> to tensor<1x2xi8, #a>
  return
}

// -----

func.func @real_infinite(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{HP15: multiplier must be finite and not zero, found INF}}
  %q = hetprec.to_real %x multiplier = [0x7F800000] offset = [0.0] : tensor<1x2xi32> to tensor<1x2xf32>
  return
}

// -----

func.func @real_rank(%x: tensor<2xi32>) {
  // expected-error @+1 {{needs a channel dimension 1}}
  %q = hetprec.to_real %x multiplier = [1.0] offset = [0.0] : tensor<2xi32> to tensor<2xf32>
  return
}

// -----

func.func @shapes(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{failed to verify that all of {input, result} have same shape}}
  %q = hetprec.to_real %x multiplier = [1.0] offset = [0.0] : tensor<1x2xi32> to tensor<1x3xf32>
  return
}

// -----

//===- HP17: carriers -----------------------------------------------------===//

// expected-error @+1 {{HP17: delta must be finite and positive, found 0}}
func.func private @delta(tensor<1x2xi16, #hetprec.carrier<delta = 0.0>>)

// -----

// expected-error @+1 {{HP17: delta must be finite and positive, found}}
func.func private @delta_nan(tensor<1x2xi16, #hetprec.carrier<delta = 0x7FF8000000000000>>)

// -----

// expected-error @+1 {{HP17: a carrier is i16, found 'i8'}}
func.func private @carrier_type(tensor<1x2xi8, #hetprec.carrier<delta = 1.0>>)

// -----

#c = #hetprec.carrier<delta = 1.0>
func.func @carrier_multiplier(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{HP15: multiplier must be finite and not zero}}
  %q = hetprec.to_carrier %x multiplier = [0.0] : tensor<1x2xi32> to tensor<1x2xi16, #c>
  return
}

// -----

#c = #hetprec.carrier<delta = 1.0>
func.func @carrier_offset(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{offset has 3 values, expected 1 or the 2 channels}}
  %q = hetprec.to_carrier %x multiplier = [1.0] offset = [0.0, 1.0, 2.0] : tensor<1x2xi32> to tensor<1x2xi16, #c>
  return
}

// -----

#c = #hetprec.carrier<delta = 1.0>
func.func @carrier_offset_infinite(%x: tensor<1x2xi32>) {
  // expected-error @+1 {{HP15: offset must be finite}}
  %q = hetprec.to_carrier %x multiplier = [1.0] offset = [0x7F800000] : tensor<1x2xi32> to tensor<1x2xi16, #c>
  return
}

// -----

// Two carriers of different delta cannot be added.
#c = #hetprec.carrier<delta = 1.0>
#d = #hetprec.carrier<delta = 2.0>
func.func @deltas(%x: tensor<1x2xi16, #c>, %y: tensor<1x2xi16, #d>) {
  // expected-error @+1 {{requires the same encoding for all operands and results}}
  %s = "hetprec.add"(%x, %y) : (tensor<1x2xi16, #c>, tensor<1x2xi16, #d>) -> tensor<1x2xi16, #c>
  return
}

// -----

//===- Permutation and flattening -----------------------------------------===//

func.func @permute_axis(%x: tensor<1x2xf32>) {
  // expected-error @+1 {{axis 2 is outside rank 2}}
  %p = hetprec.permute %x axis = 2 permutation = [0, 1] : tensor<1x2xf32> to tensor<1x2xf32>
  return
}

// -----

func.func @permute_count(%x: tensor<1x2xf32>) {
  // expected-error @+1 {{permutation has 3 entries, dimension 1 has 2}}
  %p = hetprec.permute %x axis = 1 permutation = [0, 1, 2] : tensor<1x2xf32> to tensor<1x2xf32>
  return
}

// -----

func.func @permute_twice(%x: tensor<1x2xf32>) {
  // expected-error @+1 {{permutation must name every index once}}
  %p = hetprec.permute %x axis = 1 permutation = [1, 1] : tensor<1x2xf32> to tensor<1x2xf32>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @permute_bits(%x: tensor<1x2xi8, #a>) {
  // expected-error @+1 {{result encoding must be}}
  %p = hetprec.permute %x axis = 1 permutation = [1, 0] : tensor<1x2xi8, #a> to tensor<1x2xi8, #a>
  return
}

// -----

func.func @permute_encoding(%x: tensor<1x2xi16, #hetprec.carrier<delta = 1.0>>) {
  // expected-error @+1 {{must keep the encoding}}
  %p = hetprec.permute %x axis = 1 permutation = [1, 0] : tensor<1x2xi16, #hetprec.carrier<delta = 1.0>> to tensor<1x2xi16>
  return
}

// -----

#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2], groups = 2>
func.func @permute_grouped(%x: tensor<4x1xi8, #w>) {
  // expected-error @+1 {{cannot reorder the channels of a grouped filter}}
  %p = hetprec.permute %x axis = 1 permutation = [0] : tensor<4x1xi8, #w> to tensor<4x1xi8, #w>
  return
}

// -----

#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 2], groups = 2>
func.func @permute_mixes_groups(%x: tensor<4x1xi8, #w>) {
  // expected-error @+1 {{must not mix the rows of different groups}}
  %p = hetprec.permute %x axis = 0 permutation = [0, 2, 1, 3] : tensor<4x1xi8, #w> to tensor<4x1xi8, #w>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
#b = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2, 1, 2]>
func.func @flatten_bits(%x: tensor<1x2x1x2xi8, #a>) {
  // expected-error @+1 {{result encoding must be #hetprec.channels<axis = 1, grid = unsigned, scale = 1.000000e+00, bits = [1 x 2, 2 x 2]>}}
  %f = hetprec.flatten %x : tensor<1x2x1x2xi8, #a> to tensor<1x4xi8, #b>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @flatten_shape(%x: tensor<1x2x1x2xi8, #a>) {
  // expected-error @+1 {{result shape must be 1x4, found}}
  %f = hetprec.flatten %x : tensor<1x2x1x2xi8, #a> to tensor<1x2xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 2]>
func.func @flatten_rank(%x: tensor<1x2xi8, #a>) {
  // expected-error @+1 {{input must have rank 4 and a static shape}}
  %f = hetprec.flatten %x : tensor<1x2xi8, #a> to tensor<1x2xi8, #a>
  return
}

// -----

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
func.func @flatten_wraps(%x: tensor<1x1x4294967296x4294967296xi8, #a>) {
  // expected-error @+1 {{has too many elements}}
  %f = hetprec.flatten %x : tensor<1x1x4294967296x4294967296xi8, #a> to tensor<1x1xi8, #a>
  return
}

// -----

//===- Lanes --------------------------------------------------------------===//

// expected-error @+1 {{images, height and width must be positive}}
func.func private @lanes() attributes {l = #hetprec.lanes<0 x 2 x 2, row_stride = 3, image_stride = 9, base = 0, size = 64>}

// -----

// expected-error @+1 {{rows or images overlap}}
func.func private @lanes() attributes {l = #hetprec.lanes<1 x 2 x 4, row_stride = 3, image_stride = 9, base = 0, size = 64>}

// -----

// expected-error @+1 {{the pixels do not fit into 8 lanes}}
func.func private @lanes() attributes {l = #hetprec.lanes<1 x 2 x 4, row_stride = 5, image_stride = 9, base = 0, size = 8>}

// -----

// expected-error @+1 {{sizes and strides must be below 2^31}}
func.func private @lanes() attributes {l = #hetprec.lanes<1 x 4294967297 x 4, row_stride = 4294967296, image_stride = 4294967296, base = 0, size = 8>}
