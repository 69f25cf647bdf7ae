"""The report's page as a browser reads it, and what the tests' records make of it."""

from html.parser import HTMLParser

from perf import static

__all__ = ["PREDICTED", "TITLES", "Page", "static_row"]

PREDICTED = [
    dict.fromkeys(static.COLUMNS, "1")
    | {"op": "kaf", "variant": "d20", "direction": "forward", "dtype": "bfloat16"}
    | {"layout": "inner1", "arch": "sm_90", "gpu": "h200", "predicted_gbps": "2538"}
    | {"predicted_bound": "issue", "basis": static.BASIS}
]
TITLES = [
    "Summary",
    "Throughput against size",
    "Share of yardstick",
    "KAF: cost against the number of nodes",
    "Memory",
    "Training step",
    "Block sizes",
    "Predicted against measured",
    "Rates on every GPU: predicted from machine code",
    "All measurements",
    "Runs",
]


class Page(HTMLParser):
    """What a browser would see: headings, captions, tables, images, links, and all text."""

    VOID = ("img", "meta", "wbr")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.images, self.ids = [], [], [], []
        self.texts = {}
        self.tables = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[name] for name in ("src", "href") if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "img":
            self.images.append(attrs)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data
        if self.open and {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return self.texts["body"][0]

    def table(self, *columns):
        """The first table with these columns among its own."""
        return next(t for t in self.tables if set(columns) <= set(t[0]))


def static_row(**changes):
    return PREDICTED[0] | {"triton": "3.7.1"} | changes
