#include <base/str.h>
#include <common/cli.h>
#include <limits.h>
#include <string.h>
#include <tunnel2/error.h>

#define HELP_COLUMN 34

static const t2_cli_option *find_in(const t2_cli_option *options, size_t count, t2_str name) {
  for (size_t i = 0; i < count; i++)
    if (t2_str_eq(t2_str_c(options[i].name), name)) return &options[i];
  return NULL;
}

static const t2_cli_option *find_option(const t2_cli *cli, t2_str name) {
  const t2_cli_option *option = find_in(cli->options, cli->option_count, name);

  return option ? option : find_in(cli->common, cli->common_count, name);
}

static int set_choice(const t2_cli_option *option, const char *value, char *detail, size_t detail_size) {
  t2_str rest = t2_str_c(option->argument), word;

  while (t2_str_next(&rest, '|', &word)) {
    if (!t2_str_eq(word, t2_str_c(value))) continue;
    *(const char **)option->value = value;
    return 0;
  }
  snprintf(detail, detail_size, "--%s %s: one of %s", option->name, value, option->argument);
  return T2_ERR_INVALID;
}

static int set_number(const t2_cli_option *option, const char *value, char *detail, size_t detail_size) {
  unsigned max = option->max ? option->max : UINT_MAX;
  uint64_t number;

  if (t2_str_u64(t2_str_c(value), max, &number) || number < option->min) {
    snprintf(detail, detail_size, "--%s %s: a number from %u to %u", option->name, value, option->min, max);
    return T2_ERR_INVALID;
  }
  if (option->kind == T2_CLI_SECONDS)
    *(uint64_t *)option->value = number * 1000;
  else
    *(unsigned *)option->value = (unsigned)number;
  return 0;
}

static int add_item(const t2_cli_option *option, const char *value, char *detail, size_t detail_size) {
  t2_cli_list *list = option->value;

  if (list->n == T2_CLI_LIST_MAX) {
    snprintf(detail, detail_size, "--%s is given more than %d times", option->name, T2_CLI_LIST_MAX);
    return T2_ERR_INVALID;
  }
  list->items[list->n++] = value;
  return 0;
}

int t2_cli_set(const t2_cli_option *option, const char *value, char *detail, size_t detail_size) {
  switch (option->kind) {
  case T2_CLI_CHOICE:
    return set_choice(option, value, detail, detail_size);
  case T2_CLI_NUMBER:
  case T2_CLI_SECONDS:
    return set_number(option, value, detail, detail_size);
  case T2_CLI_LIST:
    if (*value) return add_item(option, value, detail, detail_size);
    break;
  case T2_CLI_TEXT:
    if (*value) {
      *(const char **)option->value = value;
      return 0;
    }
    break;
  case T2_CLI_FLAG:
    break;
  }
  snprintf(detail, detail_size, "--%s is empty", option->name);
  return T2_ERR_INVALID;
}

/* "--name", "--name=VALUE", or "--name" with the value in the next argument, which is then taken as well. */
static int parse_option(const t2_cli *cli, const char *text, int argc, char *const *argv, int *at,
                        char *detail, size_t detail_size) {
  const char *equals = strchr(text, '=');
  t2_str name = equals ? t2_str_of(text, (size_t)(equals - text)) : t2_str_c(text);
  const t2_cli_option *option = find_option(cli, name);

  if (!option) {
    snprintf(detail, detail_size, "there is no option --%.*s", T2_STR_ARG(name));
    return T2_ERR_INVALID;
  }
  if (cli->given && option >= cli->options && option < cli->options + cli->option_count)
    cli->given[option - cli->options] = true;
  if (option->kind == T2_CLI_FLAG) {
    if (equals) {
      snprintf(detail, detail_size, "--%s takes no value", option->name);
      return T2_ERR_INVALID;
    }
    *(bool *)option->value = true;
    return 0;
  }
  if (!equals && *at + 1 >= argc) {
    snprintf(detail, detail_size, "--%s needs a value: %s", option->name, option->argument);
    return T2_ERR_INVALID;
  }
  return t2_cli_set(option, equals ? equals + 1 : argv[++*at], detail, detail_size);
}

int t2_cli_parse(const t2_cli *cli, int argc, char *const *argv, char *detail, size_t detail_size) {
  size_t operands = 0;
  bool options_over = false;

  for (int at = 1; at < argc; at++) {
    const char *text = argv[at];
    if (!options_over && strcmp(text, "--") == 0) {
      options_over = true;
    } else if (!options_over && strncmp(text, "--", 2) == 0) {
      if (parse_option(cli, text + 2, argc, argv, &at, detail, detail_size)) return T2_ERR_INVALID;
    } else if (!options_over && text[0] == '-' && text[1]) {
      snprintf(detail, detail_size, "there is no option %s (options begin with --)", text);
      return T2_ERR_INVALID;
    } else if (operands < cli->operand_max) {
      cli->operands[operands++] = text;
    } else {
      snprintf(detail, detail_size, "\"%s\" is one argument too many", text);
      return T2_ERR_INVALID;
    }
  }
  return 0;
}

static void help_options(const t2_cli_option *options, size_t count, FILE *out) {
  for (size_t i = 0; i < count; i++) {
    const t2_cli_option *option = &options[i];
    int n = fprintf(out, "  --%s%s%s", option->name, option->argument ? " " : "",
                    option->argument ? option->argument : "");
    /* An option too long for its column gets a line of its own. */
    if (n > HELP_COLUMN - 2) n = fprintf(out, "\n") - 1;
    fprintf(out, "%*s%s\n", HELP_COLUMN - n, "", option->help);
  }
}

void t2_cli_help(const t2_cli *cli, FILE *out) {
  fprintf(out, "Usage: %s %s\n%s\n\n", cli->program, cli->usage, cli->about);
  help_options(cli->options, cli->option_count, out);
  fprintf(out, "\n");
  help_options(cli->common, cli->common_count, out);
}
