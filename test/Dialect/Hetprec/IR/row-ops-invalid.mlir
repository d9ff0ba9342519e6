// RUN: sysmol-opt %s --split-input-file --verify-diagnostics

func.func @level(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{HP1: level 3 must be 1, 2, 4 or 8 bits}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 3>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @byte_words(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{byte_words of level 2 must be in [12, 252], a multiple of 4, found 18}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, centred, byte_words = array<i64: 18>, tile_blocks = 1}
  return
}

// -----

func.func @levels(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{needs rows and a coefficient for each level}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @coefficients(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{needs rows and a coefficient for each level}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2, 3>, tile_blocks = 1}
  return
}

// -----

func.func @many(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{HP2: needs one to three segments}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1, 2, 4, 8>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @blocks(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{tile_blocks must be at least 1}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 0}
  return
}

// -----

func.func @rank(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<64xi32>) {
  // expected-error @+1 {{init is [rows, outputs], weights [tiles, bytes]}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @rows(%r: memref<2x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{rows and init differ in their rows}}
  hetprec.gemv accumulator rows(%r : memref<2x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @words(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{row words of level 4 have 32 bits, found 'memref<1x1xi8>'}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 4>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @bytes(%r: memref<1x1xi8>, %w: memref<1x65xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{a tile of weights has 64 bytes, found 'memref<1x65xi8>'}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x65xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @outputs(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x65xi32>) {
  // expected-error @+1 {{1 tiles of 64 outputs do not fit 65 outputs}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x65xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @tiles(%r: memref<1x1xi8>, %w: memref<2x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{2 tiles of 64 outputs do not fit 64 outputs}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<2x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @table(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>, %t: memref<32xi32>) {
  // expected-error @+1 {{tables have one entry for each of 64 lanes, found 'memref<32xi32>'}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) lane_bias(%t : memref<32xi32>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @bias(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>, %t: memref<2xi32>) {
  // expected-error @+1 {{row_bias has one number a row}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) row_bias(%t : memref<2xi32>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @multiplier(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi16>) {
  // expected-error @+1 {{this epilogue needs a multiplier}}
  hetprec.gemv carrier rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi16>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @relu(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi32>) {
  // expected-error @+1 {{relu is for carriers}}
  hetprec.gemv accumulator rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) outs(%out : memref<1x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1, relu}
  return
}

// -----

func.func @offset(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xf32>, %t: memref<64xf32>) {
  // expected-error @+1 {{this epilogue needs an offset}}
  hetprec.gemv real rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) multiplier(%t : memref<64xf32>) outs(%out : memref<1x64xf32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @out_levels(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi8>, %t: memref<64xf32>) {
  // expected-error @+1 {{codes need out_levels}}
  hetprec.gemv codes rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) multiplier(%t : memref<64xf32>) offset(%t : memref<64xf32>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1}
  return
}

// -----

func.func @out_level(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi8>, %t: memref<64xf32>) {
  // expected-error @+1 {{HP1: level 3 must be 1, 2, 4 or 8 bits}}
  hetprec.gemv codes rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) multiplier(%t : memref<64xf32>) offset(%t : memref<64xf32>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1, out_levels = array<i64: 3>}
  return
}

// -----

func.func @out_bits(%r: memref<1x1xi8>, %w: memref<1x64xi8>, %out: memref<1x64xi8>, %t: memref<64xf32>) {
  // expected-error @+1 {{codes of several precisions need out_bits}}
  hetprec.gemv codes rows(%r : memref<1x1xi8>) weights(%w : memref<1x64xi8>) multiplier(%t : memref<64xf32>) offset(%t : memref<64xf32>) outs(%out : memref<1x64xi8>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 1, out_levels = array<i64: 1, 2>}
  return
}

// -----

func.func @pack_level(%x: memref<1x20xi8>, %out: memref<1x3xi8>) {
  // expected-error @+1 {{HP1: level 0 must be 1, 2, 4 or 8 bits}}
  hetprec.pack_rows %x : memref<1x20xi8> outs(%out : memref<1x3xi8>) {level = 0, first = 0, count = 20}
  return
}

// -----

func.func @pack_range(%x: memref<1x20xi8>, %out: memref<1x3xi8>) {
  // expected-error @+1 {{the segment must be channels of the input}}
  hetprec.pack_rows %x : memref<1x20xi8> outs(%out : memref<1x3xi8>) {level = 1, first = 1, count = 20}
  return
}

// -----

func.func @pack_words(%x: memref<1x20xi8>, %out: memref<1x3xi8>) {
  // expected-error @+1 {{the init must have 7 words of 8 bits for each row}}
  hetprec.pack_rows %x : memref<1x20xi8> outs(%out : memref<1x3xi8>) {level = 2, first = 0, count = 20}
  return
}

// -----

func.func @sum_segments(%x: memref<1x20xi8>, %out: memref<1xi32>) {
  // expected-error @+1 {{needs a first channel, a count and a coefficient for each segment}}
  hetprec.sum_rows %x : memref<1x20xi8> outs(%out : memref<1xi32>) {firsts = array<i64: 0>, counts = array<i64: 20>, coefficients = array<i64>}
  return
}

// -----

func.func @sum_range(%x: memref<1x20xi8>, %out: memref<1xi32>) {
  // expected-error @+1 {{the segments must be channels of the input}}
  hetprec.sum_rows %x : memref<1x20xi8> outs(%out : memref<1xi32>) {firsts = array<i64: 1>, counts = array<i64: 20>, coefficients = array<i64: 1>}
  return
}

// -----

func.func @sum_rows(%x: memref<2x20xi8>, %out: memref<1xi32>) {
  // expected-error @+1 {{init has one i32 for each row}}
  hetprec.sum_rows %x : memref<2x20xi8> outs(%out : memref<1xi32>) {firsts = array<i64: 0>, counts = array<i64: 20>, coefficients = array<i64: 1>}
  return
}

// -----

func.func @mac(%s: vector<64xi8>, %w: i8) -> vector<64xi8> {
  // expected-error @+1 {{signed_lanes is for level 8}}
  %r = hetprec.mac %s, %s, %w level = 1 {signed_lanes} : vector<64xi8>, vector<64xi8>, i8
  return %r : vector<64xi8>
}
