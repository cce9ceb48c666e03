#define _GNU_SOURCE
#include "fw_share.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of the head of a message. The other side may be another version of this program. */
#define MAGIC   0x68735766u
#define VERSION 1

struct message {
    uint32_t magic;
    uint16_t version;
    uint16_t size;  /* of this structure */
    uint32_t bytes; /* that follow */
    uint32_t waited_ms;
    uint8_t used;
    uint8_t local;
    struct fw_share_place place;
    struct fw_proxy proxy;
};

/* Room for one descriptor, and no more: the kernel closes what does not fit. */
union control {
    struct cmsghdr align;
    char room[CMSG_LEN(sizeof(int))];
};

/* --- places --- */

bool fw_share_place_of(int listener, struct fw_share_place *place)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    *place = (struct fw_share_place){0};
    if (getsockname(listener, (struct sockaddr *)&address, &len) != 0 || len > sizeof place->bytes)
        return false;
    place->len = (uint8_t)len;
    memcpy(place->bytes, &address, len);
    return true;
}

uint64_t fw_share_bit(const struct fw_share_place *place)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < place->len; i++)
        hash = (hash ^ (unsigned char)place->bytes[i]) * 1099511628211u;
    return (uint64_t)1 << (hash >> 58);
}

/* --- who is there --- */

struct fw_share_view fw_share_look(const struct fw_share *share, uint32_t connections_most)
{
    struct fw_share_view view = {.least = UINT32_MAX, .places = UINT64_MAX};
    const struct fw_board *board = share->board;
    if (board == NULL)
        return view;
    uint32_t used = atomic_load_explicit(&board->used, memory_order_relaxed);
    if (atomic_load(&board->ending))
        used = 0;
    for (uint32_t i = 0; i < used && i < board->count; i++) {
        const struct fw_slot *slot = &board->slots[i];
        uint32_t state = atomic_load(&slot->state);
        /* Who retires serves until another does, and passes on then what it has been given. Without, there
         * would be nobody at times where workers retire quickly. */
        if (slot == share->slot || (state != FW_SLOT_SERVING && state != FW_SLOT_RETIRING) ||
            atomic_load(&slot->dismissed))
            continue;
        uint32_t connections = atomic_load_explicit(&slot->connections, memory_order_relaxed);
        if (connections >= connections_most || atomic_load_explicit(&slot->places, memory_order_relaxed) == 0)
            continue; /* the latter is a template: it serves nobody */
        view.serving++;
        view.here++;
        view.connections += connections;
        view.requests += atomic_load_explicit(&slot->requests, memory_order_relaxed);
        view.places &= atomic_load_explicit(&slot->places, memory_order_relaxed);
        if (atomic_load_explicit(&slot->turn, memory_order_relaxed) % 2 == 0) {
            view.idle++;
            view.least = connections < view.least ? connections : view.least;
        }
    }
    if (share->page != NULL)
        view.serving += atomic_load(&share->page->serving[1 - share->side]); /* they have our listeners */
    return view;
}

/* --- sending --- */

bool fw_share_may_pass(const struct fw_conn *conn)
{
    if (fw_buf_live(&conn->in) > FW_SHARE_BYTES || fw_buf_live(&conn->out) > 0 || conn->error != FW_OK ||
        conn->owes_line || conn->reset || conn->handed || conn->file_fd >= 0)
        return false;
    switch ((enum fw_conn_state)conn->state) {
    case FW_CONN_IDLE:
    case FW_CONN_HEAD:
        return conn->used_len == 0;
    case FW_CONN_READY:
        return conn->body_fd < 0 && conn->body_start == 0 &&
               conn->used_len == conn->head_len + conn->body_len &&
               conn->parser.framing.kind != FW_BODY_CHUNKED && !(conn->env->limits.rules & FW_RULES_REWRITE);
    case FW_CONN_BODY:
    case FW_CONN_APP:
    case FW_CONN_SENDING:
    case FW_CONN_LINGER:
    case FW_CONN_CLOSED:
        return false;
    }
    return false;
}

bool fw_share_send(const struct fw_share *share, const struct fw_conn *conn,
                   const struct fw_share_place *place, uint64_t waited_ms)
{
    struct message head;
    union control control;
    size_t len = fw_buf_live(&conn->in);
    assert(fw_share_may_pass(conn));
    memset(&head, 0, sizeof head);
    memset(&control, 0, sizeof control);
    head.magic = MAGIC;
    head.version = VERSION;
    head.size = sizeof head;
    head.bytes = (uint32_t)len;
    head.waited_ms = waited_ms < UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX;
    head.used = conn->used;
    head.local = conn->local;
    head.place = *place;
    head.proxy = conn->proxy;
    struct iovec parts[2] = {
        {.iov_base = &head, .iov_len = sizeof head},
        {.iov_base = len > 0 ? conn->in.data + conn->in.off : NULL, .iov_len = len},
    };
    struct msghdr message = {
        .msg_iov = parts,
        .msg_iovlen = len > 0 ? 2 : 1,
        .msg_control = &control,
        .msg_controllen = sizeof control.room,
    };
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    control.align.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.align), &conn->fd, sizeof(int));
    ssize_t n;
    do
        n = sendmsg(share->send, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0; /* all of it or nothing: messages are not cut */
}

uint32_t fw_share_waiting(const struct fw_share *share)
{
    int bytes = 0;
    if (ioctl(share->receive, FIONREAD, &bytes) != 0 || bytes < 0)
        return 0;
    return (uint32_t)((size_t)bytes / sizeof(struct message)); /* few have bytes of a request */
}

/* --- receiving --- */

/* The descriptor that came, or -1. */
static int take_descriptor(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
            part->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(part), sizeof fd);
    return fd;
}

static bool is_address(const struct fw_addr *addr)
{
    return addr->family == FW_FAMILY_4 || addr->family == FW_FAMILY_6;
}

static bool is_ours(const struct message *head, size_t len)
{
    const struct fw_proxy *proxy = &head->proxy;
    if (len < sizeof *head || head->magic != MAGIC || head->version != VERSION || head->size != sizeof *head)
        return false;
    if (head->bytes > FW_SHARE_BYTES || len != sizeof *head + head->bytes || head->used > 1 ||
        head->local > 1 || head->place.len > sizeof head->place.bytes || proxy->kind > FW_PROXY_UNSPEC)
        return false;
    bool addressed = proxy->kind == FW_PROXY_TCP4 || proxy->kind == FW_PROXY_TCP6;
    return !addressed || (is_address(&proxy->client) && is_address(&proxy->proxy));
}

/* Who is at the other end, by the kernel's word. False: it has gone. */
static bool meet(struct fw_conn *conn, bool local)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getpeername(conn->fd, (struct sockaddr *)&address, &len) != 0 ||
        (address.ss_family == AF_UNIX) != local)
        return false;
    struct fw_client peer = fw_client_of(&address);
    fw_conn_meet(conn, &peer, local);
    return true;
}

enum fw_share_got fw_share_receive(const struct fw_share *share, struct fw_conn_env *env,
                                   struct fw_conn *conn, struct fw_share_note *note)
{
    struct message head;
    union control control;
    enum fw_share_got got = FW_SHARE_LOST;
    fw_conn_open(conn, env, -1);
    if (!fw_buf_reserve(&conn->in, &env->blocks, FW_SHARE_BYTES)) {
        fw_conn_close(conn);
        errno = ENOMEM;
        return FW_SHARE_REST;
    }
    struct iovec parts[2] = {
        {.iov_base = &head, .iov_len = sizeof head},
        {.iov_base = conn->in.data + conn->in.len, .iov_len = FW_SHARE_BYTES},
    };
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control.room};
    ssize_t n;
    do
        n = recvmsg(share->receive, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    int problem = errno;
    if (n >= 0)
        conn->fd = take_descriptor(&message);
    if (n < 0) {
        got = problem == EAGAIN || problem == EWOULDBLOCK ? FW_SHARE_EMPTY : FW_SHARE_REST;
    } else if (message.msg_flags & MSG_CTRUNC) {
        got = conn->fd < 0 ? FW_SHARE_REST : FW_SHARE_LOST; /* the latter has brought more than one */
        problem = EMFILE;
    } else if (conn->fd >= 0 && !(message.msg_flags & MSG_TRUNC) && is_ours(&head, (size_t)n) &&
               meet(conn, head.local)) {
        fw_conn_resume(conn, head.used, &head.proxy);
        conn->in.len += head.bytes;
        if (head.bytes == 0)
            fw_buf_release(&conn->in, &env->blocks);
        *note = (struct fw_share_note){
            .place = head.place, .waited_ms = head.waited_ms, .had_bytes = head.bytes > 0};
        return FW_SHARE_GOT;
    }
    fw_conn_close(conn);
    errno = problem;
    return got;
}
