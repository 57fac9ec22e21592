#include <wire/message.h>

typedef enum field_kind { FIELD_U64, FIELD_TEXT, FIELD_ENTRY } field_kind;

typedef struct message_field {
  uint64_t type, key;
  field_kind kind;
  bool required;
  size_t offset; /* of the member; for FIELD_ENTRY unused */
} message_field;

#define FIELD(type, key, kind, required, member)                                                             \
  { T2_MSG_##type, T2_KEY_##key, FIELD_##kind, required, offsetof(t2_message, member) }

/* Every message there is, in the order its fields are written. */
static const message_field fields[] = {
    FIELD(HEARTBEAT, SEQ, U64, true, seq),
    FIELD(HEARTBEAT, ACTIVE, U64, false, active),
    FIELD(HEARTBEAT, REQUESTS, U64, false, requests),
    FIELD(HEARTBEAT, BYTES_IN, U64, false, bytes_in),
    FIELD(HEARTBEAT, BYTES_OUT, U64, false, bytes_out),
    FIELD(HEARTBEAT, PARK, U64, false, park),
    FIELD(LEASE, SEQ, U64, true, seq),
    FIELD(LEASE, LEASE_SECONDS, U64, true, lease_seconds),
    FIELD(TICKET, TICKET, TEXT, true, ticket),
    FIELD(TICKET, EXPIRES_AT, U64, true, expires_at),
    FIELD(ENTRIES, ENTRY, ENTRY, false, entries),
    FIELD(DRAIN, REASON, TEXT, false, reason),
    FIELD(REVOKE, SESSION, TEXT, true, session),
    FIELD(REVOKE, REASON, TEXT, false, reason),
    FIELD(REVOKE, TICKET_ID, TEXT, false, ticket_id),
    FIELD(REVOKE, ISSUED_BEFORE, U64, false, issued_before),
    FIELD(KEYS, JWKS, TEXT, true, jwks),
    FIELD(PARK, RETURN_SECONDS, U64, true, return_seconds),
    FIELD(PARK, LEASE_SECONDS, U64, true, lease_seconds),
};

static const message_field *find_field(uint64_t type, uint64_t key) {
  for (size_t i = 0; i < T2_COUNT_OF(fields); i++)
    if (fields[i].type == type && fields[i].key == key) return &fields[i];
  return NULL;
}

bool t2_message_known(uint64_t type, void *unused) {
  (void)unused;
  for (size_t i = 0; i < T2_COUNT_OF(fields); i++)
    if (fields[i].type == type) return true;
  return false;
}

/* ---- Encoding ---- */

static int put_u64(t2_frame_writer *writer, const message_field *field, uint64_t number) {
  if (number == 0 && !field->required) return 0;
  return t2_frame_put_u64(writer, field->key, number);
}

static int put_text(t2_frame_writer *writer, uint64_t key, t2_str text, bool required) {
  if (text.n == 0) return required ? T2_ERR_INVALID : 0;
  return t2_frame_put_bytes(writer, key, text.p, text.n);
}

static int put_entries(t2_frame_writer *writer, const t2_message *message) {
  if (message->entry_count > T2_MESSAGE_ENTRIES_MAX) return T2_ERR_INVALID;
  for (size_t i = 0; i < message->entry_count; i++) {
    t2_frame_begin_list(writer, T2_KEY_ENTRY);
    int r = put_text(writer, T2_KEY_ENTRY_ID, message->entries[i].id, true);
    if (r == 0) r = put_text(writer, T2_KEY_ENTRY_UPLINK, message->entries[i].uplink, true);
    if (r == 0) r = t2_frame_end_list(writer);
    if (r) return r;
  }
  return 0;
}

static int put_field(t2_frame_writer *writer, const message_field *field, const t2_message *message) {
  const void *member = (const char *)message + field->offset;

  switch (field->kind) {
  case FIELD_U64:
    return put_u64(writer, field, *(const uint64_t *)member);
  case FIELD_TEXT:
    return put_text(writer, field->key, *(const t2_str *)member, field->required);
  case FIELD_ENTRY:
    return put_entries(writer, message);
  }
  return T2_ERR_INVALID;
}

int t2_message_encode(const t2_message *message, t2_buf *out) {
  uint8_t frame[T2_MESSAGE_MAX]; /* first here, so that out grows by no more than the message */
  t2_frame_writer writer;

  if (!t2_message_known(message->type, NULL)) return T2_ERR_INVALID;
  t2_frame_writer_init(&writer, frame, sizeof(frame));
  t2_frame_begin(&writer, message->type);
  for (size_t i = 0; i < T2_COUNT_OF(fields); i++) {
    if (fields[i].type != message->type) continue;
    int r = put_field(&writer, &fields[i], message);
    if (r) return r;
  }
  if (t2_frame_end(&writer)) return writer.error;
  return t2_buf_append(out, frame, writer.len);
}

/* ---- Decoding ---- */

static int read_u64(const uint8_t *bytes, size_t n, uint64_t *number) {
  int size = t2_varint_decode(bytes, n, number);

  return size > 0 && (size_t)size == n ? 0 : T2_ERR_PROTOCOL;
}

static int read_entry(const uint8_t *value, size_t value_len, t2_message_entry *entry) {
  const uint8_t *bytes;
  size_t at = 0, n;
  uint64_t key;
  int r;

  *entry = (t2_message_entry){0};
  while ((r = t2_frame_next_field(value, value_len, &at, &key, &bytes, &n)) == 1) {
    t2_str *text = key == T2_KEY_ENTRY_ID ? &entry->id : key == T2_KEY_ENTRY_UPLINK ? &entry->uplink : NULL;
    if (!text) continue;
    if (text->p) return T2_ERR_PROTOCOL;
    *text = t2_str_of((const char *)bytes, n);
  }
  if (r == 0 && (entry->id.n == 0 || entry->uplink.n == 0)) return T2_ERR_PROTOCOL;
  return r;
}

static int read_field(const message_field *field, const uint8_t *bytes, size_t n, t2_message *message) {
  void *member = (char *)message + field->offset;

  switch (field->kind) {
  case FIELD_U64:
    return read_u64(bytes, n, member);
  case FIELD_TEXT:
    *(t2_str *)member = t2_str_of((const char *)bytes, n);
    return n == 0 && field->required ? T2_ERR_PROTOCOL : 0;
  case FIELD_ENTRY:
    if (message->entry_count == T2_MESSAGE_ENTRIES_MAX) return T2_ERR_LIMIT;
    return read_entry(bytes, n, &message->entries[message->entry_count++]);
  }
  return T2_ERR_PROTOCOL;
}

/* seen has a bit for each row of the table. */
static int check_required(uint64_t type, uint32_t seen) {
  for (size_t i = 0; i < T2_COUNT_OF(fields); i++)
    if (fields[i].type == type && fields[i].required && !(seen & 1u << i)) return T2_ERR_PROTOCOL;
  return 0;
}

int t2_message_decode(uint64_t type, const uint8_t *value, size_t n, t2_message *message) {
  const uint8_t *bytes;
  size_t at = 0, len;
  uint64_t key;
  uint32_t seen = 0;
  int r;

  _Static_assert(T2_COUNT_OF(fields) <= 32, "one bit of seen for each field");
  *message = (t2_message){.type = type};
  if (!t2_message_known(type, NULL)) return T2_ERR_UNSUPPORTED;
  while ((r = t2_frame_next_field(value, n, &at, &key, &bytes, &len)) == 1) {
    const message_field *field = find_field(type, key);
    if (!field) continue;
    uint32_t bit = 1u << (field - fields);
    if (seen & bit && field->kind != FIELD_ENTRY) return T2_ERR_PROTOCOL;
    seen |= bit;
    r = read_field(field, bytes, len, message);
    if (r) return r;
  }
  return r ? r : check_required(type, seen);
}
