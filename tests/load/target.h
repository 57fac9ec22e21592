/* Where requests go, http://HOST:PORT/PATH, and their bytes, made once: a head for every target and step. */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "plan.h"

#define TARGETS_MAX     64
#define TARGET_HEAD_MAX 2048

typedef struct request_head {
  char bytes[TARGET_HEAD_MAX];
  size_t n;
} request_head;

typedef struct target {
  struct sockaddr_storage address;
  socklen_t address_length;
  request_head *heads; /* one a step of the plan */
} target;

/* Resolves the URL and makes the heads; false with a line on stderr. target_fini frees, also after false. */
bool target_init(target *t, const char *url, const plan *p);
void target_fini(target *t);

#endif
