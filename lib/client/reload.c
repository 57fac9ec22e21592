#include <client/state.h>
#include <net/credentials.h>
#include <string.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

/* What is made anew, before anything is taken. */
typedef struct renewal {
  char *token;
  t2_tls *link_tls, *uplink_tls;
  t2_terms terms;
} renewal;

static void drop(const t2_client *client, renewal *r) {
  if (r->token) t2_memzero(r->token, strlen(r->token));
  t2_free(client->options.allocator, r->token);
  if (r->link_tls) t2_tls_unref(r->link_tls);
  if (r->uplink_tls) t2_tls_unref(r->uplink_tls);
}

/* A password's hash is another each time: the one of before stays while the password does. */
static void keep_password(const t2_client *client, const t2_client_options *o, t2_terms *terms) {
  const t2_password *was = &client->terms.password;
  if (o->basic_auth && was->rounds && t2_password_check(was, t2_str_c(o->basic_auth)) == 0)
    terms->password = *was;
}

static int prepare(const t2_client *client, t2_client_options *o, renewal *r, char *detail, size_t size) {
  int err = t2_registrar_check(o->server, o->token, o->session, detail, size);
  o->kind = client->options.kind;
  if (err == 0) err = t2_client_read_terms(&r->terms, o, detail, size);
  if (err == 0) err = t2_client_make_tls(client, o->ca_file, &r->link_tls, &r->uplink_tls, detail, size);
  if (err) return err;
  r->token = t2_strdup(client->options.allocator, o->token);
  return r->token ? 0 : T2_ERR_NOMEM;
}

/* As they are registered; false also when there is no memory to see it. */
static bool are_same(const t2_client *client, const t2_terms *a, const t2_terms *b) {
  t2_buf texts[2];
  t2_buf_init(&texts[0], client->loop->mem);
  t2_buf_init(&texts[1], client->loop->mem);
  t2_terms_write(a, "", &texts[0]);
  t2_terms_write(b, "", &texts[1]);
  const char *one = t2_buf_cstr(&texts[0]), *other = t2_buf_cstr(&texts[1]);
  bool same = one && other && !texts[0].failed && !texts[1].failed && strcmp(one, other) == 0;
  t2_buf_fini(&texts[0]);
  t2_buf_fini(&texts[1]);
  return same;
}

static void take(t2_client *client, renewal *r, const char *ca_file) {
  renewal old = {client->strings.token, client->link_tls, client->uplink_tls, client->terms};
  client->options.token = client->strings.token = r->token;
  client->link_tls = r->link_tls;
  client->uplink_tls = r->uplink_tls;
  client->terms = r->terms;
  client->redial = client->redial || !are_same(client, &old.terms, &r->terms);
  t2_client_use_tls(client);
  t2_client_members_trust(client, ca_file);
  drop(client, &old);
  t2_registrar_renew(&client->registrar);
}

int t2_client_reload(t2_client *client, const t2_client_options *given, char *detail, size_t size) {
  t2_client_options options;
  t2_credentials credentials;
  renewal r = {0};
  if (size) *detail = '\0';
  if (client->state != T2_CLIENT_STATE_RUNNING || client->closing) return T2_ERR_STATE;
  if (t2_client_read_options(&options, given)) return T2_ERR_INVALID;
  t2_credential_options from = {options.token, options.token_file, options.ca_file, options.dev_state_dir};
  int err = t2_credentials_read(&credentials, options.allocator, &from, detail, size);
  if (err) return err;
  options.token = credentials.token;
  options.ca_file = credentials.ca_file;
  err = prepare(client, &options, &r, detail, size);
  if (err == 0) {
    keep_password(client, &options, &r.terms);
    take(client, &r, options.ca_file);
  } else {
    drop(client, &r);
  }
  t2_credentials_fini(&credentials);
  return err;
}
