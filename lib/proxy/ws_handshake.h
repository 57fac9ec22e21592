/* What of a WebSocket's opening handshake HTTP/1.1 has and HTTP/2 has not (RFC 6455, 4; RFC 8441, 5): who
 * goes from one to the other makes it up. */
#ifndef T2_PROXY_WS_HANDSHAKE_H
#define T2_PROXY_WS_HANDSHAKE_H

#include <http/fields.h>

#define T2_WS_KEY_LEN    24
#define T2_WS_ACCEPT_LEN 28

bool t2_ws_is(t2_str protocol);
/* A random Sec-WebSocket-Key, NUL-terminated. */
void t2_ws_key(char key[T2_WS_KEY_LEN + 1]);
/* The Sec-WebSocket-Accept that answers it, NUL-terminated. key is of any length up to T2_WS_KEY_LEN.
 */
void t2_ws_accept(t2_str key, char accept[T2_WS_ACCEPT_LEN + 1]);
/* Do the fields of a response have that acceptance, and no other? (RFC 6455, 4.1) */
bool t2_ws_is_accepted(const t2_fields *fields, const char *accept);

#endif
