/* All of libtunnel2. Where to begin:
 *
 *   client.h        publish a server, a port or a handler: what most programs need
 *   request.h       be the origin: answer the public's requests in this process
 *   websocket.h     and its WebSockets
 *   runtime.h       a thread with an event loop, for programs without one
 *   entry.h         be the public side in this process
 *   control.h       be the control plane in this process
 *   dev.h           certificates and a token to try all that with, on one machine
 *   registration.h  a session and its ticket, ticket.h the check of one, frame.h the frames of the control
 *                   channel: on their own, for those who build something else
 *   error.h, log.h, allocator.h, version.h   what all of them use
 *
 * Rules that hold for all: a function that can fail returns a negative t2_error. An object is bound to one
 * uv_loop_t; it is made, used and closed on that loop's thread, and calls back there. Any number of loops in
 * any number of threads may have objects, which share nothing. Options are structs that t2_..._options_init
 * fills; texts in them are copied. Every object is freed by its close or free function alone, and is not
 * touched once that was called. What a t2_..._new that failed had put on the loop is closed when the loop
 * runs next. A program that uses the network through this library on a thread of its own ignores SIGPIPE.
 * docs/EMBEDDING.md is the guide. */
#ifndef TUNNEL2_H
#define TUNNEL2_H

#include <tunnel2/allocator.h>
#include <tunnel2/client.h>
#include <tunnel2/control.h>
#include <tunnel2/dev.h>
#include <tunnel2/entry.h>
#include <tunnel2/error.h>
#include <tunnel2/frame.h>
#include <tunnel2/log.h>
#include <tunnel2/registration.h>
#include <tunnel2/request.h>
#include <tunnel2/runtime.h>
#include <tunnel2/ticket.h>
#include <tunnel2/version.h>
#include <tunnel2/websocket.h>

#endif
