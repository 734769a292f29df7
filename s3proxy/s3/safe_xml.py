"""Documents of strangers, read into small trees of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import ParseError

from attrs import define, field
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import DefusedXMLParser  # type: ignore[import-untyped]

from s3proxy.errors import MalformedXML

#: Deeper than any document of S3.
MAX_DEPTH = 16


@define
class Node:
    """
    An element.

    :ivar name: Without its namespace.
    :ivar text: All of its own text, in order; blanks are kept.
    """

    name: str
    text: str = ""
    children: list[Node] = field(factory=list)

    def only(self, *names: str) -> None:
        """
        Refuse what is not understood: a condition that is passed over would be broken.

        :raises MalformedXML: A child has another name.
        """
        if any(each.name not in names for each in self.children):
            raise MalformedXML()

    def one(self, name: str) -> Node | None:
        """
        The child of that name, if there is one.

        :raises MalformedXML: There are more.
        """
        found = [each for each in self.children if each.name == name]
        if len(found) > 1:
            raise MalformedXML()
        return found[0] if found else None

    def value(self, name: str) -> str | None:
        """
        The text of the child of that name, if there is one.

        :raises MalformedXML: There are more, or it holds elements.
        """
        child = self.one(name)
        if child is None:
            return None
        if child.children:
            raise MalformedXML()
        return child.text


def parse(document: bytes, root: str, *, max_bytes: int, max_elements: int) -> Node:
    """
    Read a document.

    Elements may be of S3's namespace or of none. No DTD is read, so no entity either.

    :param root: The name of its outermost element.
    :raises MalformedXML: It is something else, or larger than allowed.
    """
    if len(document) > max_bytes:
        raise MalformedXML()
    builder = _Builder(max_elements)
    feed(document, builder)
    if builder.root is None or builder.root.name != root:
        raise MalformedXML()
    return builder.root


def feed(document: bytes, target: object) -> None:
    """
    Parse a document.

    :param target: What is called as elements begin and end, as of
        ``xml.etree.ElementTree.XMLParser``.
    :raises MalformedXML: It is none, or has a DTD; and what *target* raises.
    """
    parser = DefusedXMLParser(target=target, forbid_dtd=True)
    try:
        parser.feed(document)
        parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as why:
        # The last two: encodings that are declared and unknown.
        raise MalformedXML() from why


class _Builder:
    """What the parser calls."""

    def __init__(self, max_elements: int) -> None:
        self.root: Node | None = None
        self._left = max_elements
        self._open: list[tuple[Node, list[str]]] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._left -= 1
        if self._left < 0 or len(self._open) == MAX_DEPTH:
            raise MalformedXML()
        node = Node(tag.rpartition("}")[2])
        if self._open:
            self._open[-1][0].children.append(node)
        else:
            self.root = node
        self._open.append((node, []))

    def data(self, text: str) -> None:
        """A piece of text."""
        if self._open:
            self._open[-1][1].append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        node, pieces = self._open.pop()
        node.text = "".join(pieces)

    def close(self) -> None:
        """The document ends."""
