// RUN: sysmol-opt %s --split-input-file --hetprec-share-bodies | FileCheck %s

// Three layers that are one: weights lie together, so they have one argument,
// the buffer in the arena another. What begins at the same place in all
// (@body1's second view) keeps its constant; so does a constant that has to do
// with no view.

// CHECK-LABEL: func.func @network(
// CHECK: %[[TASK:.+]] = arith.constant 7 : index
// CHECK: call @body0(%{{.+}}, %{{.+}}, %[[TASK]], %{{.+}}, %{{.+}}) : (memref<4096xi8>, memref<4096xi8>, index, index, index)
// CHECK: %[[W1:.+]] = arith.constant 960 : index
// CHECK: %[[A1:.+]] = arith.constant 1024 : index
// CHECK: call @body0(%{{.+}}, %{{.+}}, %[[TASK]], %[[W1]], %[[A1]]) :
// CHECK: %[[W2:.+]] = arith.constant -64 : index
// CHECK: %[[A2:.+]] = arith.constant 512 : index
// CHECK: call @body0(%{{.+}}, %{{.+}}, %[[TASK]], %[[W2]], %[[A2]]) :
// CHECK: func.func private @body0(
// CHECK-SAME: %[[W:[a-z0-9]+]]: memref<4096xi8>, %[[A:[a-z0-9]+]]: memref<4096xi8>, %{{.+}}: index, %[[FROM_W:[a-z0-9]+]]: index, %[[FROM_A:[a-z0-9]+]]: index)
// CHECK-SAME: passthrough = ["noinline"]
// CHECK-DAG: %[[C0:.+]] = arith.constant 0 : index
// CHECK-DAG: %[[C64:.+]] = arith.constant 64 : index
// CHECK-DAG: %[[C128:.+]] = arith.constant 128 : index
// CHECK: %[[AT_X:.+]] = arith.addi %[[C64]], %[[FROM_W]]
// CHECK: memref.view %[[W]][%[[AT_X]]]
// CHECK: %[[AT_Y:.+]] = arith.addi %[[C128]], %[[FROM_W]]
// CHECK: memref.view %[[W]][%[[AT_Y]]]
// CHECK: %[[AT_Z:.+]] = arith.addi %[[C0]], %[[FROM_A]]
// CHECK: memref.view %[[A]][%[[AT_Z]]]
// CHECK: memref.view %[[A]][%[[C64]]]
// CHECK: scf.for %{{.+}} = %[[C0]] to %[[C64]]
// CHECK-NOT: func.func private @body1
// CHECK-NOT: func.func private @body2
func.func @network(%w: memref<4096xi8>, %a: memref<4096xi8>) {
  %task = arith.constant 7 : index
  call @body0(%w, %a, %task) : (memref<4096xi8>, memref<4096xi8>, index) -> ()
  call @body1(%w, %a, %task) : (memref<4096xi8>, memref<4096xi8>, index) -> ()
  call @body2(%w, %a, %task) : (memref<4096xi8>, memref<4096xi8>, index) -> ()
  return
}
func.func private @body0(%w: memref<4096xi8>, %a: memref<4096xi8>, %task: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  %x = memref.view %w[%c64][] : memref<4096xi8> to memref<64xi8>
  %y = memref.view %w[%c128][] : memref<4096xi8> to memref<64xi8>
  %z = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  %u = memref.view %a[%c64][] : memref<4096xi8> to memref<64xi8>
  scf.for %i = %c0 to %c64 step %c1 {
    %p = memref.load %x[%i] : memref<64xi8>
    %q = memref.load %y[%task] : memref<64xi8>
    %s = arith.addi %p, %q : i8
    memref.store %s, %z[%i] : memref<64xi8>
    memref.store %s, %u[%i] : memref<64xi8>
  }
  return
}
// Constants in another order, and one for two uses that are two in @body0.
func.func private @body1(%w: memref<4096xi8>, %a: memref<4096xi8>, %task: index) {
  %c1088 = arith.constant 1088 : index
  %c1024 = arith.constant 1024 : index
  %c64 = arith.constant 64 : index
  %c1 = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %x = memref.view %w[%c1024][] : memref<4096xi8> to memref<64xi8>
  %y = memref.view %w[%c1088][] : memref<4096xi8> to memref<64xi8>
  %z = memref.view %a[%c1024][] : memref<4096xi8> to memref<64xi8>
  %u = memref.view %a[%c64][] : memref<4096xi8> to memref<64xi8>
  scf.for %i = %c0 to %c64 step %c1 {
    %p = memref.load %x[%i] : memref<64xi8>
    %q = memref.load %y[%task] : memref<64xi8>
    %s = arith.addi %p, %q : i8
    memref.store %s, %z[%i] : memref<64xi8>
    memref.store %s, %u[%i] : memref<64xi8>
  }
  return
}
func.func private @body2(%w: memref<4096xi8>, %a: memref<4096xi8>, %task: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %c512 = arith.constant 512 : index
  %x = memref.view %w[%c0][] : memref<4096xi8> to memref<64xi8>
  %y = memref.view %w[%c64][] : memref<4096xi8> to memref<64xi8>
  %z = memref.view %a[%c512][] : memref<4096xi8> to memref<64xi8>
  %u = memref.view %a[%c64][] : memref<4096xi8> to memref<64xi8>
  scf.for %i = %c0 to %c64 step %c1 {
    %p = memref.load %x[%i] : memref<64xi8>
    %q = memref.load %y[%task] : memref<64xi8>
    %s = arith.addi %p, %q : i8
    memref.store %s, %z[%i] : memref<64xi8>
    memref.store %s, %u[%i] : memref<64xi8>
  }
  return
}

// -----

// The distances themselves: 0 from where @near is, 64 less and 192 more.

// CHECK-LABEL: func.func @distances(
// CHECK: %[[NO:.+]] = arith.constant 0 : index
// CHECK: call @near(%{{.+}}, %[[NO]])
// CHECK: %[[BEFORE:.+]] = arith.constant -64 : index
// CHECK: call @near(%{{.+}}, %[[BEFORE]])
// CHECK: %[[BEHIND:.+]] = arith.constant 192 : index
// CHECK: call @near(%{{.+}}, %[[BEHIND]])
func.func @distances(%a: memref<4096xi8>) {
  call @near(%a) : (memref<4096xi8>) -> ()
  call @before(%a) : (memref<4096xi8>) -> ()
  call @behind(%a) : (memref<4096xi8>) -> ()
  return
}
func.func private @near(%a: memref<4096xi8>) {
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %x = memref.view %a[%c64][] : memref<4096xi8> to memref<64xi8>
  memref.store %one, %x[%c64] : memref<64xi8>
  return
}
func.func private @before(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  memref.store %one, %x[%c64] : memref<64xi8>
  return
}
func.func private @behind(%a: memref<4096xi8>) {
  %c256 = arith.constant 256 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i8
  %x = memref.view %a[%c256][] : memref<4096xi8> to memref<64xi8>
  memref.store %one, %x[%c64] : memref<64xi8>
  return
}

// -----

// Layers that differ in anything else stay: a constant that is stored, an
// operand, a type, an attribute, an op, a region; so does what is named by other
// ops than calls.

// CHECK-LABEL: func.func @others(
// CHECK: call @zero(%arg0)
// CHECK: call @one(%arg0)
// CHECK: call @swapped(%arg0)
// CHECK: call @wide(%arg0)
// CHECK: call @twice(%arg0)
// CHECK: call @branch(%arg0)
// CHECK: call @named(%arg0)
// CHECK-COUNT-7: func.func private
func.func @others(%a: memref<4096xi8>) {
  %pointer = func.constant @named : (memref<4096xi8>) -> ()
  call @zero(%a) : (memref<4096xi8>) -> ()
  call @one(%a) : (memref<4096xi8>) -> ()
  call @swapped(%a) : (memref<4096xi8>) -> ()
  call @wide(%a) : (memref<4096xi8>) -> ()
  call @twice(%a) : (memref<4096xi8>) -> ()
  call @branch(%a) : (memref<4096xi8>) -> ()
  call @named(%a) : (memref<4096xi8>) -> ()
  return
}
func.func private @zero(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  %p = memref.load %x[%c0] : memref<64xi8>
  %q = memref.load %x[%c1] : memref<64xi8>
  %s = arith.subi %p, %q : i8
  memref.store %s, %x[%c0] : memref<64xi8>
  return
}
func.func private @one(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  %p = memref.load %x[%c0] : memref<64xi8>
  %q = memref.load %x[%c1] : memref<64xi8>
  %s = arith.subi %p, %q : i8
  memref.store %s, %x[%c1] : memref<64xi8>
  return
}
func.func private @swapped(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  %p = memref.load %x[%c0] : memref<64xi8>
  %q = memref.load %x[%c1] : memref<64xi8>
  %s = arith.subi %q, %p : i8
  memref.store %s, %x[%c0] : memref<64xi8>
  return
}
func.func private @wide(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<128xi8>
  %p = memref.load %x[%c0] : memref<128xi8>
  %q = memref.load %x[%c1] : memref<128xi8>
  %s = arith.subi %p, %q : i8
  memref.store %s, %x[%c0] : memref<128xi8>
  return
}
func.func private @twice(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  %p = memref.load %x[%c0] : memref<64xi8>
  %q = memref.load %x[%c1] : memref<64xi8>
  %s = arith.subi %p, %q : i8
  memref.store %s, %x[%c0] : memref<64xi8>
  memref.store %s, %x[%c0] : memref<64xi8>
  return
}
func.func private @branch(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  scf.for %i = %c0 to %c1 step %c1 {
    %p = memref.load %x[%c0] : memref<64xi8>
    %q = memref.load %x[%c1] : memref<64xi8>
    %s = arith.subi %p, %q : i8
    memref.store %s, %x[%c0] : memref<64xi8>
  }
  return
}
func.func private @named(%a: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = memref.view %a[%c0][] : memref<4096xi8> to memref<64xi8>
  %p = memref.load %x[%c0] : memref<64xi8>
  %q = memref.load %x[%c1] : memref<64xi8>
  %s = arith.subi %p, %q : i8
  memref.store %s, %x[%c0] : memref<64xi8>
  return
}

// -----

// One attribute, two types: 1 byte and 24.

// CHECK-LABEL: func.func @types(
// CHECK: call @byte
// CHECK: call @words
func.func @types(%a: memref<64xi8>) {
  call @byte(%a) : (memref<64xi8>) -> ()
  call @words(%a) : (memref<64xi8>) -> ()
  return
}
func.func private @byte(%a: memref<64xi8>) {
  %at = memref.extract_aligned_pointer_as_index %a : memref<64xi8> -> index
  %bits = arith.index_cast %at : index to i64
  %to = llvm.inttoptr %bits : i64 to !llvm.ptr
  %zero = llvm.mlir.zero : !llvm.struct<(i8)>
  llvm.store %zero, %to : !llvm.struct<(i8)>, !llvm.ptr
  return
}
func.func private @words(%a: memref<64xi8>) {
  %at = memref.extract_aligned_pointer_as_index %a : memref<64xi8> -> index
  %bits = arith.index_cast %at : index to i64
  %to = llvm.inttoptr %bits : i64 to !llvm.ptr
  %zero = llvm.mlir.zero : !llvm.struct<(i64, i64, i64)>
  llvm.store %zero, %to : !llvm.struct<(i64, i64, i64)>, !llvm.ptr
  return
}

// -----

// What is promised of arguments is part of a function, and what is passed on
// stays: only the last two are alike.

// CHECK-LABEL: func.func @attributes(
// CHECK: call @apart(
// CHECK: call @alike(
// CHECK: call @cold(
// CHECK: call @cold(
// CHECK: func.func private @apart(%{{.+}}: memref<64xi8> {llvm.noalias})
// CHECK: func.func private @alike(%{{.+}}: memref<64xi8>)
// CHECK: func.func private @cold(
// CHECK-SAME: passthrough = ["cold", "noinline"]
func.func @attributes(%a: memref<64xi8>) {
  call @apart(%a) : (memref<64xi8>) -> ()
  call @alike(%a) : (memref<64xi8>) -> ()
  call @cold(%a) : (memref<64xi8>) -> ()
  call @colder(%a) : (memref<64xi8>) -> ()
  return
}
func.func private @apart(%a: memref<64xi8> {llvm.noalias}) {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}
func.func private @alike(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}
func.func private @cold(%a: memref<64xi8>) attributes {passthrough = ["cold"]} {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}
func.func private @colder(%a: memref<64xi8>) attributes {passthrough = ["cold"]} {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}

// -----

// What calls, also from inside a loop, stays, and its calls are found; so does
// what has several blocks. Tables are told apart.

// CHECK-LABEL: func.func @callers(
// CHECK: call @outer0(
// CHECK: call @outer1(
// CHECK: call @blocks0(
// CHECK: call @blocks1(
// CHECK: call @table0(
// CHECK: call @table1(
// CHECK: func.func private @outer0(
// CHECK: call @leaf0(
// CHECK: func.func private @outer1(
// CHECK: call @leaf0(
// CHECK: func.func private @leaf0(
// CHECK-NOT: func.func private @leaf1(
memref.global "private" constant @one : memref<1xi8> = dense<1>
memref.global "private" constant @two : memref<1xi8> = dense<2>
func.func @callers(%a: memref<64xi8>) {
  call @outer0(%a) : (memref<64xi8>) -> ()
  call @outer1(%a) : (memref<64xi8>) -> ()
  call @blocks0(%a) : (memref<64xi8>) -> ()
  call @blocks1(%a) : (memref<64xi8>) -> ()
  call @table0(%a) : (memref<64xi8>) -> ()
  call @table1(%a) : (memref<64xi8>) -> ()
  return
}
func.func private @outer0(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %c1 step %c1 {
    func.call @leaf0(%a) : (memref<64xi8>) -> ()
  }
  return
}
func.func private @outer1(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %c1 step %c1 {
    func.call @leaf1(%a) : (memref<64xi8>) -> ()
  }
  return
}
func.func private @leaf0(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}
func.func private @leaf1(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}
func.func private @blocks0(%a: memref<64xi8>) {
  cf.br ^end
^end:
  return
}
func.func private @blocks1(%a: memref<64xi8>) {
  cf.br ^end
^end:
  return
}
func.func private @table0(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %t = memref.get_global @one : memref<1xi8>
  %x = memref.load %t[%c0] : memref<1xi8>
  memref.store %x, %a[%c0] : memref<64xi8>
  return
}
func.func private @table1(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %t = memref.get_global @two : memref<1xi8>
  %x = memref.load %t[%c0] : memref<1xi8>
  memref.store %x, %a[%c0] : memref<64xi8>
  return
}

// -----

// A call that says more than whom it calls keeps its function.

// CHECK-LABEL: func.func @hints(
// CHECK: call @hinted(%{{.+}}) {hint = @other}
// CHECK: call @other(
func.func @hints(%a: memref<64xi8>) {
  call @hinted(%a) {hint = @other} : (memref<64xi8>) -> ()
  call @other(%a) : (memref<64xi8>) -> ()
  return
}
func.func private @hinted(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}
func.func private @other(%a: memref<64xi8>) {
  %c0 = arith.constant 0 : index
  %x = memref.load %a[%c0] : memref<64xi8>
  return
}
