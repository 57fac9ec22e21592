#include <wire/client_hello.h>

#include <tunnel2/error.h>

#define RECORD_HEAD  5
#define RECORD_MAX   16384 /* bytes in one (RFC 8446, 5.1) */
#define MESSAGE_HEAD 4

enum { CONTENT_HANDSHAKE = 22, MESSAGE_CLIENT_HELLO = 1, EXTENSION_SERVER_NAME = 0, NAME_HOST = 0 };

/* In the order in which they come; each has so many bytes as `left` was when it began. */
enum step {
  TYPE,
  LENGTH,
  VERSION,
  RANDOM,
  SESSION_LENGTH,
  SESSION,
  SUITES_LENGTH,
  SUITES,
  METHODS_LENGTH,
  METHODS,
  EXTENSIONS_LENGTH,
  EXTENSION_TYPE,
  EXTENSION_LENGTH,
  EXTENSION,
  LIST_LENGTH,
  NAME_TYPE,
  NAME_LENGTH,
  NAME,
  DONE
};

/* The next step has n bytes, which have to be in the message. */
static int go(t2_client_hello *hello, enum step step, size_t n) {
  hello->step = step;
  hello->left = n;
  hello->number = 0;
  return n <= hello->message ? 0 : T2_ERR_PROTOCOL;
}

/* ---- What comes before the extensions ---- */

static int begin_message(t2_client_hello *hello, uint32_t length) {
  if (length > T2_CLIENT_HELLO_MAX - RECORD_HEAD - MESSAGE_HEAD) return T2_ERR_LIMIT;
  hello->message = length;
  return go(hello, VERSION, 2);
}

/* What a length says, where it is at least one and at most so much, in units. */
static int go_counted(t2_client_hello *hello, enum step step, size_t max, size_t unit) {
  size_t n = hello->number;
  return n == 0 || n > max || n % unit ? T2_ERR_PROTOCOL : go(hello, step, n);
}

/* ---- Extensions ---- */

static int next_extension(t2_client_hello *hello) {
  return hello->message ? go(hello, EXTENSION_TYPE, 2) : go(hello, DONE, 0);
}

/* They are all that is left (RFC 8446, 4.1.2); a hello of TLS 1.2 may have none. */
static int begin_extensions(t2_client_hello *hello) {
  return hello->number == hello->message ? next_extension(hello) : T2_ERR_PROTOCOL;
}

static int begin_extension(t2_client_hello *hello, bool server_name) {
  size_t n = hello->number;
  if (n > hello->message) return T2_ERR_PROTOCOL;
  if (!server_name) return go(hello, EXTENSION, n);
  hello->server_name = true;
  hello->list = n;
  return n < 2 ? T2_ERR_PROTOCOL : go(hello, LIST_LENGTH, 2);
}

static int begin_list(t2_client_hello *hello) {
  if (hello->number == 0 || hello->number != hello->list - 2) return T2_ERR_PROTOCOL;
  hello->list -= 2;
  return go(hello, NAME_TYPE, 1);
}

/* Names of other types are passed over; there is one of each at most. */
static int begin_name(t2_client_hello *hello) {
  size_t n = hello->number;
  if (hello->list < 3 || n == 0 || n > hello->list - 3) return T2_ERR_PROTOCOL;
  if (!hello->skipped && hello->host_name) return T2_ERR_PROTOCOL;
  hello->host_name |= !hello->skipped;
  hello->list -= 3 + n;
  return go(hello, NAME, n);
}

static void take_name_byte(t2_client_hello *hello, uint8_t byte) {
  if (hello->skipped) return;
  if (hello->length < T2_HOSTNAME_MAX)
    hello->name[hello->length] = (char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
  hello->length++;
}

static int end_name(t2_client_hello *hello) {
  if (!hello->skipped) {
    bool named = hello->length <= T2_HOSTNAME_MAX && t2_hostname_valid(t2_str_of(hello->name, hello->length));
    hello->name[named ? hello->length : 0] = '\0';
  }
  return hello->list ? go(hello, NAME_TYPE, 1) : next_extension(hello);
}

/* ---- The machine ---- */

/* A step has all its bytes. */
static int end_step(t2_client_hello *hello) {
  uint32_t number = hello->number;
  switch ((enum step)hello->step) {
  case TYPE:
    hello->step = LENGTH;
    hello->left = 3;
    hello->number = 0;
    return number == MESSAGE_CLIENT_HELLO ? 0 : T2_ERR_PROTOCOL;
  case LENGTH:
    return begin_message(hello, number);
  case VERSION:
    return number >> 8 == 3 ? go(hello, RANDOM, 32) : T2_ERR_PROTOCOL;
  case RANDOM:
    return go(hello, SESSION_LENGTH, 1);
  case SESSION_LENGTH:
    return number <= 32 ? go(hello, SESSION, number) : T2_ERR_PROTOCOL;
  case SESSION:
    return go(hello, SUITES_LENGTH, 2);
  case SUITES_LENGTH:
    return go_counted(hello, SUITES, UINT16_MAX, 2);
  case SUITES:
    return go(hello, METHODS_LENGTH, 1);
  case METHODS_LENGTH:
    return go_counted(hello, METHODS, UINT8_MAX, 1);
  case METHODS:
    return hello->message ? go(hello, EXTENSIONS_LENGTH, 2) : go(hello, DONE, 0);
  case EXTENSIONS_LENGTH:
    return begin_extensions(hello);
  case EXTENSION_TYPE:
    if (number == EXTENSION_SERVER_NAME && hello->server_name) return T2_ERR_PROTOCOL;
    hello->skipped = number != EXTENSION_SERVER_NAME;
    return go(hello, EXTENSION_LENGTH, 2);
  case EXTENSION_LENGTH:
    return begin_extension(hello, !hello->skipped);
  case EXTENSION:
    return next_extension(hello);
  case LIST_LENGTH:
    return begin_list(hello);
  case NAME_TYPE:
    hello->skipped = number != NAME_HOST;
    return go(hello, NAME_LENGTH, 2);
  case NAME_LENGTH:
    return begin_name(hello);
  case NAME:
    return end_name(hello);
  case DONE:
    break;
  }
  return 0;
}

/* A byte of the handshake message. */
static int take_byte(t2_client_hello *hello, uint8_t byte) {
  if (hello->step == NAME)
    take_name_byte(hello, byte);
  else
    hello->number = hello->number << 8 | byte;
  hello->left--;
  if (hello->step > LENGTH) hello->message--;
  int err = 0;
  while (err == 0 && hello->left == 0 && hello->step != DONE)
    err = end_step(hello);
  return err;
}

/* A byte of a record's head: its type, version 3.x, and a length, which is not 0 (RFC 8446, 5.1). */
static int take_head_byte(t2_client_hello *hello, uint8_t byte) {
  size_t at = hello->head++;
  if ((at == 0 && byte != CONTENT_HANDSHAKE) || (at == 1 && byte != 3)) return T2_ERR_PROTOCOL;
  if (at >= 3) hello->record = hello->record << 8 | byte;
  if (hello->head < RECORD_HEAD) return 0;
  return hello->record == 0 || hello->record > RECORD_MAX ? T2_ERR_PROTOCOL : 0;
}

int t2_client_hello_feed(t2_client_hello *hello, const uint8_t *bytes, size_t n) {
  if (hello->taken == 0) hello->left = 1; /* of TYPE */
  for (size_t i = 0; i < n; i++) {
    int err;
    if (hello->taken++ == T2_CLIENT_HELLO_MAX) return T2_ERR_LIMIT;
    if (hello->head < RECORD_HEAD) {
      err = take_head_byte(hello, bytes[i]);
    } else {
      err = take_byte(hello, bytes[i]);
      if (--hello->record == 0) hello->head = 0;
    }
    if (err) return err;
    if (hello->step == DONE) return 0;
  }
  return hello->taken == T2_CLIENT_HELLO_MAX ? T2_ERR_LIMIT : T2_ERR_AGAIN;
}
