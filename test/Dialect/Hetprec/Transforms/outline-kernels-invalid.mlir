// RUN: sysmol-opt %s --hetprec-outline-kernels --split-input-file --verify-diagnostics

// expected-error @+1 {{takes 'tensor<2x2xindex>'; GPU kernels take tensors of static shape and rank 2 or 4, of f32, i32, i16, or i8 with a #hetprec.channels encoding}}
func.func @index(%x: tensor<2x2xindex>) -> tensor<2x2xindex> {
  return %x : tensor<2x2xindex>
}

// -----

// expected-error @+1 {{takes 'tensor<1x2x3xf32>'; GPU kernels take}}
func.func @rank(%x: tensor<1x2x3xf32>) -> tensor<1x2x3xf32> {
  return %x : tensor<1x2x3xf32>
}

// -----

// expected-error @+1 {{takes 'tensor<?x2xf32>'; GPU kernels take}}
func.func @dynamic(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
  return %x : tensor<?x2xf32>
}

// -----

func.func @made(%x: tensor<2x2xf32>) -> tensor<2x2xf16> {
  // expected-error @+1 {{makes 'tensor<2x2xf16>'; GPU kernels make tensors of static shape}}
  %y = arith.truncf %x : tensor<2x2xf32> to tensor<2x2xf16>
  return %y : tensor<2x2xf16>
}

// -----

func.func @nothing(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  // expected-error @+1 {{makes 0 values; a GPU kernel makes one tensor}}
  call @effect() : () -> ()
  return %x : tensor<2x2xf32>
}
func.func private @effect()
