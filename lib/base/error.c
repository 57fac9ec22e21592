#include <base/mem.h>
#include <tunnel2/error.h>

typedef struct error_text {
  const char *name, *phrase;
} error_text;

/* Indexed by -err. */
static const error_text error_texts[] = {
    [-T2_OK] = {"OK", "success"},
    [-T2_ERR_NOMEM] = {"NOMEM", "out of memory"},
    [-T2_ERR_INVALID] = {"INVALID", "invalid argument"},
    [-T2_ERR_STATE] = {"STATE", "not possible in this state"},
    [-T2_ERR_LIMIT] = {"LIMIT", "limit reached"},
    [-T2_ERR_PROTOCOL] = {"PROTOCOL", "protocol violation by the peer"},
    [-T2_ERR_IO] = {"IO", "input or output failed"},
    [-T2_ERR_TIMEOUT] = {"TIMEOUT", "timed out"},
    [-T2_ERR_REFUSED] = {"REFUSED", "connection refused"},
    [-T2_ERR_RESOLVE] = {"RESOLVE", "host name not resolved"},
    [-T2_ERR_TLS] = {"TLS", "TLS failed"},
    [-T2_ERR_CERTIFICATE] = {"CERTIFICATE", "certificate not accepted"},
    [-T2_ERR_CLOSED] = {"CLOSED", "closed by the peer"},
    [-T2_ERR_CANCELLED] = {"CANCELLED", "cancelled"},
    [-T2_ERR_AUTH] = {"AUTH", "credentials missing or not accepted"},
    [-T2_ERR_FORBIDDEN] = {"FORBIDDEN", "not allowed"},
    [-T2_ERR_NOT_FOUND] = {"NOT_FOUND", "not found"},
    [-T2_ERR_CONFLICT] = {"CONFLICT", "already in use"},
    [-T2_ERR_UNAVAILABLE] = {"UNAVAILABLE", "not available now"},
    [-T2_ERR_EXPIRED] = {"EXPIRED", "expired"},
    [-T2_ERR_AGAIN] = {"AGAIN", "not now: more input or room needed"},
    [-T2_ERR_UNREACHABLE] = {"UNREACHABLE", "host or network unreachable"},
    [-T2_ERR_UNSUPPORTED] = {"UNSUPPORTED", "not supported"},
};

static const error_text *error_find(int err) {
  static const error_text unknown = {"UNKNOWN", "unknown error"};

  if (err > 0 || err <= -(int)T2_COUNT_OF(error_texts)) return &unknown;
  return &error_texts[-err];
}

const char *t2_strerror(int err) {
  return error_find(err)->phrase;
}

const char *t2_error_name(int err) {
  return error_find(err)->name;
}
