"""The event stream's format."""

from __future__ import annotations

from gateway.client.sse import ServerEvent, lines, parse


def test_events_comments_and_an_unfinished_end() -> None:
    text = "id: 1\nevent: state\ndata: {}\n\n: ping\n\ndata:a\ndata: b\n\nid: 2\ndata: lost"
    assert list(parse(text.split("\n"))) == [
        ServerEvent("1", "state", "{}"),
        ServerEvent("1", "message", "a\nb"),
    ]


def test_lines_end_at_line_feeds_only_wherever_the_chunks_end() -> None:
    text = "data: a\u2028b\u0085c\r\n\r\nid: é\n".encode()
    whole = list(lines([text]))
    assert whole == ["data: a\u2028b\u0085c", "", "id: é"]
    assert list(lines([text[i : i + 1] for i in range(len(text))])) == whole
