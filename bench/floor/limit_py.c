/* limit_py: the floor for a WSGI server that reuses nothing from one request to the next.
 *
 * The loop of `limit`, plus what PEP 3333 cannot do without: the head split at colons (not checked
 * at all), an environ copied from a template of 20 keys with one str decoded for every value (keys
 * are cached), the application called by vectorcall, its status and headers formatted, its objects
 * released. It holds the GIL for ever, also while it waits, sends no Date or Server field, and reads
 * no request body: it is a measure, not a server.
 *
 *     limit_py.serve(app, port)        (0: the kernel's choice)                                */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "loop.h"

#include <stdint.h>
#include <strings.h>

enum { NAME_SLOTS = 1024, NAME_MAX_LEN = 64, FIELDS = 64 };

/* A header field's name as it was sent -> its environ key. */
struct name_slot {
    PyObject *key;
    size_t len;
    char name[NAME_MAX_LEN];
};

struct field {
    const char *name, *colon, *end;
};

/* A head, as pointers into the loop's buffer: used up before the next recv. */
struct head {
    const char *method_end, *target, *target_end;
    size_t count;
    struct field fields[FIELDS];
};

struct gateway {
    /* for ever */
    PyObject *app, *template, *start_response, *close_name;
    PyObject *method_key, *path_key, *query_key, *uri_key;
    struct name_slot names[NAME_SLOTS];
    size_t name_count;
    /* request */
    PyObject *status, *headers;
};

/* start_response is made once; it finds the request through this, as there is one at a time. */
static struct gateway gateway;

static PyObject *start_response(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (count < 2 || count > 3 || !PyUnicode_Check(args[0]) || !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "start_response(status: str, headers: list[, exc_info])");
        return NULL;
    }
    Py_XSETREF(gateway.status, Py_NewRef(args[0]));
    Py_XSETREF(gateway.headers, Py_NewRef(args[1]));
    Py_RETURN_NONE;
}

static PyObject *name_key_make(const char *name, size_t len)
{
    char key[NAME_MAX_LEN + 5] = "HTTP_";
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        key[5 + i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    PyObject *text = PyUnicode_DecodeLatin1(key, (Py_ssize_t)len + 5, NULL);
    if (text != NULL)
        PyUnicode_InternInPlace(&text);
    return text;
}

/* Names differ in their first or last eight bytes, or in length. */
static size_t name_hash(const char *name, size_t len)
{
    uint64_t head = 0, tail = 0;
    memcpy(&head, name, len < 8 ? len : 8);
    if (len > 8)
        memcpy(&tail, name + len - 8, 8);
    return (size_t)(((head ^ (tail * 0x9E3779B97F4A7C15u) ^ len) * 0xD6E8FEB86659FD93u) >> 40);
}

/* A new reference to the environ key of a field name, or NULL with an exception. */
static PyObject *name_key(struct gateway *g, const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_LEN) {
        PyErr_SetString(PyExc_ValueError, "a field name of no use to a bench");
        return NULL;
    }
    size_t place = name_hash(name, len) % NAME_SLOTS;
    struct name_slot *slot = &g->names[place];
    while (slot->key != NULL) {
        if (slot->len == len && memcmp(slot->name, name, len) == 0)
            return Py_NewRef(slot->key);
        place = (place + 1) % NAME_SLOTS;
        slot = &g->names[place];
    }

    PyObject *key = name_key_make(name, len);
    if (key != NULL && g->name_count < NAME_SLOTS / 2) {
        g->name_count++;
        slot->key = Py_NewRef(key);
        slot->len = len;
        memcpy(slot->name, name, len);
    }
    return key;
}

static int environ_put(PyObject *env, PyObject *key, const char *value, const char *end)
{
    PyObject *text = PyUnicode_DecodeLatin1(value, end - value, NULL);
    if (text == NULL)
        return -1;
    int failed = PyDict_SetItem(env, key, text);
    Py_DECREF(text);
    return failed;
}

/* Split the head at the start of buf[0..len) at its first spaces, line ends and colons; nothing of it
 * is checked. Returns its length, 0 for "not all here yet", -1 for what cannot be split. */
static ssize_t head_split(const char *buf, size_t len, struct head *head)
{
    const char *end = buf + len, *line = memchr(buf, '\n', len);

    if (line == NULL)
        return 0;
    const char *space = memchr(buf, ' ', (size_t)(line - buf));
    const char *second = space ? memchr(space + 1, ' ', (size_t)(line - space - 1)) : NULL;
    if (second == NULL)
        return -1;
    head->method_end = space;
    head->target = space + 1;
    head->target_end = second;
    head->count = 0;

    for (line++; end - line >= 2; line = head->fields[head->count++].end + 2) {
        if (line[0] == '\r')
            return line + 2 - buf;
        if (head->count == FIELDS)
            return -1;
        struct field *field = &head->fields[head->count];
        field->name = line;
        if ((field->colon = memchr(line, ':', (size_t)(end - line))) == NULL ||
            (field->end = memchr(field->colon, '\r', (size_t)(end - field->colon))) == NULL ||
            end - field->end < 2)
            return 0;
    }
    return 0;
}

static PyObject *environ_of(struct gateway *g, const char *buf, const struct head *head)
{
    const char *target = head->target, *target_end = head->target_end;
    const char *query = memchr(target, '?', (size_t)(target_end - target));
    PyObject *env = PyDict_Copy(g->template);

    if (env == NULL)
        return NULL;
    if (environ_put(env, g->method_key, buf, head->method_end) < 0 ||
        environ_put(env, g->uri_key, target, target_end) < 0 ||
        environ_put(env, g->path_key, target, query ? query : target_end) < 0 ||
        (query && environ_put(env, g->query_key, query + 1, target_end) < 0))
        goto failed;
    for (size_t i = 0; i < head->count; i++) {
        const struct field *field = &head->fields[i];
        const char *value = field->colon + 1 + (field->colon[1] == ' ');
        PyObject *key = name_key(g, field->name, (size_t)(field->colon - field->name));
        int bad = key == NULL || environ_put(env, key, value, field->end);
        Py_XDECREF(key);
        if (bad)
            goto failed;
    }
    return env;

failed:
    Py_DECREF(env);
    return NULL;
}

/* A str's UTF-8, which for the ASCII of a status or a field is the object's own memory. */
static const char *text_of(PyObject *str, size_t *len)
{
    Py_ssize_t count;
    const char *text = PyUnicode_Check(str) ? PyUnicode_AsUTF8AndSize(str, &count) : NULL;
    if (text != NULL)
        *len = (size_t)count;
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "status and header fields are str");
    return text;
}

static inline char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static int response_put(struct gateway *g, PyObject *const *blocks, Py_ssize_t count, struct floor_out *out)
{
    size_t body = 0, len;
    int sized = 0;

    if (g->status == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "start_response was not called");
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyBytes_Check(blocks[i])) {
            PyErr_SetString(PyExc_TypeError, "blocks are bytes");
            return -1;
        }
        body += (size_t)PyBytes_GET_SIZE(blocks[i]);
    }

    const char *text = text_of(g->status, &len);
    char *at = text ? floor_out_room(out, len + 64) : NULL;
    if (at == NULL)
        return -1;
    at = put(put(put(at, "HTTP/1.1 ", 9), text, len), "\r\n", 2);
    out->len = (size_t)(at - out->buf);

    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(g->headers); i++) {
        PyObject *pair = PyList_GET_ITEM(g->headers, i);
        size_t name_len, value_len;
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "headers are pairs");
            return -1;
        }
        const char *name = text_of(PyTuple_GET_ITEM(pair, 0), &name_len);
        const char *value = name ? text_of(PyTuple_GET_ITEM(pair, 1), &value_len) : NULL;
        if (value == NULL || (at = floor_out_room(out, name_len + value_len + 4)) == NULL)
            return -1;
        sized |= name_len == 14 && strncasecmp(name, "content-length", 14) == 0;
        at = put(put(put(put(at, name, name_len), ": ", 2), value, value_len), "\r\n", 2);
        out->len = (size_t)(at - out->buf);
    }

    if ((at = floor_out_room(out, body + 64)) == NULL)
        return -1;
    if (!sized)
        at += sprintf(at, "Content-Length: %zu\r\n", body);
    at = put(at, "\r\n", 2);
    for (Py_ssize_t i = 0; i < count; i++)
        at = put(at, PyBytes_AS_STRING(blocks[i]), (size_t)PyBytes_GET_SIZE(blocks[i]));
    out->len = (size_t)(at - out->buf);
    return 0;
}

/* Whatever is neither a list nor a tuple: gathered first, closed after (PEP 3333). */
static PyObject *gathered(struct gateway *g, PyObject *iterable)
{
    PyObject *blocks = PySequence_List(iterable);
    if (blocks != NULL && PyObject_HasAttr(iterable, g->close_name)) {
        PyObject *nothing = PyObject_CallMethodNoArgs(iterable, g->close_name);
        if (nothing == NULL)
            Py_CLEAR(blocks);
        Py_XDECREF(nothing);
    }
    Py_DECREF(iterable);
    return blocks;
}

static ssize_t limit_py_serve(void *context, const char *buf, size_t len, struct floor_out *out)
{
    struct gateway *g = context;
    struct head head;
    ssize_t took = head_split(buf, len, &head);
    int failed = 1;

    if (took <= 0)
        return took;
    PyObject *env = environ_of(g, buf, &head);
    if (env != NULL) {
        PyObject *args[] = {NULL, env, g->start_response};
        PyObject *answer = PyObject_Vectorcall(g->app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        if (answer != NULL && !PyList_CheckExact(answer) && !PyTuple_CheckExact(answer))
            answer = gathered(g, answer);
        if (answer != NULL) {
            failed = response_put(g, PySequence_Fast_ITEMS(answer), PySequence_Fast_GET_SIZE(answer), out);
            Py_DECREF(answer);
        }
        Py_DECREF(env);
    }
    Py_CLEAR(g->status);
    Py_CLEAR(g->headers);
    if (failed) {
        PyErr_Print();
        return -1;
    }
    return took;
}

/* The 20 keys, in a table with room for the fields of a browser. A dict's copy has the size of its
 * original, so the template is made larger than it has to be: 22 keys go in, two come out. */
static PyObject *template_make(void)
{
    PyObject *template = NULL, *io = PyImport_ImportModule("io");
    PyObject *input = io ? PyObject_CallMethod(io, "BytesIO", NULL) : NULL;
    if (input != NULL)
        template = Py_BuildValue(
            "{s:(ii),s:s,s:O,s:O,s:O,s:O,s:O,s:O,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}",
            "wsgi.version", 1, 0, "wsgi.url_scheme", "http", "wsgi.input", input, "wsgi.errors",
            PySys_GetObject("stderr"), "wsgi.multithread", Py_False, "wsgi.multiprocess", Py_False,
            "wsgi.run_once", Py_False, "wsgi.input_terminated", Py_True, "GATEWAY_INTERFACE", "CGI/1.1",
            "SERVER_SOFTWARE", "limit-py", "SERVER_NAME", "127.0.0.1", "SERVER_PORT", "80", "SERVER_PROTOCOL",
            "HTTP/1.1", "REMOTE_ADDR", "127.0.0.1", "REMOTE_PORT", "0", "SCRIPT_NAME", "", "REQUEST_METHOD",
            "", "RAW_URI", "", "PATH_INFO", "", "QUERY_STRING", "");
    if (template != NULL) {
        PyDict_SetItemString(template, "room", Py_None);
        PyDict_SetItemString(template, "more room", Py_None);
        PyDict_DelItemString(template, "room");
        PyDict_DelItemString(template, "more room");
    }
    Py_XDECREF(input);
    Py_XDECREF(io);
    return template;
}

static PyMethodDef start_response_def = {"start_response", (PyCFunction)(void (*)(void))start_response,
                                         METH_FASTCALL, NULL};

static PyObject *serve(PyObject *self, PyObject *args)
{
    PyObject *app;
    unsigned short port;

    (void)self;
    if (!PyArg_ParseTuple(args, "OH", &app, &port))
        return NULL;
    gateway.app = Py_NewRef(app);
    gateway.template = template_make();
    gateway.start_response = PyCFunction_New(&start_response_def, NULL);
    gateway.close_name = PyUnicode_InternFromString("close");
    gateway.method_key = PyUnicode_InternFromString("REQUEST_METHOD");
    gateway.path_key = PyUnicode_InternFromString("PATH_INFO");
    gateway.query_key = PyUnicode_InternFromString("QUERY_STRING");
    gateway.uri_key = PyUnicode_InternFromString("RAW_URI");
    if (PyErr_Occurred())
        return NULL;
    int listener = floor_listen(port);
    if (listener < 0 || floor_run(listener, limit_py_serve, &gateway) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS, "serve(app, port): answer requests on 127.0.0.1 for ever."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "limit_py", .m_size = -1,
                                    .m_methods = methods};

PyMODINIT_FUNC PyInit_limit_py(void);
PyMODINIT_FUNC PyInit_limit_py(void)
{
    return PyModule_Create(&module);
}
