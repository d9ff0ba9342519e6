// RUN: sysmol-opt %s --allow-unregistered-dialect --hetprec-profile-layers --split-input-file --verify-diagnostics | FileCheck %s

// The stretch of "first" begins at what prepares its input; "second" runs in one
// stretch although it has two ops; "first" comes again.
// CHECK-LABEL: @layers
// CHECK-SAME: %{{.+}}: memref<1x64xi8>, %[[CLOCKS:[a-z0-9]+]]: memref<4xi64> {hetprec.profile}
// CHECK-SAME: hetprec.profile = ["first", "second", "first"]
// CHECK: memref.alloc
// CHECK-NEXT: %[[T0:.+]] = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
// CHECK-NEXT: %[[I0:.+]] = arith.constant 0 : index
// CHECK-NEXT: memref.store %[[T0]], %[[CLOCKS]][%[[I0]]]
// CHECK-NEXT: "test.prepare"
// CHECK-NEXT: scf.for
// CHECK: split_phases
// CHECK: %[[T1:.+]] = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
// CHECK-NEXT: %[[I1:.+]] = arith.constant 1 : index
// CHECK-NEXT: memref.store %[[T1]], %[[CLOCKS]][%[[I1]]]
// CHECK-NEXT: split_phases
// CHECK-NEXT: split_phases
// CHECK-NEXT: %[[T2:.+]] = llvm.call_intrinsic
// CHECK-NEXT: %[[I2:.+]] = arith.constant 2 : index
// CHECK-NEXT: memref.store %[[T2]], %[[CLOCKS]][%[[I2]]]
// CHECK-NEXT: split_phases
// CHECK-NEXT: "test.finish"
// CHECK-NEXT: %[[T3:.+]] = llvm.call_intrinsic
// CHECK-NEXT: %[[I3:.+]] = arith.constant 3 : index
// CHECK-NEXT: memref.store %[[T3]], %[[CLOCKS]][%[[I3]]]
// CHECK-NEXT: return
#lanes = #hetprec.lanes<1 x 4 x 4, row_stride = 4, image_stride = 16, base = 0, size = 64>
func.func @layers(%x: memref<1x64xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<1x64xi8>
  "test.prepare"(%a) : (memref<1x64xi8>) -> ()
  scf.for %i = %c0 to %c1 step %c1 {
    hetprec.split_phases %x : memref<1x64xi8> outs(%a : memref<1x64xi8>) {strides = array<i64: 1, 1>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0>, from = #lanes, to = #lanes} loc(#first)
  }
  hetprec.split_phases %a : memref<1x64xi8> outs(%x : memref<1x64xi8>) {strides = array<i64: 1, 1>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0>, from = #lanes, to = #lanes} loc(#second)
  hetprec.split_phases %x : memref<1x64xi8> outs(%a : memref<1x64xi8>) {strides = array<i64: 1, 1>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0>, from = #lanes, to = #lanes} loc(#second)
  hetprec.split_phases %a : memref<1x64xi8> outs(%x : memref<1x64xi8>) {strides = array<i64: 1, 1>, pads = array<i64: 0, 0, 0, 0>, phases = array<i64: 0>, from = #lanes, to = #lanes} loc(#first)
  "test.finish"(%x) : (memref<1x64xi8>) -> ()
  return
}
#first = loc("first")
#second = loc("second")

// -----

// Nothing says a layer: no clocks.
// CHECK-LABEL: @nameless
// CHECK-SAME: (%{{.+}}: memref<8xi8>) {
// CHECK-NOT: readcyclecounter
func.func @nameless(%x: memref<8xi8>) {
  "test.write"(%x) : (memref<8xi8>) -> ()
  return
}

// -----

// expected-error @+1 {{needs one block}}
func.func @blocks(%x: memref<8xi8>) {
  cf.br ^next
^next:
  return
}
