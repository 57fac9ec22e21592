#include <base/file.h>
#include <common/notify.h>
#include <common/state.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or "@name" of an abstract socket (unix(7)). The length; 0: it is none. */
static socklen_t address_of(const char *name, struct sockaddr_un *address) {
  size_t n = strlen(name);

  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if ((*name != '/' && *name != '@') || n < 2 || n >= sizeof(address->sun_path)) return 0;
  memcpy(address->sun_path, name, n);
  if (*name == '@') address->sun_path[0] = '\0';
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static void notify(const char *text) {
  struct sockaddr_un address;
  const char *name = getenv("NOTIFY_SOCKET"); /* NOLINT(concurrency-mt-unsafe): programs have one thread */
  socklen_t length = name ? address_of(name, &address) : 0;

  if (length == 0) return;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, length);
  close(fd);
}

void t2_app_notify_ready(const t2_app *app, const char *format, ...) {
  char status[T2_APP_STATUS_MAX], text[T2_APP_STATUS_MAX + 32];
  va_list args;

  if (app->state->draining || app->state->ended) return;
  va_start(args, format);
  vsnprintf(status, sizeof(status), format, args);
  va_end(args);
  for (char *c = status; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 127) *c = ' ';
  snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);
  notify(text);
}

void t2_app_notify_reloading(void) {
  char text[64];

  snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
           (unsigned long long)t2_clock_mono_ms() * 1000);
  notify(text);
}

void t2_app_notify_reloaded(void) {
  notify("READY=1");
}

void t2_app_notify_stopping(void) {
  notify("STOPPING=1");
}
