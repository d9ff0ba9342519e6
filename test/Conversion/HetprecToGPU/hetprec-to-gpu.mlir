// RUN: sysmol-opt %s --hetprec-plan-to-gpu="warps=4 unroll=4" | FileCheck %s
// RUN: sysmol-opt %s --hetprec-plan-to-gpu=kernel=gemm | FileCheck %s --check-prefix=GEMM
// RUN: sysmol-opt %s --hetprec-plan-to-gpu=nibble-mma=1 | FileCheck %s --check-prefix=NIBBLE

#a1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 2048, 2 x 1024]>
#w1 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 2048, 2 x 1024]>
#a2 = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4 x 100]>
#w2 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [4 x 100]>

// Four warps share 8 steps of 256 one-bit channels: two steps each, straight
// on; then 4 steps of two planes.
// CHECK: gpu.module @kernels
// CHECK-LABEL: gpu.func @streamed
// CHECK-SAME: memref<2048xi32, #gpu.address_space<global>> {llvm.align = 16 : i64, llvm.noalias, llvm.readonly}
// CHECK-SAME: workgroup(%{{.+}} : memref<256xi32, #gpu.address_space<workgroup>>)
// CHECK-SAME: kernel
// CHECK-SAME: hetprec.launch
// CHECK-SAME: grid = [1, 1, 1]
// CHECK-SAME: known_block_size = array<i32: 128, 1, 1>
// CHECK-SAME: nvvm.minctasm = 8
// CHECK: vector.load %{{.+}} {alignment = 16 : i64} : {{.+}}, vector<4xi32>
// CHECK: vector.load %{{.+}} {alignment = 8 : i64} : {{.+}}, vector<2xi32>
// CHECK: vector.load %{{.+}} {alignment = 16 : i64} : {{.+}}, vector<4xi32>
// CHECK-COUNT-4: nvvm.mma.sync {{.+}}b1Op = #nvvm.mma_b1op<and_popc>{{.+}}shape = #nvvm.shape<m = 16, n = 8, k = 256>
// CHECK-COUNT-3: nvvm.mma.sync {{.+}}b1Op = #nvvm.mma_b1op<and_popc>
// One product of level 1 counts 6 of level 2.
// CHECK: gpu.barrier
// CHECK: memref.store %{{.+}} : memref<16xi32, #gpu.address_space<global>>

// The sums of activations come first. 16 rows have blocks of 32: one copy of
// weights a stage, four of activations, and a fragment of rows a warp.
// GEMM-LABEL: gpu.func @streamed_sums
// GEMM: math.ctpop
// GEMM: gpu.shuffle xor
// GEMM-LABEL: gpu.func @streamed(
// GEMM-SAME: shared_bytes = 61824
// GEMM: gpu.dynamic_shared_memory
// GEMM-COUNT-5: nvgpu.device_async_copy
// GEMM: nvgpu.device_async_create_group
// GEMM: scf.for
// GEMM: nvgpu.device_async_wait
// GEMM: gpu.barrier
// GEMM-COUNT-16: nvvm.mma.sync {{.+}}k = 256
// Level 1 ends, counts times 6, and level 2 takes over with three sets.
// GEMM: arith.muli %{{.+}}, %c6_i32
// GEMM: scf.for
// GEMM-COUNT-32: nvvm.mma.sync {{.+}}k = 256
func.func @streamed(%x: tensor<1x3072xi8, #a1>, %w: tensor<16x3072xi8, #w1>) -> tensor<1x16xi32> {
  %acc = hetprec.matmul %x, %w : tensor<1x3072xi8, #a1>, tensor<16x3072xi8, #w1> -> tensor<1x16xi32>
  return %acc : tensor<1x16xi32>
}

// Mid-rise activations have a bias a row. Nibbles become bytes; 20 rows are two
// tiles, of which some rows are not stored.
// CHECK-LABEL: gpu.func @nibbles
// CHECK-SAME: row_bias = {bytes = 80
// CHECK: arith.andi %{{.+}}, %c252645135_i32
// CHECK: nvvm.mma.sync {{.+}}multiplicandAPtxType = #nvvm.mma_type<u8>{{.+}}k = 32
// CHECK: arith.cmpi ult, %{{.+}}, %c20
// CHECK: arith.sitofp
// CHECK: arith.mulf
// CHECK: arith.addf
// GEMM-LABEL: gpu.func @nibbles(
// GEMM: nvvm.mma.sync {{.+}}multiplicandAPtxType = #nvvm.mma_type<u8>{{.+}}k = 32
// NIBBLE: nvvm.mma.sync {{.+}}multiplicandAPtxType = #nvvm.mma_type<u4>{{.+}}k = 64
func.func @nibbles(%x: tensor<8x100xi8, #a2>, %w: tensor<20x100xi8, #w2>) -> tensor<8x20xf32> {
  %acc = hetprec.matmul %x, %w : tensor<8x100xi8, #a2>, tensor<20x100xi8, #w2> -> tensor<8x20xi32>
  %y = hetprec.to_real %acc multiplier = [0.5] offset = [1.0] : tensor<8x20xi32> to tensor<8x20xf32>
  return %y : tensor<8x20xf32>
}

// A convolution of 140 rows, so in blocks of 128: where the windows of a block's 128 pixels begin lies behind
// the stages; a tap outside the image is copied as zeros. 20 channels are one
// word of a tap, copied alone, and summed by the kernel itself. Two codes of output channels share no group.
// GEMM-NOT: gpu.func @window_sums
// GEMM-LABEL: gpu.func @window(
// GEMM-SAME: shared_bytes = 101248
// GEMM-SAME: kind = "conv"
// GEMM-SAME: outputs = [{bits = 1
// GEMM-SAME: pieces = {{\[\[}}40, 0]]
// GEMM-SAME: pieces = {{\[\[}}88, 0], [12, 96]]
// GEMM-SAME: pads = [1, 1]
// GEMM: vector.store %{{.+}} {alignment = 16 : i64}
// GEMM: gpu.barrier
// GEMM: arith.divui %{{.+}}, %c3_i32
// GEMM: %[[PIECE:.+]] = arith.select %{{.+}}, %c1, %c0
// GEMM: nvgpu.device_async_copy {{.+}}, {{.+}}, 1, %[[PIECE]]
// GEMM: nvvm.mma.sync {{.+}}k = 256
// The sums of a window's pixels, then codes by way of bytes.
// GEMM: vector.load %{{.+}} : memref<196xi32, #gpu.address_space<global>>
// GEMM: math.ctpop
// GEMM: arith.fptosi
// GEMM: memref.store %{{.+}} : memref<25088xi8, #gpu.address_space<workgroup>>
// GEMM: gpu.barrier
// GEMM: arith.muli %{{.+}}, %c270549120_i32
#a3 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 20]>
#w3 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 20]>
#o3 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 40, 2 x 100]>
func.func @window(%x: tensor<1x20x7x7xi8, #a3>, %w: tensor<140x20x3x3xi8, #w3>) -> tensor<1x140x7x7xi8, #o3> {
  %acc = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<1x20x7x7xi8, #a3>, tensor<140x20x3x3xi8, #w3> -> tensor<1x140x7x7xi32>
  %q = hetprec.requantize %acc multiplier = [0.5] offset = [0.0] : tensor<1x140x7x7xi32> to tensor<1x140x7x7xi8, #o3>
  return %q : tensor<1x140x7x7xi8, #o3>
}

// More words than a column's thread should read are summed by a kernel in front.
// GEMM-LABEL: gpu.func @wide_sums
// GEMM-SAME: memref<256xi32
// GEMM: math.ctpop
// GEMM-LABEL: gpu.func @wide(
// GEMM: memref.load %{{.+}} : memref<16xi32, #gpu.address_space<global>>
// GEMM: gpu.return
#a4 = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 512]>
#w4 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 512]>
func.func @wide(%x: tensor<1x512x4x4xi8, #a4>, %w: tensor<4x512x3x3xi8, #w4>) -> tensor<1x4x4x4xi32> {
  %acc = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<1x512x4x4xi8, #a4>, tensor<4x512x3x3xi8, #w4> -> tensor<1x4x4x4xi32>
  return %acc : tensor<1x4x4x4xi32>
}
