import csv
from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import FileResponse, HttpRequest, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse_lazy
from django.views.decorators.http import require_safe
from django.views.generic import CreateView, ListView

from .forms import DocumentForm
from .models import Document


class DocumentList(ListView):
    queryset = Document.objects.select_related("owner")


class DocumentUpload(LoginRequiredMixin, CreateView):
    model = Document
    form_class = DocumentForm
    success_url = reverse_lazy("documents:list")

    def form_valid(self, form: DocumentForm):
        form.instance.owner = self.request.user
        return super().form_valid(form)


@login_required
@require_safe
def download(request: HttpRequest, pk: int) -> FileResponse:
    document = get_object_or_404(Document, pk=pk)
    return FileResponse(document.file.open("rb"), as_attachment=True)


@require_safe
def api(request: HttpRequest) -> JsonResponse:
    documents = Document.objects.values("id", "title", "owner__username", "uploaded")
    return JsonResponse({"documents": list(documents)})


class Echo:
    """A file for csv.writer whose write() returns the line it was given."""

    def write(self, line: str) -> str:
        return line


@require_safe
def report(request: HttpRequest) -> StreamingHttpResponse:
    """Every document as a line of CSV, sent as the database yields them."""

    def lines() -> Iterator[str]:
        writer = csv.writer(Echo())
        yield writer.writerow(["id", "title", "owner", "uploaded"])
        rows = Document.objects.values_list("id", "title", "owner__username", "uploaded")
        for row in rows.iterator(chunk_size=500):
            yield writer.writerow(row)

    return StreamingHttpResponse(lines(), content_type="text/csv")
