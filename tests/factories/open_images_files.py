"""Lists and photographs in the form in which Open Images publishes them, made up, on a server of this machine."""

import csv
from dataclasses import dataclass

from tests.factories.images import image
from tests.factories.servers import Server

LABELS = {
    "Bear": "/m/01dws",
    "Brown bear": "/m/01dxs",
    "Polar bear": "/m/0633h",
    "Dog": "/m/0bt9lr",
    "Cat": "/m/01yrx",
    "Turtle": "/m/09dzg",
    "Tortoise": "/m/011k07",
    "Sea turtle": "/m/0120dh",
    "Deer": "/m/09kx5",
    "Eagle": "/m/09csl",
    "Car": "/m/0k4j",
}
BOX_COLUMNS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
METADATA_COLUMNS = [
    "ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title",
    "OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation",
]  # fmt: skip


@dataclass
class OpenImages:
    """Lists and photographs below a folder, as they are published."""

    server: Server

    def __post_init__(self) -> None:
        rows = [f"{label},{name}" for name, label in LABELS.items()]
        self.write("classes.csv", ["LabelName,DisplayName", *rows])
        self.boxes = [BOX_COLUMNS]
        self.rows: list[list[str]] = [METADATA_COLUMNS]

    def write(self, name: str, lines: list[str]) -> None:
        (self.server.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def add(
        self, image_id: str, *boxes: tuple[str, float, str], rotation: str = "0.0", seed: int | None = None
    ) -> None:
        """A photograph with boxes (name, height of a box of full width, which flags are 1)."""
        for name, height, flags in boxes:
            marks = ",".join(
                str(int(flag in flags)) for flag in ("occluded", "truncated", "group", "depiction", "inside")
            )
            self.boxes.append(f"{image_id},xclick,{LABELS[name]},1,0.0,1.0,0.0,{height},{marks}")
        self.rows.append(
            [image_id, "train", f"http://o/{image_id}", f"http://l/{image_id}", "http://cc/by/2.0/", "http://p/a",
             'Åsa "猫", x', "a\ntitle", "1", "x", "", rotation]
        )  # fmt: skip
        path = self.server.folder / "train" / f"{image_id}.jpg"
        path.parent.mkdir(exist_ok=True)
        image(len(self.rows) if seed is None else seed, (64, 48)).save(path, quality=95)

    @property
    def addresses(self) -> dict[str, str]:
        """What the arguments of `write_open_images` must be."""
        names = {"descriptions": "classes.csv", "boxes": "boxes.csv", "metadata": "metadata.csv", "images": "train"}
        return {argument: f"{self.server.address}/{name}" for argument, name in names.items()}

    def publish(self) -> None:
        self.write("boxes.csv", self.boxes)
        with (self.server.folder / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(self.rows)
