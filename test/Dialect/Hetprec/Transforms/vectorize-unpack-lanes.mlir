// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// 70 rows of 33 channels: squares of 16 channels by 16 rows, which are every
// other row of a block; of the last block six rows are there. The 33rd channel
// is copied alone.
// CHECK-LABEL: @rows
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<33x192xf32>, %[[OUT:[a-z0-9]+]]: memref<70x33xf32>
// CHECK: scf.for %[[C:.+]] = %c0 to %c32 step %c16
// CHECK: vector.load %[[P]][%[[C]], %c64] : memref<33x192xf32>, vector<16xf32>
// CHECK-COUNT-64: vector.shuffle
// CHECK: vector.store %{{.+}}, %[[OUT]][%c0, %[[C]]]
// CHECK: vector.store %{{.+}}, %[[OUT]][%c2, %[[C]]]
// Odd rows are the second half of the block.
// CHECK: vector.load %[[P]][%[[C]], %c96]
// CHECK: vector.store %{{.+}}, %[[OUT]][%c1, %[[C]]]
// CHECK: vector.store %{{.+}}, %[[OUT]][%c3, %[[C]]]
// CHECK: vector.store %{{.+}}, %[[OUT]][%c63, %[[C]]]
// CHECK: vector.store %{{.+}}, %[[OUT]][%c68, %[[C]]]
// CHECK-NOT: vector.store %{{.+}}, %[[OUT]][%c70
// CHECK: vector.store %{{.+}}, %[[OUT]][%c69, %[[C]]]
// CHECK-NOT: vector.store
// CHECK: hetprec.parallel
// CHECK: scf.for %{{.+}} = %c0 to %c70
// CHECK: memref.load %[[P]][%c32,
// CHECK: memref.store %{{.+}}, %[[OUT]][%{{.+}}, %c32]
#lanes = #hetprec.lanes<70 x 1 x 1, row_stride = 1, image_stride = 1, base = 64, size = 192>
func.func @rows(%p: memref<33x192xf32>, %out: memref<70x33xf32>) {
  hetprec.unpack_lanes %p : memref<33x192xf32> outs(%out : memref<70x33xf32>)
    {channels = array<i64: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
       17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32>,
     layout = #lanes, level = 0 : i64}
  return
}

// Channels that lie apart, and rows of 16 bits, are copied one by one.
// CHECK-LABEL: @apart
// CHECK-NOT: vector
// CHECK: return
#few = #hetprec.lanes<3 x 1 x 1, row_stride = 1, image_stride = 1, base = 0, size = 64>
func.func @apart(%p: memref<16x64xf32>, %out: memref<3x16xf32>, %q: memref<16x64xi16>, %carrier: memref<3x16xi16>) {
  hetprec.unpack_lanes %p : memref<16x64xf32> outs(%out : memref<3x16xf32>)
    {channels = array<i64: 0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 10, 11, 12, 13, 14, 15>, layout = #few, level = 0 : i64}
  hetprec.unpack_lanes %q : memref<16x64xi16> outs(%carrier : memref<3x16xi16>)
    {channels = array<i64: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>, layout = #few, level = 0 : i64}
  return
}
