from .base import *  # noqa: F403

DEBUG = True
SECRET_KEY = "for-development-only"
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
