"""A Django site as an ASGI application: `application` says what it was asked."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this test",
    USE_TZ=True,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
)
django.setup()


def echo(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse(
        {
            "method": request.method,
            "name": name,
            "query": request.META["QUERY_STRING"],
            "host": request.get_host(),
            "headers": dict(request.headers),
            "length": len(request.body),
            "body": request.body[:100].decode("latin-1"),
        }
    )


def stream(_request: HttpRequest, count: int) -> StreamingHttpResponse:
    async def blocks():  # type: ignore[no-untyped-def]
        for number in range(count):
            yield b"%d\n" % number

    return StreamingHttpResponse(blocks())


def nothing(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


urlpatterns = [
    path("echo/<str:name>", echo),
    path("stream/<int:count>", stream),
    path("nothing", nothing),
]
application = get_asgi_application()
