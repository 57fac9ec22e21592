/* A command line's long options, from a table that also makes the --help text. */
#ifndef T2_COMMON_CLI_H
#define T2_COMMON_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum t2_cli_kind {
  T2_CLI_FLAG,    /* bool *: set true; takes no argument */
  T2_CLI_TEXT,    /* const char **: any text but the empty one; points into argv */
  T2_CLI_CHOICE,  /* const char **: one of the words of `argument`, "text|json" */
  T2_CLI_NUMBER,  /* unsigned *: min to max */
  T2_CLI_SECONDS, /* uint64_t *: min to max in whole seconds, stored as milliseconds */
  T2_CLI_LIST     /* t2_cli_list *: each time the option is given, one more text */
} t2_cli_kind;

#define T2_CLI_LIST_MAX 64

/* Texts point into argv. */
typedef struct t2_cli_list {
  const char *items[T2_CLI_LIST_MAX];
  size_t n;
} t2_cli_list;

typedef struct t2_cli_option {
  const char *name; /* without the dashes */
  t2_cli_kind kind;
  void *value;          /* where it goes, typed as kind says; left alone when the option is not given */
  const char *argument; /* for --help: "HOST:PORT"; NULL for a flag */
  const char *help;     /* one line, with the default in it */
  unsigned min, max;    /* NUMBER and SECONDS; max 0: no bound but the type's */
} t2_cli_option;

typedef struct t2_cli {
  const char *program;          /* "tunneld" */
  const char *usage;            /* what follows the name: "[OPTION]...", or "http TARGET [OPTION]..." */
  const char *about;            /* a line or two that say what it does */
  const t2_cli_option *options; /* the program's own */
  size_t option_count;
  bool *given;           /* option_count of them: set true for each of `options` that is there; NULL: nobody
                            asks */
  const char **operands; /* arguments that are no options go here; NULL with operand_max 0 */
  size_t operand_max; /* more than that is an error; fewer is for the caller to see: unset ones stay as they
                         were */
  const t2_cli_option *common; /* set by t2_app_init */
  size_t common_count;
} t2_cli;

/* Reads "--name VALUE", "--name=VALUE", "--flag" and operands in any order; after "--" all are operands. The
 * last of a repeated option counts, but of a LIST, which keeps them all. 0, or T2_ERR_INVALID with what is
 * wrong in detail; values may then be set in part. */
int t2_cli_parse(const t2_cli *cli, int argc, char *const *argv, char *detail, size_t detail_size);
/* Sets the option, which is no flag, to a value: 0, or T2_ERR_INVALID with what is wrong in detail. */
int t2_cli_set(const t2_cli_option *option, const char *value, char *detail, size_t detail_size);
/* Prints usage, about and a line for each option. */
void t2_cli_help(const t2_cli *cli, FILE *out);

#endif
