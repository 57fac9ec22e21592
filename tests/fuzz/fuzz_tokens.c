/* The file of tokens, and the Authorization field. */
#include <stdlib.h>
#include <wire/token.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

/* Written, read and written again it is the same. */
static void write_again(const t2_tokens *tokens) {
  t2_tokens back;
  t2_buf first, second;

  t2_tokens_init(&back, NULL);
  t2_buf_init(&first, NULL);
  t2_buf_init(&second, NULL);
  require(t2_tokens_format(tokens, &first) == 0);
  t2_str text = t2_str_of((char *)t2_buf_head(&first), t2_buf_len(&first));
  require(t2_tokens_parse(&back, text, NULL, 0) == 0);
  require(t2_tokens_format(&back, &second) == 0);
  require(t2_str_eq(text, t2_str_of((char *)t2_buf_head(&second), t2_buf_len(&second))));
  t2_tokens_fini(&back);
  t2_buf_fini(&first);
  t2_buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char detail[160] = "";
  t2_str text = t2_str_of((const char *)data, size), token;
  t2_tokens tokens;

  if (t2_bearer_parse(text, &token) == 0)
    require(token.n > 0 && token.p >= text.p && token.p + token.n <= text.p + text.n);
  t2_tokens_init(&tokens, NULL);
  int r = t2_tokens_parse(&tokens, text, detail, sizeof(detail));
  require((r == 0) == (detail[0] == '\0'));
  if (r == 0) write_again(&tokens);
  (void)t2_tokens_check(&tokens, text);
  t2_tokens_fini(&tokens);
  return 0;
}
