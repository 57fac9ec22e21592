/* Variable-length integers (RFC 9000, 16): the first two bits give the size, 1 << bits. */
#include <tunnel2/frame.h>

size_t t2_varint_size(uint64_t value) {
  if (value < 1u << 6) return 1;
  if (value < 1u << 14) return 2;
  if (value < 1u << 30) return 4;
  return value <= T2_VARINT_MAX ? 8 : 0;
}

int t2_varint_encode(uint64_t value, uint8_t *out, size_t cap) {
  size_t size = t2_varint_size(value);
  uint8_t prefix = size == 8 ? 0xc0 : size == 4 ? 0x80 : size == 2 ? 0x40 : 0;

  if (size == 0) return T2_ERR_INVALID;
  if (size > cap) return T2_ERR_LIMIT;
  for (size_t i = size; i-- > 0; value >>= 8)
    out[i] = (uint8_t)value;
  out[0] |= prefix;
  return (int)size;
}

int t2_varint_decode(const uint8_t *bytes, size_t n, uint64_t *value) {
  if (n == 0) return T2_ERR_AGAIN;
  size_t size = (size_t)1 << (bytes[0] >> 6);
  uint64_t v = bytes[0] & 0x3f;

  if (n < size) return T2_ERR_AGAIN;
  for (size_t i = 1; i < size; i++)
    v = v << 8 | bytes[i];
  *value = v;
  return (int)size;
}
