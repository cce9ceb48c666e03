"""A notice board: notes in SQLite, files in a directory, one page, a JSON API and a streamed CSV.

Served by  fastwsgi "board:create_app()"  or, with the data somewhere else,
fastwsgi "board:create_app(data='/srv/board')".  Every worker opens the same database, so any number of
workers may run.
"""

import csv
import io
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from flask import (
    Flask,
    Response,
    abort,
    current_app,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    send_from_directory,
    stream_with_context,
    url_for,
)
from werkzeug.utils import secure_filename

SCHEMA = """
CREATE TABLE IF NOT EXISTS note (
    id INTEGER PRIMARY KEY,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    written TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""


def create_app(data: str | None = None, max_upload: int = 32 * 1024 * 1024) -> Flask:
    """The application; `data` is the directory of the database and the files, `max_upload` is in bytes."""
    app = Flask(__name__)
    directory = Path(data or os.environ.get("BOARD_DATA") or app.instance_path).absolute()
    app.config.update(
        DATABASE=directory / "board.sqlite3",
        FILES=directory / "files",
        MAX_CONTENT_LENGTH=max_upload,
    )
    app.config["FILES"].mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(app.config["DATABASE"]) as database:
        database.execute(SCHEMA)
    database.close()

    app.teardown_appcontext(close_database)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/notes", view_func=add_note, methods=["POST"])
    app.add_url_rule("/notes.csv", view_func=export)
    app.add_url_rule("/api/notes", view_func=api_list, methods=["GET"])
    app.add_url_rule("/api/notes", view_func=api_add, methods=["POST"])
    app.add_url_rule("/files", view_func=upload, methods=["POST"])
    app.add_url_rule("/files/<name>", view_func=download)
    return app


def database() -> sqlite3.Connection:
    """This request's connection, opened at first use."""
    if "database" not in g:
        g.database = sqlite3.connect(current_app.config["DATABASE"])
        g.database.row_factory = sqlite3.Row
    return g.database


def close_database(error: BaseException | None) -> None:
    if connection := g.pop("database", None):
        connection.close()


def all_notes() -> sqlite3.Cursor:
    return database().execute("SELECT id, author, text, written FROM note ORDER BY id")


def insert_note(author: str, text: str) -> int:
    if not author or not text:
        abort(400, "A note needs an author and a text.")
    with database() as connection:
        row = connection.execute("INSERT INTO note (author, text) VALUES (?, ?)", (author, text))
    return row.lastrowid


def index():
    files = sorted(path.name for path in current_app.config["FILES"].iterdir())
    return render_template("index.html", notes=all_notes(), files=files)


def add_note():
    insert_note(request.form.get("author", "").strip(), request.form.get("text", "").strip())
    return redirect(url_for("index"), code=303)


def api_list():
    return jsonify(notes=[dict(row) for row in all_notes()])


def api_add():
    note = request.get_json()
    if not isinstance(note, dict):
        abort(400, "A note is a JSON object.")
    number = insert_note(str(note.get("author", "")), str(note.get("text", "")))
    return jsonify(id=number), 201


def export() -> Response:
    """The notes as CSV, a row at a time: the memory needed does not grow with the board."""

    def rows() -> Iterator[str]:
        line = io.StringIO()
        writer = csv.writer(line)
        writer.writerow(["id", "author", "text", "written"])
        for note in all_notes():
            yield line.getvalue()
            line.seek(0)
            line.truncate()
            writer.writerow(note)
        yield line.getvalue()

    return Response(stream_with_context(rows()), mimetype="text/csv")


def upload():
    file = request.files.get("file")
    name = secure_filename(file.filename or "") if file else ""
    if not name:
        abort(400, "Choose a file.")
    file.save(current_app.config["FILES"] / name)
    return redirect(url_for("index"), code=303)


def download(name: str) -> Response:
    return send_from_directory(current_app.config["FILES"], name, as_attachment=True)
