#include "fw_addr.h"

#include <arpa/inet.h>
#include <string.h>

static_assert(sizeof(struct fw_network) == 18, "fastwsgi/proxies.py packs it");

struct fw_addr fw_addr_of_4(const void *bytes)
{
    struct fw_addr addr = {.family = FW_FAMILY_4};
    memcpy(addr.bytes, bytes, 4);
    return addr;
}

struct fw_addr fw_addr_of_6(const void *bytes)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return fw_addr_of_4((const char *)bytes + sizeof mapped);
    struct fw_addr addr = {.family = FW_FAMILY_6};
    memcpy(addr.bytes, bytes, 16);
    return addr;
}

bool fw_addr_parse(const char *buf, size_t len, struct fw_addr *addr)
{
    char text[FW_ADDR_TEXT];
    uint8_t bytes[16];
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, buf, len);
    text[len] = '\0'; /* a NUL before it ends the text early, where no address ends */
    if (memchr(buf, '\0', len) != NULL)
        return false;
    if (memchr(buf, ':', len) == NULL) {
        if (inet_pton(AF_INET, text, bytes) != 1)
            return false;
        *addr = fw_addr_of_4(bytes);
    } else {
        if (inet_pton(AF_INET6, text, bytes) != 1)
            return false;
        *addr = fw_addr_of_6(bytes);
    }
    return true;
}

int32_t fw_addr_port(const char *buf, size_t len)
{
    int32_t port = 0;
    if (len == 0 || len > FW_PORT_TEXT || (buf[0] == '0' && len > 1))
        return -1;
    for (size_t at = 0; at < len; at++) {
        if (buf[at] < '0' || buf[at] > '9')
            return -1;
        port = port * 10 + (buf[at] - '0');
    }
    return port <= 65535 ? port : -1;
}

size_t fw_addr_text(const struct fw_addr *addr, char out[FW_ADDR_TEXT])
{
    char text[FW_ADDR_TEXT] = "";
    if (addr->family != FW_FAMILY_NONE)
        inet_ntop(addr->family == FW_FAMILY_4 ? AF_INET : AF_INET6, addr->bytes, text, sizeof text);
    size_t len = strlen(text);
    memcpy(out, text, len);
    return len;
}

size_t fw_addr_port_text(uint16_t port, char out[FW_PORT_TEXT])
{
    char digits[FW_PORT_TEXT];
    size_t count = 0;
    unsigned left = port;
    do {
        digits[count++] = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    for (size_t at = 0; at < count; at++)
        out[at] = digits[count - 1 - at];
    return count;
}

static bool is_in(const struct fw_addr *addr, const struct fw_network *network)
{
    size_t whole = network->bits / 8u, rest = network->bits % 8u;
    if (addr->family != network->family || memcmp(addr->bytes, network->bytes, whole) != 0)
        return false;
    return rest == 0 || (addr->bytes[whole] ^ network->bytes[whole]) >> (8 - rest) == 0;
}

bool fw_addr_in(const struct fw_addr *addr, const struct fw_networks *networks)
{
    if (networks->all)
        return true;
    for (uint32_t at = 0; at < networks->count; at++)
        if (is_in(addr, &networks->each[at]))
            return true;
    return false;
}
