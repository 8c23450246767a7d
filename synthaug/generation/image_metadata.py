"""How a synthetic image came to be, in its own metadata: an XMP packet, which decoded pixels know nothing of.

The vocabulary is that of the IPTC Photo Metadata Standard 2025.1 (Digital Source Type, as C2PA uses it too, AI System
Used, AI System Version Used, AI Prompt Information), which `exiftool` shows; what it has no name for is in a namespace
of our own.
"""

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_NAMESPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "synthaug": "https://pypi.org/project/synthaug/#image-metadata",
}
# Field of ours → property of IPTC.
_IPTC = {"model": "AISystemUsed", "revision": "AISystemVersionUsed", "prompt": "AIPromptInformation"}
_LONGEST = 4_000  # letters of a field: a JPEG file has room for 65,000 bytes in all
_MARKER = "W5M0MpCehiHzreSzNTczkc9d"  # every XMP packet has it
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def packet(fields: Mapping[str, object]) -> bytes:
    """Return an XMP packet that says that an image is synthetic, and how it was made.

    Args:
        fields: of the image, such as prompt and seed; empty ones are left out. No secrets: see `environment.hidden`.
    """
    texts = {name: _NOT_XML.sub("\ufffd", str(value)[:_LONGEST]) for name, value in fields.items() if str(value)}
    properties = {"Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE}
    properties |= {f"Iptc4xmpExt:{_IPTC[name]}": text for name, text in texts.items() if name in _IPTC}
    properties |= {f"synthaug:{name}": text for name, text in texts.items() if name not in _IPTC}
    spaces = " ".join(f"xmlns:{name}={quoteattr(address)}" for name, address in _NAMESPACES.items())
    elements = "\n".join(f"   <{name}>{escape(text)}</{name}>" for name, text in properties.items())
    return (
        f'<?xpacket begin="\ufeff" id="{_MARKER}"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f'  <rdf:Description rdf:about="" {spaces}>\n{elements}\n  </rdf:Description>\n'
        ' </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="r"?>'
    ).encode()
