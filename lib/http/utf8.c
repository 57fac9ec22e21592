#include <http/utf8.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* How many of the bytes at the start are ASCII, eight at a time. */
static size_t skip_ascii(const uint8_t *bytes, size_t n) {
  size_t i = 0;
  for (; i + sizeof(uint64_t) <= n; i += sizeof(uint64_t)) {
    uint64_t eight;
    memcpy(&eight, bytes + i, sizeof(eight));
    if (eight & HIGH_BITS) break;
  }
  return i;
}

/* The first byte of a character. The second's bounds keep out longer forms than needed, surrogates, and what
 * is past U+10FFFF (RFC 3629, 4). */
static bool begin(t2_utf8 *state, uint8_t byte) {
  state->low = 0x80;
  state->high = 0xbf;
  if (byte < 0x80) return true;
  if (byte < 0xc2 || byte > 0xf4) return false;
  state->missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  if (byte == 0xe0) state->low = 0xa0;
  if (byte == 0xed) state->high = 0x9f;
  if (byte == 0xf0) state->low = 0x90;
  if (byte == 0xf4) state->high = 0x8f;
  return true;
}

static bool go_on(t2_utf8 *state, uint8_t byte) {
  if (byte < state->low || byte > state->high) return false;
  state->low = 0x80;
  state->high = 0xbf;
  state->missing--;
  return true;
}

bool t2_utf8_check(t2_utf8 *state, const uint8_t *bytes, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (state->missing == 0) i += skip_ascii(bytes + i, n - i);
    if (i == n) break;
    if (!(state->missing ? go_on(state, bytes[i]) : begin(state, bytes[i]))) return false;
  }
  return true;
}
