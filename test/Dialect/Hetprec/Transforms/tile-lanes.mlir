// RUN: sysmol-opt %s --hetprec-tile-lanes --canonicalize | FileCheck %s
// RUN: sysmol-opt %s --hetprec-tile-lanes=row-tile=2 --canonicalize | FileCheck %s --check-prefix=TWO
// RUN: not sysmol-opt %s --hetprec-tile-lanes=row-tile=0 2>&1 | FileCheck %s --check-prefix=ZERO

// ZERO: error: row-tile and lane-blocks must be at least 1

// Planes: the largest number of rows up to four that divides them, and two blocks
// of lanes.
// CHECK-LABEL: @planes
// CHECK-SAME: %[[A:.+]]: tensor<4x256xi8>, %[[W:.+]]: tensor<6x4xi8>, %[[INIT:.+]]: tensor<6x256xi32>
// CHECK: scf.for %[[R:.+]] = %c0 to %c6 step %c3 iter_args(%[[OUT:.+]] = %[[INIT]])
// CHECK-DAG: %[[LANES:.+]] = tensor.extract_slice %[[A]][0, 64] [4, 128] [1, 1]
// CHECK-DAG: %[[ROWS:.+]] = tensor.extract_slice %[[W]][%[[R]], 0] [3, 4] [1, 1]
// CHECK-DAG: %[[TILE:.+]] = tensor.extract_slice %[[OUT]][%[[R]], 64] [3, 128] [1, 1]
// CHECK: %[[NEW:.+]] = hetprec.contract accumulator lanes(%[[LANES]] : tensor<4x128xi8>) rows(%[[ROWS]] : tensor<3x4xi8>) outs(%[[TILE]] : tensor<3x128xi32>)
// CHECK-SAME: lane_begin = 0 : i64, lane_count = 128 : i64
// CHECK-SAME: origin = 0
// CHECK: tensor.insert_slice %[[NEW]] into %[[OUT]][%[[R]], 64] [3, 128] [1, 1]
// TWO-LABEL: @planes
// TWO: scf.for %{{.+}} = %c0 to %c6 step %c2
func.func @planes(%a: tensor<4x256xi8>, %w: tensor<6x4xi8>, %init: tensor<6x256xi32>) -> tensor<6x256xi32> {
  %r = hetprec.contract accumulator lanes(%a : tensor<4x256xi8>) rows(%w : tensor<6x4xi8>) outs(%init : tensor<6x256xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 64, lane_count = 128} -> tensor<6x256xi32>
  return %r : tensor<6x256xi32>
}

// Codes: one word, its three rows with their thresholds. Of three blocks the last
// is split off, so that the tile before it has two. The lanes begin at the
// window's origin and reach as far as its last tap: 64 - 5 = 59, 128 + 10.
// CHECK-LABEL: @codes
// CHECK-SAME: %[[A:.+]]: tensor<1x320xi8>, %[[W:.+]]: tensor<6x3xi8>, %[[INIT:.+]]: tensor<2x320xi8>, %[[T:.+]]: tensor<6x3xi16>, %[[M:.+]]: tensor<320xi8>
// CHECK: %[[FIRST:.+]] = scf.for %[[WORD:.+]] = %c0 to %c2 step %c1 iter_args(%{{.+}} = %[[INIT]])
// CHECK-DAG: %[[ROW:.+]] = affine.apply #[[TIMES3:.+]](%[[WORD]])
// CHECK-DAG: tensor.extract_slice %[[A]][0, 59] [1, 138] [1, 1]
// CHECK-DAG: tensor.extract_slice %[[W]][%[[ROW]], 0] [3, 3] [1, 1]
// CHECK-DAG: tensor.extract_slice %[[T]][%[[ROW]], 0] [3, 3] [1, 1]
// CHECK-DAG: tensor.extract_slice %[[M]][64] [128] [1]
// CHECK-DAG: tensor.extract_slice %{{.+}}[%[[WORD]], 64] [1, 128] [1, 1]
// CHECK: hetprec.contract codes
// CHECK-SAME: lane_begin = 0 : i64, lane_count = 128 : i64
// CHECK-SAME: origin = 0 : i64
// CHECK-SAME: taps = array<i64: 0, 5, 10>
// The last block alone: both words at once.
// CHECK: scf.yield
// CHECK-DAG: tensor.extract_slice %[[A]][0, 187] [1, 74] [1, 1]
// CHECK-DAG: tensor.extract_slice %[[FIRST]][0, 192] [2, 64] [1, 1]
// CHECK: hetprec.contract codes
// CHECK-SAME: lane_begin = 0 : i64, lane_count = 64 : i64
func.func @codes(%a: tensor<1x320xi8>, %w: tensor<6x3xi8>, %init: tensor<2x320xi8>, %t: tensor<6x3xi16>, %mask: tensor<320xi8>) -> tensor<2x320xi8> {
  %r = hetprec.contract codes lanes(%a : tensor<1x320xi8>) rows(%w : tensor<6x3xi8>) thresholds(%t : tensor<6x3xi16>) mask(%mask : tensor<320xi8>) outs(%init : tensor<2x320xi8>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0, 5, 10>, origin = -5, lane_begin = 64, lane_count = 192, out_level = 2, sum_bits = 16} -> tensor<2x320xi8>
  return %r : tensor<2x320xi8>
}

// Seven rows fill two words of three and one in part, which is split off: no
// sums for slots that no channel fills.
// CHECK-LABEL: @last_word
// CHECK-SAME: %[[A:.+]]: tensor<1x128xi8>, %[[W:.+]]: tensor<7x1xi8>, %[[INIT:.+]]: tensor<3x128xi8>, %[[T:.+]]: tensor<7x3xi16>
// CHECK: scf.for %{{.+}} = %c0 to %c2 step %c1
// CHECK: hetprec.contract codes {{.+}} rows(%{{.+}} : tensor<3x1xi8>)
// CHECK: tensor.extract_slice %[[W]][6, 0] [1, 1] [1, 1]
// CHECK: tensor.extract_slice %[[T]][6, 0] [1, 3] [1, 1]
// CHECK: hetprec.contract codes {{.+}} rows(%{{.+}} : tensor<1x1xi8>) {{.+}} outs(%{{.+}} : tensor<1x128xi8>)
func.func @last_word(%a: tensor<1x128xi8>, %w: tensor<7x1xi8>, %init: tensor<3x128xi8>, %t: tensor<7x3xi16>, %mask: tensor<128xi8>) -> tensor<3x128xi8> {
  %r = hetprec.contract codes lanes(%a : tensor<1x128xi8>) rows(%w : tensor<7x1xi8>) thresholds(%t : tensor<7x3xi16>) mask(%mask : tensor<128xi8>) outs(%init : tensor<3x128xi8>)
    {levels = array<i64: 2>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 128, out_level = 2, sum_bits = 16} -> tensor<3x128xi8>
  return %r : tensor<3x128xi8>
}

// A lane bias is read by lanes, whole: `bias_rows` names its rows. A pixelwise
// row bias is read by rows and lanes.
// CHECK-LABEL: @biases
// CHECK-SAME: %[[LB:[a-z0-9]+]]: tensor<2x64xi32>, %[[BR:[a-z0-9]+]]: tensor<4xi32>, %[[RB:[a-z0-9]+]]: tensor<4x64xi32>, %[[ST:[a-z0-9]+]]: tensor<4xi32>
// CHECK: hetprec.contract accumulator lanes(%{{.+}} : tensor<2x64xi8>) rows(%{{.+}} : tensor<1x1xi8>) starts(%{{.+}} : tensor<1xi32>) lane_bias(%{{.+}} : tensor<2x64xi32>) bias_rows(%{{.+}} : tensor<1xi32>) row_bias(%{{.+}} : tensor<1x64xi32>)
func.func @biases(%a: tensor<2x64xi8>, %w: tensor<4x1xi8>, %lb: tensor<2x64xi32>, %br: tensor<4xi32>, %rb: tensor<4x64xi32>, %st: tensor<4xi32>, %init: tensor<4x64xi32>) -> tensor<4x64xi32> {
  %r = hetprec.contract accumulator lanes(%a : tensor<2x64xi8>) rows(%w : tensor<4x1xi8>) starts(%st : tensor<4xi32>) lane_bias(%lb : tensor<2x64xi32>) bias_rows(%br : tensor<4xi32>) row_bias(%rb : tensor<4x64xi32>) outs(%init : tensor<4x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<4x64xi32>
  return %r : tensor<4x64xi32>
}

// Rows that read the same groups may share a tile: here the first two and the
// last two, so that three or four at once would not do.
// CHECK-LABEL: @shared_starts
// CHECK: scf.for %{{.+}} = %c0 to %c4 step %c2
// CHECK: hetprec.contract accumulator {{.+}} starts(%{{.+}} : tensor<2xi32>)
// CHECK-SAME: shared_starts
func.func @shared_starts(%a: tensor<2x64xi8>, %w: tensor<4x1xi8>, %init: tensor<4x64xi32>) -> tensor<4x64xi32> {
  %st = arith.constant dense<[0, 0, 1, 1]> : tensor<4xi32>
  %r = hetprec.contract accumulator lanes(%a : tensor<2x64xi8>) rows(%w : tensor<4x1xi8>) starts(%st : tensor<4xi32>) outs(%init : tensor<4x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<4x64xi32>
  return %r : tensor<4x64xi32>
}

// CHECK-LABEL: @requantize
// CHECK-SAME: %[[X:.+]]: tensor<5x256xi16>, %[[C:.+]]: tensor<6xi16>, %[[T:.+]]: tensor<6x3xi16>, %[[S:.+]]: tensor<6xi16>
// CHECK: scf.for %[[WORD:.+]] = %c0 to %c2 step %c1
// CHECK: scf.for %[[LANE:.+]] = %c0 to %c256 step %c128
// CHECK-DAG: tensor.extract_slice %[[C]][%[[ROW:.+]]] [3] [1]
// CHECK-DAG: tensor.extract_slice %[[T]][%[[ROW]], 0] [3, 3] [1, 1]
// CHECK-DAG: tensor.extract_slice %[[S]][%[[ROW]]] [3] [1]
// All planes: they are read by number.
// CHECK-DAG: tensor.extract_slice %[[X]][0, %[[LANE]]] [5, 128] [1, 1]
// CHECK: hetprec.requantize_lanes
// CHECK-SAME: lane_begin = 0 : i64, lane_count = 128 : i64
func.func @requantize(%x: tensor<5x256xi16>, %c: tensor<6xi16>, %t: tensor<6x3xi16>, %s: tensor<6xi16>, %mask: tensor<256xi8>, %init: tensor<2x256xi8>) -> tensor<2x256xi8> {
  %r = hetprec.requantize_lanes %x channels(%c : tensor<6xi16>) thresholds(%t : tensor<6x3xi16>) signs(%s : tensor<6xi16>) mask(%mask : tensor<256xi8>) outs(%init : tensor<2x256xi8>) {out_level = 2, lane_begin = 0, lane_count = 256} : tensor<5x256xi16> -> tensor<2x256xi8>
  return %r : tensor<2x256xi8>
}

// One block of lanes: twice the rows, which are prefetched.
// CHECK-LABEL: @one_block
// CHECK: scf.for %{{.+}} = %c0 to %c16 step %c8
// CHECK: hetprec.contract accumulator
// CHECK-SAME: prefetch_rows
func.func @one_block(%a: tensor<1x64xi8>, %w: tensor<16x1xi8>, %init: tensor<16x64xi32>) -> tensor<16x64xi32> {
  %r = hetprec.contract accumulator lanes(%a : tensor<1x64xi8>) rows(%w : tensor<16x1xi8>) outs(%init : tensor<16x64xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<16x64xi32>
  return %r : tensor<16x64xi32>
}

// A gemv: one tile of outputs, with its weights, tables and columns.
// CHECK-LABEL: @gemv
// CHECK-SAME: %[[R:.+]]: tensor<2x5xi8>, %[[W:.+]]: tensor<3x640xi8>, %[[M:.+]]: tensor<384xf32>, %[[INIT:.+]]: tensor<2x384xi16>
// CHECK: scf.for %[[TILE:.+]] = %c0 to %c3 step %c1 iter_args(%[[OUT:.+]] = %[[INIT]])
// CHECK-DAG: %[[AT:.+]] = affine.apply #{{.+}}(%[[TILE]])
// CHECK-DAG: %[[LINE:.+]] = tensor.extract_slice %[[W]][%[[TILE]], 0] [1, 640] [1, 1]
// CHECK-DAG: %[[TABLE:.+]] = tensor.extract_slice %[[M]][%[[AT]]] [128] [1]
// CHECK-DAG: %[[COLUMNS:.+]] = tensor.extract_slice %[[OUT]][0, %[[AT]]] [2, 128] [1, 1]
// CHECK: %[[NEW:.+]] = hetprec.gemv carrier rows(%[[R]] : tensor<2x5xi8>) weights(%[[LINE]] : tensor<1x640xi8>) multiplier(%[[TABLE]] : tensor<128xf32>) outs(%[[COLUMNS]] : tensor<2x128xi16>)
// CHECK: tensor.insert_slice %[[NEW]] into %[[OUT]][0, %{{.+}}] [2, 128] [1, 1]
func.func @gemv(%r: tensor<2x5xi8>, %w: tensor<3x640xi8>, %m: tensor<384xf32>, %init: tensor<2x384xi16>) -> tensor<2x384xi16> {
  %y = hetprec.gemv carrier rows(%r : tensor<2x5xi8>) weights(%w : tensor<3x640xi8>) multiplier(%m : tensor<384xf32>) outs(%init : tensor<2x384xi16>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 2} -> tensor<2x384xi16>
  return %y : tensor<2x384xi16>
}

// One tile is one already, full or not.
// CHECK-LABEL: @gemv_rest
// CHECK-NOT: scf.for
// CHECK: hetprec.gemv
func.func @gemv_rest(%r: tensor<1x5xi8>, %w: tensor<1x640xi8>, %init: tensor<1x70xi32>) -> tensor<1x70xi32> {
  %y = hetprec.gemv accumulator rows(%r : tensor<1x5xi8>) weights(%w : tensor<1x640xi8>) outs(%init : tensor<1x70xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, tile_blocks = 2} -> tensor<1x70xi32>
  return %y : tensor<1x70xi32>
}

// The sums of outputs: one tile, with its weights and rows of the init.
// CHECK-LABEL: @contract_outputs
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<2x128xi8>, %[[W:[a-z0-9]+]]: tensor<3x256xi8>, %[[INIT:[a-z0-9]+]]: tensor<384x128xi32>
// CHECK: scf.for %[[TILE:.+]] = %c0 to %c3 step %c1 iter_args(%[[OUT:.+]] = %[[INIT]])
// CHECK-DAG: %[[AT:.+]] = affine.apply #{{.+}}(%[[TILE]])
// CHECK-DAG: %[[LINE:.+]] = tensor.extract_slice %[[W]][%[[TILE]], 0] [1, 256] [1, 1]
// CHECK-DAG: %[[ROWS:.+]] = tensor.extract_slice %[[OUT]][%[[AT]], 0] [128, 128] [1, 1]
// CHECK: %[[NEW:.+]] = hetprec.contract_outputs lanes(%[[A]] : tensor<2x128xi8>) weights(%[[LINE]] : tensor<1x256xi8>) outs(%[[ROWS]] : tensor<128x128xi32>)
// CHECK: tensor.insert_slice %[[NEW]] into %[[OUT]]
// CHECK: {hetprec.parallel}
// Then the rest of the contract, with its tile of the sums.
// CHECK: tensor.extract_slice %{{.+}} [{{[0-9]+}}, 64] [1, 1] : tensor<384x128xi32>
// CHECK: hetprec.contract accumulator sums(
func.func @contract_outputs(%a: tensor<2x128xi8>, %w: tensor<3x256xi8>, %init: tensor<384x128xi32>, %out: tensor<384x128xi32>) -> tensor<384x128xi32> {
  %s = hetprec.contract_outputs lanes(%a : tensor<2x128xi8>) weights(%w : tensor<3x256xi8>) outs(%init : tensor<384x128xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, used_lanes = 55, tile_blocks = 2} -> tensor<384x128xi32>
  %r = hetprec.contract accumulator sums(%s : tensor<384x128xi32>) outs(%out : tensor<384x128xi32>)
    {levels = array<i64>, coefficients = array<i64>, taps = array<i64>, origin = 0, lane_begin = 0, lane_count = 64} -> tensor<384x128xi32>
  return %r : tensor<384x128xi32>
}

// A window's sum of many words: as many lanes as its windows reach, four times
// over. Without a window two blocks do.
// CHECK-LABEL: @window_sum
// CHECK: hetprec.contract accumulator lanes(%{{.+}} : tensor<40x232xi8>) {{.+}} -> tensor<1x192xi32>
// CHECK: hetprec.contract accumulator lanes(%{{.+}} : tensor<40x104xi8>) {{.+}} -> tensor<1x64xi32>
// CHECK: hetprec.contract accumulator lanes(%{{.+}} : tensor<40x128xi8>) {{.+}} -> tensor<1x128xi32>
func.func @window_sum(%a: tensor<40x768xi8>, %w: tensor<1x40xi8>, %init: tensor<1x768xi32>) -> (tensor<1x768xi32>, tensor<1x768xi32>) {
  %r = hetprec.contract accumulator lanes(%a : tensor<40x768xi8>) rows(%w : tensor<1x40xi8>) outs(%init : tensor<1x768xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: -2>, taps = array<i64: 0, 1, 2, 19, 20, 21, 38, 39, 40>, origin = -20, lane_begin = 64, lane_count = 640, uniform_rows} -> tensor<1x768xi32>
  %s = hetprec.contract accumulator lanes(%a : tensor<40x768xi8>) rows(%w : tensor<1x40xi8>) outs(%init : tensor<1x768xi32>)
    {levels = array<i64: 1>, coefficients = array<i64: -2>, taps = array<i64: 0>, origin = 0, lane_begin = 64, lane_count = 640, uniform_rows} -> tensor<1x768xi32>
  return %r, %s : tensor<1x768xi32>, tensor<1x768xi32>
}
