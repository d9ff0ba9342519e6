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
