/* script: see script.h. */
#include "script.h"

#include "app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_chunks(struct text *text, const char *body, size_t size)
{
    for (size_t at = 0, turn = 0; at < size; turn++) {
        size_t len = 1 + at % 11 + turn * turn % 997;
        len = len < size - at ? len : size - at;
        text_print(text,
                   turn % 3 == 0   ? "%zx\r\n"
                   : turn % 3 == 1 ? "0%zX;a=b\r\n"
                                   : "%zx ; q=\"x;\\\"y\"\r\n",
                   len);
        text_add(text, body + at, len);
        text_add(text, "\r\n", 2);
        at += len;
    }
    text_print(text, "0\r\nX-Trailer: t\r\n\r\n");
}

/* The body that app_serve() gives to that. */
static void want_body(struct text *want, const char *method, const char *target, const char *body,
                      size_t size)
{
    unsigned long first = 0, second = 1;
    size_t lines = 0;
    if (sscanf(target, "/stream/%lu/%lu", &first, &second) > 0 || sscanf(target, "/large/%lu", &first) > 0 ||
        sscanf(target, "/file/%lu", &first) > 0 || sscanf(target, "/cut/%lu", &first) > 0) {
        for (size_t i = 0; i < first * second; i++) {
            char byte = app_byte(i);
            text_add(want, &byte, 1);
        }
    } else if (strcmp(target, "/lines") == 0) {
        for (size_t i = 0; i < size; i++)
            lines += body[i] == '\n' || i + 1 == size;
        text_print(want, "%zu %zu", lines, size);
    } else if (strcmp(target, "/empty") != 0 && strcmp(target, "/close") != 0) {
        text_print(want, "%s %s\n", method, target);
        text_add(want, body, size);
    }
    text_add(want, "", 0);
}

void script_add(struct script *script, const char *method, const char *target, size_t size, unsigned how)
{
    struct text *text = &script->requests;
    bool old = how & (SCRIPT_OLD | SCRIPT_OLD_KEEP);
    char *body = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        body[i] = i % 50 == 49 ? '\n' : app_byte(i);

    text_print(text, "%s %s HTTP/1.%d\r\nHost: a\r\n", method, target, old ? 0 : 1);
    if (how & SCRIPT_OLD_KEEP)
        text_print(text, "Connection: keep-alive\r\n");
    if (how & SCRIPT_EXPECT)
        text_print(text, "Expect: 100-continue\r\n");
    if (how & SCRIPT_CHUNKED)
        text_print(text, "Transfer-Encoding: chunked\r\n\r\n");
    else if (size > 0 || strcmp(method, "POST") == 0)
        text_print(text, "Content-Length: %zu\r\n\r\n", size);
    else
        text_print(text, "\r\n");
    if (how & SCRIPT_CHUNKED)
        add_chunks(text, body, size);
    else
        text_add(text, body, size);

    script->wanted = realloc(script->wanted, (script->count + 1) * sizeof *script->wanted);
    struct wanted *wanted = &script->wanted[script->count++];
    *wanted = (struct wanted){.status = strcmp(target, "/empty") == 0 ? 204 : 200,
                              .to_head = strcmp(method, "HEAD") == 0};
    if (!wanted->to_head)
        want_body(&wanted->body, method, target, body, size);
    text_add(&wanted->body, "", 0);
    script->closing = (how & SCRIPT_OLD) || strcmp(target, "/close") == 0;
    free(body);
}

void script_drop(struct script *script)
{
    for (size_t i = 0; i < script->count; i++)
        text_drop(&script->wanted[i].body);
    free(script->wanted);
    text_drop(&script->requests);
    *script = (struct script){0};
}

static bool is_refusal(const struct answer *answer)
{
    static const int statuses[] = {400, 408, 413, 500, 503, 507};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (answer->status == statuses[i])
            return answer->close;
    return false;
}

struct verdict script_check(const struct script *script, const struct peer *peer)
{
    struct verdict verdict = {0};
    struct answer answer = {0};
    size_t at = 0;
    while (at < peer->got.len && !verdict.wrong && !verdict.torn && verdict.refusal == 0) {
        const struct wanted *wanted = verdict.whole < script->count ? &script->wanted[verdict.whole] : NULL;
        bool to_head = wanted != NULL && wanted->to_head;
        const char *from = peer->got.data + at;
        long n = answer_read(&answer, from, peer->got.len - at, to_head, false);
        if (n == 0 && peer->ended && answer.status != 0 && !answer.chunked && !answer.has_length)
            n = answer_read(&answer, from, peer->got.len - at, to_head,
                            true); /* ended by the connection's end */
        if (n <= 0) {
            verdict.wrong = n < 0;
            verdict.torn = n == 0;
            break;
        }
        at += (size_t)n;
        if (answer.status == 100) {
            verdict.interim++;
        } else if (wanted != NULL && answer.status == wanted->status && answer.body.len == wanted->body.len &&
                   memcmp(answer.body.data, wanted->body.data, answer.body.len) == 0) {
            verdict.whole++;
            verdict.last_close = answer.close;
        } else if (is_refusal(&answer)) {
            verdict.refusal = answer.status;
            verdict.wrong = at != peer->got.len;
        } else {
            verdict.wrong = true;
        }
    }
    answer_drop(&answer);
    return verdict;
}
