#include <http/h1_head.h>

typedef const t2_h1_fault fault;

fault t2_h1_no_memory = {500, "out of memory"};

/* ---- Names ---- */

static bool is(t2_str name, const char *literal) {
  return memcmp(name.p, literal, name.n) == 0; /* lengths are equal already */
}

t2_h1_name t2_h1_name_of(t2_str name) {
  switch (name.n) {
  case 2:
    return is(name, "te") ? T2_H1_NAME_TE : T2_H1_NAME_OTHER;
  case 4:
    return is(name, "host") ? T2_H1_NAME_HOST : T2_H1_NAME_OTHER;
  case 7:
    return is(name, "upgrade") ? T2_H1_NAME_UPGRADE : T2_H1_NAME_OTHER;
  case 10:
    if (is(name, "connection")) return T2_H1_NAME_CONNECTION;
    return is(name, "keep-alive") ? T2_H1_NAME_HOP : T2_H1_NAME_OTHER;
  case 14:
    return is(name, "content-length") ? T2_H1_NAME_CONTENT_LENGTH : T2_H1_NAME_OTHER;
  case 16:
    return is(name, "proxy-connection") ? T2_H1_NAME_HOP : T2_H1_NAME_OTHER;
  case 17:
    return is(name, "transfer-encoding") ? T2_H1_NAME_TRANSFER_ENCODING : T2_H1_NAME_OTHER;
  default:
    return T2_H1_NAME_OTHER;
  }
}

bool t2_h1_may_trail(t2_str name) {
  static const char *const never[] = {
      "age",
      "authorization",
      "cache-control",
      "content-encoding",
      "content-range",
      "content-type",
      "cookie",
      "date",
      "expect",
      "expires",
      "forwarded",
      "if-match",
      "if-modified-since",
      "if-none-match",
      "if-range",
      "location",
      "max-forwards",
      "if-unmodified-since",
      "pragma",
      "proxy-authenticate",
      "range",
      "retry-after",
      "proxy-authorization",
      "set-cookie",
      "trailer",
      "vary",
      "via",
      "www-authenticate",
      "x-request-id",
      "proxy-authentication-info",
  };
  if (t2_h1_name_of(name) != T2_H1_NAME_OTHER || t2_str_starts(name, T2_STR("x-forwarded-"))) return false;
  for (size_t i = 0; i < T2_COUNT_OF(never); i++)
    if (t2_str_eq(name, t2_str_c(never[i]))) return false;
  return true;
}

/* ---- Fields ---- */

static fault bad_host = {400, "Host is no host with an optional port"};
static fault host_again = {400, "more than one Host field"};
static fault no_host = {400, "no Host field"};
static fault bad_length = {400, "Content-Length is no number, or too large"};
static fault length_again = {400, "more than one Content-Length field"};
static fault both = {400, "both Content-Length and Transfer-Encoding"};
static fault bad_coding = {400, "Transfer-Encoding is not one chunked"};
static fault other_coding = {501, "a transfer coding other than chunked"};
static fault coding_in_10 = {400, "Transfer-Encoding in an HTTP/1.0 message"};
static fault too_many_options = {431, "too many connection options"};
static fault connect_content = {400, "content in a CONNECT request"};

void t2_h1_message_reset(t2_h1_message *message) {
  t2_head head = message->head;
  size_t options_max = message->options_max;
  t2_head_reset(&head);
  *message = (t2_h1_message){.head = head, .options_max = options_max};
}

static fault *add_host(t2_h1_message *message, t2_str value) {
  if (message->hosts++) return &host_again;
  /* Empty where the target has no authority (RFC 9110, 7.2). */
  if (value.n && !t2_is_authority(value)) return &bad_host;
  message->host = value;
  return NULL;
}

static fault *add_length(t2_h1_message *message, t2_str value) {
  uint64_t length;
  if (message->lengths++) return &length_again;
  if (t2_str_u64(value, INT64_MAX, &length)) return &bad_length;
  message->head.content_length = (int64_t)length;
  return NULL;
}

static fault *add_coding(t2_h1_message *message, t2_str value) {
  t2_str coding;
  message->has_coding = true;
  while (t2_str_next(&value, ',', &coding)) {
    message->codings++;
    if (!t2_str_eq_nocase(coding, T2_STR("chunked"))) message->other_coding = true;
  }
  return NULL;
}

static bool add(t2_h1_message *message, t2_str name, t2_str value) {
  return t2_fields_add_sound(&message->head.fields, name, value) == 0;
}

/* TE is of the connection, but its "trailers" holds all the way (RFC 9110, 10.1.4). */
static fault *add_te(t2_h1_message *message, t2_str value) {
  t2_str coding;
  while (!message->te_trailers && t2_str_next(&value, ',', &coding)) {
    if (!t2_str_eq_nocase(coding, T2_STR("trailers"))) continue;
    message->te_trailers = true;
    if (!add(message, T2_STR("te"), T2_STR("trailers"))) return &t2_h1_no_memory;
  }
  return NULL;
}

static fault *add_connection(t2_h1_message *message, t2_str value) {
  t2_str rest = value, option;
  bool names = false;
  while (t2_str_next(&rest, ',', &option)) {
    if (++message->options > message->options_max) return &too_many_options;
    if (t2_str_eq_nocase(option, T2_STR("close")))
      message->close = true;
    else if (t2_str_eq_nocase(option, T2_STR("keep-alive")))
      message->keep = true;
    else if (t2_str_eq_nocase(option, T2_STR("upgrade")))
      message->upgrades = true;
    else if (!t2_str_eq_nocase(option, T2_STR("te")))
      names = true;
  }
  if (!names) return NULL;
  message->named = true;
  return add(message, T2_STR("connection"), value) ? NULL : &t2_h1_no_memory;
}

fault *t2_h1_message_add(t2_h1_message *message, t2_str name, t2_str value) {
  switch (t2_h1_name_of(name)) {
  case T2_H1_NAME_HOST:
    /* Nothing in a response; passed over. */
    return message->head.status ? NULL : add_host(message, value);
  case T2_H1_NAME_CONNECTION:
    return add_connection(message, value);
  case T2_H1_NAME_CONTENT_LENGTH:
    return add_length(message, value);
  case T2_H1_NAME_TRANSFER_ENCODING:
    return add_coding(message, value);
  case T2_H1_NAME_TE:
    return add_te(message, value);
  case T2_H1_NAME_UPGRADE:
    if (message->upgrade.n == 0) message->upgrade = value;
    return NULL;
  case T2_H1_NAME_HOP:
    return NULL;
  case T2_H1_NAME_OTHER:
    break;
  }
  return add(message, name, value) ? NULL : &t2_h1_no_memory;
}

/* ---- The whole ---- */

/* Marks what the options of one Connection field name by taking its name away. Framing fields are not in the
 * list any more, so that naming one changes nothing. */
static void unname(t2_fields *fields, t2_str options) {
  t2_str option;
  while (t2_str_next(&options, ',', &option)) {
    if (t2_str_eq_nocase(option, T2_STR("te"))) continue;
    for (size_t i = 0; i < fields->n; i++) {
      t2_field *f = &fields->list[i];
      if (t2_str_eq_nocase(f->name, option) && !t2_str_eq(f->name, T2_STR("connection"))) f->name.n = 0;
    }
  }
}

static void drop_named(t2_fields *fields) {
  size_t kept = 0;
  for (size_t i = 0; i < fields->n; i++)
    if (t2_str_eq(fields->list[i].name, T2_STR("connection"))) unname(fields, fields->list[i].value);
  for (size_t i = 0; i < fields->n; i++) {
    t2_field f = fields->list[i];
    if (f.name.n && !t2_str_eq(f.name, T2_STR("connection"))) fields->list[kept++] = f;
  }
  fields->n = kept;
}

/* An upgrade to h2c would take the connection out of our hands with requests that nobody has looked at; a
 * server may pass over what it does not offer. */
static void set_protocol(t2_h1_message *message) {
  t2_str rest = message->upgrade, protocol;
  if (!message->upgrades || message->head.version_minor == 0) return;
  while (t2_str_next(&rest, ',', &protocol))
    if (t2_str_eq_nocase(protocol, T2_STR("h2c"))) return;
  message->head.protocol = message->upgrade;
}

/* RFC 9112, 6.1 and 6.3: what may hide a second message is refused, not repaired. */
static fault *weigh(t2_h1_message *message) {
  if (message->named) drop_named(&message->head.fields);
  message->keep_alive = !message->close && (message->head.version_minor > 0 || message->keep);
  if (!message->has_coding) return NULL;
  if (message->head.version_minor == 0) return &coding_in_10;
  if (message->lengths) return &both;
  if (message->other_coding) return &other_coding;
  return message->codings == 1 ? NULL : &bad_coding;
}

fault *t2_h1_message_request(t2_h1_message *message, t2_h1_body *body) {
  t2_head *head = &message->head;
  fault *found = weigh(message);
  if (found) return found;
  if (message->hosts == 0 && head->version_minor > 0) return &no_host;
  if (head->authority.n == 0) head->authority = message->host;
  set_protocol(message);
  if (message->has_coding)
    *body = T2_H1_BODY_CHUNKED;
  else
    *body = head->content_length > 0 ? T2_H1_BODY_LENGTH : T2_H1_BODY_NONE;
  if (*body != T2_H1_BODY_NONE && t2_str_eq(head->method, T2_STR("CONNECT"))) return &connect_content;
  return NULL;
}

fault *t2_h1_message_response(t2_h1_message *message, bool asked_head, bool asked_connect, t2_h1_body *body) {
  t2_head *head = &message->head;
  fault *found = weigh(message);
  if (found) return found;
  bool tunnel = head->status == 101 || (asked_connect && head->status / 100 == 2);
  if (head->status == 101) set_protocol(message);
  /* A length here is a mistake (RFC 9110, 8.6), and not passed on. */
  if (tunnel || head->status < 200 || head->status == 204) head->content_length = -1;
  if (tunnel)
    *body = T2_H1_BODY_TUNNEL;
  else if (asked_head || head->status < 200 || head->status == 204 || head->status == 304)
    *body = T2_H1_BODY_NONE;
  else if (message->has_coding)
    *body = T2_H1_BODY_CHUNKED;
  else if (head->content_length >= 0)
    *body = head->content_length > 0 ? T2_H1_BODY_LENGTH : T2_H1_BODY_NONE;
  else
    *body = T2_H1_BODY_CLOSE;
  if (*body == T2_H1_BODY_CLOSE || *body == T2_H1_BODY_TUNNEL) message->keep_alive = false;
  return NULL;
}
