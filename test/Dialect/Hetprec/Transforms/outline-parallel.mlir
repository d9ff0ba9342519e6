// RUN: sysmol-opt %s --split-input-file --verify-diagnostics --hetprec-outline-parallel="grain=100" | FileCheck %s
// RUN: sysmol-opt %s --split-input-file --verify-diagnostics --hetprec-outline-parallel="grain=40000" | FileCheck %s --check-prefix=COARSE
// RUN: sysmol-opt %s --split-input-file --verify-diagnostics --hetprec-outline-parallel="grain=100 max-tasks=1" | FileCheck %s --check-prefix=INORDER
// RUN: sysmol-opt %s --split-input-file --verify-diagnostics --hetprec-outline-parallel="grain=40000 fewest-ops=8" | FileCheck %s --check-prefix=CALLED

// INORDER-LABEL: func.func @network(
// INORDER-NOT: llvm.call
// INORDER: return

// Loops that touch different bytes are one set of tasks, each with a part of
// both; the one that reads what they write is another.

// CHECK-LABEL: func.func @network(
// CHECK-SAME: %[[W:.+]]: memref<4096xi8>, %[[A:.+]]: memref<8192xi8>, %[[RT:.+]]: !llvm.ptr, %[[IN:.+]]: memref<4096xi8>)
// CHECK: %[[FRAME:.+]] = llvm.alloca
// CHECK: llvm.store
// CHECK: llvm.store
// CHECK: llvm.store
// CHECK: %[[NULL:.+]] = llvm.mlir.zero
// CHECK: %[[ISNULL:.+]] = llvm.icmp "eq" %[[RT]], %[[NULL]]
// CHECK: %[[PICK:.+]]:2 = scf.if %[[ISNULL]]
// CHECK: constant @network_serial
// CHECK: else
// CHECK: llvm.load %[[RT]]
// CHECK-NOT: scf.for
// CHECK: %[[TASKS0:.+]] = arith.constant 8 : i32
// CHECK: constant @network_task0
// CHECK: llvm.call %[[PICK]]#1(%[[PICK]]#0, %[[TASKS0]], %{{.+}}, %[[FRAME]])
// CHECK-NOT: scf.for
// CHECK: %[[TASKS1:.+]] = arith.constant 8 : i32
// CHECK: constant @network_task1
// CHECK: llvm.call %[[PICK]]#1(%[[PICK]]#0, %[[TASKS1]], %{{.+}}, %[[FRAME]])
// CHECK-NOT: llvm.call
// CHECK: return

// CHECK: func.func private @network_serial(
// CHECK-SAME: llvm.linkage = #llvm.linkage<internal>
// CHECK: scf.for
// CHECK: llvm.call

// Four ranges of the loop inside, each for both halves of the outer one: what
// follows each other in memory comes first.
// CHECK: func.func private @network_body1(
// CHECK-SAME: memref<4096xi8> {llvm.noalias}, %{{.+}}: memref<8192xi8> {llvm.noalias}, %{{.+}}: memref<4096xi8> {llvm.noalias}, %[[T1:.+]]: index
// CHECK: %[[MAJOR:.+]] = arith.divui %[[T1]], %{{.+}} : index
// CHECK: %[[MINOR:.+]] = arith.remui %[[T1]], %{{.+}} : index
// CHECK: %[[C400:.+]] = arith.constant 400 : index
// CHECK: arith.muli %[[MAJOR]], %[[C400]]
// CHECK: arith.muli %[[MINOR]],
// CHECK: scf.for
// CHECK: scf.for
// CHECK: func.func private @network_task1(%[[F:.+]]: !llvm.ptr, %{{.+}}: i32)
// CHECK: llvm.load
// CHECK: call @network_body1

// Every task has a part of the first statement, every second one of the other.
// CHECK: func.func private @network_body0(
// CHECK-SAME: %[[T0:[a-z0-9]+]]: index)
// CHECK-NOT: scf.if
// CHECK: arith.muli %[[T0]],
// CHECK: scf.for
// CHECK: memref.load
// CHECK: %[[PART:.+]] = arith.divui %[[T0]],
// CHECK: arith.remui %[[T0]],
// CHECK: scf.if
// CHECK: arith.divui %[[PART]],
// CHECK: arith.remui %[[PART]],
// CHECK: scf.for
// CHECK: memref.store

// Too little for a fork, but not for a function: the first level, of two loops;
// the second has seven ops with those of both loops' ends, and stays.
// CALLED-LABEL: func.func @network(
// CALLED-SAME: %[[W:.+]]: memref<4096xi8>, %[[A:.+]]: memref<8192xi8>, %{{.+}}: !llvm.ptr, %[[IN:.+]]: memref<4096xi8>)
// CALLED-NOT: scf.for
// CALLED: call @network_body0(%[[W]], %[[A]], %[[IN]], %{{[a-z0-9_]+}}) :
// CALLED-NOT: call
// CALLED: scf.for
// CALLED: scf.for
// CALLED: return
// CALLED: func.func private @network_body0(
// CALLED-SAME: llvm.linkage = #llvm.linkage<internal>, passthrough = ["noinline"]
// CALLED-COUNT-4: scf.for
// CALLED: return

// Too little for either.
// COARSE-LABEL: func.func @network(
// COARSE-SAME: !llvm.ptr
// COARSE-NOT: llvm.call
// COARSE-NOT: private
// COARSE: return
func.func @network(%weights: memref<4096xi8>, %arena: memref<8192xi8>, %in: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c8 = arith.constant 8 : index
  %c400 = arith.constant 400 : index
  %c512 = arith.constant 512 : index
  %c4096 = arith.constant 4096 : index
  %zero = arith.constant 0 : i8
  %a = memref.view %arena[%c0][] : memref<8192xi8> to memref<8x512xi8>
  %b = memref.view %arena[%c4096][] : memref<8192xi8> to memref<2x400xi8>
  scf.for %i = %c0 to %c8 step %c1 {
    scf.for %j = %c0 to %c512 step %c1 {
      %x = memref.load %weights[%j] : memref<4096xi8>
      memref.store %x, %a[%i, %j] : memref<8x512xi8>
    }
  } {hetprec.parallel}
  scf.parallel (%i, %j) = (%c0, %c0) to (%c2, %c2) step (%c1, %c1) {
    memref.store %zero, %b[%i, %j] : memref<2x400xi8>
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%c2, %c400) step (%c1, %c1) {
    %x = memref.load %a[%i, %j] : memref<8x512xi8>
    memref.store %x, %b[%i, %j] : memref<2x400xi8>
  }
  return
}

// -----

// What is no parallel loop belongs to one task; a loop behind it that needs
// nothing of it runs beside it. A prefetch is no need.

// CHECK-LABEL: func.func @loose(
// CHECK: %[[TASKS:.+]] = arith.constant 8 : i32
// CHECK: llvm.call %{{.+}}(%{{.+}}, %[[TASKS]],
// CHECK-NOT: llvm.call
// CHECK: return
// CHECK: func.func private @loose_body0(
// CHECK-SAME: %[[TASK:[a-z0-9]+]]: index)
// CHECK: %[[REST:.+]] = arith.remui %[[TASK]],
// CHECK: %[[OURS:.+]] = arith.cmpi eq, %[[REST]], %{{.+}} : index
// CHECK: scf.if %[[OURS]]
// CHECK: memref.load
// CHECK: arith.addi
// CHECK: memref.store
func.func @loose(%weights: memref<64xi8>, %arena: memref<8192xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c512 = arith.constant 512 : index
  %c4096 = arith.constant 4096 : index
  %zero = arith.constant 0 : i8
  %a = memref.view %arena[%c0][] : memref<8192xi8> to memref<8x512xi8>
  %b = memref.view %arena[%c4096][] : memref<8192xi8> to memref<1xi8>
  %x = memref.load %weights[%c1] : memref<64xi8>
  %y = arith.addi %x, %x : i8
  memref.store %y, %b[%c0] : memref<1xi8>
  scf.for %i = %c0 to %c8 step %c1 {
    scf.for %j = %c0 to %c512 step %c1 {
      memref.prefetch %weights[%i], read, locality<3>, data : memref<64xi8>
      memref.store %zero, %a[%i, %j] : memref<8x512xi8>
    }
  } {hetprec.parallel}
  return
}

// -----

// Scratch memory binds no statements together: each function of tasks has its own.

// CHECK-LABEL: func.func @scratch(
// CHECK: llvm.call
// CHECK: return
// CHECK: func.func private @scratch_body0(
// CHECK: memref.alloca() {alignment = 64 : i64} : memref<64xi8>
// CHECK: scf.for
func.func @scratch(%weights: memref<64xi8>, %arena: memref<8192xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8192 = arith.constant 8192 : index
  %own = memref.alloca() {alignment = 64 : i64} : memref<64xi8>
  scf.for %i = %c0 to %c8192 step %c1 {
    %x = memref.load %weights[%c1] : memref<64xi8>
    memref.store %x, %own[%c0] : memref<64xi8>
    %y = memref.load %own[%c0] : memref<64xi8>
    memref.store %y, %arena[%i] : memref<8192xi8>
  } {hetprec.parallel}
  return
}

// -----

// Nothing passes a clock: two loops that could run at the same time do not.

// CHECK-LABEL: func.func @clock(
// CHECK: llvm.call %{{.+}}#1(
// CHECK: llvm.call_intrinsic "llvm.readcyclecounter"
// CHECK: memref.store
// CHECK: llvm.call %{{.+}}#1(
// CHECK: return
func.func @clock(%weights: memref<64xi8>, %arena: memref<8192xi8>, %times: memref<1xi64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4096 = arith.constant 4096 : index
  %zero = arith.constant 0 : i8
  %b = memref.view %arena[%c4096][] : memref<8192xi8> to memref<4096xi8>
  %a = memref.view %arena[%c0][] : memref<8192xi8> to memref<4096xi8>
  scf.for %i = %c0 to %c4096 step %c1 {
    memref.store %zero, %a[%i] : memref<4096xi8>
  } {hetprec.parallel}
  %now = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
  memref.store %now, %times[%c0] : memref<1xi64>
  scf.for %i = %c0 to %c4096 step %c1 {
    memref.store %zero, %b[%i] : memref<4096xi8>
  } {hetprec.parallel}
  return
}

// -----

// A value that one statement gives another keeps the function as it is.

// CHECK-LABEL: func.func @serial(
// CHECK-NOT: llvm.call
// CHECK: scf.for
// CHECK: return
func.func @serial(%weights: memref<64xi8>, %arena: memref<8192xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8192 = arith.constant 8192 : index
  %x = memref.load %weights[%c1] : memref<64xi8>
  scf.for %i = %c0 to %c8192 step %c1 {
    memref.store %x, %arena[%i] : memref<8192xi8>
  } {hetprec.parallel}
  return
}

// -----

// What a loop carries may be any of the arguments: the second loop, which reads
// what the first one writes through it, waits for it.
// CHECK-LABEL: func.func @carried
// CHECK: llvm.call
// CHECK: llvm.call
func.func @carried(%weights: memref<64xi8>, %arena: memref<64xi8>, %x: memref<8192xi8>, %o: memref<8192xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8192 = arith.constant 8192 : index
  scf.for %i = %c0 to %c8192 step %c1 {
    %r = scf.for %j = %c0 to %c1 step %c1 iter_args(%m = %o) -> memref<8192xi8> {
      %v = memref.load %x[%i] : memref<8192xi8>
      memref.store %v, %m[%i] : memref<8192xi8>
      scf.yield %m : memref<8192xi8>
    }
  } {hetprec.parallel}
  scf.for %i = %c0 to %c8192 step %c1 {
    %v = memref.load %o[%i] : memref<8192xi8>
    memref.store %v, %x[%i] : memref<8192xi8>
  } {hetprec.parallel}
  return
}

// -----

// expected-error @below {{arguments must be arrays of static shape, found 'memref<?xi8>'}}
func.func @dynamic(%weights: memref<64xi8>, %arena: memref<?xi8>) {
  return
}

// -----

// expected-error @below {{must be one block of loops; run before they are lowered to branches}}
func.func @branches(%weights: memref<64xi8>, %arena: memref<64xi8>) {
  cf.br ^end
^end:
  return
}

// -----

// What each iteration puts in scratch memory first may be repeated where it is
// little: here for each of eight ranges of the loop inside. Where it is as much
// as that loop, tasks have iterations of the outer one alone.

// CHECK-LABEL: func.func @prologue(
// CHECK: func.func private @prologue_body1(
// CHECK-SAME: %[[T1:[a-z0-9]+]]: index)
// CHECK-NOT: arith.remui
// CHECK: return
// CHECK: func.func private @prologue_body0(
// CHECK-SAME: %[[T0:[a-z0-9]+]]: index)
// CHECK: %[[MAJOR:.+]] = arith.divui %[[T0]],
// CHECK: %[[MINOR:.+]] = arith.remui %[[T0]],
// CHECK: arith.muli %[[MAJOR]],
// CHECK: arith.muli %[[MINOR]],
// CHECK: scf.for
// CHECK: memref.store %{{.+}}, %{{.+}}[%c0{{[_0-9]*}}] : memref<64xi8>
// CHECK: scf.for
// CHECK: memref.load %{{.+}} : memref<64xi8>
func.func @prologue(%weights: memref<4096xi8>, %arena: memref<8192xi8>, %in: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c64 = arith.constant 64 : index
  %c512 = arith.constant 512 : index
  %scratch = memref.alloca() : memref<64xi8>
  %a = memref.view %arena[%c0][] : memref<8192xi8> to memref<2x512xi8>
  scf.for %i = %c0 to %c2 step %c1 {
    %x = memref.load %weights[%i] : memref<4096xi8>
    memref.store %x, %scratch[%c0] : memref<64xi8>
    scf.for %j = %c0 to %c512 step %c1 {
      %y = memref.load %scratch[%c0] : memref<64xi8>
      memref.store %y, %a[%i, %j] : memref<2x512xi8>
    } {hetprec.parallel}
  } {hetprec.parallel}
  scf.for %i = %c0 to %c2 step %c1 {
    scf.for %k = %c0 to %c512 step %c1 {
      %x = memref.load %weights[%k] : memref<4096xi8>
      memref.store %x, %scratch[%c0] : memref<64xi8>
    }
    scf.for %j = %c0 to %c512 step %c1 {
      %y = memref.load %scratch[%c0] : memref<64xi8>
      memref.store %y, %a[%i, %j] : memref<2x512xi8>
    } {hetprec.parallel}
  } {hetprec.parallel}
  return
}

// -----

// What the loop inside writes is not read anew for each of its parts, and what
// stands behind that loop is not repeated.

// CHECK-LABEL: func.func @hazards(
// CHECK: func.func private @hazards_body1(
// CHECK-NOT: arith.remui
// CHECK: func.func private @hazards_body0(
// CHECK-NOT: arith.remui
// CHECK: return
func.func @hazards(%weights: memref<4096xi8>, %arena: memref<8192xi8>, %in: memref<4096xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c512 = arith.constant 512 : index
  %scratch = memref.alloca() : memref<64xi8>
  %a = memref.view %arena[%c0][] : memref<8192xi8> to memref<2x512xi8>
  scf.for %i = %c0 to %c2 step %c1 {
    %x = memref.load %a[%i, %c0] : memref<2x512xi8>
    memref.store %x, %scratch[%c0] : memref<64xi8>
    scf.for %j = %c0 to %c512 step %c1 {
      %y = memref.load %scratch[%c0] : memref<64xi8>
      %z = memref.load %a[%i, %j] : memref<2x512xi8>
      %sum = arith.addi %y, %z : i8
      memref.store %sum, %a[%i, %j] : memref<2x512xi8>
    } {hetprec.parallel}
  } {hetprec.parallel}
  scf.for %i = %c0 to %c2 step %c1 {
    scf.for %j = %c0 to %c512 step %c1 {
      %y = memref.load %weights[%j] : memref<4096xi8>
      memref.store %y, %a[%i, %j] : memref<2x512xi8>
    } {hetprec.parallel}
    %x = memref.load %weights[%i] : memref<4096xi8>
    memref.store %x, %scratch[%c0] : memref<64xi8>
  } {hetprec.parallel}
  return
}
