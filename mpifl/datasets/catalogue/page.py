"""The catalogue as text, for the terminal and for the page docs/catalogue.md.

Running this module prints the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mpifl.datasets.catalogue.catalogue import Download, Entry, Figures, Published, read_catalogue

NOBODY = "none in the source: a partitioner makes them"
BY_HAND = "by hand"

INTRODUCTION = """\
# Catalogue of federated data sets

Made from the YAML files in `mpifl/datasets/catalogue` by
`python -m mpifl.datasets.catalogue.page > docs/catalogue.md`.

The catalogue has every data set in the tables of FedScale, FedML (tables 2 to 4), Flower and LEAF.
`mpifl data list` prints the table below, `mpifl data show NAME` an entry, `mpifl data get NAME`
downloads one:

- It downloads what the makers (or those who keep a copy, as TensorFlow Federated does) offer to
  everybody at a lasting address, without registration or agreement. You have to keep to the
  licence, which the entry names.
- A download that was interrupted continues where it ended. SHA-256 and size are compared where the
  catalogue has them; where it has no checksum the command says so. A file has its own name only
  when it is complete; until then it is `NAME.part`.
- Exit status 0: every file is there. 1: a file could not be downloaded, or the data have to be
  obtained by hand; then the steps are printed on standard error. 2: there is no such name, or a
  file that exists already is not the one of the catalogue.

Counts are given as they were published, with the place they were published in; where places
disagree, all are given. "Train or all" means that the place does not say which. The table has the
first counts that were published, in parentheses where a partitioner makes the clients. When an
import is compared with its entry, one place has to agree entirely. `640K` agrees with every number
that may be rounded or cut off to it. Clients that a partitioner makes are not compared. Checksums
are those in the sources of TensorFlow Federated, TensorFlow Datasets and torchvision.
"""


def columns(entry: Entry, paper: str | None = None) -> tuple[str, str, str, str, str, str, str]:
    """Return the entry's row: name, tasks, clients, samples, importer, how to obtain it, papers.

    The counts are the first published ones of train or of all parts; those of ``paper`` come first.
    Clients that a partitioner makes are in parentheses.
    """
    figures = sorted(_main_figures(entry), key=lambda pair: pair[0] != paper)
    clients = next((f.clients.text for _, f in figures if f.clients), "")
    samples = next((f.samples.text for _, f in figures if f.samples), "")
    if entry.client_key is None and clients:
        clients = f"({clients})"

    tasks = ", ".join(entry.tasks)
    importer = entry.importer or "-"
    obtained = "get" if entry.download else BY_HAND
    papers = ", ".join(entry.papers) or "-"
    return entry.name, tasks, clients, samples, importer, obtained, papers


def sections(entry: Entry) -> Iterator[tuple[str, list[str]]]:
    """Yield everything about an entry as labels and lines, the most important first."""
    yield "task", [", ".join(entry.tasks)]
    yield "data", [entry.modality]
    yield "papers", [", ".join(entry.papers) or "none of the four"]
    yield "clients", [entry.client_key or NOBODY]
    yield "published", [line for source in entry.published for line in _source(source)]
    yield "licence", [entry.licence, *([entry.licence_url] if entry.licence_url else [])]
    yield "homepage", list(entry.homepages)
    yield "importer", [_importer(entry)]
    if entry.layout:
        yield "layout", entry.layout.splitlines()
    if entry.download:
        yield "get", [line for file in entry.download for line in (file.url, *_known(file))]
    yield BY_HAND if entry.by_hand else "then", steps(entry, "FOLDER")
    if entry.notes:
        yield "notes", [entry.notes]


def steps(entry: Entry, folder: str) -> list[str]:
    """Return the steps to do by hand, before or after the download; the import is last."""
    lines = [step.format(folder=folder) for step in entry.by_hand or entry.then]
    if entry.importer:
        lines.append(f"mpifl data import {entry.importer} {folder} -o {entry.name}.h5")
    return lines


def page(entries: Iterable[Entry]) -> str:
    """Return the catalogue as a page in Markdown."""
    entries = list(entries)
    lines = [
        INTRODUCTION,
        "| name | task | clients | samples | importer | obtain | papers |",
        "|---|---|--:|--:|---|---|---|",
    ]
    for entry in entries:
        name, *rest = columns(entry)
        lines.append(f"| [{name}](#{name}) | {' | '.join(rest)} |")
    for entry in entries:
        lines += ["", f"## {entry.name}", "", f"{entry.title}.", ""]
        for label, texts in sections(entry):
            lines += _item(label, texts)
    return "\n".join(lines) + "\n"


def _item(label: str, texts: list[str]) -> Iterator[str]:
    texts = [_marked(text) for text in texts]
    if len(texts) == 1:
        yield f"- {label}: {texts[0]}"
    elif texts:
        yield f"- {label}:"
        for text in texts:
            indent = "    " if text.startswith(" ") else "  "
            yield f"{indent}- {text.strip()}"


def _marked(text: str) -> str:
    """Return a text as Markdown: an address as a link, angle brackets escaped."""
    if text.startswith("http") and " " not in text:
        return f"<{text}>"
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _importer(entry: Entry) -> str:
    if entry.importer is None:
        return f"none: {entry.reason}"
    return entry.importer + (f" (also {', '.join(entry.also)})" if entry.also else "")


def _source(source: Published) -> Iterator[str]:
    yield source.place
    for figures in source.figures:
        counts = [f"{figures.clients.text} clients"] if figures.clients else []
        counts += [f"{figures.samples.text} samples"] if figures.samples else []
        part = "train or all" if figures.part == "either" else figures.part
        yield f"  {part}: {', '.join(counts)}"


def _known(file: Download) -> Iterator[str]:
    """Yield size and checksum of a file."""
    yield "  size unknown" if file.bytes is None else f"  {file.bytes:,} bytes"
    yield "  no checksum known" if file.sha256 is None else f"  SHA-256 {file.sha256}"


def _main_figures(entry: Entry) -> Iterator[tuple[str, Figures]]:
    """Yield figures of train or of all parts, each with the paper that has them."""
    for source in entry.published:
        for figures in source.figures:
            if figures.part in ("train", "all", "either"):
                yield source.paper, figures


if __name__ == "__main__":
    print(page(read_catalogue().values()), end="")
