/* The messages that the benchmarks pass on: what a load program asks, what a browser asks, what nginx
 * answers. */
#ifndef T2_BENCH_MESSAGES_H
#define T2_BENCH_MESSAGES_H

#define SMALL_REQUEST                                                                                        \
  "GET /session/bench/13 HTTP/1.1\r\n"                                                                       \
  "Host: 127.0.0.1:12000\r\n\r\n"
#define BROWSER_REQUEST                                                                                      \
  "GET /session/bench/assets/app.js?v=20240611 HTTP/1.1\r\n"                                                 \
  "Host: bench.tunnel.example\r\n"                                                                           \
  "Connection: keep-alive\r\n"                                                                               \
  "sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n"                                          \
  "sec-ch-ua-mobile: ?0\r\n"                                                                                 \
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 "         \
  "Safari/537.36\r\n"                                                                                        \
  "Accept: */*\r\n"                                                                                          \
  "Sec-Fetch-Site: same-origin\r\n"                                                                          \
  "Sec-Fetch-Mode: no-cors\r\n"                                                                              \
  "Referer: https://bench.tunnel.example/session/bench/\r\n"                                                 \
  "Accept-Encoding: gzip, deflate, br\r\n"                                                                   \
  "Accept-Language: en-GB,en;q=0.9\r\n"                                                                      \
  "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n"
#define CONTENT "hello, world\n"
#define RESPONSE                                                                                             \
  "HTTP/1.1 200 OK\r\n"                                                                                      \
  "Server: nginx/1.22.1\r\n"                                                                                 \
  "Date: Tue, 11 Jun 2024 10:00:00 GMT\r\n"                                                                  \
  "Content-Type: text/plain\r\n"                                                                             \
  "Content-Length: 13\r\n"                                                                                   \
  "Connection: keep-alive\r\n\r\n" CONTENT

#endif
