/* The public ports of TCP sessions, or those of UDP ones: each session has one of the entry's range, from its
 * first uplink until it is forgotten.
 *
 * It is the one its ticket asks for, or one that follows from its id: the same after a restart, and at every
 * entry with the same range, unless others were there before. Of a session that has been without a client for
 * T2_ENTRY_PORT_GRACE_MS it may be taken: by who asks for it, or when no other is free. */
#ifndef T2_ENTRY_PORTS_H
#define T2_ENTRY_PORTS_H

#include <entry/sessions.h>
#include <net/listener.h>
#include <net/udp.h>

#define T2_ENTRY_PORT_GRACE_MS 60000
#define T2_ENTRY_SWEEP_MS      10000

typedef struct t2_entry_ports_options {
  const char *host;         /* to bind: "127.0.0.1", "::1" */
  uint16_t first, last;     /* 0: there are none */
  uint32_t connections_max; /* of one port; TCP */
  bool udp;
} t2_entry_ports_options;

typedef struct t2_entry_ports_ops {
  /* A connection on the session's port; the callee's, as t2_accept_cb. */
  void (*on_connection)(t2_entry_session *session, t2_conn *conn, void *user);
  /* UDP: a datagram on it; and the port is being closed. */
  void (*on_datagram)(t2_entry_session *session, t2_udp *udp, const t2_address *from, const uint8_t *bytes,
                      size_t n, void *user);
  void (*on_close)(t2_entry_session *session, void *user);
  /* Now and then, while ports are open: a time to forget sessions. */
  void (*on_sweep)(void *user);
} t2_entry_ports_ops;

/* Embedded. */
typedef struct t2_entry_ports {
  t2_loop *loop;
  t2_entry_ports_options options;
  const t2_entry_ports_ops *ops;
  void *user;
  t2_entry_port **open; /* by number, from options.first on; made with the first one */
  size_t count;
  t2_timer sweep;
  int *spare; /* likewise: sockets that wait for a session, from another process; 0: none */
  t2_timer spare_timer;
  bool held;
} t2_entry_ports;

/* options are copied; their host outlives this. */
void t2_entry_ports_init(t2_entry_ports *ports, t2_loop *loop, const t2_entry_ports_options *options,
                         const t2_entry_ports_ops *ops, void *user);
/* None is open. */
void t2_entry_ports_fini(t2_entry_ports *ports);
/* Sees to it that the session has a port, for an uplink that is attached already; asked 0: any. 0;
 * T2_ERR_CONFLICT (not in the range, in use, or not what the session's other uplinks have; or there is no
 * range); T2_ERR_UNAVAILABLE: none is free; T2_ERR_NOMEM. detail has a sentence. */
int t2_entry_ports_open(t2_entry_ports *ports, t2_entry_session *session, uint16_t asked, char *detail,
                        size_t detail_size);
/* A socket of that port that is open already: the ports' from here on. It is for the session that opens the
 * port within T2_ENTRY_PORT_GRACE_MS. 0; T2_ERR_CONFLICT: it is none of the range, or there is one;
 * T2_ERR_NOMEM. */
int t2_entry_ports_adopt(t2_entry_ports *ports, uint16_t number, int fd);
/* True: what comes to the ports waits in the system's queues. */
void t2_entry_ports_hold(t2_entry_ports *ports, bool held);
/* Calls back with the descriptor of each port that is open, or waits. */
void t2_entry_ports_each(const t2_entry_ports *ports, void (*cb)(uint16_t number, int fd, void *user),
                         void *user);
/* The session's port, or 0. */
uint16_t t2_entry_port_number(const t2_entry_session *session);
/* No new connections; those that are there live on. UDP: on_close comes. Does nothing without a port. */
void t2_entry_port_close(t2_entry_session *session);
void t2_entry_ports_close_all(t2_entry_ports *ports);

#endif
