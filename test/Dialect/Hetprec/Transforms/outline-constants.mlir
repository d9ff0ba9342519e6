// RUN: sysmol-opt %s --allow-unregistered-dialect --hetprec-outline-constants --split-input-file --verify-diagnostics | FileCheck %s

// Little-endian bytes (258 is 2, 1), each constant from a multiple of 8 on; equal
// ones share theirs, a splat is written out. What is not constant stays.
// CHECK: module attributes {hetprec.weights = dense<[1, 2, 3, 0, 0, 0, 0, 0, 2, 1, -1, -1, 0, 0, 1, 0, 7, 7, 7, 7, 0, 0, 0, 0]> : tensor<24xi8>}
// CHECK-NEXT: memref.global "private" @var
// CHECK-NOT: memref.global
// CHECK: func.func @net(%[[W:.+]]: memref<24xi8>, %{{.+}}: memref<4xi8>)
// CHECK: %[[A:.+]] = memref.view %[[W]][%[[AT0:.+]]][] : memref<24xi8> to memref<3xi8>
// CHECK: %[[B:.+]] = memref.view %[[W]][%[[AT8:.+]]][] : memref<24xi8> to memref<2x2xi16>
// CHECK: %[[C:.+]] = memref.view %[[W]][%[[AT0C:.+]]][] : memref<24xi8> to memref<3xi8>
// CHECK: %[[D:.+]] = memref.view %[[W]][%[[AT16:.+]]][] : memref<24xi8> to memref<4xi8>
// CHECK: %[[V:.+]] = memref.get_global @var
// CHECK: "test.use"(%[[A]], %[[B]], %[[C]], %[[D]], %[[V]])
memref.global "private" constant @a : memref<3xi8> = dense<[1, 2, 3]>
memref.global "private" constant @b : memref<2x2xi16> = dense<[[258, -1], [0, 1]]>
memref.global "private" constant @c : memref<3xi8> = dense<[1, 2, 3]>
memref.global "private" constant @d : memref<4xi8> = dense<7>
memref.global "private" @var : memref<4xi8> = dense<7>
func.func @net(%x: memref<4xi8>) {
  %a = memref.get_global @a : memref<3xi8>
  %b = memref.get_global @b : memref<2x2xi16>
  %c = memref.get_global @c : memref<3xi8>
  %d = memref.get_global @d : memref<4xi8>
  %v = memref.get_global @var : memref<4xi8>
  "test.use"(%a, %b, %c, %d, %v) : (memref<3xi8>, memref<2x2xi16>, memref<3xi8>, memref<4xi8>, memref<4xi8>) -> ()
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
