"""Documents of strangers: what is read, and what is refused at once."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import MalformedXML, S3Error
from s3proxy.s3 import access_lists, deletion, tagging
from s3proxy.s3.markup import escape
from s3proxy.s3.safe_xml import Node, parse
from tests.strategies import xml_texts

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

READERS = {
    "Delete": deletion.parse,
    "Tagging": lambda document: tagging.parse(document, 10),
    "AccessControlPolicy": lambda document: access_lists.check(document, "me"),
}
BOMB = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
HOSTILE = [
    "",
    "<",
    "{root}",
    "<{root}>",
    "<{root}/><{root}/>",
    "<Other/>",
    "<a:{root}/>",
    '<!DOCTYPE {root} [<!ENTITY a0 "x">' + BOMB + "]><{root}>&a12;</{root}>",
    '<!DOCTYPE {root} SYSTEM "file:///etc/passwd"><{root}/>',
    '<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:9/">]><{root}>&e;</{root}>',
    '<!DOCTYPE x [<!ENTITY % e SYSTEM "file:///etc/passwd"> %e;]><{root}/>',
    "<!DOCTYPE {root}><{root}/>",
    "<{root}>&nbsp;</{root}>",
    "<{root}>" + "<a>" * 5000 + "</a>" * 5000 + "</{root}>",
    "<{root}>" + "<a/>" * 100_000 + "</{root}>",
    "<{root}>" + " " * (2 * 1024**2) + "</{root}>",
    '<?xml version="1.0" encoding="utf-7"?><{root}/>',
    '<?xml version="1.0" encoding="nothing"?><{root}/>',
    "<{root}>\x01</{root}>",
    "<{root}>\udcff</{root}>",
]


@pytest.mark.parametrize("root", READERS)
@pytest.mark.parametrize("document", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_documents(root: str, document: str) -> None:
    """None is read, none is looked up, and none takes long [security 81, 82]."""
    text = document.replace("{root}", root).encode("utf-8", "surrogateescape")
    began = time.thread_time()
    with pytest.raises(S3Error) as raised:
        READERS[root](text)
    # A bomb would take minutes; 50 ms on an idle machine is a second on any.
    assert time.thread_time() - began < 1
    assert raised.value.status == 400


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize("names", ["", NAMESPACE, 'xmlns="http://doc.s3.example/"'])
def test_a_document(encoding: str, names: str) -> None:
    """In any namespace, in the encodings that parsers must know."""
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<!-- a comment -->'
        f"<A {names} x='y'> \n<B>é &amp; &#xe9;<![CDATA[<]]></B><C><D/></C></A>\n"
    )
    root = parse(text.encode(encoding), "A", max_bytes=1000, max_elements=4)
    assert root == Node(
        "A", " \n", [Node("B", "é & é<"), Node("C", "", [Node("D", "")])]
    )
    assert root.value("B") == "é & é<"
    assert root.value("E") is None


def test_limits_are_inclusive() -> None:
    """Bytes and elements."""
    for max_bytes, max_elements in [(11, 1), (10, 2)]:
        with pytest.raises(MalformedXML):
            parse(b"<A><B/></A>", "A", max_bytes=max_bytes, max_elements=max_elements)
    parse(b"<A><B/></A>", "A", max_bytes=11, max_elements=2)


def test_what_is_there_twice_or_not_known() -> None:
    """Is not guessed at."""
    root = parse(b"<A><B/><B/><C><D/></C></A>", "A", max_bytes=99, max_elements=9)
    root.only("B", "C", "D")
    for wrong in (
        lambda: root.only("B"),
        lambda: root.one("B"),
        lambda: root.value("B"),
        lambda: root.value("C"),
    ):
        with pytest.raises(MalformedXML):
            wrong()


@given(st.lists(xml_texts(), min_size=1, max_size=5))
def test_any_text_comes_through(texts: list[str]) -> None:
    """As it was written: blanks, line ends and what must be escaped."""
    inner = "".join(f"<B>{escape(text)}</B>" for text in texts)
    document = f"<A>{inner}</A>".encode()
    root = parse(document, "A", max_bytes=len(document), max_elements=99)
    assert [each.text for each in root.children] == texts
