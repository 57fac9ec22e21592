#include <control/store.h>

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static t2_report least_of(const t2_report *a, const t2_report *b) {
  return (t2_report){least(a->active, b->active), least(a->requests, b->requests),
                     least(a->bytes_in, b->bytes_in), least(a->bytes_out, b->bytes_out)};
}

static void add(t2_report *to, const t2_report *what) {
  to->active += what->active;
  to->requests += what->requests;
  to->bytes_in += what->bytes_in;
  to->bytes_out += what->bytes_out;
}

static void subtract(t2_report *from, const t2_report *what) {
  from->active -= what->active;
  from->requests -= what->requests;
  from->bytes_in -= what->bytes_in;
  from->bytes_out -= what->bytes_out;
}

static void lease_long(t2_store *store, t2_session *session, t2_moment now) {
  session->parked_lease = true;
  session->lease_until = now.mono_ms + store->limits.parked_ms;
  t2_list_remove(&session->lease);
  t2_list_push_back(&store->parked_leases, &session->lease);
}

void t2_store_park(t2_store *store, t2_session *session, const t2_report *last, t2_moment now) {
  session->parked++;
  store->parked_count++;
  add(&session->now, last);
  add(&session->parked_last, last);
  lease_long(store, session, now);
}

/* Whose share of the numbers is whose is not known where several are parked: what is left goes with the last.
 */
t2_report t2_store_unpark(t2_store *store, t2_session *session, const t2_report *reported, t2_moment now) {
  t2_report own = least_of(&session->parked_last, reported);

  subtract(&session->parked_last, &own);
  if (session->parked) {
    session->parked--;
    store->parked_count--;
  }
  if (session->parked == 0) {
    t2_store_forget_parked(store, session);
    session->lease_until = 0;
  }
  t2_store_renew(store, session, now);
  return own;
}

void t2_store_forget_parked(t2_store *store, t2_session *session) {
  store->parked_count -= session->parked;
  session->parked = 0;
  subtract(&session->now, &session->parked_last);
  session->parked_last = (t2_report){0};
}

void t2_store_expect_parked(t2_store *store, t2_moment now) {
  T2_LIST_FOREACH(node, next, &store->live) {
    lease_long(store, T2_LIST_ENTRY(node, t2_session, order), now);
  }
}
