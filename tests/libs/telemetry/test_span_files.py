import subprocess
import sys
from collections import Counter
from pathlib import Path

from libs.telemetry.span_files import read_span_file

WRITER = """
import sys
from pathlib import Path
from libs.telemetry.tracing import configure_tracing, shutdown_tracing, start_span
name, path = sys.argv[1], Path(sys.argv[2])
configure_tracing(name, spans_file=path)
for number in range(500):
    with start_span(f"{name} work", attributes={"number": number, "padding": "x" * 300}):
        pass
shutdown_tracing()
"""


def test_two_processes_append_whole_lines_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "spans.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name, str(path)]) for name in ("ingest", "batcher")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    spans = read_span_file(path)
    assert Counter(span["service"] for span in spans) == {"ingest": 500, "batcher": 500}
    assert spans[0]["kind"] == "INTERNAL"
    assert spans[0]["end_ns"] >= spans[0]["start_ns"]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text('{"name": "whole"}\n{"name": "ha')
    assert read_span_file(path) == [{"name": "whole"}]


def test_a_file_that_is_not_there_has_no_spans(tmp_path: Path) -> None:
    assert read_span_file(tmp_path / "none.jsonl") == []


def test_a_file_that_cannot_be_written_costs_spans_not_the_service(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    script = WRITER + "\nprint('still here')"
    done = subprocess.run(
        [sys.executable, "-c", script, "ingest", str(tmp_path / "file" / "spans.jsonl")],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"still here\n"
