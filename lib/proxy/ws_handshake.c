#include <base/random.h>
#include <proxy/ws_handshake.h>
#include <wire/crypto.h>

#define KEY_BYTES 16
#define GUID      "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */

bool t2_ws_is(t2_str protocol) {
  return t2_str_eq_nocase(protocol, T2_STR("websocket"));
}

/* base64 with padding (RFC 4648, 4), NUL-terminated. */
static void encode(const uint8_t *bytes, size_t n, char *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t group = (uint32_t)bytes[i] << 16;
    if (i + 1 < n) group |= (uint32_t)bytes[i + 1] << 8;
    if (i + 2 < n) group |= bytes[i + 2];
    *out++ = digits[group >> 18];
    *out++ = digits[group >> 12 & 63];
    *out++ = i + 1 < n ? digits[group >> 6 & 63] : '=';
    *out++ = i + 2 < n ? digits[group & 63] : '=';
  }
  *out = '\0';
}

void t2_ws_key(char key[T2_WS_KEY_LEN + 1]) {
  uint8_t bytes[KEY_BYTES];
  t2_random_bytes(bytes, sizeof(bytes));
  encode(bytes, sizeof(bytes), key);
}

void t2_ws_accept(t2_str key, char accept[T2_WS_ACCEPT_LEN + 1]) {
  char text[T2_WS_KEY_LEN + sizeof(GUID)];
  uint8_t hash[T2_SHA1_LEN];
  size_t n = key.n < T2_WS_KEY_LEN ? key.n : T2_WS_KEY_LEN;
  if (n) memcpy(text, key.p, n);
  memcpy(text + n, GUID, sizeof(GUID) - 1);
  t2_sha1(text, n + sizeof(GUID) - 1, hash);
  encode(hash, sizeof(hash), accept);
}

bool t2_ws_is_accepted(const t2_fields *fields, const char *accept) {
  const t2_field *field = t2_fields_get(fields, T2_STR("sec-websocket-accept"));
  return field && t2_fields_count(fields, field->name) == 1 && t2_str_eq(field->value, t2_str_c(accept));
}
