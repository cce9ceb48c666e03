/* Whatever a client sends in the field that names clients: behind a proxy that appends its address, that
 * address is found, or none. It never finds what the client has written. */
#include "fuzz.h"
#include "fw_forwarded.h"
#include "fw_scan.h"

static const struct fw_network inside = {4, 8, {10}};

/* The way from 10.0.0.1 through these values of field lines, one or two. */
static bool follow(enum fw_name name, const char *first, size_t first_len, const char *second,
                   struct fw_client *client)
{
    size_t second_len = second != NULL ? strlen(second) : 0;
    char *joined = malloc(first_len + second_len + 1);
    PROMISE(joined != NULL);
    memcpy(joined, first, first_len);
    if (second != NULL)
        memcpy(joined + first_len, second, second_len);
    char *base = fuzz_copy(joined, first_len + second_len);
    free(joined);
    struct fw_field fields[2] = {{.id = (uint8_t)name, .value = fw_span_of(0, first_len)},
                                 {.id = (uint8_t)name, .value = fw_span_of(first_len, second_len)}};
    struct fw_head head = {.count = second != NULL ? 2 : 1, .fields = fields};
    struct fw_forwarded_rules rules = {.proxies = {.each = &inside, .count = 1}, .client = (uint8_t)name};
    *client = (struct fw_client){.addr = {.family = FW_FAMILY_4, .bytes = {10, 0, 0, 1}}, .port = 1};
    bool moved = fw_forwarded_follow(&rules, 0, base, &head, client);
    PROMISE(client->port >= -1 && client->port <= UINT16_MAX);
    PROMISE(moved || (client->port == 1 && client->addr.bytes[0] == 10));
    free(base);
    return moved;
}

static bool is_real(const struct fw_client *client)
{
    return client->addr.family == FW_FAMILY_4 && memcmp(client->addr.bytes, "\xC0\x00\x02\x01", 4) == 0;
}

static void append(enum fw_name name, const char *sent, size_t len, const char *behind, bool always)
{
    char *value = malloc(len + strlen(behind));
    struct fw_client client;
    PROMISE(value != NULL);
    memcpy(value, sent, len);
    memcpy(value + len, behind, strlen(behind));
    bool moved = follow(name, value, len + strlen(behind), NULL, &client);
    PROMISE(moved ? is_real(&client) : !always);
    free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *sent = (const char *)data;
    size_t len = fw_scan_value(sent, size);
    struct fw_client client;
    follow(FW_N_X_FORWARDED_FOR, sent, len, NULL, &client);
    append(FW_N_X_FORWARDED_FOR, sent, len, ", 192.0.2.1", true);
    append(FW_N_X_FORWARDED_FOR, sent, len, ",192.0.2.1:4711, 10.0.0.7", true);
    follow(FW_N_X_FORWARDED_FOR, sent, len, "192.0.2.1", &client);
    PROMISE(is_real(&client));

    follow(FW_N_FORWARDED, sent, len, NULL, &client);
    append(FW_N_FORWARDED, sent, len, ", for=192.0.2.1", false);
    append(FW_N_FORWARDED, sent, len, ",for=\"192.0.2.1:4711\";by=\"[::1]\";proto=https", false);
    append(FW_N_FORWARDED, sent, len, ",proto=http;by=_x;for=\"192.0.2.1:_p\"", false);
    follow(FW_N_FORWARDED, sent, len, "for=192.0.2.1;proto=https", &client);
    PROMISE(is_real(&client));
    return 0;
}
