"""wsgi.file_wrapper, and which of what it wraps can go out by sendfile (PEP 3333)."""

import io
import os
import stat


cdef class FileWrapper:
    """wsgi.file_wrapper: a file-like object as an iterable of blocks of `blksize` bytes.

    Returned by the application itself, a real file goes out by sendfile from where it stands.
    """

    def __init__(self, filelike, Py_ssize_t blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        self.read = filelike.read

    def __iter__(self):
        return self

    def __next__(self):
        block = self.read(self.blksize)
        if not block:
            raise StopIteration
        return block

    def __getitem__(self, index):
        """The old sequence protocol, which some middleware still uses to iterate."""
        block = self.read(self.blksize)
        if not block:
            raise IndexError(index)
        return block

    def close(self):
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def real_file(filelike):
    """The descriptor, position and size of the plain regular file that read() would read from, or None.

    A fileno() proves nothing: GzipFile has one, and it is that of the compressed bytes. What counts is whose
    read() it is: django.core.files.File and the files of tempfile hand out that of the file they wrap.
    """
    read = filelike.read
    inner = getattr(getattr(read, "__wrapped__", read), "__self__", None)
    if type(inner) in (io.BufferedReader, io.BufferedRandom):
        raw = inner.raw
    else:
        raw = inner
    if type(raw) is not io.FileIO:
        return None
    try:
        descriptor = inner.fileno()
        status = os.fstat(descriptor)
        position = inner.tell()
    except (OSError, ValueError):
        return None
    # Files of no size, as in /proc, may have content all the same.
    if not stat.S_ISREG(status.st_mode) or status.st_size <= position:
        return None
    return descriptor, position, status.st_size
