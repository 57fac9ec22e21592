/* All of libtunnel2. */
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
