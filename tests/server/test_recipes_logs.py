"""gunicorn.conf.py files that configure the logs."""

import json
import os

from .process import Start, eventually


def test_both_logs_as_json(cook: Start) -> None:
    server = cook("logjson", "shop")
    match = eventually(
        lambda: next((line for line in server.log.splitlines() if "Listening at" in line), None),
        server.explain,
    )
    address = json.loads(match)["message"].split()[2]
    with server.connect(address) as client:
        response = client.get("/pid?x=1", ("User-Agent", 'te"st\\er'), ("X-Request-Id", "42"))
    line = json.loads(eventually(lambda: server.output, server.explain))
    assert line.pop("seconds") >= 0
    assert line.pop("duration_in_ms") >= 0
    assert line.pop("user_agent").replace("\\", "") == 'te"ster'
    assert line == {
        "remote_ip": "127.0.0.1",
        "method": "GET",
        "path": "/pid?x=1",
        "status": "200",
        "bytes": len(response.body),
        "referer": "-",
        "request_id": "42",
        "content_type": "text/plain",
        "pid": f"<{response.body.decode()}>",
    }
    assert server.stop() == 0
    records = [json.loads(line) for line in server.log.splitlines()]
    assert {record["logger"] for record in records} <= {"gunicorn.error", "fastwsgi.error"}
    assert {record["level"] for record in records} >= {"INFO"}
    assert os.getpid() not in records
