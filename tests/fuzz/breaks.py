"""Is a fuzz target worth its time? Break the core in a way that it promises to notice, and see.

    python tests/fuzz/breaks.py             all of them, a minute each at the most
    python tests/fuzz/breaks.py conn resp   those of some targets

Each row is one change of the core, made in a copy of it; the target has to find that from the seeds alone. Says
how long it took; ends with 1 if any was not found, or if the core does not read any more as a row has it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECONDS = 60

# target, file of csrc/, what stands there, what stands there instead
BREAKS = [
    ("scan", "fw_scan.c", "equal(bytes, '\\t')), equal(bytes, 0x7F)));", "equal(bytes, '\\t')), equal(bytes, 0x7E)));"),
    ("scan", "fw_scan.c", "at + 2 * BLOCK <= len ?", "at + BLOCK <= len ?"),
    ("scan", "fw_scan.c", "end - from > 2 ?", "end - from > 1 ?"),
    ("scan", "fw_scan.c", "len < FW_WINDOW ? len - HALF : HALF;", "HALF;"),
    ("head", "fw_head.c", "seen > 0 ? seen - 1 : 0;", "seen;"),
    ("head", "fw_head.c", 'memcmp(buf + stop, "\\r\\n", LINE_END_LEN) != 0', "false"),
    ("head", "fw_head.c", "|| next > len || next - at > longest", "|| next > len"),
    ("head", "fw_head.c", "next > len || next - at > longest", "next - at > longest"),
    ("head", "fw_head.c", "head_lines(buf, smaller(len, limits->head),", "head_lines(buf, len,"),
    ("head", "fw_head.c", "while (buf[start] == ' ') /*", "while (buf[start] == ' ' && start < at + 3) /*"),
    ("framing", "fw_framing.c", "if (said->length)", "if (false)"),
    ("framing", "fw_framing.c", "if (said.coding && said.length)", "if (false)"),
    ("framing", "fw_framing.c", "if (*chunked || ", "if ("),
    ("framing", "fw_framing.c", "if (value > INT64_MAX)", "if (value == UINT64_MAX)"),
    ("framing", "fw_framing.c", "if (modern && !said.host)", "if (false)"),
    ("framing", "fw_framing.c", "said.coding && !modern", "false"),
    ("body", "fw_body.c", "body->seen > 0 ? body->seen - 1 : 0;", "body->seen;"),
    ("body", "fw_body.c", "body->seen = line == 0 ? (uint32_t)(len - at) : 0;", "body->seen += (uint32_t)(len - at);"),
    ("body", "fw_body.c", "if (len < LINE_END_LEN)", "if (len == 0)"),
    ("body", "fw_body.c", "if (len > 0 && body->trailers == limits->fields)", "if (false)"),
    ("body", "fw_body.c", "size > limits->body - body->total", "size > limits->body"),
    ("parser", "fw_parser.c", "*used = (size_t)head;", "*used = (size_t)head - (parser->seen > 0);"),
    ("parser", "fw_parser.c", "if (error != FW_OK)", "if (error != FW_OK && parser->seen == 0)"),
    ("parser", "fw_body.c", "body->seen = 0;", ""),
    ("proxy", "fw_proxy.c", "if (len - FIXED < behind)", "if (len - FIXED + 1 < behind)"),
    ("proxy", "fw_proxy.c", "|| (end + 1 == most && buf[end] == '\\r')", ""),
    ("proxy", "fw_proxy.c", "(uint8_t)buf[0] << 8 | (uint8_t)buf[1]", "(uint8_t)buf[1] << 8 | (uint8_t)buf[0]"),
    ("forwarded", "fw_forwarded.c", "end += buf[end] == '\\\\' ? 2 : 1;", "end++;"),
    ("forwarded", "fw_forwarded.c", "if (found)\n                    return false;", ""),
    ("forwarded", "fw_forwarded.c", "if (end >= len)", "if (end > len + 1)"),
    ("resp", "fw_resp.c", " || fw_scan_value(status, len) != len)", ")"),
    ("resp", "fw_resp.c", "if (fw_scan_value(value, value_len) != value_len)", "if (false)"),
    ("resp", "fw_resp.c", "case FW_N_TRANSFER_ENCODING:\n    case FW_N_UPGRADE:", "case FW_N_UPGRADE:"),
    ("resp", "fw_resp.c", "*take = len < room ? len : (size_t)room;", "*take = len;"),
    ("resp", "fw_resp.c", "out->len -= resp->head_len;", ""),
    ("resp", "fw_resp.c", "len == 0 || fw_scan_token(name, len) != len", "len == 0"),
    ("resp", "fw_resp.c", "for (size_t rest = number >> 4; rest != 0; rest >>= 4)", "for (size_t rest = number >> 4; rest > 1; rest >>= 4)"),
    ("resp", "fw_resp.c", "if (fw_resp_is_short(resp))", "if (false)"),
    ("resp", "fw_resp.c", "!resp->has_length && may_have_length(resp);", "!resp->has_length;"),
    ("conn", "fw_conn.c", "if (rest > 0)\n        memmove", "if (rest > 100)\n        memmove"),
    ("conn", "fw_conn.c", "if ((size_t)n < room)", "if ((size_t)n <= room)"),
    ("conn", "fw_conn.c", "    fw_conn_body_drop(conn);\n    conn->used_len", "    conn->body_fd = -1;\n    conn->used_len"),
    ("conn", "fw_conn.c", "conn->reset = true; /* an orderly", "conn->reset = false; /* an orderly"),
    ("conn", "fw_conn.c", "    conn->parser.state = FW_PARSER_HEAD; /* a refusal", "    /* a refusal"),
    ("conn", "fw_conn_output.c", "fw_buf_take(&conn->out, from_out);", ""),
    ("conn", "fw_conn_output.c", "conn->blocked = (size_t)n < len;", "conn->blocked = false;"),
    ("conn", "fw_conn_output.c", "conn->file_left = take;", "conn->file_left = len;"),
    ("conn", "fw_conn_output.c", "MSG_NOSIGNAL | flags", "flags"),
    ("conn", "fw_conn_body.c", "off += (uint64_t)n;", ""),
    ("conn", "fw_conn_upgrade.c", "memmove(place + len, place, head);", ""),
    ("conn", "fw_conn_lines.c", "conn->owes_line = false;", ""),
    ("access", "fw_escape.c", "code == 0x2028 || ", ""),
    ("access", "fw_escape.c", "byte[0] < 0xC2 ? 0", "byte[0] < 0xC1 ? 0"),
    ("access", "fw_escape.c", " && code != 11)", ")"),
    ("access", "fw_escape.c", "((rubout - EACH(1)) & ~rubout)", "0"),
    ("access", "fw_access.c", "if (access->json)\n        *out++ = '\"';\n    access->sink.len", "access->sink.len"),
]  # fmt: skip


def copy(to: Path) -> None:
    """The core and the targets, with what is built of them: make looks at the times of files."""
    for folder in ("csrc", "tests/fuzz", "tests/c", "tests/cases"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("corpus-*", "afl*", "*.log", "gcc"))


def make(where: Path, target: str) -> None:
    command = ["make", "-s", "WARN=-w", f"build/fuzz/{target}", f"build/inputs-{target}"]
    subprocess.run(command, cwd=where, check=True, stdout=subprocess.DEVNULL)


def found(where: Path, target: str) -> bool:
    options = [f"-max_total_time={SECONDS}", "-max_len=4096", "-timeout=10", "-dict=http.dict"]
    run = subprocess.run(
        [f"build/fuzz/{target}", *options, f"-artifact_prefix={where}/build/", f"build/inputs-{target}"],
        cwd=where,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return run.returncode != 0


def main() -> int:
    chosen = [row for row in BREAKS if not sys.argv[1:] or row[0] in sys.argv[1:]]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="fastwsgi-breaks-") as folder:
        copy(Path(folder))
        where = Path(folder, "tests/fuzz")
        for target in {row[0] for row in chosen}:
            make(where, target)
        for target, name, old, new in chosen:
            path = Path(folder, "csrc", name)
            source = path.read_text()
            if source.count(old) != 1 or old == new:
                print(f"{target:10} {name:20} stands there {source.count(old)} times: {old}")
                missed += 1
                continue
            path.write_text(source.replace(old, new))
            os.utime(path)
            make(where, target)
            began = time.monotonic()
            noticed = found(where, target)
            missed += not noticed
            print(f"{target:10} {name:20} {'found' if noticed else 'MISSED'} {time.monotonic() - began:5.1f} s  {old!r}", flush=True)
            path.write_text(source)
            os.utime(path)
            make(where, target)
    print(f"{len(chosen) - missed} of {len(chosen)} found")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
