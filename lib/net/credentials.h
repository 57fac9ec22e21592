/* What a client or an entry shows to the control plane and trusts of it, where its options name files. */
#ifndef T2_NET_CREDENTIALS_H
#define T2_NET_CREDENTIALS_H

#include <stddef.h>
#include <tunnel2/allocator.h>

/* Embedded; copies of its own, NULL: not given. */
typedef struct t2_credentials {
  const t2_allocator *mem;
  char *token, *ca_file;
} t2_credentials;

typedef struct t2_credential_options {
  const char *token, *token_file; /* token wins */
  const char *ca_file;
  const char *dev_state_dir; /* NULL: none; "": the default. For what is given nowhere else */
} t2_credential_options;

/* 0, or an error with a sentence that names the file: T2_ERR_NOT_FOUND, T2_ERR_INVALID (no token in it),
 * T2_ERR_IO, T2_ERR_NOMEM. Then there is nothing to finish. */
int t2_credentials_read(t2_credentials *credentials, const t2_allocator *mem,
                        const t2_credential_options *options, char *detail, size_t detail_size);
/* Wipes them. */
void t2_credentials_fini(t2_credentials *credentials);

/* The first line of the file, in memory of its own; what: "token", for the sentence. 0, or as above. */
int t2_secret_file_read(const t2_allocator *mem, const char *what, const char *file, char **secret,
                        char *detail, size_t detail_size);

#endif
