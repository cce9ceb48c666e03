#!/bin/sh
# From a clean clone to a served site: database, static files, superuser (if its password is given), server.
# Arguments are passed on to the server:  DJANGO_SUPERUSER_PASSWORD=... ./serve.sh --workers 4
set -eu
cd "$(dirname "$0")"
export DJANGO_SETTINGS_MODULE=config.settings.prod
export DJANGO_SUPERUSER_USERNAME="${DJANGO_SUPERUSER_USERNAME:-admin}"
export DJANGO_SUPERUSER_EMAIL="${DJANGO_SUPERUSER_EMAIL:-admin@example.com}"

python manage.py migrate --verbosity 0
python manage.py collectstatic --noinput --verbosity 0
if [ -n "${DJANGO_SUPERUSER_PASSWORD:-}" ]; then
    python manage.py createsuperuser --noinput || echo "Going on with the superuser there is."
fi
exec fastwsgi config.wsgi:application --access-logfile - "$@"
