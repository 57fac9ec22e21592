/* The messages of the control channel: which frames there are and what fields they have (docs/PROTOCOL.md).
 */
#ifndef T2_WIRE_MESSAGE_H
#define T2_WIRE_MESSAGE_H

#include <base/buf.h>
#include <base/str.h>
#include <tunnel2/frame.h>

#define T2_MESSAGE_MAX         16384 /* bytes of a whole frame on the channel */
#define T2_MESSAGE_ENTRIES_MAX 16

/* Frame types: from the range of capsule types that are nobody's. */
typedef enum t2_message_type {
  T2_MSG_HEARTBEAT = 0x74320001, /* up: seq, active, requests, bytes_in, bytes_out (reports), park */
  T2_MSG_LEASE = 0x74320002,     /* down: seq (of the heartbeat answered), lease_seconds */
  T2_MSG_TICKET = 0x74320003,    /* down: ticket, expires_at */
  T2_MSG_ENTRIES = 0x74320004,   /* down: entry fields, repeated: the whole list */
  T2_MSG_DRAIN = 0x74320005,     /* down: reason */
  T2_MSG_REVOKE =
      0x74320006, /* down: session, reason, ticket_id (absent: all of the session's), issued_before */
  T2_MSG_KEYS = 0x74320007, /* down: jwks */
  T2_MSG_PARK = 0x74320008  /* down: return_seconds, lease_seconds */
} t2_message_type;

/* Keys of the fields. */
typedef enum t2_message_key {
  T2_KEY_SEQ = 1,
  T2_KEY_ACTIVE = 2,
  T2_KEY_REQUESTS = 3,
  T2_KEY_BYTES_IN = 4,
  T2_KEY_BYTES_OUT = 5,
  T2_KEY_LEASE_SECONDS = 6,
  T2_KEY_TICKET = 7,
  T2_KEY_EXPIRES_AT = 8,
  T2_KEY_ENTRY = 9, /* bytes: a nested list of fields: T2_KEY_ENTRY_ID, T2_KEY_ENTRY_UPLINK */
  T2_KEY_ENTRY_ID = 10,
  T2_KEY_ENTRY_UPLINK = 11, /* URL */
  T2_KEY_SESSION = 12,
  T2_KEY_REASON = 13,
  T2_KEY_JWKS = 14,
  T2_KEY_TICKET_ID = 15,
  T2_KEY_ISSUED_BEFORE = 16, /* seconds since 1970: tickets issued before it are void */
  T2_KEY_PARK = 17,          /* a t2_message_park */
  T2_KEY_RETURN_SECONDS = 18
} t2_message_key;

/* What a client says of T2_MSG_PARK in a heartbeat. */
typedef enum t2_message_park {
  T2_PARK_NEVER = 0,
  T2_PARK_CAN = 1, /* it understands it */
  T2_PARK_WAS = 2  /* likewise, and was parked until it opened this channel */
} t2_message_park;

/* One of T2_MSG_ENTRIES. */
typedef struct t2_message_entry {
  t2_str id, uplink;
} t2_message_entry;

/* One message, decoded; slices point into the frame. Fields that a type does not have are zero. Required are:
 * seq in heartbeat and lease, lease_seconds, return_seconds, ticket, expires_at, session, jwks, and both
 * fields of an entry; a text that is empty counts as absent. */
typedef struct t2_message {
  uint64_t type;
  uint64_t seq, active, requests, bytes_in, bytes_out;
  uint64_t lease_seconds, expires_at, issued_before, park, return_seconds;
  t2_str ticket, session, reason, jwks, ticket_id;
  t2_message_entry entries[T2_MESSAGE_ENTRIES_MAX];
  size_t entry_count;
} t2_message;

/* Is type one of the above? A t2_frame_filter_cb, so that a decoder passes over all others. */
bool t2_message_known(uint64_t type, void *unused);
/* Appends the message as one frame: 0, T2_ERR_LIMIT past T2_MESSAGE_MAX, T2_ERR_INVALID (unknown type, a
 * required text is empty, a number past T2_VARINT_MAX, more entries than fit), T2_ERR_NOMEM. On failure out
 * is as before. */
int t2_message_encode(const t2_message *message, t2_buf *out);
/* Reads a frame's value. 0; T2_ERR_UNSUPPORTED for a type unknown here (skip it); T2_ERR_PROTOCOL for a
 * broken field, one that may stand once and stands twice, or a missing required one; T2_ERR_LIMIT for more
 * entries than fit. */
int t2_message_decode(uint64_t type, const uint8_t *value, size_t n, t2_message *message);

#endif
