#include <http/http_date.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define DAY  86400
#define LAST 253402300799 /* of the year 9999 */

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Days since 1970-01-01 of a day in the Gregorian calendar; month 1 to 12. Years begin in March here, so that
 * the day that leap years have more is the last one. */
static int64_t days_of(int64_t year, unsigned month, unsigned day) {
  if (month < 3) year--;
  unsigned shifted = month < 3 ? month + 9 : month - 3;
  int64_t of_year = (153 * (int64_t)shifted + 2) / 5 + day - 1;
  return year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719468;
}

static void civil_of(int64_t since, int *year, unsigned *month, unsigned *day) {
  int64_t y = since / 366 + 1970;
  while (days_of(y + 1, 1, 1) <= since)
    y++;
  unsigned m = 1;
  while (m < 12 && days_of(y, m + 1, 1) <= since)
    m++;
  *year = (int)y;
  *month = m;
  *day = (unsigned)(since - days_of(y, m, 1)) + 1;
}

void t2_http_date_write(int64_t seconds, char out[T2_HTTP_DATE_LEN + 1]) {
  int year;
  unsigned month, day;
  if (seconds < 0) seconds = 0;
  if (seconds > LAST) seconds = LAST;
  civil_of(seconds / DAY, &year, &month, &day);
  unsigned rest = (unsigned)(seconds % DAY);
  char text[64];
  snprintf(text, sizeof(text), "%s, %02u %s %04d %02u:%02u:%02u GMT", days[(seconds / DAY + 4) % 7], day,
           months[month - 1], year, rest / 3600, rest / 60 % 60, rest % 60);
  memcpy(out, text, T2_HTTP_DATE_LEN);
  out[T2_HTTP_DATE_LEN] = '\0';
}

/* The number that n digits at p say, or -1. */
static int number(const char *p, size_t n) {
  uint64_t value;
  return t2_str_u64(t2_str_of(p, n), 9999, &value) ? -1 : (int)value;
}

int t2_http_date_parse(t2_str text, int64_t *seconds) {
  if (text.n != T2_HTTP_DATE_LEN || memcmp(text.p + 25, " GMT", 4) != 0) return T2_ERR_INVALID;
  const char *p = text.p;
  int day = number(p + 5, 2), year = number(p + 12, 4);
  int hour = number(p + 17, 2), minute = number(p + 20, 2), second = number(p + 23, 2);
  unsigned month = 0;
  while (month < 12 && memcmp(p + 8, months[month], 3) != 0)
    month++;
  if (month == 12 || day < 1 || day > 31 || year < 1970 || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 60)
    return T2_ERR_INVALID;
  *seconds = days_of(year, month + 1, (unsigned)day) * DAY + hour * 3600 + minute * 60 + second;
  return 0;
}
