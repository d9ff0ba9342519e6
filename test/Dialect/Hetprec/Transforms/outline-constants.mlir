// RUN: sysmol-opt %s --allow-unregistered-dialect --hetprec-outline-constants --split-input-file --verify-diagnostics | FileCheck %s

// Little-endian bytes (258 is 2, 1), each constant from a multiple of 8 on, in the
// order in which they are read first. Equal bytes are shared, also between types;
// a splat is written out. What is not constant stays.
// CHECK: module attributes {hetprec.weights = dense<[7, 7, 7, 7, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 2, 1, -1, -1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<32xi8>}
// CHECK-NEXT: memref.global "private" @var
// CHECK-NOT: memref.global
// CHECK: func.func @net(%[[W:.+]]: memref<32xi8>, %{{.+}}: memref<4xi8>)
// CHECK: %[[AT_D:.+]] = arith.constant 0 : index
// CHECK: %[[D:.+]] = memref.view %[[W]][%[[AT_D]]][] : memref<32xi8> to memref<4xi8>
// CHECK: %[[AT_A:.+]] = arith.constant 8 : index
// CHECK: %[[A:.+]] = memref.view %[[W]][%[[AT_A]]][] : memref<32xi8> to memref<3xi8>
// CHECK: %[[AT_B:.+]] = arith.constant 16 : index
// CHECK: %[[B:.+]] = memref.view %[[W]][%[[AT_B]]][] : memref<32xi8> to memref<2x2xi16>
// CHECK: %[[AT_C:.+]] = arith.constant 8 : index
// CHECK: %[[C:.+]] = memref.view %[[W]][%[[AT_C]]][] : memref<32xi8> to memref<3xi8>
// CHECK: %[[AT_E:.+]] = arith.constant 16 : index
// CHECK: %[[E:.+]] = memref.view %[[W]][%[[AT_E]]][] : memref<32xi8> to memref<8xi8>
// CHECK: %[[V:.+]] = memref.get_global @var
// CHECK: "test.use"(%[[A]], %[[B]], %[[C]], %[[D]], %[[E]], %[[V]])
memref.global "private" constant @a : memref<3xi8> = dense<[1, 2, 3]>
memref.global "private" constant @b : memref<2x2xi16> = dense<[[258, -1], [0, 1]]>
memref.global "private" constant @c : memref<3xi8> = dense<[1, 2, 3]>
memref.global "private" constant @d : memref<4xi8> = dense<7>
memref.global "private" constant @e : memref<8xi8> = dense<[2, 1, -1, -1, 0, 0, 1, 0]>
memref.global "private" @var : memref<4xi8> = dense<7>
func.func @net(%x: memref<4xi8>) {
  %d = memref.get_global @d : memref<4xi8>
  %a = memref.get_global @a : memref<3xi8>
  %b = memref.get_global @b : memref<2x2xi16>
  %c = memref.get_global @c : memref<3xi8>
  %e = memref.get_global @e : memref<8xi8>
  %v = memref.get_global @var : memref<4xi8>
  "test.use"(%a, %b, %c, %d, %e, %v) : (memref<3xi8>, memref<2x2xi16>, memref<3xi8>, memref<4xi8>, memref<8xi8>, memref<4xi8>) -> ()
  return
}

// -----

// The argument comes even where there is nothing to read.
// CHECK: module attributes {hetprec.weights = dense<0> : tensor<8xi8>}
// CHECK: func.func @empty(%{{.+}}: memref<8xi8>)
func.func @empty() {
  return
}

// -----

// Another function still reads it.
// CHECK: hetprec.weights = dense<[1, 2, 3, 0, 0, 0, 0, 0]>
// CHECK: memref.global "private" constant @shared
memref.global "private" constant @shared : memref<3xi8> = dense<[1, 2, 3]>
func.func private @helper() -> memref<3xi8> {
  %a = memref.get_global @shared : memref<3xi8>
  return %a : memref<3xi8>
}
func.func @net() {
  %a = memref.get_global @shared : memref<3xi8>
  "test.use"(%a) : (memref<3xi8>) -> ()
  return
}

// -----

func.func @one() {
  return
}
// expected-error @+1 {{a network is one public function; found 'one' and 'two'}}
func.func @two() {
  return
}

// -----

// expected-error @+1 {{a network is one public function; found none}}
module {
}

// -----

// What is streamed begins on a cache line: 4096 bytes behind one byte. Some more
// may be read behind the last table.
// CHECK: func.func @stream(%[[W:.+]]: memref<4168xi8>)
// CHECK: %[[AT:.+]] = arith.constant 64 : index
// CHECK: memref.view %[[W]][%[[AT]]][] : memref<4168xi8> to memref<4096xi8>
memref.global "private" constant @first : memref<1xi8> = dense<1>
memref.global "private" constant @long : memref<4096xi8> = dense<2>
func.func @stream() {
  %a = memref.get_global @first : memref<1xi8>
  %b = memref.get_global @long : memref<4096xi8>
  "test.use"(%a, %b) : (memref<1xi8>, memref<4096xi8>) -> ()
  return
}
