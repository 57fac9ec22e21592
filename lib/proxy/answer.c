#include <base/file.h>
#include <proxy/answer.h>

int t2_answer_date(t2_proxy *proxy, t2_fields *fields) {
  int64_t now = t2_clock_wall_ms() / 1000;
  if (now != proxy->date_seconds || !proxy->date[0]) t2_http_date_write(now, proxy->date);
  proxy->date_seconds = now;
  return t2_fields_add(fields, T2_STR("date"), t2_str_c(proxy->date));
}

int t2_answer_problem(t2_proxy *proxy, const t2_problem *problem, const char *detail, t2_str request_id) {
  t2_buf_reset(&proxy->problem_body);
  int err = t2_problem_write(problem, detail, t2_str_c(proxy->by), request_id, &proxy->problem_scratch,
                             &proxy->problem_text, &proxy->problem_body);
  return err ? err : t2_answer_date(proxy, &proxy->problem_scratch.fields);
}
