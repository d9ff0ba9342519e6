// RUN: sysmol-opt %s --hetprec-choose-lanes | FileCheck %s
// RUN: sysmol-opt %s --hetprec-choose-lanes='output-cycles=3,1,1,1 lone-output-cycles=1,1,1,1' | FileCheck %s --check-prefix=SLOW
// RUN: sysmol-opt %s --hetprec-choose-lanes='turn-cycles=0 output-cycles=1,1,1,1' | FileCheck %s --check-prefix=FAST
// RUN: not sysmol-opt %s --hetprec-choose-lanes='pixel-cycles=1,2,3' 2>&1 | FileCheck %s --check-prefix=COUNT
// RUN: not sysmol-opt %s --hetprec-choose-lanes='lone-output-cycles=1,2,0,4' 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not sysmol-opt %s --hetprec-choose-lanes='turn-cycles=-1' 2>&1 | FileCheck %s --check-prefix=TURN
// RUN: not sysmol-opt %s --hetprec-choose-lanes='most-patch-bytes=-1' 2>&1 | FileCheck %s --check-prefix=PATCHES

// COUNT: error: pixel-cycles must be four positive numbers, for levels 1, 2, 4 and 8
// ZERO: error: lone-output-cycles must be four positive numbers
// TURN: error: turn-cycles must not be negative
// PATCHES: error: most-patch-bytes must not be negative

// The choice follows the costs it is given.
// SLOW-LABEL: @small_images
// SLOW: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>
// SLOW: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>
// FAST-LABEL: @small_images
// FAST: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<outputs>
// FAST: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<outputs>

#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 8]>

// One row: a register of rows is one row, so outputs are lanes.
// CHECK-LABEL: @one_row
// CHECK: hetprec.matmul {{.*}} {hetprec.lanes = #hetprec.lane_role<outputs>, hetprec.lanes_reason = "2 registers of outputs, 100 of rows"}
func.func @one_row(%x: tensor<1x8xi8, #a>) -> tensor<1x100xi32> {
  %w = arith.constant dense<1> : tensor<100x8xi8, #w>
  %r = hetprec.matmul %x, %w : tensor<1x8xi8, #a>, tensor<100x8xi8, #w> -> tensor<1x100xi32>
  return %r : tensor<1x100xi32>
}

// Sixty rows fill 60 of 64 lanes: outputs would fill fewer.
// CHECK-LABEL: @many_rows
// CHECK: hetprec.matmul {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>, hetprec.lanes_reason = "120 registers of outputs, 100 of rows"}
func.func @many_rows(%x: tensor<60x8xi8, #a>) -> tensor<60x100xi32> {
  %w = arith.constant dense<1> : tensor<100x8xi8, #w>
  %r = hetprec.matmul %x, %w : tensor<60x8xi8, #a>, tensor<100x8xi8, #w> -> tensor<60x100xi32>
  return %r : tensor<60x100xi32>
}

// CHECK-LABEL: @few_outputs
// CHECK: hetprec.matmul {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>, hetprec.lanes_reason = "weights of 42 outputs would be padded to 64"}
func.func @few_outputs(%x: tensor<1x8xi8, #a>) -> tensor<1x42xi32> {
  %w = arith.constant dense<1> : tensor<42x8xi8, #w>
  %r = hetprec.matmul %x, %w : tensor<1x8xi8, #a>, tensor<42x8xi8, #w> -> tensor<1x42xi32>
  return %r : tensor<1x42xi32>
}

// CHECK-LABEL: @one_pixel
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<outputs>, hetprec.lanes_reason = "3 registers of outputs, 43 of rows"}
func.func @one_pixel(%x: tensor<3x8x1x1xi8, #a>) -> tensor<3x43x1x1xi32> {
  %w = arith.constant dense<1> : tensor<43x8x1x1xi8, #w>
  %r = hetprec.conv_2d %x, %w : tensor<3x8x1x1xi8, #a>, tensor<43x8x1x1xi8, #w> -> tensor<3x43x1x1xi32>
  return %r : tensor<3x43x1x1xi32>
}

// Two pixels leave a register of pixels nearly empty. Groups have pixels, what
// ever somebody wrote.
// CHECK-LABEL: @windows
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<outputs>, hetprec.lanes_reason = "2 registers of outputs, 64 of pixels"}
// CHECK: hetprec.conv_2d
// CHECK-NOT: hetprec.lanes
#a16 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 16]>
#w16 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 16]>
func.func @windows(%x: tensor<1x16x1x2xi8, #a16>, %y: tensor<1x8x1x1xi8, #a>) -> (tensor<1x64x1x2xi32>, tensor<1x64x1x1xi32>) {
  %w = arith.constant dense<1> : tensor<64x16x1x1xi8, #w16>
  %g = arith.constant dense<1> : tensor<64x4x1x1xi8, #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 8], groups = 2>>
  %r = hetprec.conv_2d %x, %w : tensor<1x16x1x2xi8, #a16>, tensor<64x16x1x1xi8, #w16> -> tensor<1x64x1x2xi32>
  %s = hetprec.conv_2d %y, %g groups = 2 {hetprec.lanes = #hetprec.lane_role<outputs>} : tensor<1x8x1x1xi8, #a>, tensor<64x4x1x1xi8, #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 8], groups = 2>> -> tensor<1x64x1x1xi32>
  return %r, %s : tensor<1x64x1x2xi32>, tensor<1x64x1x1xi32>
}

// 7x7 pixels are 49 of 64 lanes. What few words save is less than turning sums
// round takes.
// CHECK-LABEL: @small_images
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<outputs>, hetprec.lanes_reason = "98 registers of outputs, 128 of pixels"}
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>, hetprec.lanes_reason = "98 registers of outputs, 128 of pixels"}
#a320 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 320]>
#w320 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 320]>
func.func @small_images(%x: tensor<1x320x7x7xi8, #a320>, %y: tensor<1x8x7x7xi8, #a>) -> (tensor<1x128x7x7xi32>, tensor<1x128x7x7xi32>) {
  %v = arith.constant dense<1> : tensor<128x320x3x3xi8, #w320>
  %w = arith.constant dense<1> : tensor<128x8x3x3xi8, #w>
  %r = hetprec.conv_2d %x, %v pads = [1, 1, 1, 1] : tensor<1x320x7x7xi8, #a320>, tensor<128x320x3x3xi8, #w320> -> tensor<1x128x7x7xi32>
  %s = hetprec.conv_2d %y, %w pads = [1, 1, 1, 1] : tensor<1x8x7x7xi8, #a>, tensor<128x8x3x3xi8, #w> -> tensor<1x128x7x7xi32>
  return %r, %s : tensor<1x128x7x7xi32>, tensor<1x128x7x7xi32>
}

// 16 products for 36, where words are many enough for what is transformed; not
// with other levels beside, nor windows of other kinds.
// CHECK-LABEL: @tiles
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<tiles>, hetprec.lanes_reason = "16 products where the window has 36"}
// CHECK: hetprec.conv_2d {{.*}} strides = [2, 2] {{.*}}{hetprec.lanes = #hetprec.lane_role<pixels>
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>
#a4 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4 x 64]>
#w4 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4 x 64]>
#a24 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 4 x 63]>
#w24 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 4 x 63]>
#few = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4 x 4]>
#wfew = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4 x 4]>
func.func @tiles(%x: tensor<1x64x56x56xi8, #a4>, %y: tensor<1x64x56x56xi8, #a24>, %z: tensor<1x4x56x56xi8, #few>) -> (tensor<1x64x56x56xi32>, tensor<1x64x28x28xi32>, tensor<1x64x56x56xi32>, tensor<1x64x56x56xi32>) {
  %v = arith.constant dense<1> : tensor<64x64x3x3xi8, #w4>
  %w = arith.constant dense<1> : tensor<64x64x3x3xi8, #w24>
  %u = arith.constant dense<1> : tensor<64x4x3x3xi8, #wfew>
  %r = hetprec.conv_2d %x, %v pads = [1, 1, 1, 1] : tensor<1x64x56x56xi8, #a4>, tensor<64x64x3x3xi8, #w4> -> tensor<1x64x56x56xi32>
  %s = hetprec.conv_2d %x, %v strides = [2, 2] pads = [1, 1, 1, 1] : tensor<1x64x56x56xi8, #a4>, tensor<64x64x3x3xi8, #w4> -> tensor<1x64x28x28xi32>
  %t = hetprec.conv_2d %y, %w pads = [1, 1, 1, 1] : tensor<1x64x56x56xi8, #a24>, tensor<64x64x3x3xi8, #w24> -> tensor<1x64x56x56xi32>
  %q = hetprec.conv_2d %z, %u pads = [1, 1, 1, 1] : tensor<1x4x56x56xi8, #few>, tensor<64x4x3x3xi8, #wfew> -> tensor<1x64x56x56xi32>
  return %r, %s, %t, %q : tensor<1x64x56x56xi32>, tensor<1x64x28x28xi32>, tensor<1x64x56x56xi32>, tensor<1x64x56x56xi32>
}

// Patches that no cache holds are read again and again from further away: 16
// positions of 16 words of 100x100 tiles, and what planes have more.
// CHECK-LABEL: @large_images
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<pixels>, hetprec.lanes_reason = "{{[0-9]+}} registers of outputs, {{[0-9]+}} of pixels; patches of tiles would be 11468800 bytes"}
// CHECK: hetprec.conv_2d {{.*}} {hetprec.lanes = #hetprec.lane_role<tiles>
func.func @large_images(%x: tensor<1x64x200x200xi8, #a4>, %y: tensor<1x64x128x128xi8, #a4>) -> (tensor<1x64x200x200xi32>, tensor<1x64x128x128xi32>) {
  %v = arith.constant dense<1> : tensor<64x64x3x3xi8, #w4>
  %r = hetprec.conv_2d %x, %v pads = [1, 1, 1, 1] : tensor<1x64x200x200xi8, #a4>, tensor<64x64x3x3xi8, #w4> -> tensor<1x64x200x200xi32>
  %s = hetprec.conv_2d %y, %v pads = [1, 1, 1, 1] : tensor<1x64x128x128xi8, #a4>, tensor<64x64x3x3xi8, #w4> -> tensor<1x64x128x128xi32>
  return %r, %s : tensor<1x64x200x200xi32>, tensor<1x64x128x128xi32>
}
