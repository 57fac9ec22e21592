#include <http/h2_scan.h>
#include <string.h>

#define TYPE_AT       3
#define TYPE_PRIORITY 2
#define PRIORITY_LEN  5

void t2_h2_scan_init(t2_h2_scan *scan, size_t skip) {
  *scan = (t2_h2_scan){.skip = skip};
}

static uint32_t u32_at(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static size_t length_of(const t2_h2_scan *scan) {
  return u32_at(scan->bytes) >> 8;
}

/* How many bytes of this frame are looked at. */
static size_t wanted(const t2_h2_scan *scan) {
  bool priority = scan->n >= T2_H2_SCAN_HEAD && scan->bytes[TYPE_AT] == TYPE_PRIORITY;
  return priority && length_of(scan) == PRIORITY_LEN ? T2_H2_SCAN_HEAD + T2_H2_SCAN_PRIORITY
                                                     : T2_H2_SCAN_HEAD;
}

static bool take(t2_h2_scan *scan, const uint8_t **at, const uint8_t *end) {
  while (scan->n < wanted(scan)) {
    size_t n = wanted(scan) - scan->n, left = (size_t)(end - *at);
    if (n > left) n = left;
    if (n == 0) return false;
    memcpy(scan->bytes + scan->n, *at, n);
    scan->n += n;
    *at += n;
  }
  return true;
}

bool t2_h2_scan_next(t2_h2_scan *scan, const uint8_t **at, const uint8_t *end, t2_h2_scanned *frame) {
  size_t left = (size_t)(end - *at), pass = scan->skip < left ? scan->skip : left;
  scan->skip -= pass;
  *at += pass;
  if (scan->skip || !take(scan, at, end)) return false;
  bool priority = scan->n > T2_H2_SCAN_HEAD;
  *frame = (t2_h2_scanned){
      .length = length_of(scan),
      .type = scan->bytes[TYPE_AT],
      .flags = scan->bytes[TYPE_AT + 1],
      .stream = u32_at(scan->bytes + TYPE_AT + 2) & 0x7fffffff,
      .depends_on = priority ? u32_at(scan->bytes + T2_H2_SCAN_HEAD) & 0x7fffffff : 0,
  };
  scan->skip = frame->length - (scan->n - T2_H2_SCAN_HEAD);
  scan->n = 0;
  return true;
}
