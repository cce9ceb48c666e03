from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

GREETING = "Welcome to the shop"


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{GREETING} (DEBUG={settings.DEBUG})", content_type="text/plain")


def item(request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse({"number": number, "q": request.GET.get("q")})
