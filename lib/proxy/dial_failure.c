#include <proxy/dial_failure.h>
#include <tunnel2/error.h>

const char *t2_dial_failure(int err) {
  switch (err) {
  case T2_ERR_REFUSED:
    return "the origin refused the connection";
  case T2_ERR_TIMEOUT:
    return "connecting to the origin took too long";
  case T2_ERR_RESOLVE:
    return "the origin's name did not resolve";
  case T2_ERR_UNREACHABLE:
    return "there is no route to the origin";
  case T2_ERR_TLS:
    return "TLS with the origin failed";
  case T2_ERR_CERTIFICATE:
    return "the origin's certificate was not accepted";
  default:
    return "there is no connection to the origin";
  }
}
