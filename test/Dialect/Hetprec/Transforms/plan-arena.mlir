// RUN: sysmol-opt %s --allow-unregistered-dialect --hetprec-plan-arena --split-input-file --verify-diagnostics | FileCheck %s

// %b (256 bytes) lives until its view is read. %a lives with it, and so does %c:
// 256 + 128 + 64 bytes. %d is written when both %a and %b are dead: it takes
// their place.
// CHECK-LABEL: @lifetimes
// CHECK-SAME: %{{.+}}: memref<8xi8>, %[[ARENA:.+]]: memref<448xi8>, %{{.+}}: memref<4xi8>
// CHECK-SAME: attributes {hetprec.arena_bytes = 448 : i64}
// CHECK-NOT: memref.alloc
// CHECK-NOT: memref.dealloc
// CHECK: %[[AT_A:.+]] = arith.constant 256 : index
// CHECK: %[[A:.+]] = memref.view %[[ARENA]][%[[AT_A]]][] : memref<448xi8> to memref<100xi8>
// CHECK: "test.write"(%[[A]])
// CHECK: %[[AT_B:.+]] = arith.constant 0 : index
// CHECK: %[[B:.+]] = memref.view %[[ARENA]][%[[AT_B]]][] : memref<448xi8> to memref<4x64xi8>
// CHECK: "test.copy"(%[[A]], %[[B]])
// CHECK: %[[AT_C:.+]] = arith.constant 384 : index
// CHECK: %[[C:.+]] = memref.view %[[ARENA]][%[[AT_C]]][] : memref<448xi8> to memref<10xi32>
// CHECK: %[[AT_D:.+]] = arith.constant 0 : index
// CHECK: %[[D:.+]] = memref.view %[[ARENA]][%[[AT_D]]][] : memref<448xi8> to memref<100xi8>
// CHECK: "test.copy"(%[[C]], %[[D]])
func.func @lifetimes(%w: memref<8xi8>, %x: memref<4xi8>) {
  %a = memref.alloc() : memref<100xi8>
  "test.write"(%a) : (memref<100xi8>) -> ()
  %b = memref.alloc() : memref<4x64xi8>
  "test.copy"(%a, %b) : (memref<100xi8>, memref<4x64xi8>) -> ()
  %c = memref.alloc() : memref<10xi32>
  %s = memref.subview %b[0, 0] [1, 64] [1, 1] : memref<4x64xi8> to memref<1x64xi8, strided<[64, 1]>>
  "test.copy"(%s, %c) : (memref<1x64xi8, strided<[64, 1]>>, memref<10xi32>) -> ()
  memref.dealloc %a : memref<100xi8>
  %d = memref.alloc() : memref<100xi8>
  "test.copy"(%c, %d) : (memref<10xi32>, memref<100xi8>) -> ()
  return
}

// -----

// A use inside a loop keeps a buffer alive to the loop's end.
// CHECK-LABEL: @loop
// CHECK-SAME: memref<128xi8>
func.func @loop(%w: memref<8xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<64xi8>
  %b = memref.alloc() : memref<64xi8>
  scf.for %i = %c0 to %c1 step %c1 {
    "test.copy"(%a, %b) : (memref<64xi8>, memref<64xi8>) -> ()
  }
  %c = memref.alloc() : memref<64xi8>
  "test.copy"(%b, %c) : (memref<64xi8>, memref<64xi8>) -> ()
  return
}

// -----

// No buffers: the argument comes all the same.
// CHECK-LABEL: @nothing
// CHECK-SAME: (%{{.+}}: memref<8xi8>, %{{.+}}: memref<64xi8>) attributes {hetprec.arena_bytes = 64 : i64}
func.func @nothing(%w: memref<8xi8>) {
  return
}

// -----

func.func @inside_a_loop(%w: memref<8xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %c1 step %c1 {
    // expected-error @+1 {{only buffers of static shape at the top of the function can be placed in the arena}}
    %a = memref.alloc() : memref<64xi8>
    "test.write"(%a) : (memref<64xi8>) -> ()
  }
  return
}

// -----

func.func @dynamic(%w: memref<8xi8>, %n: index) {
  // expected-error @+1 {{only buffers of static shape at the top of the function can be placed in the arena}}
  %a = memref.alloc(%n) : memref<?xi8>
  "test.write"(%a) : (memref<?xi8>) -> ()
  return
}

// -----

func.func @huge(%w: memref<8xi8>) {
  // expected-error @+1 {{buffer is larger than 2^62 bytes}}
  %a = memref.alloc() : memref<4294967296x4294967296xi8>
  "test.write"(%a) : (memref<4294967296x4294967296xi8>) -> ()
  return
}

// -----

// The clocks come last, where no other buffer lies, and are no argument any more.
// CHECK-LABEL: @profile
// CHECK-SAME: (%{{.+}}: memref<8xi8>, %[[ARENA:.+]]: memref<192xi8>, %{{.+}}: memref<4xi8>)
// CHECK-SAME: hetprec.arena_bytes = 192 : i64, hetprec.profile_offset = 128 : i64
// CHECK: %[[AT:.+]] = arith.constant 128 : index
// CHECK: %[[CLOCKS:.+]] = memref.view %[[ARENA]][%[[AT]]][] : memref<192xi8> to memref<3xi64>
// CHECK: "test.write"(%[[CLOCKS]])
func.func @profile(%w: memref<8xi8>, %x: memref<4xi8>, %clocks: memref<3xi64> {hetprec.profile}) {
  %a = memref.alloc() : memref<100xi8>
  "test.write"(%a) : (memref<100xi8>) -> ()
  "test.write"(%clocks) : (memref<3xi64>) -> ()
  return
}
