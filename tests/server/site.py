"""The Django example as a person uses it, whoever stands in front of it."""

import subprocess
import sys
from pathlib import Path

from .curl import Curl
from .process import clean_environment

SITE = Path(__file__).parents[2] / "examples" / "django_site"
PASSWORD = "correct horse"
SITE_ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "config.settings.prod",
    "DJANGO_SUPERUSER_USERNAME": "admin",
    "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
    "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
}


def prepare(data: Path) -> None:
    """Make `data` the data directory of a site that is ready to be served."""
    steps = "migrate", "collectstatic --noinput", "createsuperuser --noinput", "makemigrations --check"
    for step in map(str.split, steps):
        result = subprocess.run(
            [sys.executable, "manage.py", *step],
            cwd=SITE,
            env=clean_environment() | SITE_ENVIRONMENT | {"DJANGO_DATA_DIR": str(data)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def arguments(data: Path, application: str = "config.wsgi:application") -> list[str]:
    """What the server is told to serve the site with."""
    variables = "DJANGO_SETTINGS_MODULE=config.settings.prod", f"DJANGO_DATA_DIR={data}"
    return [application, "--chdir", str(SITE), *(word for name in variables for word in ("--env", name))]


def log_in(curl: Curl, password: str = PASSWORD) -> str:
    """Log in to the admin; the page that this leads to."""
    token = curl.csrf_token("/admin/login/?next=/admin/")
    form = ["--data", f"csrfmiddlewaretoken={token}", "--data", "username=admin"]
    return curl("/admin/login/?next=/admin/", "--location", *form, "--data-urlencode", f"password={password}")


def upload(curl: Curl, title: str, path: Path) -> str:
    """Upload a document; the page that this leads to."""
    token = curl.csrf_token("/upload/")
    fields = f"csrfmiddlewaretoken={token}", f"title={title}", f"file=@{path}"
    return curl("/upload/", "--location", *(word for field in fields for word in ("--form", field)))
