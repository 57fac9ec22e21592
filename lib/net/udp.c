#include <net/udp.h>

#include <tunnel2/error.h>
#include <unistd.h>

#define RECEIVE_BUFFER (1 << 20) /* asked for, of a bound socket: the system may give less */

struct t2_udp {
  uv_udp_t handle;
  t2_loop *loop;
  t2_udp_cb cb;
  void *user;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  const t2_udp *udp = handle->data;
  (void)suggested;
  *buf = uv_buf_init((char *)udp->loop->slab, T2_LOOP_SLAB);
}

/* nread 0 without an address: there is nothing more for now. */
static void on_recv(uv_udp_t *handle, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *from,
                    unsigned flags) {
  t2_udp *udp = handle->data;
  t2_address address;
  (void)flags;
  if (nread < 0)
    udp->cb(udp, t2_error_of_uv((int)nread), NULL, NULL, 0, udp->user);
  else if (from && t2_address_from(&address, from))
    udp->cb(udp, 0, &address, (const uint8_t *)buf->base, (size_t)nread, udp->user);
}

static void on_close(uv_handle_t *handle) {
  t2_udp *udp = handle->data;
  t2_loop *loop = udp->loop;
  t2_free(loop->mem, udp);
  t2_loop_release(loop);
}

void t2_udp_close(t2_udp *udp) {
  uv_close((uv_handle_t *)&udp->handle, on_close);
}

int t2_udp_start(t2_udp *udp) {
  int status = uv_udp_recv_start(&udp->handle, on_alloc, on_recv);
  return status ? t2_error_of_uv(status) : 0;
}

static int start(t2_udp *udp, const t2_address *address, bool connects) {
  int status =
      connects ? uv_udp_connect(&udp->handle, &address->any) : uv_udp_bind(&udp->handle, &address->any, 0);
  int size = RECEIVE_BUFFER;
  int err = status ? t2_error_of_uv(status) : t2_udp_start(udp);
  if (err == 0 && !connects) uv_recv_buffer_size((uv_handle_t *)&udp->handle, &size);
  return err;
}

static int make(t2_udp **out, t2_loop *loop, t2_udp_cb cb, void *user) {
  *out = NULL;
  t2_udp *udp = t2_calloc(loop->mem, 1, sizeof(*udp));
  if (!udp) return T2_ERR_NOMEM;
  *udp = (t2_udp){.loop = loop, .cb = cb, .user = user};
  int status = uv_udp_init(loop->uv, &udp->handle);
  if (status) {
    t2_free(loop->mem, udp);
    return t2_error_of_uv(status);
  }
  udp->handle.data = udp;
  t2_loop_hold(loop);
  *out = udp;
  return 0;
}

/* What could not be set up goes. */
static int settle(t2_udp **out, int err) {
  if (err == 0) return 0;
  t2_udp_close(*out);
  *out = NULL;
  return err;
}

static int open_socket(t2_udp **out, t2_loop *loop, const t2_address *address, bool connects, t2_udp_cb cb,
                       void *user) {
  int err = make(out, loop, cb, user);
  return err ? err : settle(out, start(*out, address, connects));
}

int t2_udp_adopt(t2_udp **out, t2_loop *loop, int fd, t2_udp_cb cb, void *user) {
  int type = 0;
  socklen_t size = sizeof(type);
  bool good = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
  *out = NULL;
  int err = good ? make(out, loop, cb, user) : T2_ERR_INVALID;
  int status = err ? 0 : uv_udp_open(&(*out)->handle, fd);
  if (err || status) close(fd);
  return err ? err : settle(out, status ? t2_error_of_uv(status) : 0);
}

int t2_udp_socket(const t2_udp *udp) {
  uv_os_fd_t fd = -1;
  return uv_fileno((const uv_handle_t *)&udp->handle, &fd) ? -1 : fd;
}

int t2_udp_bind(t2_udp **out, t2_loop *loop, const t2_address *address, t2_udp_cb cb, void *user) {
  return open_socket(out, loop, address, false, cb, user);
}

int t2_udp_connect(t2_udp **out, t2_loop *loop, const t2_address *peer, t2_udp_cb cb, void *user) {
  return open_socket(out, loop, peer, true, cb, user);
}

/* What the system has to say of an earlier datagram it says in the place of sending this one: once more. */
int t2_udp_send(t2_udp *udp, const t2_address *to, const uint8_t *bytes, size_t n) {
  uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)n);
  int status = uv_udp_try_send(&udp->handle, &buf, 1, to ? &to->any : NULL);
  if (status == UV_ECONNREFUSED) status = uv_udp_try_send(&udp->handle, &buf, 1, to ? &to->any : NULL);
  return status < 0 ? t2_error_of_uv(status) : 0;
}
