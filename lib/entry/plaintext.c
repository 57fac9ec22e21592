#include <entry/state.h>
#include <net/address.h>
#include <net/listener_socket.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

static bool is_private(t2_str host) {
  t2_address address;
  if (t2_str_eq_nocase(host, T2_STR("localhost"))) return true;
  return t2_address_parse(&address, host, 1) == 0 && t2_address_is_private(&address);
}

static int refuse(const char *what, t2_str host, char *detail, size_t size) {
  return t2_detail(detail, size, T2_ERR_INVALID,
                   "uplink-plaintext: %s %.*s is not of a private network: uplinks there can be read and "
                   "changed on the way, so it needs uplink-plaintext-anywhere",
                   what, T2_STR_ARG(host));
}

/* A name may be of whatever address: clients look at that. */
static int check_advertised(const char *url, char *detail, size_t size) {
  t2_str host = t2_entry_url_host(url);
  if (!t2_address_is_literal(host) || is_private(host)) return 0;
  return refuse("the announced address", host, detail, size);
}

static int check_bound(const char *address, char *detail, size_t size) {
  char bound[T2_ADDRESS_TEXT];
  t2_str host;
  uint16_t port;
  if (t2_listener_inherited_address(address, bound)) address = bound;
  if (t2_str_hostport(t2_str_c(address), &host, &port))
    return 0; /* the listener says what is wrong with it */
  return is_private(host) ? 0 : refuse("the address", host.n ? host : t2_str_c(address), detail, size);
}

int t2_entry_check_plaintext(const t2_entry_options *o, char *detail, size_t size) {
  const char *url = o->advertise_uplink;
  bool says_clear = url && t2_str_starts(t2_str_c(url), T2_STR("http://"));
  if (says_clear && !o->uplink_plaintext)
    return t2_detail(detail, size, T2_ERR_INVALID, "advertise-uplink %.120s needs uplink-plaintext", url);
  if (o->uplink_plaintext_anywhere && !o->uplink_plaintext)
    return t2_detail(detail, size, T2_ERR_INVALID, "uplink-plaintext-anywhere needs uplink-plaintext");
  if (!o->uplink_plaintext || o->uplink_plaintext_anywhere) return 0;
  int err = check_bound(o->uplink_address, detail, size);
  return err == 0 && says_clear ? check_advertised(url, detail, size) : err;
}

void t2_entry_warn_plaintext(const t2_entry *entry) {
  t2_log_at(
      &entry->loop->log, WARN, "entry",
      "uplink-plaintext: uplinks on %s are not encrypted: tickets and all content can be read and changed "
      "on the way, and clients can't tell who answers",
      entry->options.uplink_address);
}
