// RUN: sysmol-opt %s --hetprec-expand-copies | FileCheck %s

// Rows of 128 of 130: no one piece.
// CHECK-LABEL: @part
// CHECK-NOT: memref.copy
// CHECK: linalg.generic {{.+}}iterator_types = ["parallel", "parallel"]} ins(%{{.+}} : memref<2x128xi16, strided<[130, 1]>>) outs(%{{.+}} : memref<2x128xi16>)
// CHECK-NEXT: ^bb0(%[[X:.+]]: i16, %{{.+}}: i16):
// CHECK-NEXT: linalg.yield %[[X]] : i16
func.func @part(%a: memref<2x130xi16>, %b: memref<2x128xi16>) {
  %s = memref.subview %a[0, 0] [2, 128] [1, 1] : memref<2x130xi16> to memref<2x128xi16, strided<[130, 1]>>
  memref.copy %s, %b : memref<2x128xi16, strided<[130, 1]>> to memref<2x128xi16>
  return
}

// CHECK-LABEL: @whole
// CHECK: memref.copy
func.func @whole(%a: memref<2x128xi16>, %b: memref<2x128xi16>) {
  memref.copy %a, %b : memref<2x128xi16> to memref<2x128xi16>
  return
}
