// RUN: sysmol-opt %s --hetprec-vectorize-lanes --canonicalize --cse | FileCheck %s

// Codes of 1 bit: their largest is their OR.
// CHECK-LABEL: @one_bit
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<4x192xi8>, %{{.+}}: memref<192xi8>, %[[OUT:[a-z0-9]+]]: memref<2x192xi8>
// CHECK: scf.for %[[PLANE:.+]] = %c0{{.*}} to %c2
// CHECK: vector.load %[[X]][%[[PLANE]],
// CHECK: %[[SECOND:.+]] = arith.addi %[[PLANE]], %c2
// CHECK: vector.load %[[X]][%[[SECOND]],
// CHECK: arith.ori %{{.+}}, %{{.+}} : vector<64xi8>
// CHECK-NOT: maxui
// CHECK: arith.andi
// CHECK: vector.store %{{.+}}, %[[OUT]][%[[PLANE]],
func.func @one_bit(%x: memref<4x192xi8>, %mask: memref<192xi8>, %out: memref<2x192xi8>) {
  hetprec.max_pool_lanes %x : memref<4x192xi8> mask(%mask : memref<192xi8>) outs(%out : memref<2x192xi8>)
    {level = 1, taps = array<i64: 0, 1>, tap_phases = array<i64: 0, 1>, origin = -3, lane_begin = 64, lane_count = 64}
  return
}

// Three codes of 2 bits in a byte, each compared alone: 3, 12 and 48. Rows of the
// window are a loop.
// CHECK-LABEL: @two_bits
// CHECK-DAG: arith.constant dense<3> : vector<64xi8>
// CHECK-DAG: arith.constant dense<12> : vector<64xi8>
// CHECK-DAG: arith.constant dense<48> : vector<64xi8>
// CHECK: scf.for {{.+}} iter_args(%{{.+}}, %{{.+}}, %{{.+}}) -> (vector<64xi8>, vector<64xi8>, vector<64xi8>)
// CHECK-COUNT-15: arith.maxui
// CHECK-NOT: arith.maxui
// CHECK: scf.yield
func.func @two_bits(%x: memref<1x192xi8>, %mask: memref<192xi8>, %out: memref<1x192xi8>) {
  hetprec.max_pool_lanes %x : memref<1x192xi8> mask(%mask : memref<192xi8>) outs(%out : memref<1x192xi8>)
    {level = 2, taps = array<i64: 0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 16, 17, 18, 19, 20, 24, 25, 26, 27, 28>, origin = -9, lane_begin = 64, lane_count = 64}
  return
}

// Nibbles in the bytes of words of 16 bits; bytes of words of 32 as they are.
// CHECK-LABEL: @wide_words
// CHECK-DAG: arith.constant dense<15> : vector<128xi8>
// CHECK-DAG: arith.constant dense<-16> : vector<128xi8>
// CHECK: arith.maxui {{.+}} : vector<128xi8>
// CHECK: vector.bitcast %{{.+}} : vector<128xi8> to vector<64xi16>
// CHECK: arith.maxui {{.+}} : vector<256xi8>
// CHECK: vector.bitcast %{{.+}} : vector<256xi8> to vector<64xi32>
func.func @wide_words(%x: memref<1x128xi16>, %y: memref<1x128xi32>, %mask: memref<128xi8>, %out: memref<1x128xi16>, %to: memref<1x128xi32>) {
  hetprec.max_pool_lanes %x : memref<1x128xi16> mask(%mask : memref<128xi8>) outs(%out : memref<1x128xi16>)
    {level = 4, taps = array<i64: 0, 1>, origin = 0, lane_begin = 0, lane_count = 64}
  hetprec.max_pool_lanes %y : memref<1x128xi32> mask(%mask : memref<128xi8>) outs(%to : memref<1x128xi32>)
    {level = 8, taps = array<i64: 0, 1>, origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// A window of 13x13, stride 2: twice six rows, and one that is left over.
// CHECK-LABEL: @strided
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<4x256xi32>
// CHECK: scf.for %[[PART:.+]] = %c0 to %c2
// CHECK: %[[LANE:.+]] = arith.muli %[[PART]], %c48
// CHECK: vector.load %[[X]][%c0, %[[LANE]]]
// CHECK-COUNT-78: arith.maxui
// CHECK-NOT: arith.maxui
// CHECK: scf.yield
// CHECK: vector.load %[[X]][%c0, %c96]
// CHECK-COUNT-13: arith.maxui
// CHECK-NOT: arith.maxui
// CHECK: return
func.func @strided(%x: memref<4x256xi32>, %mask: memref<256xi8>, %out: memref<1x256xi32>) {
  hetprec.max_pool_lanes %x : memref<4x256xi32> mask(%mask : memref<256xi8>) outs(%out : memref<1x256xi32>)
    {level = 8, taps = array<i64: 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 32, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37, 37, 38, 32, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37, 37, 38, 48, 48, 49, 49, 50, 50, 51, 51, 52, 52, 53, 53, 54, 48, 48, 49, 49, 50, 50, 51, 51, 52, 52, 53, 53, 54, 64, 64, 65, 65, 66, 66, 67, 67, 68, 68, 69, 69, 70, 64, 64, 65, 65, 66, 66, 67, 67, 68, 68, 69, 69, 70, 80, 80, 81, 81, 82, 82, 83, 83, 84, 84, 85, 85, 86, 80, 80, 81, 81, 82, 82, 83, 83, 84, 84, 85, 85, 86, 96, 96, 97, 97, 98, 98, 99, 99, 100, 100, 101, 101, 102>,
     tap_phases = array<i64: 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0>,
     origin = 0, lane_begin = 0, lane_count = 64}
  return
}

// Columns are a loop where they are many: twice 74, and three that are left over.
// CHECK-LABEL: @long_row
// CHECK: scf.for %[[PART:.+]] = %c0 to %c2
// CHECK: arith.muli %[[PART]], %c37
// CHECK-COUNT-74: arith.maxui
// CHECK-NOT: arith.maxui
// CHECK: scf.yield
// CHECK-COUNT-3: arith.maxui
// CHECK-NOT: arith.maxui
// CHECK: return
func.func @long_row(%x: memref<2x192xi32>, %mask: memref<192xi8>, %out: memref<1x192xi32>) {
  hetprec.max_pool_lanes %x : memref<2x192xi32> mask(%mask : memref<192xi8>) outs(%out : memref<1x192xi32>)
    {level = 8, taps = array<i64: 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23, 24, 24, 25, 25, 26, 26, 27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 32, 32, 33, 33, 34, 34, 35, 35, 36, 36, 37, 37, 38, 38, 39, 39, 40, 40, 41, 41, 42, 42, 43, 43, 44, 44, 45, 45, 46, 46, 47, 47, 48, 48, 49, 49, 50, 50, 51, 51, 52, 52, 53, 53, 54, 54, 55, 55, 56, 56, 57, 57, 58, 58, 59, 59, 60, 60, 61, 61, 62, 62, 63, 63, 64, 64, 65, 65, 66, 66, 67, 67, 68, 68, 69, 69, 70, 70, 71, 71, 72, 72, 73, 73, 74, 74, 75>,
     tap_phases = array<i64: 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0>,
     origin = 0, lane_begin = 0, lane_count = 64}
  return
}
