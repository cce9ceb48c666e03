"""The parser of fastwsgi as a library: HTTP/1.1 requests from bytes, read strictly.

`RequestParser` gives events. `HttpRequestParser` and `parse_url` have the interface of httptools, for code
that was written for that. What is accepted and what is refused, by section of RFC 9110 and RFC 9112, is in
docs/http.md; how to use it, with a server as an example, in docs/parser.md.
"""

from fastwsgi.http._callbacks import HttpRequestParser
from fastwsgi.http._events import Data, EndOfMessage, Request
from fastwsgi.http._limits import Limits
from fastwsgi.http._parser import RequestParser
from fastwsgi.http._url import URL, parse_url
from fastwsgi.http.errors import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidStatusError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    ProtocolError,
)
from fastwsgi.http.protocol import HTTPProtocol

__all__ = (
    "URL",
    "Data",
    "EndOfMessage",
    "HTTPProtocol",
    "HttpParserCallbackError",
    "HttpParserError",
    "HttpParserInvalidMethodError",
    "HttpParserInvalidStatusError",
    "HttpParserInvalidURLError",
    "HttpParserUpgrade",
    "HttpRequestParser",
    "Limits",
    "ProtocolError",
    "Request",
    "RequestParser",
    "parse_url",
)
