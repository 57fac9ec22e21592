#include <base/file.h>
#include <control/address.h>
#include <control/persist.h>
#include <jansson.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define FILE_VERSION 1

/* ---- Writing. Ids, owners, URLs and domains are of characters that JSON takes as they are: each was checked
 * when it came in. ---- */

static void put_text(t2_buf *out, const char *name, const char *value) {
  t2_buf_printf(out, "\"%s\":\"%s\",", name, value);
}

static void put_number(t2_buf *out, const char *name, int64_t value) {
  t2_buf_printf(out, "\"%s\":%lld,", name, (long long)value);
}

static void end_record(t2_buf *out) {
  if (t2_buf_len(out)) out->end--; /* the last comma */
  t2_buf_append_c(out, "}");
}

static void put_entry(t2_buf *out, const t2_store_entry *entry) {
  t2_buf_append_c(out, "{");
  put_text(out, "id", entry->id);
  put_text(out, "owner", entry->owner);
  put_text(out, "uplink", entry->uplink);
  put_text(out, "public", entry->public_url);
  put_text(out, "domain", entry->domain);
  if (entry->public_tls[0]) put_text(out, "public_tls", entry->public_tls);
  put_number(out, "created_at", entry->created_at);
  end_record(out);
}

static void put_session(t2_buf *out, const t2_session *session) {
  t2_buf_append_c(out, "{");
  put_text(out, "id", session->id);
  put_text(out, "owner", session->owner->name);
  t2_buf_printf(out, "\"live\":%s,", session->live ? "true" : "false");
  put_number(out, "created_at", session->created_at);
  put_number(out, "last_issued", session->last_issued);
  put_number(out, "last_expires", session->last_expires);
  put_number(out, "void_before", session->void_before);
  put_number(out, "void_until", session->void_until);
  if (session->kind) put_text(out, "kind", t2_kind_name(session->kind));
  if (session->port) put_number(out, "remote_port", session->port);
  if (t2_buf_len(out)) out->end--; /* the last comma */
  if (session->terms) t2_terms_write(session->terms, "", out);
  t2_buf_append_c(out, "}");
}

static void put_sessions(t2_buf *out, const t2_list *list, const char **separator) {
  for (const t2_list *node = list->next; node != list; node = node->next) {
    t2_buf_append_c(out, *separator);
    put_session(out, T2_LIST_ENTRY(node, t2_session, order));
    *separator = ",\n";
  }
}

int t2_persist_format(const t2_store *store, t2_buf *out) {
  const char *separator = "\n";

  t2_buf_printf(out, "{\"version\":%d,\n\"entries\":[", FILE_VERSION);
  for (const t2_list *node = store->entry_order.next; node != &store->entry_order; node = node->next) {
    t2_buf_append_c(out, separator);
    put_entry(out, T2_LIST_ENTRY(node, t2_store_entry, order));
    separator = ",\n";
  }
  t2_buf_append_c(out, "\n],\n\"sessions\":[");
  separator = "\n";
  put_sessions(out, &store->live, &separator);
  put_sessions(out, &store->past, &separator);
  t2_buf_append_c(out, "\n]}\n");
  return out->failed ? T2_ERR_NOMEM : 0;
}

int t2_persist_save(t2_store *store, const char *path) {
  t2_buf text;

  t2_buf_init(&text, store->mem);
  int rc = t2_persist_format(store, &text);
  if (rc == 0) rc = t2_file_write(path, t2_buf_head(&text), t2_buf_len(&text), 0600);
  if (rc == 0) store->dirty = false;
  t2_buf_fini(&text);
  return rc;
}

/* ---- Reading ---- */

typedef struct loading {
  t2_store *store;
  t2_moment now;
  const char *wrong; /* the member that is missing or of the wrong kind */
} loading;

static t2_str get_text(loading *load, const json_t *record, const char *name) {
  const json_t *value = json_object_get(record, name);

  if (json_is_string(value)) return t2_str_of(json_string_value(value), json_string_length(value));
  if (!load->wrong) load->wrong = name;
  return T2_STR_NULL;
}

static int64_t get_number(loading *load, const json_t *record, const char *name) {
  const json_t *value = json_object_get(record, name);
  json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;

  if (number >= 0 && number < INT64_MAX / 2) return number;
  if (!load->wrong) load->wrong = name;
  return 0;
}

/* As in a tokens file: nothing that JSON would escape when it is written again. */
static bool is_owner(t2_str s) {
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word && c != '.' && c != '_' && c != '@' && c != '-') return false;
  }
  return s.n > 0 && s.n <= T2_OWNER_MAX;
}

static int restore_entry(loading *load, const json_t *record) {
  t2_announcement announcement = {.id = get_text(load, record, "id"),
                                  .uplink = get_text(load, record, "uplink"),
                                  .public_url = get_text(load, record, "public"),
                                  .domain = get_text(load, record, "domain")};
  t2_str owner = get_text(load, record, "owner");
  int64_t created_at = get_number(load, record, "created_at");
  t2_store_entry *entry;
  const char *why;
  bool changed;

  if (json_object_get(record, "public_tls")) announcement.public_tls = get_text(load, record, "public_tls");
  if (load->wrong || !is_owner(owner)) return T2_ERR_INVALID;
  if (t2_announcement_check(&announcement, &why)) return T2_ERR_INVALID;
  if (t2_store_entry_find(load->store, announcement.id)) return T2_ERR_CONFLICT;
  int rc = t2_store_announce(load->store, &announcement, owner.p, load->now, &entry, &changed);
  if (rc == 0) entry->created_at = created_at;
  return rc;
}

/* Absent in files of before there was anything but HTTP. */
static void get_kind(loading *load, const json_t *record, t2_session *kept) {
  const json_t *kind = json_object_get(record, "kind"), *port = json_object_get(record, "remote_port");
  t2_str name =
      json_is_string(kind) ? t2_str_of(json_string_value(kind), json_string_length(kind)) : T2_STR_NULL;

  if (kind && !t2_kind_parse(name, &kept->kind) && !load->wrong) load->wrong = "kind";
  if (!port) return;
  int64_t number = get_number(load, record, "remote_port");
  if ((!t2_kind_has_port(kept->kind) || number > UINT16_MAX) && !load->wrong) load->wrong = "remote_port";
  kept->port = (uint16_t)number;
}

static void get_terms(loading *load, const json_t *record, t2_session *kept, t2_terms *terms) {
  const char *wrong = t2_terms_read(record, "", terms);

  if (!wrong && kept->kind == T2_KIND_TLS && terms->hostname_count == 0) wrong = "hostnames";
  if (wrong && !load->wrong) load->wrong = wrong;
  kept->terms = terms;
}

static int restore_session(loading *load, const json_t *record) {
  t2_str id = get_text(load, record, "id"), owner = get_text(load, record, "owner");
  const json_t *live = json_object_get(record, "live");
  t2_terms terms;
  t2_session kept = {.live = json_is_true(live),
                     .created_at = get_number(load, record, "created_at"),
                     .last_issued = get_number(load, record, "last_issued"),
                     .last_expires = get_number(load, record, "last_expires"),
                     .void_before = get_number(load, record, "void_before"),
                     .void_until = get_number(load, record, "void_until")};

  if (!json_is_boolean(live) && !load->wrong) load->wrong = "live";
  if (load->wrong || !is_owner(owner) || id.n >= sizeof(kept.id)) return T2_ERR_INVALID;
  memcpy(kept.id, id.p, id.n + 1);
  get_kind(load, record, &kept);
  get_terms(load, record, &kept, &terms);
  if (load->wrong) return T2_ERR_INVALID;
  return t2_store_restore(load->store, &kept, owner, load->now);
}

static void explain(const loading *load, int rc, const char *list, size_t at, char *detail,
                    size_t detail_size) {
  if (load->wrong)
    snprintf(detail, detail_size, "%s[%zu]: \"%s\" is missing or of the wrong kind", list, at, load->wrong);
  else if (rc == T2_ERR_INVALID)
    snprintf(detail, detail_size, "%s[%zu]: a value is not valid", list, at);
  else if (rc == T2_ERR_CONFLICT)
    snprintf(detail, detail_size, "%s[%zu]: its id is there twice", list, at);
  else
    snprintf(detail, detail_size, "%s[%zu]: %s", list, at, t2_strerror(rc));
}

static int restore_list(loading *load, const json_t *root, const char *list,
                        int (*restore)(loading *load, const json_t *record), char *detail,
                        size_t detail_size) {
  const json_t *records = json_object_get(root, list);
  int rc = 0;

  if (!json_is_array(records)) {
    snprintf(detail, detail_size, "\"%s\" is not an array", list);
    return T2_ERR_INVALID;
  }
  for (size_t i = 0; i < json_array_size(records) && rc == 0; i++) {
    rc = restore(load, json_array_get(records, i));
    if (rc) explain(load, rc, list, i, detail, detail_size);
  }
  return rc == T2_ERR_CONFLICT ? T2_ERR_INVALID : rc;
}

int t2_persist_parse(t2_store *store, t2_str text, t2_moment now, char *detail, size_t detail_size) {
  loading load = {.store = store, .now = now};
  json_error_t error;
  json_t *root = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);

  if (!root) {
    snprintf(detail, detail_size, "line %d: %s", error.line, error.text);
    return T2_ERR_INVALID;
  }
  int rc = T2_ERR_INVALID;
  if (json_integer_value(json_object_get(root, "version")) != FILE_VERSION)
    snprintf(detail, detail_size, "\"version\" is not %d", FILE_VERSION);
  else
    rc = restore_list(&load, root, "entries", restore_entry, detail, detail_size);
  if (rc == 0) rc = restore_list(&load, root, "sessions", restore_session, detail, detail_size);
  if (rc == 0) store->dirty = false;
  json_decref(root);
  return rc;
}

int t2_persist_load(t2_store *store, const char *path, t2_moment now, char *detail, size_t detail_size) {
  char where[256] = "";
  t2_buf text;

  t2_buf_init(&text, store->mem);
  int rc = t2_file_read(path, T2_PERSIST_FILE_MAX, &text);
  if (rc == T2_ERR_NOT_FOUND) {
    rc = 0;
  } else {
    if (rc == 0)
      rc = t2_persist_parse(store, t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)), now, where,
                            sizeof(where));
    if (rc) snprintf(detail, detail_size, "%s: %s", path, where[0] ? where : t2_strerror(rc));
  }
  t2_buf_fini(&text);
  return rc;
}
