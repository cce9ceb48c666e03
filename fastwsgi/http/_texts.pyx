"""The tables of `_texts.pxd`: constants, filled when the module is loaded."""

from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM

from fastwsgi.http.c_http cimport (
    FW_METHOD_COUNT,
    FW_NAME_COUNT,
    fw_field,
    fw_method_text,
    fw_name_find,
    fw_name_text,
)

# Not what bytes.title() makes of them: the spelling in which they are usually sent.
cdef dict UNTITLED = {b"dnt": b"DNT", b"te": b"TE", b"etag": b"ETag", b"sec-gpc": b"Sec-GPC"}

# What browsers and other clients send as it stands here: a third of the fields of a new connection's request.
# Nothing that a client could have chosen for itself.
cdef dict USUAL = {
    b"connection": (b"keep-alive", b"close", b"Upgrade", b"keep-alive, Upgrade"),
    b"content-type": (b"application/json", b"application/x-www-form-urlencoded"),
    b"transfer-encoding": (b"chunked",),
    b"expect": (b"100-continue",),
    b"upgrade": (b"websocket",),
    b"accept": (
        b"*/*",
        b"application/json",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
        b"application/signed-exchange;v=b3;q=0.7",
    ),
    b"accept-encoding": (b"gzip, deflate, br, zstd", b"gzip, deflate, br", b"gzip, deflate", b"gzip"),
    b"cache-control": (b"no-cache", b"max-age=0"),
    b"pragma": (b"no-cache",),
    b"dnt": (b"1",),
    b"upgrade-insecure-requests": (b"1",),
    b"sec-fetch-site": (b"none", b"same-origin", b"same-site", b"cross-site"),
    b"sec-fetch-mode": (b"navigate", b"cors", b"no-cors"),
    b"sec-fetch-user": (b"?1",),
    b"sec-fetch-dest": (b"document", b"empty", b"image", b"script", b"style", b"font"),
    b"sec-ch-ua-mobile": (b"?0", b"?1"),
    b"sec-websocket-version": (b"13",),
    b"x-forwarded-proto": (b"https", b"http"),
    b"x-requested-with": (b"XMLHttpRequest",),
    b"te": (b"trailers",),
}


cdef list fill_methods():
    made = []
    for method in range(FW_METHOD_COUNT):
        made.append(<bytes>fw_method_text(method))
        texts.methods[method] = <PyObject *>made[method]
    return made


cdef list fill_names():
    cdef size_t size
    cdef const char *text
    made = []
    for name in range(FW_NAME_COUNT):
        text = fw_name_text(name, &size)
        lower = text[:size]
        title = UNTITLED.get(lower, lower.title())
        texts.lower_names[name] = <PyObject *>lower
        texts.title_names[name] = <PyObject *>title
        made.append((lower, title))
    return made


cdef list fill_usual():
    made = []
    for name, values in USUAL.items():
        number = fw_name_find(name, len(name))
        texts.usual_first[number] = len(made)
        texts.usual_count[number] = len(values)
        for value in values:
            pair = (<object>texts.lower_names[number], value)
            texts.usual[len(made)] = <PyObject *>pair
            made.append(pair)
    return made


cdef list METHODS = fill_methods()
cdef list NAMES = fill_names()
cdef list PAIRS = fill_usual()


cdef PyObject *usual_pair(const fw_field *field, const char *base) noexcept:
    """The pair of that name and value if it is one of those that are there, else NULL. Borrowed."""
    cdef PyObject **pair = &texts.usual[texts.usual_first[field.id]]
    cdef PyObject **end = pair + texts.usual_count[field.id]
    while pair < end:
        if is_same(PyTuple_GET_ITEM(<object>pair[0], 1), base, field.value):
            return pair[0]
        pair += 1
    return NULL
