/* Key sets from a control plane: what is read is published again and reads the same. */
#include <stdlib.h>
#include <wire/keys.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

static void publish_again(const t2_keys *keys) {
  t2_keys back;
  t2_buf jwks;

  require(keys->n >= 1 && keys->n <= T2_KEYS_MAX);
  t2_keys_init(&back, NULL);
  t2_buf_init(&jwks, NULL);
  require(t2_keys_to_jwks(keys, &jwks) == 0);
  require(t2_keys_from_jwks(&back, (char *)t2_buf_head(&jwks), t2_buf_len(&jwks), NULL, 0) == 0);
  require(back.n == keys->n);
  for (size_t i = 0; i < keys->n; i++)
    require(memcmp(back.list[i].kid, keys->list[i].kid, T2_KID_LEN + 1) == 0);
  t2_keys_fini(&back);
  t2_buf_fini(&jwks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char detail[160] = "";
  t2_keys keys;

  t2_keys_init(&keys, NULL);
  int r = t2_keys_from_jwks(&keys, (const char *)data, size, detail, sizeof(detail));
  require((r == 0) == (detail[0] == '\0'));
  if (r == 0) publish_again(&keys);
  t2_keys_fini(&keys);
  return 0;
}
