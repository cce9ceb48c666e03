/* fw_access: the access log's lines.
 *
 * A format is compiled once into a short program, an operation an atom; for each request that is answered,
 * refused or given up the program writes one line into the sink. gunicorn's atoms, but for those that take
 * what only Python has: a format that names one of these does not compile here, and Python makes the lines.
 *
 * Nothing that a client sends can end a line or a quoted value: control characters, quotes and backslashes
 * are escaped. Bytes are taken for UTF-8 where the whole value is that, for latin-1 where not; a line is
 * UTF-8 always. fastwsgi/access_format.py is the same in Python, and the tests hold the two to each other. */
#ifndef FW_ACCESS_H
#define FW_ACCESS_H

#include "fw_head.h"
#include "fw_sink.h"

/* The name by which a format asks for JSON lines. */
#define FW_ACCESS_JSON "json"

/* The status of a request whose client went away before it had the whole answer. */
#define FW_ACCESS_GONE 499

enum fw_access_kind {
    FW_AT_LITERAL,
    FW_AT_ADDR,
    FW_AT_USER,
    FW_AT_TIME,
    FW_AT_LINE,
    FW_AT_METHOD,
    FW_AT_PATH,
    FW_AT_RAW_PATH,
    FW_AT_QUERY,
    FW_AT_PROTOCOL,
    FW_AT_STATUS,
    FW_AT_BYTES,
    FW_AT_FIELD,
    FW_AT_SECONDS,
    FW_AT_MILLISECONDS,
    FW_AT_MICROSECONDS,
    FW_AT_DECIMAL_SECONDS,
    FW_AT_DECIMAL_MILLISECONDS,
    FW_AT_PID,
    FW_AT_MALFORMED, /* JSON: the key and value of a request line that could not be read */
};

struct fw_access_op {
    uint8_t kind; /* enum fw_access_kind */
    uint8_t name; /* of a field: enum fw_name */
    uint32_t off; /* in `text`: a literal, or the lower-case name of a field that is not known */
    uint32_t len;
};

#define FW_ACCESS_OPS 128

/* So many bytes may be read behind the start of any literal. */
#define FW_ACCESS_PIECE 16

struct fw_access {
    struct fw_sink sink;
    bool json;
    uint32_t count;
    struct fw_access_op ops[FW_ACCESS_OPS];
    char *text;
    size_t text_len;
    const char *mount; /* SCRIPT_NAME, which stands before each path; the caller's */
    size_t mount_len;
    /* the wall clock's second as text, and the process's number */
    int64_t second;
    char time[32], zone[8], pid[12];
    uint8_t time_len, pid_len;
};

/* One request, as far as it is known. Spans count from `base`. */
struct fw_access_entry {
    const char *base;
    const struct fw_head *head; /* its fields; NULL: not known */
    const char *addr;
    size_t addr_len;
    const char *mount; /* where this request's application is mounted; NULL: where all are */
    size_t mount_len;
    struct fw_span line; /* the request line, or what came of it */
    bool parsed;         /* ... which is three words: those below */
    struct fw_span method, path, query, protocol;
    unsigned status;
    uint64_t sent; /* bytes of the answer's body */
    uint64_t took_ns;
};

enum fw_access_result {
    FW_ACCESS_OK,
    FW_ACCESS_PYTHON, /* names something that is not known here, or is too long */
    FW_ACCESS_NO_MEMORY,
};

/* `format` is one that Python has found to be valid. Lines go to `fd`, which stays the caller's. Unless the
 * result is OK nothing is left behind. */
enum fw_access_result fw_access_init(struct fw_access *access, const char *format, size_t len, int fd,
                                     const char *mount, size_t mount_len);

/* From a format to access->ops and access->text (room for 1024 bytes and three for each of the format's).
 * fw_access_init() does. False: Python has to make the lines.                                       */
bool fw_access_compile(struct fw_access *access, const char *format, size_t len);

/* Writes what is left, as far as it is taken in time. */
void fw_access_drop(struct fw_access *access);

/* Fill in what the head says; or, where there is none, the words of a line that may be one. */
void fw_access_of_head(struct fw_access_entry *entry, const char *base, const struct fw_head *head);
void fw_access_of_line(struct fw_access_entry *entry, const char *base, struct fw_span line);

/* Add the line of a request. One that cannot be kept is lost, and counted by the sink. */
void fw_access_note(struct fw_access *access, const struct fw_access_entry *entry);

#endif
