"""Production.  Everything that differs between machines comes from the environment:

DJANGO_SECRET_KEY     the key; without it one is made at first start and kept in DATA_DIR
DJANGO_DATA_DIR       where the database and the files live
DJANGO_ALLOWED_HOSTS  host names, separated by commas, beside localhost
DJANGO_HTTPS          "1" behind a proxy that speaks TLS and sets X-Forwarded-Proto
"""

import os

from config.secret_key import kept_secret_key

from .base import *  # noqa: F403
from .base import ALLOWED_HOSTS, DATA_DIR

DEBUG = False
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or kept_secret_key(DATA_DIR / "secret-key")
ALLOWED_HOSTS += filter(None, os.environ.get("DJANGO_ALLOWED_HOSTS", "").split(","))

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

if os.environ.get("DJANGO_HTTPS") == "1":
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 30 * 24 * 3600
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
