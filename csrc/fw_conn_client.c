#include "fw_conn_parts.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* What is told of the client from here on. */
static void show(struct fw_conn *conn, const struct fw_client *client)
{
    conn->addr_len = (uint8_t)fw_addr_text(&client->addr, conn->addr);
    conn->port = client->port < 0 ? 0 : (uint16_t)client->port;
    conn->port_len = 0;
    if (client->port >= 0)
        conn->port_len = (uint8_t)fw_addr_port_text(conn->port, conn->port_text);
    conn->traits &= (uint8_t) ~(FW_CLIENT_ADDR | FW_CLIENT_PORT);
    conn->traits |= (uint8_t)((conn->addr_len > 0 ? FW_CLIENT_ADDR : 0) | //
                              (conn->port_len > 0 ? FW_CLIENT_PORT : 0));
}

struct fw_client fw_client_of(const struct sockaddr_storage *address)
{
    struct fw_client client = {.port = -1};
    if (address->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        client.addr = fw_addr_of_4(&v4.sin_addr);
        client.port = ntohs(v4.sin_port);
    } else if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        client.addr = fw_addr_of_6(&v6.sin6_addr);
        client.port = ntohs(v6.sin6_port);
    }
    return client;
}

static bool names_any(const struct fw_networks *networks)
{
    return networks->all || networks->count > 0;
}

void fw_conn_meet(struct fw_conn *conn, const struct fw_client *peer, bool local)
{
    const struct fw_conn_env *env = conn->env;
    const struct fw_forwarded_rules *rules = &env->forwarded;
    conn->from = *peer;
    conn->local = local;
    show(conn, peer);
    /* A unix socket's peer is who its permissions let in; but where nobody is to be believed, he is not. */
    conn->trusted = local ? names_any(&rules->proxies) : fw_addr_in(&peer->addr, &rules->proxies);
    conn->may_proxy = local || fw_addr_in(&peer->addr, &env->proxy_peers);
    conn->awaits_proxy = env->proxy_mode != FW_PROXY_OFF;
    conn->heeded = (conn->trusted && rules->active) || rules->underscore != FW_UNDERSCORE_DROP;
    conn->followed = conn->trusted && rules->client != FW_N_OTHER;
}

/* The header of the PROXY protocol says whose connection this is. */
static void adopt(struct fw_conn *conn)
{
    const struct fw_forwarded_rules *rules = &conn->env->forwarded;
    switch ((enum fw_proxy_kind)conn->proxy.kind) {
    case FW_PROXY_TCP4:
    case FW_PROXY_TCP6:
        conn->from = (struct fw_client){.addr = conn->proxy.client, .port = conn->proxy.client_port};
        conn->followed &= fw_addr_in(&conn->from.addr, &rules->proxies);
        break;
    case FW_PROXY_UNIX:
        conn->from = (struct fw_client){.port = -1};
        conn->followed = false;
        break;
    case FW_PROXY_NONE:
    case FW_PROXY_LOCAL:
    case FW_PROXY_UNKNOWN:
    case FW_PROXY_UNSPEC:
        break; /* it is the peer's own, or nobody knows */
    }
    conn->traits |= FW_CLIENT_PROXY;
    show(conn, &conn->from);
}

void fw_conn_resume(struct fw_conn *conn, bool used, const struct fw_proxy *proxy)
{
    conn->used = used;
    if (used || proxy->kind != FW_PROXY_NONE)
        conn->awaits_proxy = false;
    /* It was believed elsewhere, which says nothing: this process may have been told otherwise. */
    if (proxy->kind != FW_PROXY_NONE && conn->may_proxy && conn->env->proxy_mode != FW_PROXY_OFF) {
        conn->proxy = *proxy;
        adopt(conn);
    }
}

bool fw_conn_take_proxy(struct fw_conn *conn)
{
    struct fw_conn_env *env = conn->env;
    size_t live = fw_buf_live(&conn->in);
    if (live == 0)
        return false;
    const char *buf = fw_conn_request(conn);
    enum fw_proxy_sight sight = fw_proxy_look(buf, live, (enum fw_proxy_mode)env->proxy_mode);
    if (sight == FW_PROXY_SEES_NONE) {
        conn->awaits_proxy = false;
        conn->state = FW_CONN_IDLE;
        return true;
    }
    if (conn->state == FW_CONN_IDLE)
        conn->began_ns = env->clock.now_ms * 1000000u;
    conn->state = FW_CONN_HEAD;
    if (sight == FW_PROXY_SEES_MORE)
        return false;
    ssize_t len = conn->may_proxy ? fw_proxy_parse(buf, live, sight, &conn->proxy) : -FW_E_PROXY_FORBIDDEN;
    if (len < 0)
        fw_conn_refuse(conn, (enum fw_error) - len);
    if (len <= 0)
        return false;
    adopt(conn);
    conn->awaits_proxy = false;
    conn->state = FW_CONN_IDLE;
    fw_buf_take(&conn->in, (size_t)len);
    if (fw_buf_live(&conn->in) == 0)
        fw_buf_release(&conn->in, &env->blocks);
    return true;
}

static enum fw_error heed_from(struct fw_conn *conn, uint32_t first)
{
    const struct fw_forwarded_rules *rules = &conn->env->forwarded;
    const char *base = fw_conn_request(conn);
    struct fw_head *head = &conn->parser.head;
    struct fw_forwarded said;
    enum fw_error error = fw_forwarded_read(rules, conn->trusted, base, head, first, &said);
    conn->traits |= (uint8_t)((said.https ? FW_CLIENT_HTTPS : 0) | (said.script ? FW_CLIENT_SCRIPT : 0) |
                              (said.hidden ? FW_CLIENT_HIDDEN : 0));
    conn->script = said.script - 1;
    if (conn->followed) {
        struct fw_client client = conn->from;
        unsigned told = conn->proxy.kind == FW_PROXY_TCP4 || conn->proxy.kind == FW_PROXY_TCP6;
        bool named = fw_forwarded_follow(rules, told, base, head, &client);
        if (named || conn->renamed)
            show(conn, &client);
        conn->renamed = named;
    }
    return error;
}

enum fw_error fw_conn_heed(struct fw_conn *conn)
{
    uint32_t first = fw_forwarded_first(&conn->env->forwarded, &conn->parser.head);
    conn->traits &= (uint8_t) ~(FW_CLIENT_HTTPS | FW_CLIENT_SCRIPT | FW_CLIENT_HIDDEN);
    if (first == conn->parser.head.count && !conn->followed)
        return FW_OK;
    return heed_from(conn, first);
}
