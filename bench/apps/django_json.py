"""The Django view, in one file: routed by name and id through the two middlewares every project keeps."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    SECRET_KEY="only for measuring",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
)


def item(request: HttpRequest, item: int) -> JsonResponse:
    return JsonResponse({"id": item, "name": "fast", "tags": ["a", "b"]})


closed = []


class Closing(HttpResponse):
    def close(self) -> None:
        closed.append(True)
        super().close()


urlpatterns = [
    path("items/<int:item>", item),
    path("closing", lambda request: Closing("closing")),
    path("closed", lambda request: HttpResponse(str(len(closed)))),
]
application = get_wsgi_application()
