// What the AVX-512 instructions that Sysmol's code asks for by name compute,
// by the pseudocode of Intel's manual (SDM, volume 2). `out` is none of the
// operands.

#include <stdint.h>

static int32_t clamp(int32_t x, int32_t low, int32_t high) {
  return x < low ? low : x > high ? high : x;
}

// VPDPBUSD zmm: sums of four products, which wrap.
void avx512_vpdpbusd(int32_t *out, const int32_t *sums, const uint8_t *a,
                     const int8_t *b) {
  for (int i = 0; i < 16; ++i) {
    uint32_t sum = (uint32_t)sums[i];
    for (int j = 4 * i; j < 4 * i + 4; ++j)
      sum += (uint32_t)(a[j] * b[j]);
    out[i] = (int32_t)sum;
  }
}

// VPERMB zmm: the intrinsic takes table, then indices.
void avx512_permvar_qi(uint8_t *out, const uint8_t *table,
                       const uint8_t *indices) {
  for (int i = 0; i < 64; ++i)
    out[i] = table[indices[i] & 63];
}

// VPMADDUBSW zmm: sums of two products, saturated.
void avx512_pmaddubs_w(int16_t *out, const uint8_t *a, const int8_t *b) {
  for (int i = 0; i < 32; ++i)
    out[i] = (int16_t)clamp(a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1],
                            INT16_MIN, INT16_MAX);
}

// VPACKSSDW zmm: by parts of 128 bits, four of `a`, then four of `b`.
void avx512_packssdw(int16_t *out, const int32_t *a, const int32_t *b) {
  for (int i = 0; i < 32; ++i) {
    const int32_t *from = i % 8 < 4 ? a : b;
    out[i] = (int16_t)clamp(from[4 * (i / 8) + i % 4], INT16_MIN, INT16_MAX);
  }
}

// VPACKUSWB zmm: by parts of 128 bits, eight of `a`, then eight of `b`.
void avx512_packuswb(uint8_t *out, const int16_t *a, const int16_t *b) {
  for (int i = 0; i < 64; ++i) {
    const int16_t *from = i % 16 < 8 ? a : b;
    out[i] = (uint8_t)clamp(from[8 * (i / 16) + i % 8], 0, UINT8_MAX);
  }
}

// Of each byte: bit `i` is the parity of the bits that byte `7 - i` of the
// matrix, of the same 64 bits, picks; then `constant` is added to all.
void avx512_vgf2p8affineqb(uint8_t *out, const uint8_t *bytes,
                           const uint8_t *matrix, const uint8_t *constant) {
  for (int lane = 0; lane < 64; ++lane) {
    int byte = 0;
    for (int i = 0; i < 8; ++i) {
      int picked = bytes[lane] & matrix[lane / 8 * 8 + 7 - i];
      byte |= (__builtin_popcount(picked) & 1) << i;
    }
    out[lane] = byte ^ *constant;
  }
}
