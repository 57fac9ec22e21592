/* The keys that tickets are signed with, as they are kept in keys.pem: the newest signs; those before it stay
 * as long as a ticket signed by them may live, and are published as long.
 *
 * The file is PEM, newest key first. A line before each block says when it was made and until when it is
 * needed:
 *
 *   created 1760000000
 *   -----BEGIN EC PRIVATE KEY-----
 *   ...
 *   -----END EC PRIVATE KEY-----
 *   created 1750000000 until 1760003660
 *   -----BEGIN EC PRIVATE KEY-----
 *   ...
 */
#ifndef T2_CONTROL_KEYRING_H
#define T2_CONTROL_KEYRING_H

#include <wire/keys.h>

#define T2_KEYRING_FILE_MAX 65536

typedef struct t2_keyring {
  t2_keys keys;                 /* newest first */
  int64_t created[T2_KEYS_MAX]; /* seconds since 1970 */
  int64_t until[T2_KEYS_MAX];   /* of all but the newest */
} t2_keyring;

void t2_keyring_init(t2_keyring *keyring, const t2_allocator *mem);
void t2_keyring_fini(t2_keyring *keyring);

/* Makes a new key that signs from now on. The one before it is kept for `life` seconds more: a ticket's life
 * and what clocks may differ. T2_ERR_LIMIT: there are T2_KEYS_MAX that are all still needed; T2_ERR_NOMEM. */
int t2_keyring_rotate(t2_keyring *keyring, int64_t now, int64_t life);
/* Drops the keys no ticket can need any more: were there any? */
bool t2_keyring_trim(t2_keyring *keyring, int64_t now);

/* Replaces the keyring by the file's text. Keys without a line of their own count as made now, and older ones
 * are kept for `life`. T2_ERR_INVALID names the line in detail; the keyring is then unchanged. */
int t2_keyring_parse(t2_keyring *keyring, t2_str text, int64_t now, int64_t life, char *detail,
                     size_t detail_size);
/* Appends the file's text. out holds secrets: wipe it. 0 or T2_ERR_NOMEM. */
int t2_keyring_format(const t2_keyring *keyring, t2_buf *out);

/* The file read; or made, mode 0600, with a first key, when there is none. T2_ERR_FORBIDDEN: others may read
 * it. detail names the file. */
int t2_keyring_load(t2_keyring *keyring, const char *path, int64_t now, int64_t life, char *detail,
                    size_t detail_size);
int t2_keyring_save(const t2_keyring *keyring, const char *path);

#endif
