/* Frames: the capsules of RFC 9297 (type, length, value) whose value is a list of fields (key, length,
 * bytes).
 *
 * They carry the control channel between tunneld and its clients and entries. Unknown types and keys are to
 * be skipped. All numbers are the variable-length integers of RFC 9000, section 16 (at most 2^62 - 1). No I/O
 * and no allocation happens here; any thread, one thread at a time for one writer or decoder.
 */
#ifndef TUNNEL2_FRAME_H
#define TUNNEL2_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest number that a varint can hold. */
#define T2_VARINT_MAX ((uint64_t)0x3fffffffffffffff)
/* The most bytes that one takes. */
#define T2_VARINT_SIZE_MAX 8

/* Bytes that value takes as a varint (1, 2, 4 or 8), or 0 when it is past T2_VARINT_MAX. */
T2_API size_t t2_varint_size(uint64_t value);
/* Writes value to out[cap]: the bytes written, T2_ERR_LIMIT when cap is too small, T2_ERR_INVALID past
 * T2_VARINT_MAX. */
T2_API int t2_varint_encode(uint64_t value, uint8_t *out, size_t cap);
/* Reads one varint from bytes[n]: the bytes read, or T2_ERR_AGAIN when there are too few. */
T2_API int t2_varint_decode(const uint8_t *bytes, size_t n, uint64_t *value);

/* ---- Encoding: into memory of the caller's. ---- */

/* The longest value of a frame, or of a field that is itself a list, that the writer makes: its length is
 * written afterwards, in the four bytes kept for it. */
#define T2_FRAME_VALUE_MAX ((size_t)0x3fffffff)

/* Frames under construction in out[cap], which is the caller's and outlives the writer. After an error
 * nothing more is written, and out[0..len) holds the frames that were finished before it. Members are read by
 * the caller, and written by the functions below alone. */
typedef struct t2_frame_writer {
  uint8_t *out;    /* the caller's */
  size_t cap;      /* bytes there */
  size_t len;      /* bytes of finished frames and the open one */
  size_t finished; /* bytes of finished frames */
  size_t frame;    /* where the open frame's length goes; SIZE_MAX when none is open */
  size_t list;     /* where the open list's length goes; SIZE_MAX when none is open */
  int error;       /* the first error, sticky: T2_ERR_LIMIT when out is full, T2_ERR_INVALID, T2_ERR_STATE */
} t2_frame_writer;

/* Begins an empty stream in out[cap]. There is nothing to free. */
T2_API void t2_frame_writer_init(t2_frame_writer *writer, uint8_t *out, size_t cap);
/* Opens a frame of that type: any number of fields follow, then t2_frame_end; then the next frame. 0, or
 * writer->error: T2_ERR_LIMIT, out is full; T2_ERR_INVALID, a number past T2_VARINT_MAX; T2_ERR_STATE, a
 * frame is open already. */
T2_API int t2_frame_begin(t2_frame_writer *writer, uint64_t type);
/* A field with n bytes, which are copied. 0, or writer->error as above; T2_ERR_STATE: no frame is open. */
T2_API int t2_frame_put_bytes(t2_frame_writer *writer, uint64_t key, const void *bytes, size_t n);
/* A field whose value is a varint. As t2_frame_put_bytes. */
T2_API int t2_frame_put_u64(t2_frame_writer *writer, uint64_t key, uint64_t value);
/* From here to t2_frame_end_list, fields go into the value of one field that is itself a list. Lists are one
 * level deep. As t2_frame_put_bytes. */
T2_API int t2_frame_begin_list(t2_frame_writer *writer, uint64_t key);
/* Closes the list. As t2_frame_put_bytes; T2_ERR_STATE: none is open. */
T2_API int t2_frame_end_list(t2_frame_writer *writer);
/* Closes the frame: from here on it is in out[0..finished). As t2_frame_put_bytes; T2_ERR_STATE: none is
 * open, or a list is. */
T2_API int t2_frame_end(t2_frame_writer *writer);

/* ---- Decoding: a capsule stream in pieces of any size. ---- */

/* Called for one whole frame; value[n] is valid during the call only. A return other than 0 stops
 * t2_frame_decoder_feed, which hands it on and does not touch the decoder again: it may be gone by then, and
 * if it is not, it is good for t2_frame_decoder_init only, since the rest of the piece is lost. */
typedef int (*t2_frame_cb)(uint64_t type, const uint8_t *value, size_t n, void *user);
/* Is this a type that on_frame is to see? Called once for each frame, when its header is known. */
typedef bool (*t2_frame_filter_cb)(uint64_t type, void *user);

/* Collects pieces in buffer[cap], which is the caller's and outlives the decoder; it bounds the longest
 * frame, with its header, that is read. Members are for the functions below alone. */
typedef struct t2_frame_decoder {
  uint8_t *buffer;           /* the caller's */
  size_t cap;                /* bytes there */
  size_t len;                /* bytes collected */
  uint64_t skip;             /* bytes still to be passed over of a frame that the filter does not want */
  int error;                 /* sticky */
  t2_frame_cb on_frame;      /* called for each frame */
  t2_frame_filter_cb filter; /* NULL: all are wanted */
  void *user;                /* given to both */
} t2_frame_decoder;

/* Begins a stream, with no filter. There is nothing to free. */
T2_API void t2_frame_decoder_init(t2_frame_decoder *decoder, uint8_t *buffer, size_t cap,
                                  t2_frame_cb on_frame, void *user);
/* Frames of types that filter says no to are passed over, however long they are (RFC 9297, 3.2). cap must
 * have room for the longest header, 2 * T2_VARINT_SIZE_MAX. */
T2_API void t2_frame_decoder_set_filter(t2_frame_decoder *decoder, t2_frame_filter_cb filter);
/* Feeds n bytes, which are read during the call alone. 0; T2_ERR_LIMIT when a wanted frame with its header is
 * longer than cap (the stream is lost: so answers every later call); or what on_frame returned. */
T2_API int t2_frame_decoder_feed(t2_frame_decoder *decoder, const uint8_t *bytes, size_t n);
/* At the end of the stream: 0, or T2_ERR_PROTOCOL when it ended inside a frame. */
T2_API int t2_frame_decoder_finish(const t2_frame_decoder *decoder);

/* Walks the fields of a frame's value: start with *at = 0. 1 with *key, *bytes and *n set, 0 at the end,
 * T2_ERR_PROTOCOL for a field that does not fit. *bytes points into value. */
T2_API int t2_frame_next_field(const uint8_t *value, size_t value_len, size_t *at, uint64_t *key,
                               const uint8_t **bytes, size_t *n);
/* The first field with this key: 1, 0 when there is none, or T2_ERR_PROTOCOL. *bytes points into value. */
T2_API int t2_frame_find_bytes(const uint8_t *value, size_t value_len, uint64_t key, const uint8_t **bytes,
                               size_t *n);
/* The same, read as a varint; T2_ERR_PROTOCOL also when that does not fill the field whole. */
T2_API int t2_frame_find_u64(const uint8_t *value, size_t value_len, uint64_t key, uint64_t *number);

#ifdef __cplusplus
}
#endif
#endif
