from django.urls import path

from . import views

app_name = "documents"
urlpatterns = [
    path("", views.DocumentList.as_view(), name="list"),
    path("upload/", views.DocumentUpload.as_view(), name="upload"),
    path("documents/<int:pk>/", views.download, name="download"),
    path("api/documents/", views.api, name="api"),
    path("report.csv", views.report, name="report"),
]
