/* heads: the request heads that the micro benches parse. */
#ifndef HEADS_H
#define HEADS_H

#include <stddef.h>

struct sample {
    const char *name;
    const char *text;
};

/* clang-format off */
static const struct sample samples[] = {
    {"loader, 1 field",
     "GET / HTTP/1.1\r\n"
     "Host: 127.0.0.1:8000\r\n"
     "\r\n"},
    {"curl, 3 fields",
     "GET /api/items?page=2 HTTP/1.1\r\n"
     "Host: localhost:8000\r\n"
     "User-Agent: curl/8.5.0\r\n"
     "Accept: */*\r\n"
     "\r\n"},
    {"browser, 12 fields",
     "GET /articles/2026/a-page-with-a-name/ HTTP/1.1\r\n"
     "Host: www.example.org\r\n"
     "Connection: keep-alive\r\n"
     "sec-ch-ua: \"Chromium\";v=\"146\", \"Not-A.Brand\";v=\"24\"\r\n"
     "sec-ch-ua-platform: \"Linux\"\r\n"
     "Upgrade-Insecure-Requests: 1\r\n"
     "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Safari/537.36\r\n"
     "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
     "Sec-Fetch-Site: same-origin\r\n"
     "Referer: https://www.example.org/articles/2026/\r\n"
     "Accept-Encoding: gzip, deflate, br, zstd\r\n"
     "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
     "Cookie: sessionid=l8h2cx0e4b7mpzq5kv9ty3w1rjd6nsfa; csrftoken=Zb4cT9vX2qLk7NfYb8Wd3GsRj6HmPaUt; theme=dark; tz=UTC\r\n"
     "\r\n"},
    {"proxied, 15 fields, 9 unknown",
     "POST /v1/orders HTTP/1.1\r\n"
     "Host: orders.internal:8080\r\n"
     "Content-Type: application/json\r\n"
     "Content-Length: 412\r\n"
     "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.Vw3cZk0m1t7PqYx5n2Ls8g\r\n"
     "X-Forwarded-For: 203.0.113.77\r\n"
     "X-Forwarded-Proto: https\r\n"
     "X-Envoy-Attempt-Count: 1\r\n"
     "X-Envoy-Expected-Rq-Timeout-Ms: 15000\r\n"
     "X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124\r\n"
     "X-B3-SpanId: a2fb4a1d1a96d312\r\n"
     "X-B3-ParentSpanId: 0020000000000001\r\n"
     "X-B3-Sampled: 1\r\n"
     "X-Tenant: north\r\n"
     "X-Shard: 17\r\n"
     "X-Client-Version: 5.11.0\r\n"
     "\r\n"},
};
/* clang-format on */

#define SAMPLE_COUNT (sizeof samples / sizeof samples[0])

#endif
