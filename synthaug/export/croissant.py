"""The dataset in Croissant 1.0, the JSON-LD vocabulary of MLCommons for datasets (docs.mlcommons.org/croissant)."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import synthaug

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_ENCODINGS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif", ".bmp": "image/bmp",
    ".tif": "image/tiff", ".avif": "image/avif",
}  # fmt: skip
_TYPES = {"label": "sc:Integer", "index": "sc:Integer", "seed": "sc:Integer"}
_CR_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _CR_TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}


def croissant(
    name: str,
    classes: Sequence[str],
    models: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    metadata: str,
    digest: str,
    licence: str | None,
) -> dict[str, Any]:
    """Return the description of the dataset.

    Args:
        name: of the dataset.
        classes: in the order of their labels.
        models: that made the images.
        records: lines of the metadata.
        metadata: name of their file.
        digest: SHA-256 of that file.
        licence: of the dataset; None where it is yet to be decided.
    """
    suffixes = sorted({f".{record['file_name'].rpartition('.')[2]}" for record in records})
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "name": name,
        "description": f"{len(records)} synthetic images of {len(classes)} classes ({', '.join(classes[:20])}"
        f"{', …' if len(classes) > 20 else ''}), made with synthaug {synthaug.__version__} by {', '.join(models)}.",
        "conformsTo": CONFORMS_TO,
        "citeAs": f"Synthetic images made with synthaug {synthaug.__version__} by {', '.join(models)}",
        "datePublished": date.today().isoformat(),
        "version": "1.0.0",
        "keywords": ["synthetic", "image classification", "text-to-image"],
        **({"license": licence} if licence else {}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": metadata,
                "name": metadata,
                "description": "class, prompt, seed and model of each image",
                "contentUrl": metadata,
                "encodingFormat": "application/jsonlines",
                "sha256": digest,
            },
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": f"images{suffix}",
                    "name": f"images{suffix}",
                    "description": "the images, in a folder for each class",
                    "encodingFormat": _ENCODINGS.get(suffix, "application/octet-stream"),
                    "includes": f"*/*{suffix}",
                }
                for suffix in suffixes
            ),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "one record for each image",
                "key": {"@id": "images/file_name"},
                "field": [_field(column, metadata) for column in records[0]],
            }
        ],
    }


def _field(column: str, metadata: str) -> dict[str, Any]:
    kind = _TYPES.get(column, "sc:Text")
    return {
        "@type": "cr:Field",
        "@id": f"images/{column}",
        "name": column,
        "dataType": [kind, "cr:Label"] if column in ("class", "label") else kind,
        "source": {"fileObject": {"@id": metadata}, "extract": {"column": column}},
    }
