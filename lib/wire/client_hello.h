/* What a TLS client says first, as far as it tells which server it asks for: the ClientHello (RFC
 * 8446, 4.1.2; RFC 5246, 7.4.1.2) and its server_name (RFC 6066, 3). Nothing of it is decrypted, and nothing
 * is kept but the name. Sans-I/O.
 *
 *   records ──▶ TYPE, LENGTH, what comes before the extensions ──▶ each extension, server_name is read ──▶
 * DONE
 */
#ifndef T2_WIRE_CLIENT_HELLO_H
#define T2_WIRE_CLIENT_HELLO_H

#include <wire/terms.h>

#define T2_CLIENT_HELLO_MAX 16384 /* bytes up to its end, heads of records included */

/* Embedded; all zero at first. It may come in any pieces, and in several records. */
typedef struct t2_client_hello {
  char name[T2_HOSTNAME_MAX + 1]; /* in lower case; "": it asks for none, or for what is no host name */
  /* What follows is the reader's own. */
  unsigned step;
  size_t taken;                /* bytes in all */
  size_t head;                 /* of the record's head, bytes read */
  size_t record;               /* bytes left of the record */
  size_t message;              /* of the handshake message; known after its length */
  size_t list;                 /* of the server_name list */
  size_t left;                 /* of the step */
  uint32_t number;             /* which a step of up to three bytes is */
  size_t length;               /* of the name */
  bool server_name, host_name; /* was there */
  bool skipped;                /* the name is of another type */
} t2_client_hello;

/* Goes on with n more bytes: T2_ERR_AGAIN when it needs more of them; 0 when it is whole (what is behind it
 * is not looked at); T2_ERR_PROTOCOL as soon as it is seen to be none; T2_ERR_LIMIT: it is longer than
 * T2_CLIENT_HELLO_MAX. Not called again after anything but T2_ERR_AGAIN. */
int t2_client_hello_feed(t2_client_hello *hello, const uint8_t *bytes, size_t n);

#endif
